"""A container without items that are equal, or nearly: `dedupe`."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import BinaryIO, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ..embeddings import Embeddings
from ..errors import OptionError, placed
from .copying import Output, Source, chosen_items, copy_items, opened, refuse_own
from .kept_rows import Kept
from .reader import Container

Keep = Literal["first", "last"]
KEEP: tuple[Keep, ...] = get_args(Keep)

_ROWS = 1024  # compared with the kept ones at a time


@dataclass(frozen=True)
class Deduped:
    """What `dedupe` has made.

    Attributes:
        items: How many items the new container has.
        bytes: The size of its file; of what was written, for a file object.
        left_out: (L,) int64, positions in the source of the items left out, in order.
        kept: (L,) int64, for each of these the position of the item that is kept in its place.
        cosines: (L,) float32, the cosine of the two; 1 for equal streams.
        left_out_ids: L ids of the items left out, None where one has none.
        kept_ids: L ids of the items kept in their places.

    Examples:
        >>> from clipcodec.container import dedupe, merge
        >>> merged = merge(["photos.clpc", "photos.clpc"], "twice.clpc")
        >>> done = dedupe("twice.clpc", "once.clpc")
        >>> done.items, done.left_out_ids[0], done.kept[:3]
        (100, '0.jpg', array([0, 1, 2]))
    """

    items: int
    bytes: int
    left_out: NDArray[np.int64]
    kept: NDArray[np.int64]
    cosines: NDArray[np.float32]
    left_out_ids: list[str | None] = field(repr=False)
    kept_ids: list[str | None] = field(repr=False)

    def __repr__(self) -> str:
        from ..system.shown import counted, shown, sized

        def parts() -> list[object]:
            return [counted(self.items, "item"), sized(self.bytes),
                    f"{len(self.left_out):,} left out"]  # fmt: skip

        return shown("container.Deduped", parts)


def dedupe(
    source: Source,
    out: Output,
    *,
    cosine: float | None = None,
    keep: Keep = "first",
    overwrite: bool = False,
    block_items: int | None = None,
) -> Deduped:
    """Write a container without the items that are equal to another one, or nearly.

    Items are taken in order; one is left out if an item that was kept before has the same stream,
    or with `cosine` an embedding that is at least so near. So no two items that are kept are that
    near, and each item left out has one that is kept. The result is exact: every pair is compared
    that could be near enough, and cosines are taken to six decimals. For each item memory has
    some 16 bytes, with `cosine` some 270 of each that is kept; a temporary file holds the decoded
    embeddings of these.

    Args:
        source: A container, open or as a path or a binary file.
        out: The path of the new container, or a binary file.
        cosine: The least cosine of decoded embeddings, above 0 and at most 1, at which one is left
            out; None: only equal streams are.
        keep: Which of those that are alike is kept: with `"last"` items are taken from the end.
            The new container has them in the old order either way.
        overwrite: Whether a file at `out` may be replaced.
        block_items: As in `clipcodec.create`.

    Returns:
        What was kept, and for each item left out which is kept in its place: of several, the one
        that was taken first.

    Raises:
        OptionError: `cosine` or `keep` is none of these, or `out` is the source.
        DecodeError: The source is no container, or damaged; with `cosine`, also if its streams
            have several widths, or a profile that is not at hand. Nothing is written.
        OutputExistsError: `out` exists, and may not be replaced.
        LockedError: Another process writes `out`, or wrote the source meanwhile.
        OSError: The source cannot be read, or `out` cannot be written; nothing is left of it.

    Examples:
        >>> from clipcodec.container import dedupe
        >>> done = dedupe("photos.clpc", "apart.clpc", cosine=0.9)
        >>> done.items + len(done.left_out)
        100
    """
    if keep not in KEEP:
        raise OptionError(f"keep={keep!r}: expected {' or '.join(map(repr, KEEP))}")
    if cosine is not None and not 0 < cosine <= 1:
        raise OptionError(f"cosine={cosine!r}: expected a number above 0 and at most 1")
    with opened(source) as container:
        refuse_own(container, out)
        if cosine is None:
            found = _equal(container, keep)
        else:
            with tempfile.TemporaryFile() as file:
                found = _near(container, keep, cosine, file)
        left_out, kept, cosines = found
        chosen = np.ones(len(container), bool)
        chosen[left_out] = False
        ids = container.ids if len(left_out) else []
        writer = copy_items(
            container, out, chosen_items(container, chosen, partial=False),
            overwrite=overwrite, block_items=block_items,
        )  # fmt: skip
    return Deduped(
        len(writer), writer.size, left_out, kept, cosines,
        [ids[i] for i in left_out.tolist()], [ids[i] for i in kept.tolist()],
    )  # fmt: skip


_Found = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]


def _equal(container: Container, keep: Keep) -> _Found:
    """By digests: 16 bytes for each item."""
    digests = bytearray()
    for stream in container:
        digests += blake2b(stream, digest_size=16).digest()
    keys = np.frombuffer(bytes(digests), "V16").view(np.uint64).reshape(-1, 2)
    order = np.lexsort((keys[:, 1], keys[:, 0]))  # stable: equal ones stay in order
    if keep == "last":
        order = order[::-1]  # the last of equal ones comes first
    ordered = keys[order]
    begins = np.ones(len(order), bool)
    begins[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    firsts = order[np.flatnonzero(begins)[np.cumsum(begins) - 1]] if len(order) else order
    left_out, kept = order[~begins], firsts[~begins]
    by_place = np.argsort(left_out)
    ones = np.ones(len(left_out), np.float32)
    return left_out[by_place].astype(np.int64), kept[by_place].astype(np.int64), ones


def _near(container: Container, keep: Keep, cosine: float, file: BinaryIO) -> _Found:
    left_out: list[int] = []
    kept: list[int] = []
    cosines: list[float] = []
    there: Kept | None = None
    for places, rows in _parts(container, backwards=keep == "last"):
        if there is None:
            there = Kept(rows, cosine, file)
        found, scores = there.add(places, rows)
        alike = found >= 0
        left_out += places[alike].tolist()
        kept += found[alike].tolist()
        cosines += scores[alike].tolist()
    by_place = np.argsort(np.array(left_out, np.int64), kind="stable")
    return (
        np.array(left_out, np.int64)[by_place],
        np.array(kept, np.int64)[by_place],
        np.array(cosines, np.float32)[by_place],
    )


def _parts(
    container: Container, *, backwards: bool
) -> Iterator[tuple[NDArray[np.int64], Embeddings]]:
    """Positions and embeddings, `_ROWS` at a time, in the order in which they are taken."""
    count = len(container)
    starts = range(0, count, _ROWS)
    if not backwards:
        for start, rows in zip(starts, container.decode_blocks(_ROWS), strict=True):
            yield np.arange(start, start + len(rows)), rows
        return
    for start in reversed(starts):
        places = np.arange(start, min(start + _ROWS, count))[::-1]
        with placed(start, item="item", source=container.name):
            rows = container.codec.decode_batch(container[start : start + _ROWS])
        yield places, rows[::-1]
