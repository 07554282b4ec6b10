"""A random sample over all inputs of a job, in bounded memory: what a profile is learned from."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..codec import Codec
from ..embeddings import Embeddings, forget_pages, normalise
from ..errors import ClipcodecError, EmbeddingError, ImageError, InputError, OptionError, each_row
from .array_files import Array
from .entries import Entry, Source
from .sources import find

MOST_ROWS = 50_000  # of arrays
MOST_IMAGES = 10_000  # each is embedded, which takes longer than to learn from it
MOST_NUMBERS = 40_000_000  # of all rows together: 160 MB
_TOGETHER = 2048  # rows of an array that are read at a time
_BATCH = 64  # images that the backbone embeds at a time
NO_BACKBONE = (
    "there are images among the inputs: say what embeds them, --backbone NAME (for "
    "openai-vit-b-32, the default, there is a profile: it needs no --train)"
)

Progress = Callable[[int, "int | None"], object]


@dataclass(frozen=True)
class Sample:
    """Some embeddings of the inputs.

    rows      (n, D) float32, unit norm, in the order of the inputs
    items     how many images and rows the inputs have, as far as is known without reading them all
    groups    (n,) int64: rows of one number come from one file of embeddings, or one folder
    whole     was everything chosen? What cannot be used is not among the rows all the same
    embedded  those that were made of images, by the ids that a job gives them
    """

    rows: Embeddings
    items: int
    groups: NDArray[np.int64]
    whole: bool
    embedded: dict[str, Embeddings] = field(default_factory=dict)


def sample(
    inputs: Sequence[str],
    codec: Codec | None = None,
    *,
    most_rows: int | None = None,
    most_images: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Sample:
    """Choose rows and images at random, each with the same chance, and embed the images.

    What cannot be read, or has no direction, is left out: the job that follows names it.

    inputs    as for `Job`, without pipes: they are read here, and by the job again
    most_rows, most_images   default: MOST_ROWS, MOST_IMAGES
    codec     its backbone embeds the images, if there are some
    progress  called with how many are chosen and read, and how many there will be

    Raises EmbeddingError if the rows differ in width, InputError if there are none, OptionError if
    there are images and no backbone.
    """
    sources, _ = find(inputs)
    if codec is None and any(source.images for source in sources):
        raise OptionError(NO_BACKBONE)
    counts = [_count(source) for source in sources]
    rows = sum(count for source, count in zip(sources, counts, strict=True) if not source.images)
    room = MOST_NUMBERS // max(map(_width, sources), default=1)
    share = min(
        1.0,
        _part(min(most_rows or MOST_ROWS, room), rows),
        _part(most_images or MOST_IMAGES, sum(counts) - rows),
    )
    random = Random(seed)
    chosen = [sorted(random.sample(range(n), _share(n, share))) for n in counts]
    total = sum(map(len, chosen))
    found = _Found(total, progress or (lambda done, total: None))
    for source, places in zip(sources, chosen, strict=True):
        if isinstance(source, Array):
            found.add_rows(source, places)
        else:
            found.add_images(source, set(places), codec or Codec())
    return found.sample(sum(counts))


def _part(most: int, count: int) -> float:
    return most / count if count else 1.0


def _share(count: int, share: float) -> int:
    """How many of a source are chosen: one at least."""
    return min(count, max(1, round(count * share)))


def _width(source: Source) -> int:
    rows = source.rows if isinstance(source, Array) else None
    return 1 if rows is None else max(rows.shape[1], 1)


def _count(source: Source) -> int:
    """How many entries a source has that may be sound. Of an archive the headers are read."""
    if isinstance(source, Array):
        return 0 if source.rows is None else len(source.rows)
    count = 0

    def wanted(_: str) -> bool:
        nonlocal count
        count += 1
        return False

    for _ in source.entries(wanted):
        pass
    return count


class _Found:
    """The rows that were chosen, while they are read."""

    def __init__(self, total: int, progress: Progress) -> None:
        self._parts: list[Embeddings] = []
        self._groups: list[int] = []
        self._numbers: dict[str, int] = {}  # of the groups
        self._embedded: dict[str, Embeddings] = {}
        self._width: tuple[int, str] | None = None  # and where it was seen first
        self._done, self._total, self._progress = 0, total, progress

    def add_rows(self, array: Array, places: list[int]) -> None:
        rows = array.rows
        if rows is None or not places:
            return
        self._check_width(rows.shape[1], array.label)
        for at in range(0, len(places), _TOGETHER):
            part = rows[places[at : at + _TOGETHER]]
            self._add([row for row in _units(part) if row is not None], array.label)
            forget_pages(rows)
            self._count(len(part))

    def add_images(self, source: Source, places: set[int], codec: Codec) -> None:
        images = _images(source, places)
        while batch := [*islice(images, _BATCH)]:
            for entry, row in zip(batch, _embed(batch, codec), strict=True):
                if row is not None:
                    self._check_width(len(row), entry.id)
                    self._add([row], os.path.dirname(entry.id))
                    self._embedded[entry.id] = row
            self._count(len(batch))

    def _add(self, rows: list[Any], group: str) -> None:
        if rows:
            self._parts.append(np.stack(rows))
            number = self._numbers.setdefault(group, len(self._numbers))
            self._groups += [number] * len(rows)

    def _check_width(self, width: int, name: str) -> None:
        if self._width is None:
            self._width = width, name
        if self._width[0] != width:
            raise EmbeddingError(
                f"{self._width[1]} has {self._width[0]} dimensions, {name} {width}: a profile is "
                "for one width, so give them one at a time"
            )

    def _count(self, done: int) -> None:
        self._done += done
        self._progress(self._done, self._total)

    def sample(self, items: int) -> Sample:
        if not self._parts:
            raise InputError(
                "nothing to learn a profile from: no row or image of it can be read, or all are "
                "zero or not finite (of a folder only images are taken: for embeddings give "
                "their files, or a pattern such as 'folder/**/*.npy')"
            )
        groups = np.array(self._groups, np.int64)
        whole = self._total == items
        return Sample(np.concatenate(self._parts), items, groups, whole, self._embedded)


def _units(rows: NDArray[Any]) -> list[Embeddings | None]:
    """Each row with unit norm; None: it has no direction."""

    def work(some: list[int]) -> Embeddings:
        return normalise(rows[some])

    found = each_row(work, len(rows), InputError)
    return [None if isinstance(row, ClipcodecError) else row for row in found]


def _embed(images: list[Entry], codec: Codec) -> list[Embeddings | None]:
    """The embedding of each image; None: it cannot be read."""

    def work(some: list[int]) -> Embeddings:
        contents: list[Any] = [images[i].content for i in some]
        return codec.embed_images(contents)

    found = each_row(work, len(images), ImageError)
    return [None if isinstance(row, ClipcodecError) else row for row in found]


def _images(source: Source, places: set[int]) -> Iterator[Entry]:
    """Those entries of a source, by their places among its ids, that can be read."""
    at = -1

    def wanted(_: str) -> bool:
        nonlocal at
        at += 1
        return at in places

    for entry in source.entries(wanted):
        if not isinstance(entry.content, (ClipcodecError, np.ndarray)):
            yield entry
