"""clipcodec.evaluation.metrics: measures with known answers."""

from __future__ import annotations

import numpy as np
import pytest

from clipcodec.evaluation import metrics
from clipcodec.evaluation.sets import EmbeddingSet
from tests.helpers.sets import unit

DIAGONAL = unit([[1, 0], [0, 1]])


def test_accuracy_counts_labels_among_the_nearest_references() -> None:
    rows = unit([[1, 0, 0], [1, 0.1, 0], [0, 1, 0], [1, 2, 0.5]])
    references = unit(np.eye(3))
    labels = np.array([0, 0, 1, 0])
    assert metrics.accuracy(rows, references, labels) == 0.75
    assert metrics.accuracy(rows, references, labels, k=2) == 1


def test_of_equally_similar_references_the_first_counts() -> None:
    rows, references = unit([[1, 0, 0], [0, 0, 1]]), unit(np.eye(3))
    for label, found in ((0, 0.5), (1, 0.0), (2, 0.5)):
        assert metrics.accuracy(rows, references, np.array([label] * 2)) == found
    assert metrics.accuracy(rows, references, np.array([1, 1]), k=2) == 0.5  # (0, 1) and (2, 0)


def test_agreement_compares_the_nearest_text_before_and_after() -> None:
    before = unit([[1, 0.2], [0.2, 1], [1, 0.9], [0.9, 1]])
    after = unit([[1, 0.5], [0.5, 1], [0.9, 1], [0.9, 1]])
    assert metrics.agreement(before, after, DIAGONAL) == 0.75


def test_divergence_of_two_known_distributions() -> None:
    """An image as close to both texts, decoded a little closer to one of them."""
    assert metrics.divergence(DIAGONAL, DIAGONAL, DIAGONAL) == 0
    even, tilted = unit([[1, 1]]), unit([[1, 1.02]])
    logits = 100 * (tilted @ DIAGONAL.T)[0].astype(np.float64)
    q = np.exp(logits - logits.max())
    q /= q.sum()
    expected = (0.5 * np.log(0.5 / q)).sum()
    assert metrics.divergence(even, tilted, DIAGONAL) == pytest.approx(expected, rel=1e-4)
    assert expected > 0.1


def test_text_to_image_is_precision_at_the_class_size() -> None:
    rows = unit([[1, 0.1], [1, 0.2], [0.1, 1]])
    assert metrics.text_to_image(rows, DIAGONAL, np.array([0, 0, 1])) == 1
    # the first text finds rows 0 and 1, of which one is its own; the second row 2, which is not
    found = metrics.text_to_image(rows, DIAGONAL, np.array([0, 1, 0]))
    assert found == pytest.approx((0.5 + 0) / 2)


def test_class_means_have_unit_norm_and_a_class_without_rows_none() -> None:
    means = metrics.class_means(unit([[1, 0], [0, 1], [1, 0]]), np.array([0, 0, 2]))
    assert means == pytest.approx(np.array([[0.5**0.5, 0.5**0.5], [0, 0], [1, 0]]))


def test_knn_votes_by_closeness() -> None:
    """One very near example outweighs two far ones; a count of votes would not."""
    examples = unit([[1, 0.01], [0.3, 1], [0.3, 1], [0.3, 1]])
    classes = np.array([0, 1, 1, 1])
    row = unit([[1, 0]])
    assert metrics.knn(row, np.array([0]), examples, classes) == 1
    assert metrics.knn(row, np.array([1]), examples, classes, k=1) == 0


def test_caption_recall_counts_both_ways() -> None:
    """Three images, four captions; the third caption is nearer to another image than its own."""
    images = unit([[1, 0, 0], [0, 1, 0], [0, 0, 1]])
    captions = unit([[1, 0.1, 0], [0.9, 0, 0.2], [0, 1, 0.9], [0, 0, 1]])
    found = metrics.caption_recall(images, captions, np.array([0, 0, 2, 2]))
    assert found["text_to_image_1"] == 0.75
    assert found["text_to_image_5"] == 1
    assert found["image_to_text_1"] == 1  # image 2 finds its other caption first; 1 has none
    wrong = metrics.caption_recall(images, captions[2:3], np.array([0]))
    assert (wrong["image_to_text_1"], wrong["text_to_image_1"]) == (1, 0)


def test_neighbours_leave_out_the_row_itself() -> None:
    rows = unit([[1, 0], [1, 0.1], [0, 1], [0.1, 1]])
    found = metrics.nearest(rows, 1)
    assert found.tolist() == [[1], [0], [3], [2]]
    assert metrics.nearest(rows, 10).shape == (4, 3)
    assert metrics.nearest(rows[:1]).shape == (1, 0)
    assert metrics.overlap(found, found) == 1
    assert metrics.overlap(np.array([[1, 2], [3, 4]]), np.array([[2, 1], [4, 5]])) == 0.75


def test_neighbours_of_many_rows_are_those_of_one_product() -> None:
    """Rows are compared in blocks; the first and last of a block are as good as any."""
    rows = unit(np.random.default_rng(0).normal(size=(2 * metrics._BLOCK + 3, 4)))
    similar = rows @ rows.T
    np.fill_diagonal(similar, -2)
    expected = np.argsort(-similar, axis=1)[:, :3]
    assert (np.sort(metrics.nearest(rows, 3)) == np.sort(expected)).all()


def test_a_set_has_the_measures_that_it_has_the_data_for() -> None:
    rng = np.random.default_rng(0)
    rows, texts = unit(rng.normal(size=(20, 6))), unit(rng.normal(size=(4, 6)))
    labels = np.arange(20) % 4
    always = {"cosine", "cosine05", "neighbours"}
    with_texts = {"agree", "kl"}
    assert set(metrics.Measures(EmbeddingSet("a", rows, "")).of(rows)) == always
    found = metrics.Measures(EmbeddingSet("a", rows, "", texts=texts)).of(rows)
    assert set(found) == always | with_texts
    data = EmbeddingSet("a", rows, "", labels=labels, texts=texts, support=rows,
                        support_labels=labels, captions=rows, caption_of=np.arange(20))  # fmt: skip
    found = metrics.Measures(data).of(rows)
    assert found.keys() >= always | with_texts | {"top1", "top5", "text_to_image", "prototype"}
    assert found["knn"] == found["image_to_text_1"] == found["text_to_image_1"] == 1
    assert found["kl"] == pytest.approx(0, abs=1e-6)
    worse = metrics.Measures(data).of(unit(rows + rng.normal(size=rows.shape)))
    assert worse["kl"] > 0.1
    assert worse["neighbours"] < 0.9


def test_the_spread_is_of_cosines() -> None:
    rows = unit([[1, 0]] * 5)
    decoded = unit([[1, 0], [1, 0], [1, 1], [0, 1], [0, 1]])
    found = metrics.spread(rows, decoded)
    assert len(found) == len(metrics.QUANTILES)
    assert found[metrics.QUANTILES.index(0.5)] == pytest.approx(0.5**0.5, abs=1e-5)
    assert found == sorted(found)
