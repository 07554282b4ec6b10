"""How good decoded embeddings are: fidelity, classification, neighbours, retrieval."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from ..embeddings import Embeddings, as_embeddings
from ..errors import EmbeddingError

Labels = NDArray[np.int64]
NEIGHBOURS = 10
TEMPERATURE = 100.0  # CLIP multiplies cosines by it before the softmax (its learned logit scale)
_IMAGENET = "imagenet.safetensors"
_ZERO_SHOT = "zero-shot"


@dataclass(frozen=True)
class Task:
    """Rows (N, D) with class labels (N,), and one reference vector per class (classes, D)."""

    name: str
    rows: Embeddings
    labels: Labels
    references: Embeddings


@dataclass(frozen=True)
class Scores:
    """Scores of decoded embeddings against their originals; all but `kl` are shares or cosines.

    cosine, cosine05  mean and 5th percentile of the cosine to the original
    zero_shot         top-1 accuracy by the most similar class text (also image → text retrieval)
    kl                mean KL divergence of the zero-shot softmax, in nats, at logit scale 100
    text_image        mean precision of the images most similar to a class text, as many as the
                      class has
    top1              for each further task: top-1 accuracy by the nearest class mean, made from
                      uncompressed examples
    neighbours        share of the ten nearest neighbours that stay the same if all rows are decoded
    """

    cosine: float
    cosine05: float
    zero_shot: float
    kl: float
    text_image: float
    top1: dict[str, float]
    neighbours: float


@dataclass(frozen=True)
class Point:
    """One codec at one rate.

    series   name of the codec
    setting  what sets its rate, as text
    mean     mean size in bytes
    most     largest stream in bytes; None for reference codecs, which make no streams
    cosine   mean cosine to the original
    scores   None for the bound, which has no decoded rows
    """

    series: str
    setting: str
    mean: float
    most: int | None
    cosine: float
    scores: Scores | None


class Evaluation:
    """Scores decoded rows in several tasks.

    The first task is zero-shot classification; neighbours are searched in the rows of the last.
    `rows` (N, D) are those of all tasks, one task after the other.
    """

    def __init__(self, tasks: list[Task]) -> None:
        self.tasks = tasks
        self.rows: Embeddings = np.concatenate([task.rows for task in tasks])
        self._bounds = np.cumsum([len(task.rows) for task in tasks])[:-1]
        self._nearest = nearest(tasks[-1].rows)

    def score(self, decoded: Embeddings) -> Scores:
        """Scores of decoded rows (N, D), of any norm, in the order of `rows`."""
        y = as_embeddings(decoded, self.rows.shape[1])
        cosines = (y * self.rows).sum(axis=1)
        parts = np.split(y, self._bounds)
        first, images = self.tasks[0], parts[0]
        return Scores(
            cosine=float(cosines.mean()),
            cosine05=float(np.quantile(cosines, 0.05)),
            zero_shot=top1(images, first.references, first.labels),
            kl=divergence(first.rows, images, first.references),
            text_image=text_to_image(images, first.references, first.labels),
            top1={
                task.name: top1(part, task.references, task.labels)
                for task, part in zip(self.tasks[1:], parts[1:], strict=True)
            },
            neighbours=overlap(self._nearest, nearest(parts[-1])),
        )


def load_evaluation(folder: Path) -> Evaluation:
    """Read the evaluation sets of a folder. No profile may have been trained on their rows.

    imagenet.safetensors  embeddings, labels, text_ensemble (one text embedding per class),
                          class_is_val (1: a class held out of training; only these are used)
    test_*.safetensors    embeddings, labels, support, support_labels (examples of each class)

    Raises EmbeddingError naming a file that is damaged or lacks one of these tensors, or OSError.
    """
    tasks = [_zero_shot(folder / _IMAGENET)]
    for path in sorted(folder.glob("test_*.safetensors")):
        tasks.append(_prototypes(path))
    return Evaluation(tasks)


def load_training(folder: Path, imagenet: int = 3) -> Embeddings:
    """The training rows (M, D) of a folder.

    These are the rows of train.safetensors, and ImageNet's rows of the classes that are not held
    out. The latter are repeated `imagenet` times, as in the training of the shipped profiles.
    """
    rows = as_embeddings(_tensors(folder / "train.safetensors", "embeddings")["embeddings"])
    tensors = _imagenet(folder / _IMAGENET)
    more = as_embeddings(tensors["embeddings"][~_is_val(tensors)], rows.shape[1])
    return np.concatenate([rows] + [more] * imagenet)


def top1(rows: Embeddings, references: Embeddings, labels: Labels) -> float:
    """Share of rows (N, D) whose most similar reference is that of their label."""
    return float(((rows @ references.T).argmax(axis=1) == labels).mean())


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


def nearest(rows: Embeddings, count: int = NEIGHBOURS) -> Labels:
    """Indices (N, count) of the `count` most similar other rows of each row, not sorted."""
    similar = rows @ rows.T
    np.fill_diagonal(similar, -np.inf)
    count = min(count, len(rows) - 1)
    found: Labels = np.argpartition(-similar, count - 1, axis=1)[:, :count]
    return found


def overlap(a: Labels, b: Labels) -> float:
    """Mean share of the numbers in a row of `a` that are also in the same row of `b`."""
    return float(np.mean([np.isin(x, y).mean() for x, y in zip(a, b, strict=True)]))


def _log_softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    z = logits.astype(np.float64)
    z -= z.max(axis=1, keepdims=True)
    log_p: NDArray[np.float64] = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    return log_p


def _zero_shot(path: Path) -> Task:
    """Zero-shot classification of the images of held-out classes by their texts."""
    tensors = _imagenet(path)
    chosen = _is_val(tensors)
    classes = np.flatnonzero(tensors["class_is_val"])
    return Task(
        _ZERO_SHOT,
        as_embeddings(tensors["embeddings"][chosen]),
        np.searchsorted(classes, tensors["labels"][chosen]),
        as_embeddings(tensors["text_ensemble"][classes]),
    )


def _prototypes(path: Path) -> Task:
    """Classification by the nearest class mean of examples."""
    tensors = _tensors(path, "embeddings", "labels", "support", "support_labels")
    support, classes = as_embeddings(tensors["support"]), tensors["support_labels"]
    means = [support[classes == c].mean(axis=0) for c in range(int(classes.max()) + 1)]
    return Task(
        path.stem.removeprefix("test_"),
        as_embeddings(tensors["embeddings"]),
        tensors["labels"].astype(np.int64),
        as_embeddings(np.stack(means)),
    )


def _imagenet(path: Path) -> dict[str, NDArray[np.generic]]:
    return _tensors(path, "embeddings", "labels", "class_is_val", "text_ensemble")


def _is_val(tensors: dict[str, NDArray[np.generic]]) -> NDArray[np.bool_]:
    """Which rows (N,) belong to a class held out of training."""
    chosen: NDArray[np.bool_] = tensors["class_is_val"].astype(np.bool_)[tensors["labels"]]
    return chosen


def _tensors(path: Path, *names: str) -> dict[str, NDArray[np.generic]]:
    try:
        tensors = load_file(path)
    except SafetensorError as error:
        raise EmbeddingError(f"{path} is not a readable .safetensors file: {error}") from error
    missing = set(names) - tensors.keys()
    if missing:
        raise EmbeddingError(f"{path} has no tensors {sorted(missing)}")
    return dict(tensors)
