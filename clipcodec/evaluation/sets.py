"""Sets of embeddings to measure on: the layout of their files, and reading them.

A set is one safetensors file. Its tensors, of which only the first is needed:

    embeddings       (N, D)   of images; any norm
    labels           (N,)     class of each image, 0 … C - 1
    texts            (C, D)   one embedding for each class name; `text_ensemble` is read, too
    class_is_val     (C,)     1: a class held out of training. If given, only images of these
                              classes are measured, and only their texts are choices; the rows of
                              the other classes may be trained on
    support          (M, D)   examples, never compressed, with `support_labels` (M,)
    captions         (K, D)   embeddings of captions, with `caption_of` (K,): the image of each
    pixels           (N,)     pixels of each source image, for bits per pixel

Rows to train other codecs on are in a file of their own, `train*.safetensors` with `embeddings`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from ..embeddings import Embeddings, as_embeddings
from ..errors import EmbeddingError

Labels = NDArray[np.int64]
Tensors = Mapping[str, NDArray[np.generic]]
TRAINING = "train*.safetensors"
SETS = ("imagenet.safetensors", "test_*.safetensors")  # of a folder, where files are not named


@dataclass(frozen=True)
class EmbeddingSet:
    """Embeddings (N, D) of unit norm with what is known of them; see the module.

    name    of the file, without `test_`
    digest  SHA-256 of the rows, labels and the other side of each task, in hex
    """

    name: str
    rows: Embeddings
    digest: str
    labels: Labels | None = None
    texts: Embeddings | None = None
    support: Embeddings | None = None
    support_labels: Labels | None = None
    captions: Embeddings | None = None
    caption_of: Labels | None = None
    pixels: Labels | None = None

    def first(self, count: int) -> EmbeddingSet:
        """The same set with `count` of its images, evenly spread over the file, for a quick look.

        Captions are left out, since they belong to all images.
        """
        if count >= len(self.rows):
            return self
        kept = np.linspace(0, len(self.rows) - 1, count).astype(np.int64)
        return replace(
            self,
            rows=self.rows[kept],
            digest=f"{self.digest}/{count}",
            labels=None if self.labels is None else self.labels[kept],
            pixels=None if self.pixels is None else self.pixels[kept],
            captions=None,
            caption_of=None,
        )


def load_sets(paths: Sequence[Path]) -> list[EmbeddingSet]:
    """The sets of files, and of folders that hold files named as `SETS`.

    Raises EmbeddingError naming a file that is damaged or does not fit the layout, or a folder that
    holds no set; OSError.
    """
    sets = []
    for path in paths:
        if path.is_dir():
            files = [file for pattern in SETS for file in sorted(path.glob(pattern))]
            if not files:
                raise EmbeddingError(
                    f"{path} holds no set of embeddings: expected {' or '.join(SETS)}"
                )
            sets += [load_set(file) for file in files]
        else:
            sets.append(load_set(path))
    widths = {data.rows.shape[1] for data in sets}
    if len(widths) > 1:
        raise EmbeddingError(
            f"sets of several widths {sorted(widths)}: measure the sets of one model at a time"
        )
    return sets


def load_set(path: Path) -> EmbeddingSet:
    """Read one set. Raises EmbeddingError naming the file and what is wrong, or OSError."""
    tensors = read_tensors(path, "embeddings")
    rows = as_embeddings(tensors["embeddings"])
    dim = rows.shape[1]

    def vectors(*names: str) -> Embeddings | None:
        name = next((name for name in names if name in tensors), None)
        return None if name is None else as_embeddings(tensors[name], dim)

    def indices(name: str, count: int | None, below: int | None) -> Labels | None:
        if name not in tensors:
            return None
        found = tensors[name]
        fits = found.ndim == 1 and found.dtype.kind in "iu" and (count in (None, len(found)))
        if not fits or (len(found) and (found.min() < 0 or (below and found.max() >= below))):
            raise EmbeddingError(
                f"{path}: {name} {found.dtype} {found.shape}: expected "
                f"{'' if count is None else f'{count} '}whole numbers"
                f"{'' if below is None else f' below {below}'}"
            )
        return found.astype(np.int64)

    texts = vectors("texts", "text_ensemble")
    support, captions = vectors("support"), vectors("captions")
    labels = indices("labels", len(rows), None if texts is None else len(texts))
    data = EmbeddingSet(
        path.stem.removeprefix("test_"),
        rows,
        "",
        labels=labels,
        texts=texts,
        support=support,
        support_labels=indices("support_labels", None if support is None else len(support), None),
        captions=captions,
        caption_of=indices("caption_of", None if captions is None else len(captions), len(rows)),
        pixels=indices("pixels", len(rows), None),
    )
    if "class_is_val" in tensors:
        data = _held_out(path, data, tensors["class_is_val"].astype(np.bool_))
    return digested(data)


def load_training(folder: Path) -> Embeddings:
    """All rows (M, D) of a folder that codecs may be trained on.

    These are the rows of `train*.safetensors` and, in sets with `class_is_val`, those of classes
    that are not held out. Raises EmbeddingError (no such rows, widths that differ), or OSError.
    """
    parts = [
        as_embeddings(read_tensors(path, "embeddings")["embeddings"])
        for path in sorted(folder.glob(TRAINING))
    ]
    for pattern in SETS:
        for path in sorted(folder.glob(pattern)):
            tensors = read_tensors(path, "embeddings")
            if "class_is_val" in tensors and "labels" in tensors:
                held = tensors["class_is_val"].astype(np.bool_)[tensors["labels"]]
                parts.append(as_embeddings(tensors["embeddings"][~held]))
    if not parts:
        raise EmbeddingError(f"{folder} holds no rows to train on: expected {TRAINING}")
    if len({part.shape[1] for part in parts}) > 1:
        raise EmbeddingError(f"{folder}: training rows of several widths")
    return np.concatenate(parts)


def read_tensors(path: Path, *names: str) -> dict[str, NDArray[np.generic]]:
    """The tensors of a file. EmbeddingError if it is unreadable or lacks one of `names`."""
    try:
        tensors = load_file(path)
    except SafetensorError as error:
        raise EmbeddingError(f"{path} is not a readable .safetensors file: {error}") from error
    missing = set(names) - tensors.keys()
    if missing:
        raise EmbeddingError(f"{path} has no tensors {sorted(missing)}")
    return dict(tensors)


def _held_out(path: Path, data: EmbeddingSet, held: NDArray[np.bool_]) -> EmbeddingSet:
    """Only the classes held out of training, renumbered."""
    if data.labels is None or int(data.labels.max(initial=-1)) >= len(held):
        raise EmbeddingError(f"{path}: class_is_val needs labels below {len(held)}")
    rows = held[data.labels]
    number = np.cumsum(held) - 1
    return replace(
        data,
        rows=data.rows[rows],
        labels=number[data.labels[rows]],
        texts=None if data.texts is None else data.texts[held],
        pixels=None if data.pixels is None else data.pixels[rows],
        support=None,
        support_labels=None,
        captions=None,
        caption_of=None,
    )


def digested(data: EmbeddingSet) -> EmbeddingSet:
    """The set with its digest."""
    found = hashlib.sha256()
    for array in (data.rows, data.labels, data.texts, data.support, data.support_labels,
                  data.captions, data.caption_of, data.pixels):  # fmt: skip
        found.update(b"-" if array is None else np.ascontiguousarray(array).tobytes())
    return replace(data, digest=found.hexdigest())
