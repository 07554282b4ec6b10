"""Some rows of what may be many, drawn at random, with the other side of the tasks they are for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..embeddings import Embeddings, as_rows, forget_pages, normalise
from ..errors import EmbeddingError, OptionError, placed
from ..texts import TextEmbeddings
from .metrics import TEMPERATURE
from .sets import EmbeddingSet, Labels

ROWS = 1000  # measured, unless the caller says how many: a second or two for each point
_LEAST = 2  # rows that can be compared


class Part(NamedTuple):
    """Some of the rows: an array (n, D), which may be a memory map, and what messages call it."""

    rows: Any
    name: str | None = None


@dataclass(frozen=True)
class Sample:
    """Rows to measure on.

    data   the rows, and with labels or texts what accuracy needs; its examples are other rows
    given  how many rows it was drawn from
    """

    data: EmbeddingSet
    given: int

    @property
    def examples(self) -> int:
        """Rows that are not measured: with them classes are told apart."""
        return 0 if self.data.support is None else len(self.data.support)


def draw(
    parts: Sequence[Part],
    count: int = ROWS,
    *,
    labels: Any = None,
    texts: TextEmbeddings | None = None,
    seed: int = 0,
) -> Sample:
    """At most `count` rows of all parts together, in their order; the same for the same seed.

    labels  (N,) the class of each row, whole numbers or strings. As many rows again are drawn then:
            in each class every other row is an example, which is never compressed.
    texts   what rows are compared with; labels, if there are any, are names of texts or their
            numbers

    Raises EmbeddingError: too few rows, widths that differ, a row that was drawn is zero or not
    finite. OptionError: labels or texts do not belong to these rows.
    """
    arrays = [as_rows(part.rows) for part in parts]
    given = sum(map(len, arrays))
    _check_rows(parts, arrays, given)
    found = None if labels is None else _numbered(labels, given, texts)
    if texts is not None:
        _check_texts(texts, arrays[0].shape[1])
    rng = np.random.default_rng(seed)
    pool = min(given, count if found is None else 2 * count)
    places = np.sort(rng.choice(given, pool, replace=False, shuffle=False))
    data = EmbeddingSet("rows", np.empty((0, 0), np.float32), "", texts=_scaled(texts))
    if found is None:
        rows = _taken(parts, arrays, places)
        return Sample(EmbeddingSet(data.name, rows, "", texts=data.texts), given)
    examples = _every_other(found[places], rng)
    kept, others = places[~examples], places[examples]
    if len(kept) < _LEAST:
        raise OptionError(
            f"labels: {len(np.unique(found))} classes for {given} rows: accuracy is measured with "
            "classes of two or more rows"
        )
    return Sample(
        EmbeddingSet(
            data.name, _taken(parts, arrays, kept), "", labels=found[kept], texts=data.texts,
            support=_taken(parts, arrays, others), support_labels=found[others],
        ),
        given,
    )  # fmt: skip


def _check_rows(parts: Sequence[Part], arrays: Sequence[NDArray[Any]], given: int) -> None:
    if given < _LEAST:
        what = "no embeddings" if not given else "one embedding"
        raise EmbeddingError(f"{what}: expected several, to compare what is kept of them")
    first = arrays[0].shape[1]
    for part, array in zip(parts, arrays, strict=True):
        if array.shape[1] != first:
            where = "" if part.name is None else f"{part.name}: "
            raise EmbeddingError(
                f"{where}{array.shape[1]} dimensions, those before have {first}: compare the "
                "embeddings of one model at a time"
            )


def _check_texts(texts: TextEmbeddings, dim: int) -> None:
    width = texts.embeddings.shape[1]
    if width != dim:
        raise EmbeddingError(
            f"texts of {width} dimensions, the embeddings have {dim}: both must come from one model"
        )
    if len(texts) < 2:
        raise OptionError("texts: one alone, expected several, of which a row is nearest to one")


def _numbered(labels: Any, given: int, texts: TextEmbeddings | None) -> Labels:
    """Labels (N,) as numbers of classes; of texts, if there are some."""
    array = np.asarray(labels)
    if array.ndim != 1 or array.dtype.kind not in "iuUb":
        raise OptionError(
            f"labels of dtype {array.dtype} and shape {array.shape}: expected one whole number or "
            "name for each row"
        )
    if len(array) != given:
        raise OptionError(f"{len(array)} labels, and {given} rows: give one label for each row")
    if texts is None:
        return np.unique(array, return_inverse=True)[1].astype(np.int64)
    if array.dtype.kind != "U":
        low, high = int(array.min()), int(array.max())
        if low < 0 or high >= len(texts):
            raise OptionError(
                f"labels from {low} to {high}, and {len(texts)} texts: with texts, labels are their"
                " names or their numbers, from 0 on; or give labels alone, or texts alone"
            )
        return array.astype(np.int64)
    number = {name: i for i, name in enumerate(texts.names)}
    for label in dict.fromkeys(array.tolist()):
        if label not in number:
            raise OptionError(
                f"label {label!r} is none of the texts: with texts, labels are their names or their"
                " numbers, from 0 on; or give labels alone, or texts alone"
            )
    return np.array([number[label] for label in array.tolist()], np.int64)


def _scaled(texts: TextEmbeddings | None) -> Embeddings | None:
    """Texts (M, D) so long that the softmax of `metrics.divergence` is that of their model."""
    if texts is None:
        return None
    return texts.embeddings * np.float32(texts.temperature / TEMPERATURE)


def _every_other(labels: Labels, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Which rows (n,) are examples: in each class the first, third … of a random order."""
    order = rng.permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    ordered = labels[order]
    starts = np.searchsorted(ordered, ordered)  # where the class of each begins
    found = np.empty(len(labels), np.bool_)
    found[order] = (np.arange(len(labels)) - starts) % 2 == 0
    return found


def _taken(
    parts: Sequence[Part], arrays: Sequence[NDArray[Any]], places: NDArray[np.int64]
) -> Embeddings:
    """The rows at places counted through all parts, of unit norm."""
    found, first = [], 0
    for part, array in zip(parts, arrays, strict=True):
        chosen = places[(places >= first) & (places < first + len(array))] - first
        first += len(array)
        with placed(chosen, source=part.name):
            found.append(normalise(array[chosen]))
        forget_pages(array)
    return np.concatenate(found)
