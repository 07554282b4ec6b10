"""Sketches give about the scores of what a stream decodes to, the slower one the nearer ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

import clipcodec
from clipcodec.columns import Columns, unpack_columns
from clipcodec.kinds import Sketch
from clipcodec.profile import registry
from clipcodec.profile.samples import draw
from tests.helpers.paths_of_loops import both, needs_numba

NAMES = ("openai-vit-b-32/predictive", "openai-vit-l-14-336/predictive")


@pytest.fixture(scope="module", params=NAMES)
def coded(request: pytest.FixtureRequest) -> Columns:
    """Streams of several qualities."""
    profile = registry.by_name(request.param)
    rows = draw(profile, 200)
    streams = [
        stream
        for at, quality in zip(range(0, 200, 50), (25, 40, 55, 90), strict=True)
        for stream in clipcodec.encode_embeddings(
            rows[at : at + 50], profile=profile.name, quality=quality
        )
    ]
    (columns,) = clipcodec.Codec()._parse_columns(streams)
    return columns


def scored(sketch: Sketch, coded: Columns, queries: np.ndarray) -> np.ndarray:
    return sketch.scores(sketch.project(queries), unpack_columns(coded), coded.qualities)


def found(coded: Columns) -> tuple[np.ndarray, np.ndarray, Sequence[Sketch]]:
    """Queries, their scores, and the sketches."""
    kind = coded.profile.kind
    rows = kind.reconstruct(unpack_columns(coded), coded.qualities)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    queries = draw(coded.profile, 20, seed=1)
    return queries, rows @ queries.T, kind.sketches()


def test_errors_become_smaller(coded: Columns) -> None:
    """Shares of the standard deviation of scores."""
    queries, scores, sketches = found(coded)
    errors = [
        float((scored(sketch, coded, queries) - scores).std() / scores.std()) for sketch in sketches
    ]
    assert len(errors) == 2
    assert errors[1] < errors[0] < 0.6
    assert errors[1] < 0.35


def test_a_row_has_the_same_scores_in_any_batch(coded: Columns) -> None:
    queries, _, sketches = found(coded)
    for sketch in sketches:
        whole = scored(sketch, coded, queries)
        few = scored(sketch, coded.take(np.array([3, 77, 199])), queries)
        assert np.allclose(whole[[3, 77, 199]], few, atol=1e-5)


def test_several_queries_have_the_scores_of_one(coded: Columns) -> None:
    queries, _, sketches = found(coded)
    for sketch in sketches:
        assert np.allclose(
            scored(sketch, coded, queries)[:, :1], scored(sketch, coded, queries[:1]), atol=1e-5
        )


@needs_numba
def test_compiled_loops_give_the_same(coded: Columns) -> None:
    queries, _, sketches = found(coded)
    plain, quick = both(lambda: [scored(sketch, coded, queries) for sketch in sketches])
    assert np.allclose(plain, quick, atol=1e-5)


@pytest.mark.parametrize("name", ["any/rotation", "openai-vit-b-32/pqvae-400"])
def test_kinds_that_are_decoded_quickly_have_none(name: str) -> None:
    assert list(registry.by_name(name).kind.sketches()) == []


def test_they_are_made_once() -> None:
    kind = registry.by_name(NAMES[0]).kind
    assert kind.sketches() is kind.sketches()
