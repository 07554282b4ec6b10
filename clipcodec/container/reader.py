"""Read a container: any item of a file."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, overload

import numpy as np
from numpy.typing import NDArray

from ..entropy import Payloads
from ..errors import DecodeError, OptionError, placed
from .blocks import ids_of, streams_of
from .embedded import embedded_in
from .file_blocks import FileBlocks
from .files import SeekableFile
from .keys import many_places_of, places_of
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
        self._blocks = FileBlocks(file, survey)
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
            return [filed(self._file.name), counted(len(self), "item"), sized(self.size),
                    None if self.complete else "not complete",
                    "closed" if closed else "open"]  # fmt: skip

        return shown("Container", parts)

    def __len__(self) -> int:
        return len(self._blocks)

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
            IndexError: There is no such position.
            KeyError: There is no such id.
            OptionError: The key is of another type.
        """
        places = places_of(key, len(self), self.index)
        if not isinstance(places, int):
            return self._blocks.gathered(places)[0]
        block, row = self._blocks.at(places)
        return block.streams[row]

    def __contains__(self, value: object) -> bool:
        """Is there an item with this id (str), or with this stream (bytes)?"""
        if isinstance(value, str):
            return value in self._by_id()
        return isinstance(value, (bytes, bytearray)) and any(stream == value for stream in self)

    def __iter__(self) -> Iterator[bytes]:
        for block in self._blocks:
            yield from block.streams

    def item(self, i: int | str) -> Item:
        """Give one item: stream and id.

        Args:
            i: A position, counted from the end if it is negative, or an id.

        Returns:
            Its stream, and its id or None.

        Raises:
            IndexError: There is no such position.
            KeyError: There is no such id.
            DecodeError: Its block is damaged.

        Examples:
            >>> stream, id = clipcodec.open("photos.clpc").item(0)
            >>> id
            '0.jpg'
        """
        place = places_of(i, len(self), self.index)
        if not isinstance(place, int):
            raise OptionError("several keys are not one item: give them to take")
        block, row = self._blocks.at(place)
        return Item(block.streams[row], block.ids[row])

    def take(self, keys: slice | Iterable[Any]) -> list[Item]:
        """Give several items: streams and ids. Each block that holds one is read once.

        Args:
            keys: Positions or ids, in any order, also more than once; N booleans; or a slice.

        Returns:
            The items, in the order of the keys.

        Raises:
            IndexError: There is no such position.
            KeyError: There is no such id.
            OptionError: A key is of another type.
            DecodeError: A block is damaged.

        Examples:
            >>> photos = clipcodec.open("photos.clpc")
            >>> [item.id for item in photos.take([7, 0, -1])]
            ['7.jpg', '0.jpg', '99.jpg']
        """
        places = many_places_of(keys, len(self), self.index)
        return [*map(Item, *self._blocks.gathered(places, with_ids=True))]

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
        for first, block in self._blocks.with_positions(on_bad):
            try:
                items = list(map(Item, block.streams, block.ids))
            except DecodeError as error:
                if on_bad is None:
                    raise
                on_bad(error)
                continue
            yield first, items

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
            ids = [id for block in self._blocks for id in block.ids]
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
            KeyError: No item has it.

        Examples:
            >>> clipcodec.open("photos.clpc").index("7.jpg")
            7
        """
        place = self._by_id().get(id)
        if place is None:
            raise KeyError(f"no item of {self._file.name} has the id {id!r}")
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
            IndexError: There is no such position.
            KeyError: There is no such id.

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
            IndexError: As for `take`, and so are KeyError and OptionError.
            DecodeError: Names the items at fault by their positions: `error.rows`.

        Examples:
            >>> photos = clipcodec.open("photos.clpc")
            >>> photos.decode_many(["7.jpg", "0.jpg"]).shape
            (2, 512)
        """
        places = many_places_of(keys, len(self), self.index)
        if not len(places):
            return self.no_rows()
        streams, _ = self._blocks.gathered(places)
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
                out = np.empty((len(self), rows.shape[1]), np.float32)
            if out.shape != (len(self), rows.shape[1]):
                raise OptionError(
                    f"out has shape {out.shape}: expected {(len(self), rows.shape[1])}"
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
        for first, piece in self._blocks.pieces(rows):
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
        for first, piece in self._blocks.pieces(rows):
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
