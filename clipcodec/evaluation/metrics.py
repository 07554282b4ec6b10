"""How good decoded embeddings are: fidelity, classification, neighbours, retrieval.

Every measure compares decoded rows with the originals they came from, or uses them in a task whose
other side (class texts, examples, captions) is not compressed.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ..embeddings import Embeddings
from .sets import EmbeddingSet, Labels

NEIGHBOURS = 10
TEMPERATURE = 100.0  # CLIP multiplies cosines by it before the softmax (its learned logit scale)
RECALLS = (1, 5, 10)
QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
_BLOCK = 1024  # rows compared with all others at a time


class Measures:
    """What can be measured on one set; what belongs to the originals is computed once."""

    def __init__(self, data: EmbeddingSet) -> None:
        self.data = data
        self._nearest = nearest(data.rows)
        self._prototypes = None
        if data.support is not None and data.support_labels is not None:
            self._prototypes = class_means(data.support, data.support_labels)

    def of(self, decoded: Embeddings) -> dict[str, float]:
        """The measures of decoded rows (N, D) of unit norm, in the order of the set's rows.

        Always:
          cosine, cosine05   mean and 5th percentile of the cosine to the original
          neighbours         share of the ten nearest neighbours kept, all rows being decoded
        With labels and class texts:
          top1, top5         zero-shot accuracy: the label is the nearest class text, or among the
                             five nearest
          agree              share of rows whose nearest class text stays
          kl                 mean KL(original ‖ decoded) of the softmax over the texts, in nats, at
                             logit scale 100
          text_to_image      mean precision of the images nearest to a class text, as many as the
                             class has
        With labels and examples of each class:
          prototype          accuracy by the nearest class mean of the examples
          knn                accuracy by the vote of the ten nearest examples
        With captions:
          image_to_text_1, _5, _10 and text_to_image_1, _5, _10    recall among the first k
        """
        data = self.data
        cosines = (decoded * data.rows).sum(axis=1)
        found = {
            "cosine": float(cosines.mean()),
            "cosine05": float(np.quantile(cosines, 0.05)),
            "neighbours": overlap(self._nearest, nearest(decoded)),
        }
        if data.texts is not None:
            texts = data.texts
            found["agree"] = agreement(data.rows, decoded, texts)
            found["kl"] = divergence(data.rows, decoded, texts)
            if data.labels is not None:
                found["top1"] = accuracy(decoded, texts, data.labels)
                found["top5"] = accuracy(decoded, texts, data.labels, k=5)
                found["text_to_image"] = text_to_image(decoded, texts, data.labels)
        if data.labels is not None and self._prototypes is not None:
            assert data.support is not None
            assert data.support_labels is not None
            found["prototype"] = accuracy(decoded, self._prototypes, data.labels)
            found["knn"] = knn(decoded, data.labels, data.support, data.support_labels)
        if data.captions is not None and data.caption_of is not None:
            found |= caption_recall(decoded, data.captions, data.caption_of)
        return found


def spread(original: Embeddings, decoded: Embeddings) -> list[float]:
    """The `QUANTILES` of the cosines between rows (N, D): how much images differ."""
    cosines = (original * decoded).sum(axis=1)
    return [round(float(q), 5) for q in np.quantile(cosines, QUANTILES)]


def accuracy(rows: Embeddings, references: Embeddings, labels: Labels, k: int = 1) -> float:
    """Share of rows (N, D) whose label is among the k most similar references (C, D).

    Of equally similar ones the first counts, so a codec that makes all alike gains nothing by it.
    """
    scores = rows @ references.T
    own = np.take_along_axis(scores, labels[:, None], axis=1)
    before = np.arange(len(references)) < labels[:, None]
    rank = ((scores > own) | ((scores == own) & before)).sum(axis=1)
    return float((rank < k).mean())


def agreement(original: Embeddings, decoded: Embeddings, texts: Embeddings) -> float:
    """Share of rows whose most similar text stays the same."""
    before, after = ((rows @ texts.T).argmax(axis=1) for rows in (original, decoded))
    return float((before == after).mean())


def divergence(original: Embeddings, decoded: Embeddings, texts: Embeddings) -> float:
    """Mean KL(original ‖ decoded) of softmax(100 · cosine to each text), in nats."""
    p, q = (_log_softmax(TEMPERATURE * (rows @ texts.T)) for rows in (original, decoded))
    return float((np.exp(p) * (p - q)).sum(axis=1).mean())


def text_to_image(rows: Embeddings, texts: Embeddings, labels: Labels) -> float:
    """Mean precision of the R images most similar to each class text; R is the class's size."""
    order = np.argsort(-(texts @ rows.T), axis=1, kind="stable")
    sizes = np.bincount(labels, minlength=len(texts))
    shares = [
        (labels[order[c, :size]] == c).mean() for c, size in enumerate(sizes.tolist()) if size
    ]
    return float(np.mean(shares))


def class_means(rows: Embeddings, labels: Labels) -> Embeddings:
    """The mean (C, D) of the rows of each class, of unit norm; C is the largest label + 1."""
    means = np.zeros((int(labels.max()) + 1, rows.shape[1]))
    np.add.at(means, labels, rows)
    norms = np.linalg.norm(means, axis=1, keepdims=True)
    return np.asarray(means / np.where(norms > 0, norms, 1), np.float32)


def knn(
    rows: Embeddings, labels: Labels, examples: Embeddings, classes: Labels, k: int = NEIGHBOURS
) -> float:
    """Share of rows whose label has the most votes among the k nearest examples (M, D).

    Each votes with exp(cosine / 0.07), as in Wu et al. 2018 (arXiv 1805.01978).
    """
    k = min(k, len(examples))
    count = int(max(classes.max(), labels.max())) + 1
    right = 0
    for at in range(0, len(rows), _BLOCK):
        scores = rows[at : at + _BLOCK] @ examples.T
        chosen = np.argpartition(-scores, k - 1, axis=1)[:, :k]
        votes = np.zeros((len(scores), count))
        weights = np.exp(np.take_along_axis(scores, chosen, axis=1) / 0.07)
        np.add.at(votes, (np.arange(len(scores))[:, None], classes[chosen]), weights)
        right += int((votes.argmax(axis=1) == labels[at : at + _BLOCK]).sum())
    return right / len(rows)


def caption_recall(
    images: Embeddings, captions: Embeddings, caption_of: Labels
) -> dict[str, float]:
    """Recall at 1, 5 and 10, both ways: an image's captions (M, D), a caption's image (N, D).

    caption_of  (M,) the image that each caption describes. An image counts as found if any of its
                captions is among the first k; images without captions do not count.
    """
    scores = captions @ images.T
    own = scores[np.arange(len(captions)), caption_of]
    text_rank = (scores > own[:, None]).sum(axis=1)
    image_rank = np.full(len(images), len(captions), np.int64)
    for at in range(0, len(captions), _BLOCK):
        part = slice(at, at + _BLOCK)
        columns = caption_of[part]
        ranks = (scores[:, columns] > own[part]).sum(axis=0)
        np.minimum.at(image_rank, columns, ranks)
    image_rank = image_rank[np.unique(caption_of)]
    found = {f"image_to_text_{k}": float((image_rank < k).mean()) for k in RECALLS}
    return found | {f"text_to_image_{k}": float((text_rank < k).mean()) for k in RECALLS}


def nearest(rows: Embeddings, count: int = NEIGHBOURS) -> Labels:
    """Indices (N, count) of the `count` most similar other rows of each row, not sorted."""
    count = min(count, len(rows) - 1)
    if count < 1:
        return np.empty((len(rows), 0), np.int64)
    return np.concatenate(list(_nearest_blocks(rows, count)))


def _nearest_blocks(rows: Embeddings, count: int) -> Iterator[Labels]:
    for at in range(0, len(rows), _BLOCK):
        similar = rows[at : at + _BLOCK] @ rows.T
        own = np.arange(len(similar))
        similar[own, at + own] = -np.inf
        yield np.argpartition(-similar, count - 1, axis=1)[:, :count]


def overlap(a: Labels, b: Labels) -> float:
    """Mean share of the numbers in a row of `a` that are also in the same row of `b`."""
    if a.size == 0:
        return 1.0
    return float((a[:, :, None] == b[:, None, :]).any(axis=2).mean())


def _log_softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    z = logits.astype(np.float64)
    z -= z.max(axis=1, keepdims=True)
    log_p: NDArray[np.float64] = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    return log_p
