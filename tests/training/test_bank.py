"""`bank`: a few directions that stand for many texts."""

from __future__ import annotations

import numpy as np

from clipcodec.training.bank import bank


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def test_clusters_of_texts_become_their_centroids() -> None:
    rng = np.random.default_rng(0)
    centres = unit(rng.normal(size=(5, 32)))
    texts = unit(np.repeat(centres, 20, axis=0) + 0.02 * rng.normal(size=(100, 32)))
    found = bank(texts, count=12)
    assert found.shape == (12, 32)
    assert found.dtype == np.int8
    near = unit(found.astype(np.float32)) @ centres.T
    assert (near.max(axis=0) > 0.99).all(), "every cluster has a centroid"
    assert (near.max(axis=1) > 0.95).all(), "every centroid lies in a cluster"


def test_few_texts_are_kept_with_their_direction_in_eight_bits() -> None:
    texts = unit(np.random.default_rng(1).normal(size=(7, 64)))
    found = bank(texts)
    assert found.shape == (7, 64)
    assert np.abs(found.astype(int)).max(axis=1).tolist() == [127] * 7
    assert ((unit(found.astype(np.float32)) * texts).sum(axis=1) > 0.999).all()


def test_the_same_texts_give_the_same_bank() -> None:
    texts = unit(np.random.default_rng(2).normal(size=(300, 16)))
    assert np.array_equal(bank(texts, 20), bank(texts, 20))
