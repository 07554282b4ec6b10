"""Read a container: any item of a file."""

from __future__ import annotations

import os
import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import count
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, overload

import numpy as np
from numpy.typing import NDArray

from ..entropy import Payloads
from ..errors import CorruptError, DecodeError, OptionError, placed
from . import layout
from .blocks import Block, Piece, ids_of, pieces, streams_of
from .embedded import embedded_in
from .files import SeekableFile
from .keys import no_id, places_of
from .layout import Item
from .same import check_same, marks_of
from .survey import Survey, read_survey

if TYPE_CHECKING:
    from ..codec import Codec
    from ..embeddings import Embeddings
    from ..profile import Profile
    from ..profile.registry import ProfileLike
    from .embedded import Embedded

ROWS = 16384  # embeddings decoded at a time: enough for several threads, 32 MiB at width 512
_KEPT, _KEPT_BYTES = 4, 1 << 20  # blocks kept in memory: as many, or as many as have these bytes


def open_container(
    source: str | bytes | os.PathLike[str] | BinaryIO,
    *,
    profile: ProfileLike = None,
    partial: bool = False,
) -> Container:
    """Open a container of streams for reading; public as `clipcodec.open`.

    Args:
        source: A path, a URL of an object store such as `s3://bucket/photos.clpc`, an `OpenFile` of
            fsspec, or a binary file that can seek; for a pipe see `read_items`.
        profile: The profile or its file, if the streams were made with a private one that the
            container does not carry.
        partial: Also read a container that was cut, is damaged or is being written: all its good
            blocks.

    Returns:
        The container, to be closed by `close` or a `with` block.

    Raises:
        TruncatedError: The file was cut, or not closed yet.
        CorruptError: It is damaged, or no container.
        UnsupportedError: It is from a later release.
        OSError: It cannot be read; of an object store also `StoreError`.
        MissingDependencyError: The package for this store is missing.

    Examples:
        >>> with clipcodec.open("photos.clpc") as photos:
        ...     print(len(photos), len(photos[-1]) <= 50, photos.decode_all().shape)
        100 True (100, 512)
    """
    return Container(source, profile=profile, partial=partial)


class Container:
    """A sequence of streams in a file, in the order they were appended. Thread-safe.

    `len`, `in`, iteration, positions, slices and ids work as with a list and a dict. If it was
    opened by path, it can be pickled: it is opened again, with the same items, or not at all
    (MismatchError) if its file was compacted or replaced meanwhile. A container may carry the
    private profile of its streams, which are decoded by it then. The format is
    formats/container-1.md.

    The check value of a block is verified before anything of it is used, so damage is noticed
    whatever is read. Ids are unpacked where they are asked for: those that somebody has made wrong,
    with a check value that fits, are an error of `items`, `item`, `blocks`, `ids`, `index` and
    `decode_items`, and not where streams alone are read or decoded.

    Args:
        source: As for `clipcodec.open`.
        profile: As for `clipcodec.open`.
        partial: As for `clipcodec.open`.

    Attributes:
        deleted: How many items of the file are deleted; `len` and positions do not count them.
        codec: What decodes its streams: by the profile that was given, else a registered one, else
            the one that it carries.
        size: Bytes of the file.
        metadata: What `create` was given, a JSON object.
        complete: Whether it was closed, and nothing is missing.
        survey: Where its blocks are: for a writer that appends to it.

    Raises:
        TruncatedError: As for `clipcodec.open`, and so are CorruptError, UnsupportedError and
            OSError.

    Examples:
        >>> with clipcodec.open("photos.clpc") as photos:
        ...     print(len(photos), len(photos["7.jpg"]) <= 50, "8.jpg" in photos)
        100 True True
    """

    def __init__(
        self,
        source: str | bytes | os.PathLike[str] | BinaryIO,
        *,
        profile: ProfileLike = None,
        partial: bool = False,
    ) -> None:
        self._partial = partial
        self._begin(codec_for(profile), SeekableFile(source), None)

    def _begin(self, codec: Codec, file: SeekableFile, survey: Survey | None) -> None:
        """survey: of this file, if it was surveyed already."""
        from .profiles import CarriedProfile  # here: bytes alone need no profile

        self._carried = codec._carried = CarriedProfile.of_file(file)
        self.codec: Codec = codec
        self._file = file
        try:
            self.survey = survey = survey or read_survey(file, partial=self._partial)
        except BaseException:
            file.close()
            raise
        self.size = file.size
        self.metadata, self.complete = survey.metadata, survey.complete
        self.deleted = len(survey.deletions)
        places, deletions = survey.places, survey.deletions
        ends = places.firsts + places.counts
        living = places.counts - (deletions.before(ends) - deletions.before(places.firsts))
        there = living > 0  # blocks with items that are not deleted
        self._sizes = survey.entries[survey.entries[:, 1] > 0, 0][there]
        self._offsets, self._counts = places.offsets[there], places.counts[there]
        self._places = places.firsts[there]  # of each block's first item, deleted ones counted
        self._living = living[there]
        self._firsts = (np.cumsum(self._living) - self._living).tolist()
        self._len = int(self._living.sum())
        self._kept: OrderedDict[int, Block] = OrderedDict()
        self._kept_bytes = 0
        self._marks: list[bytes] | None = None  # once it is closed, to be opened again
        self._lock = threading.Lock()
        self._ids: list[str | None] | None = None
        self._index: dict[str, int] | None = None  # by id

    def __getstate__(self) -> dict[str, Any]:
        return {
            "codec": self.codec,
            "path": self._file.path,
            "name": self._file.name,
            "partial": self._partial,
            "survey": self.survey,
            "marks": self._marks if self._file.closed else marks_of(self._file, self.survey),
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Raises MismatchError if the file has other items by now."""
        file = SeekableFile(state["path"], state["name"])
        self._partial = state["partial"]
        try:
            check_same(file, state["survey"], state["marks"])
        except BaseException:
            file.close()
            raise
        self._begin(state["codec"], file, state["survey"])

    def __repr__(self) -> str:
        from ..system.shown import counted, filed, shown, sized

        def parts() -> list[object]:
            closed = getattr(self._file._file, "closed", False)
            return [filed(self._file.name), counted(self._len, "item"), sized(self.size),
                    None if self.complete else "not complete",
                    "closed" if closed else "open"]  # fmt: skip

        return shown("Container", parts)

    def __len__(self) -> int:
        return self._len

    @overload
    def __getitem__(self, key: int | str) -> bytes: ...
    @overload
    def __getitem__(self, key: slice | list[Any] | range | NDArray[Any]) -> list[bytes]: ...
    def __getitem__(
        self, key: int | str | slice | list[Any] | range | NDArray[Any]
    ) -> bytes | list[bytes]:
        """Give stream i, or that with an id; many for a slice, or a list or an array of these.

        N booleans choose the items where they are true. Reads only the blocks that hold the items.

        Raises:
            UnknownItemError: No item has this id, or is at this position; a KeyError and an
                IndexError, too.
            OptionError: The key is of another type.
        """
        places = places_of(key, self._len, self.index)
        if not isinstance(places, int):
            return self._gathered(places)[0]
        block, row = self._at(places)
        return block.streams[row]

    def __contains__(self, value: object) -> bool:
        """Is there an item with this id (str), or with this stream (bytes)?"""
        if isinstance(value, str):
            return value in self._by_id()
        return isinstance(value, (bytes, bytearray)) and any(stream == value for stream in self)

    def __iter__(self) -> Iterator[bytes]:
        for _, block in self._blocks():
            yield from block.streams

    def item(self, i: int | str) -> Item:
        """Give one item: stream and id.

        Args:
            i: A position, counted from the end if it is negative, or an id.

        Returns:
            Its stream, and its id or None.

        Raises:
            UnknownItemError: No item has this id, or is at this position; a KeyError and an
                IndexError, too.
            DecodeError: Its block is damaged.

        Examples:
            >>> stream, id = clipcodec.open("photos.clpc").item(0)
            >>> id
            '0.jpg'
        """
        place = places_of(i, self._len, self.index)
        if not isinstance(place, int):
            raise OptionError("several keys are not one item: give them to take")
        block, row = self._at(place)
        return Item(block.streams[row], block.ids[row])

    def take(self, keys: slice | Iterable[Any]) -> list[Item]:
        """Give several items: streams and ids. Each block that holds one is read once.

        Args:
            keys: Positions or ids, in any order, also more than once; N booleans; or a slice.

        Returns:
            The items, in the order of the keys.

        Raises:
            UnknownItemError: No item has this id, or is at this position; a KeyError and an
                IndexError, too.
            OptionError: A key is of another type.
            DecodeError: A block is damaged.

        Examples:
            >>> photos = clipcodec.open("photos.clpc")
            >>> [item.id for item in photos.take([7, 0, -1])]
            ['7.jpg', '0.jpg', '99.jpg']
        """
        return [*map(Item, *self._gathered(self._many(keys), with_ids=True))]

    def _many(self, keys: Any) -> NDArray[np.int64]:
        """The positions that several keys mean."""
        if not (isinstance(keys, slice) or hasattr(keys, "tolist")):
            if isinstance(keys, (str, bytes, bytearray)) or not isinstance(keys, Iterable):
                raise OptionError(f"{type(keys).__name__} is not many keys: give a list of them")
            keys = [*keys]
        return np.atleast_1d(places_of(keys, self._len, self.index))

    def _gathered(
        self, places: NDArray[np.int64], *, with_ids: bool = False
    ) -> tuple[list[bytes], list[str | None]]:
        """The streams, and the ids if they are wanted, of the items at these positions."""
        if not len(places):
            return [], []
        order = np.argsort(places, kind="stable")
        ordered = places[order]
        numbers = np.searchsorted(self._firsts, ordered, side="right") - 1
        chosen, starts = np.unique(numbers, return_index=True)
        streams, ids = [b""] * len(places), list[str | None]([None]) * len(places)
        parts = zip(starts.tolist(), [*starts[1:].tolist(), len(places)], strict=True)
        for (number, block), (start, end) in zip(self._blocks(chosen), parts, strict=True):
            rows = ordered[start:end] - self._firsts[number]
            at = order[start:end].tolist()
            for place, stream in zip(at, block.streams.take(rows), strict=True):
                streams[place] = stream
            if with_ids:
                own = block.ids
                for place, row in zip(at, rows.tolist(), strict=True):
                    ids[place] = own[row]
        return streams, ids

    def _at(self, place: int) -> tuple[Block, int]:
        """The block that holds an item, and where in it."""
        number = bisect_right(self._firsts, place) - 1
        return self._block(number), place - self._firsts[number]

    def items(self) -> Iterator[Item]:
        """Give all items in order, one block in memory at a time.

        Yields:
            Streams with their ids, or None.

        Raises:
            DecodeError: A block is damaged.

        Examples:
            >>> for stream, id in clipcodec.open("photos.clpc").items():
            ...     assert len(stream) <= 50, id
        """
        for _, items in self.blocks():
            yield from items

    def blocks(
        self, on_bad: Callable[[DecodeError], object] | None = None
    ) -> Iterator[tuple[int, list[Item]]]:
        """Give the items of each block of the file, about a thousand at a time.

        Args:
            on_bad: Called with the error of a block that is damaged, which is then passed over.
                By default the error is raised.

        Yields:
            The position of the block's first item, and the items.

        Raises:
            DecodeError: A block is damaged, and there is no `on_bad`.

        Examples:
            >>> for first, items in clipcodec.open("photos.clpc").blocks():
            ...     print(first, len(items))
            0 100
        """
        for number, block in self._blocks(on_bad=on_bad):
            try:
                items = list(map(Item, block.streams, block.ids))
            except DecodeError as error:
                if on_bad is None:
                    raise
                on_bad(error)
                continue
            yield self._firsts[number], items

    @property
    def name(self) -> str:
        """The path that it was opened by, or what the file object is called.

        Examples:
            >>> clipcodec.open("photos.clpc").name
            'photos.clpc'
        """
        return self._file.name

    @property
    def profile(self) -> Profile | None:
        """The profile that it carries for its streams; None: it carries none.

        Read when it is first needed, then kept.

        Raises:
            CorruptError: The profile is damaged.
            UnsupportedError: The profile is from a later release.

        Examples:
            >>> clipcodec.open("photos.clpc").profile is None
            True
        """
        with placed(source=self._file.name):
            return self._carried()

    def embedded(self, on_bad: Callable[[DecodeError], object] | None = None) -> Embedded | None:
        """Give the profile that it carries as it lies in the file, for another container.

        Args:
            on_bad: Called with the error of a profile that is damaged, which is then passed over.
                By default the error is raised.

        Returns:
            What `ContainerWriter` takes as `profile`; None: it carries none.

        Raises:
            DecodeError: It is damaged, and there is no `on_bad`.

        Examples:
            >>> clipcodec.open("photos.clpc").embedded() is None
            True
        """
        try:
            with placed(source=self._file.name):
                return embedded_in(self._file)
        except DecodeError as error:
            if on_bad is None:
                raise
            on_bad(error)
            return None

    @property
    def ids(self) -> list[str | None]:
        """The id of every item, None where it has none. Read once, then kept in memory."""
        with self._lock:
            ids = self._ids
        if ids is None:
            ids = [id for _, block in self._blocks() for id in block.ids]
            with self._lock:
                self._ids = ids
        return ids

    def index(self, id: str) -> int:
        """Find the position of an id.

        The first call reads all ids, and keeps them in memory.

        Args:
            id: The name that its item was appended with.

        Returns:
            The position; if several items have this id, of the one appended last.

        Raises:
            UnknownItemError: No item has it; a KeyError, too.

        Examples:
            >>> clipcodec.open("photos.clpc").index("7.jpg")
            7
        """
        place = self._by_id().get(id)
        if place is None:
            raise no_id([id], self.name)
        return place

    def _by_id(self) -> dict[str, int]:
        with self._lock:
            places = self._index
        if places is None:
            places = {name: place for place, name in enumerate(self.ids) if name is not None}
            with self._lock:
                self._index = places
        return places

    # embeddings

    def decode(self, i: int | str) -> Embeddings:
        """Decode one item.

        Args:
            i: A position, counted from the end if it is negative, or an id.

        Returns:
            (D,) float32, unit norm.

        Raises:
            DecodeError: The stream is damaged, or of a private profile that was not given, and
                that the container does not carry.
            UnknownItemError: No item has this id, or is at this position; a KeyError and an
                IndexError, too.

        Examples:
            >>> clipcodec.open("photos.clpc").decode("7.jpg").shape
            (512,)
        """
        stream = self[i]
        with placed(source=f"{self._file.name}, item {i}"):
            return self.codec.decode(stream)

    def decode_many(self, keys: slice | Iterable[Any]) -> Embeddings:
        """Decode several items. Each block that holds one is read once.

        Args:
            keys: As for `take`.

        Returns:
            (n, D) float32, rows of unit norm, in the order of the keys.

        Raises:
            UnknownItemError: As for `take`, and so is OptionError.
            DecodeError: Names the items at fault by their positions: `error.rows`.

        Examples:
            >>> photos = clipcodec.open("photos.clpc")
            >>> photos.decode_many(["7.jpg", "0.jpg"]).shape
            (2, 512)
        """
        places = self._many(keys)
        if not len(places):
            return self.no_rows()
        streams, _ = self._gathered(places)
        with placed(places.tolist(), item="item", source=self._file.name):
            return self.codec.decode_batch(streams)

    def decode_all(self, out: NDArray[Any] | None = None) -> Embeddings:
        """Decode all items into one array.

        Args:
            out: An array (N, D) to fill, such as a memory map, if memory cannot hold the
                embeddings.

        Returns:
            (N, D) float32, rows of unit norm; `out` if it was given.

        Raises:
            DecodeError: Names the items at fault: `error.rows`, counted from 0.
            OptionError: `out` has another shape.

        Examples:
            >>> clipcodec.open("photos.clpc").decode_all().shape
            (100, 512)
        """
        at = 0
        for rows in self.decode_blocks():
            if out is None:
                out = np.empty((self._len, rows.shape[1]), np.float32)
            if out.shape != (self._len, rows.shape[1]):
                raise OptionError(
                    f"out has shape {out.shape}: expected {(self._len, rows.shape[1])}"
                )
            out[at : at + len(rows)] = rows
            at += len(rows)
        return self.no_rows() if out is None else out

    def decode_blocks(self, rows: int = ROWS) -> Iterator[Embeddings]:
        """Decode all items part by part: memory does not grow with the container.

        Args:
            rows: Most embeddings at a time.

        Yields:
            (≤ rows, D) float32, rows of unit norm, in order.

        Raises:
            DecodeError: Names the items at fault: `error.rows`, counted from 0.

        Examples:
            >>> photos = clipcodec.open("photos.clpc")
            >>> [part.shape for part in photos.decode_blocks(rows=80)]
            [(80, 512), (20, 512)]
        """
        for first, piece in self._pieces(rows):
            yield self._decoded(streams_of(piece), first)

    def decode_items(self, rows: int = ROWS) -> Iterator[tuple[Embeddings, list[str | None]]]:
        """Decode all items part by part, as `decode_blocks` does, with their ids.

        Args:
            rows: Most embeddings at a time.

        Yields:
            (≤ rows, D) float32 and as many ids, None where an item has none.

        Raises:
            DecodeError: As `decode_blocks`.

        Examples:
            >>> for embeddings, ids in clipcodec.open("photos.clpc").decode_items(rows=80):
            ...     print(embeddings.shape, ids[0])
            (80, 512) 0.jpg
            (20, 512) 80.jpg
        """
        for first, piece in self._pieces(rows):
            ids = ids_of(piece)
            yield self._decoded(streams_of(piece), first), ids

    def _decoded(self, streams: Payloads, first: int) -> Embeddings:
        with placed(first, item="item", source=self._file.name):
            return self.codec.decode_batch(streams)

    def no_rows(self) -> Embeddings:
        """The embeddings of no items, in the width of the profile.

        Returns:
            (0, D) float32.

        Examples:
            >>> clipcodec.open("photos.clpc").no_rows().shape
            (0, 512)
        """
        return np.empty((0, (self.profile or self.codec.profile).dim or 0), np.float32)

    # files

    def _streams(self, rows: int) -> Iterator[Payloads]:
        """All streams, `rows` at a time, without an object for each: for search."""
        for _, piece in self._pieces(rows):
            yield streams_of(piece)

    def _pieces(self, rows: int) -> Iterator[tuple[int, Piece]]:
        """All items, `rows` at a time, with the position of the first of these."""
        if rows < 1:
            raise OptionError(f"rows={rows}: at least 1")
        found = pieces((block for _, block in self._blocks()), rows)
        yield from zip(count(0, rows), found, strict=False)

    def _blocks(
        self,
        numbers: Iterable[int] | None = None,
        on_bad: Callable[[DecodeError], object] | None = None,
    ) -> Iterator[tuple[int, Block]]:
        """Some blocks, or all, with their numbers. on_bad: as in `blocks`."""
        wanted = [*map(int, range(len(self._firsts)) if numbers is None else numbers)]
        with self._lock:
            kept = {number: self._kept[number] for number in wanted if number in self._kept}
        missing = [number for number in wanted if number not in kept]
        read = self._file.read_many([self._range(number) for number in missing])
        for number in wanted:
            try:
                block = kept.pop(number) if number in kept else self._parsed(number, next(read))
            except DecodeError as error:
                if on_bad is None:
                    raise
                on_bad(error)
                continue
            yield number, block

    def _block(self, number: int) -> Block:
        with self._lock:
            if number in self._kept:
                self._kept.move_to_end(number)
                return self._kept[number]
        return self._parsed(number, self._file.read_at(*self._range(number)))

    def _range(self, number: int) -> tuple[int, int]:
        """Where a block begins in the file, and its bytes."""
        return int(self._offsets[number]), int(self._sizes[number])

    def _parsed(self, number: int, data: bytes) -> Block:
        """A block of these bytes, which is kept for a while."""
        first, items = self._firsts[number], int(self._counts[number])
        name = f"{self._file.name}: items {first} to {first + int(self._living[number]) - 1}"
        with placed(source=name):
            try:
                head, body = layout.parse_block(data)
                if head.items != items or head.whole != len(data):
                    raise CorruptError("block and index disagree: damaged")
                streams, ids = layout.unpack_streams(body, items)
            except DecodeError:
                self._file.check_unchanged()  # it may be another object by now
                raise
            there = self.survey.deletions.kept(int(self._places[number]), items)
            found = Block(streams, ids, name, there)
        with self._lock:
            if number not in self._kept:
                self._kept_bytes += len(data)
            self._kept[number] = found
            while len(self._kept) > _KEPT and self._kept_bytes > _KEPT_BYTES:
                old, _ = self._kept.popitem(last=False)
                self._kept_bytes -= int(self._sizes[old])
        return found

    def close(self) -> None:
        """Close the file, if it was opened here. May be called twice.

        Examples:
            >>> photos = clipcodec.open("photos.clpc")
            >>> photos.close()
        """
        if self._file.own_path is not None and not self._file.closed:
            with suppress(OSError):
                self._marks = marks_of(self._file, self.survey)
        self._file.close()

    def __enter__(self) -> Container:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def codec_for(profile: ProfileLike) -> Codec:
    """What decodes with this profile: its name, its file, a container that carries it, or itself.

    Raises ProfileError, WeightsError or DecodeError: there is no such profile, or it is damaged.
    """
    from ..codec import Codec
    from .profiles import profile_of

    return Codec(None if profile is None else profile_of(profile))
