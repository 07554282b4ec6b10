"""What decoded embeddings are still good for: fidelity, classification, neighbours, retrieval."""

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
TEMPERATURE = 100.0  # what CLIP multiplies cosines by: its learned logit scale
_IMAGENET = "imagenet.safetensors"
_ZERO_SHOT = "zero-shot"


@dataclass(frozen=True)
class Task:
    """Rows (N, D) with labels (N,), and a reference (classes, D) that stands for each class."""

    name: str
    rows: Embeddings
    labels: Labels
    references: Embeddings


@dataclass(frozen=True)
class Scores:
    """Of decoded embeddings against their originals; all but `kl` are shares or cosines.

    cosine, cosine05  mean and 5th percentile
    zero_shot   top-1 by class text, which is image → text retrieval as well
    kl          mean KL divergence, nats, of the zero-shot softmax at temperature 100
    text_image  mean precision of what a class text finds among the images, as many as it has
    top1        for each further task, top-1 by the nearest mean of uncompressed examples
    neighbours  share of the ten nearest neighbours kept, both sides decoded
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
    """One codec at one rate; sizes in bytes, `most` of whole streams where there are streams.

    `scores` is None for the bound, which has no decoded rows.
    """

    series: str
    setting: str
    mean: float
    most: int | None
    cosine: float
    scores: Scores | None


class Evaluation:
    """The rows of several tasks; the first is zero-shot, the last gives the neighbours."""

    def __init__(self, tasks: list[Task]) -> None:
        self.tasks = tasks
        self.rows: Embeddings = np.concatenate([task.rows for task in tasks])
        self._bounds = np.cumsum([len(task.rows) for task in tasks])[:-1]
        self._nearest = nearest(tasks[-1].rows)

    def score(self, decoded: Embeddings) -> Scores:
        """Scores of decoded rows (N, D), any norms, in the order of `rows`."""
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
    """The evaluation sets of a folder, none of whose rows may have been trained on:

    imagenet.safetensors  embeddings, labels, text_ensemble (one text embedding a class),
                          class_is_val (1: a class held out of training; only these are used)
    test_*.safetensors    embeddings, labels, support, support_labels (examples of each class)

    Raises EmbeddingError naming a file that is damaged or has not these tensors, or OSError.
    """
    tasks = [_zero_shot(folder / _IMAGENET)]
    for path in sorted(folder.glob("test_*.safetensors")):
        tasks.append(_prototypes(path))
    return Evaluation(tasks)


def load_training(folder: Path, imagenet: int = 3) -> Embeddings:
    """Training rows of a folder: train.safetensors, and ImageNet's rows of the classes that are
    not held out, `imagenet` times as the shipped profiles count them.
    """
    rows = as_embeddings(_tensors(folder / "train.safetensors", "embeddings")["embeddings"])
    held_out = _imagenet(folder / _IMAGENET)
    more = as_embeddings(held_out["embeddings"][~_is_val(held_out)], rows.shape[1])
    return np.concatenate([rows] + [more] * imagenet)


def top1(rows: Embeddings, references: Embeddings, labels: Labels) -> float:
    """Share of rows whose most similar reference is that of their label."""
    return float(((rows @ references.T).argmax(axis=1) == labels).mean())


def divergence(original: Embeddings, decoded: Embeddings, texts: Embeddings) -> float:
    """Mean KL(original ‖ decoded) of softmax(100 · cosine to each text), in nats."""
    p, q = (_log_softmax(TEMPERATURE * (rows @ texts.T)) for rows in (original, decoded))
    return float((np.exp(p) * (p - q)).sum(axis=1).mean())


def text_to_image(rows: Embeddings, texts: Embeddings, labels: Labels) -> float:
    """Mean over the texts of the precision of the R best images, R being the class's size."""
    order = np.argsort(-(texts @ rows.T), axis=1, kind="stable")
    sizes = np.bincount(labels, minlength=len(texts))
    shares = [
        (labels[order[c, :size]] == c).mean() for c, size in enumerate(sizes.tolist()) if size
    ]
    return float(np.mean(shares))


def nearest(rows: Embeddings, count: int = NEIGHBOURS) -> Labels:
    """The `count` most similar other rows of each row, (N, count), in no order."""
    similar = rows @ rows.T
    np.fill_diagonal(similar, -np.inf)
    count = min(count, len(rows) - 1)
    found: Labels = np.argpartition(-similar, count - 1, axis=1)[:, :count]
    return found


def overlap(a: Labels, b: Labels) -> float:
    """Mean share of each row of `a` that the same row of `b` holds as well."""
    return float(np.mean([np.isin(x, y).mean() for x, y in zip(a, b, strict=True)]))


def _log_softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    z = logits.astype(np.float64)
    z -= z.max(axis=1, keepdims=True)
    log_p: NDArray[np.float64] = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    return log_p


def _zero_shot(path: Path) -> Task:
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
    tensors = _tensors(path, "embeddings", "labels", "support", "support_labels")
    support, of = as_embeddings(tensors["support"]), tensors["support_labels"]
    means = [support[of == c].mean(axis=0) for c in range(int(of.max()) + 1)]
    return Task(
        path.stem.removeprefix("test_"),
        as_embeddings(tensors["embeddings"]),
        tensors["labels"].astype(np.int64),
        as_embeddings(np.stack(means)),
    )


def _imagenet(path: Path) -> dict[str, NDArray[np.generic]]:
    return _tensors(path, "embeddings", "labels", "class_is_val", "text_ensemble")


def _is_val(tensors: dict[str, NDArray[np.generic]]) -> NDArray[np.bool_]:
    """Which rows are of a held-out class."""
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
