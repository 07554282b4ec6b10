"""Write a container, or append to one."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO

from ..errors import DecodeError, OptionError
from ..text_form import check_start
from . import layout
from .given import checked_bytes, id_size, pairs, plain
from .growing import GrowingFile
from .layout import Item
from .locking import ReplacedLock
from .marking import Marked, listed, named_items
from .mending import mended
from .packing import BLOCK_BYTES, BLOCK_ITEMS, packed
from .piped import ItemReader
from .reader import Container
from .resuming import resumed
from .survey import Survey

if TYPE_CHECKING:
    from ..profile import Profile
    from .embedded import Embedded


def create(
    target: str | bytes | os.PathLike[str] | BinaryIO,
    mode: str = "x",
    *,
    metadata: dict[str, Any] | None = None,
    profile: str | os.PathLike[str] | Profile | None = None,
    block_items: int | None = None,
) -> ContainerWriter:
    """Open a container for writing (formats/container-1.md).

    A new container is written to `target` + ".part", and renamed when it is closed. If the `with`
    block is left by an error, that file stays, with all items until then, for mode "a". Through a
    file object of an object store, the upload is aborted then, if that can be done.

    Args:
        target: A path, a URL of an object store, where the object appears when it is whole, or a
            binary file to write to, such as a pipe.
        mode: "x": a new file; "w": replace an existing one; "a": append, or go on where a writer
            was interrupted (what follows the last good block is cut off).
        metadata: A JSON object to keep in a new container.
        profile: A private profile that a new container carries for its streams, so that they can be
            decoded without another file: a loaded one, its file, or a container that carries it, by
            path or URL. In mode "a" the one that is there, or None.
        block_items: Items that are read, checked and, if damaged, lost together: 1 … 65536. None:
            256, or 1024 where 256 would take an eighth of a byte more for each.

    Returns:
        The writer, to be closed by `close` or a `with` block.

    Raises:
        OutputExistsError: The file exists, and the mode is "x".
        LockedError: Another process writes it, or appends to the container that mode "w" replaces.
        OptionError: There is no such mode, or the metadata are no JSON object; an object of a store
            was to be appended to; the profile is a registered one, or not the one that the
            container carries.
        WeightsError: The profile's file is missing, damaged, or has changed since it was read.
        CorruptError: In mode "a", the file is no container that can be appended to.
        OSError: It cannot be written.

    Examples:
        >>> streams = clipcodec.encode_embeddings(np.load("embeddings.npy"), mean_bytes=50)
        >>> with clipcodec.create("new.clpc", metadata={"made for": "a test"}) as writer:
        ...     writer.extend(streams, ids=[f"{i}.jpg" for i in range(len(streams))])
        >>> clipcodec.open("new.clpc").metadata
        {'made for': 'a test'}
    """
    return ContainerWriter(
        target, mode, metadata=metadata, profile=profile, block_items=block_items
    )


class ContainerWriter:
    """Appends streams to a container, and deletes them; for one thread at a time.

    A process that is forked meanwhile cannot write it: LockedError.

    `len(writer)` counts the items of the container, also those that are not on the disk yet, and
    not those that were deleted.

    Args:
        target: As for `clipcodec.create`.
        mode: As for `clipcodec.create`.
        metadata: As for `clipcodec.create`.
        profile: As for `clipcodec.create`.
        block_items: As for `clipcodec.create`.
        survey: Of the file to append to, if it was surveyed already (`Container.survey`).
        replaced: Of the container that mode "w" replaces, if the caller has locked it already; the
            writer closes it.

    Raises:
        OutputExistsError: As for `clipcodec.create`, and so are LockedError, OptionError,
            WeightsError, CorruptError and OSError.

    Examples:
        >>> with clipcodec.ContainerWriter("photos.clpc", "a") as writer:
        ...     writer.append(clipcodec.encode("photo.jpg", max_bytes=50), id="photo.jpg")
        >>> len(writer)
        101
    """

    def __init__(
        self,
        target: str | bytes | os.PathLike[str] | BinaryIO,
        mode: str = "x",
        *,
        metadata: dict[str, Any] | None = None,
        profile: str | os.PathLike[str] | Profile | Embedded | None = None,
        block_items: int | None = None,
        survey: Survey | None = None,
        replaced: ReplacedLock | None = None,
    ) -> None:
        if mode not in ("x", "w", "a"):
            raise OptionError(f"mode={mode!r}: expected 'x', 'w' or 'a'")
        if block_items is not None and not 1 <= block_items <= layout.MAX_ITEMS:
            raise OptionError(f"block_items={block_items}: expected 1 to {layout.MAX_ITEMS}")
        opening, self._carried = _opening(metadata, profile)
        self._block_items = block_items
        self._streams: list[bytes] = []  # not written yet, nor are their `_ids`
        self._ids: list[str | None] = []
        self._waiting = 0  # bytes of both
        self._written = 0  # items, deleted ones included
        self._gone = Marked()
        self._file = GrowingFile(target, mode, replaced)
        try:
            if mode != "a" or not self._resume(metadata, survey):
                self._file.begin(opening)
        except BaseException:
            self._file.undo()
            raise

    def _resume(self, metadata: dict[str, Any] | None, survey: Survey | None) -> bool:
        """Go on after the last good block; False if there is none."""
        file, source = self._file, self._file.readable()
        found = resumed(source, survey, self._carried, new=file.new)
        if found is None:
            return False
        survey, self._carried = found.survey, found.carried
        if metadata is not None and metadata != survey.metadata:
            raise OptionError(f"{file.path} has other metadata, and keeps them: give none")
        entries = mended(file.opened(), source, survey)
        file.go_on(entries, survey.end, complete=survey.complete)
        if found.missing is not None:  # nothing stands behind it yet
            file.append(found.missing.block, 0, indexed=True)
        self._written = int(survey.entries[:, 1].sum())
        self._gone = Marked(survey.deletions)
        return True

    def __repr__(self) -> str:
        from ..system.shown import counted, filed, shown, sized

        def parts() -> list[object]:
            name = self._file.name
            waiting = f"{len(self._streams)} of them not written yet" if self._streams else None
            return [None if name is None else filed(str(name)), counted(len(self), "item"),
                    sized(self.size), waiting,
                    "closed" if self._file.closed else "open"]  # fmt: skip

        return shown("ContainerWriter", parts)

    def __len__(self) -> int:
        """Items of the container, also those that are not on the disk yet."""
        return self._written + len(self._streams) - len(self._gone)

    @property
    def size(self) -> int:
        """Bytes of the file so far; after `close`, of the whole container."""
        return self._file.size

    def append(self, stream: bytes | Item, id: str | None = None) -> None:
        """Add one stream.

        Args:
            stream: Its bytes; or an `Item`, which brings its id.
            id: A name for it, text of 1 to 4096 bytes as UTF-8; None: the item's, if it is one.

        Raises:
            DecodeError: These bytes begin no stream.
            OptionError: The stream or the id is of another type, or too long.
            OSError: The file cannot be written. The item is not added; those before it are, and
                are written with the next one, or by `close`.

        Examples:
            >>> stream = clipcodec.open("photos.clpc")[0]
            >>> with clipcodec.create("new.clpc") as writer:
            ...     writer.append(stream, id="beach.jpg")
        """
        if isinstance(stream, Item):
            id = stream.id if id is None else id
            stream = stream.stream
        if type(stream) is not bytes:
            stream = checked_bytes(plain(stream))
        if type(id) is not str:
            id = plain(id)
        check_start(stream)
        if len(stream) > layout.MAX_STREAM:
            raise OptionError(f"a stream of {len(stream)} bytes: at most {layout.MAX_STREAM}")
        size = 0 if id is None else id_size(id)
        self._file.opened()
        place = self._written + len(self._streams)
        self._streams.append(stream)
        self._ids.append(id)
        self._waiting += len(stream) + size
        if len(self._streams) >= (self._block_items or BLOCK_ITEMS) or self._waiting >= BLOCK_BYTES:
            try:
                self._write_block()
            except BaseException:
                if self._streams:  # else it is written; who tries again would add it twice
                    del self._streams[-1], self._ids[-1]
                    self._waiting -= len(stream) + size
                raise
        self._gone.note(place, id)

    def extend(
        self,
        streams: Iterable[bytes | Item] | Container,
        ids: Iterable[str | None] | None = None,
    ) -> None:
        """Add streams in order.

        Args:
            streams: Several streams, or items, or a container, which bring their ids. Columns of
                Arrow, pandas and Polars are taken, too.
            ids: One id for each stream; None: those that the streams bring.

        Raises:
            DecodeError: Names the stream at fault; those before it have been added.
            OptionError: As DecodeError; also if there are fewer ids than streams, or more.
            OSError: The file cannot be written.

        Warns:
            UserWarning: The container carries a profile, and this one does not carry the same:
                create it with profile=.

        Examples:
            >>> photos = clipcodec.open("photos.clpc")
            >>> with clipcodec.create("half.clpc") as writer:
            ...     writer.extend(photos[:50], ids=photos.ids[:50])
        """
        if isinstance(streams, (Container, ItemReader)):
            self._check_carried(streams)
        for i, (stream, id) in enumerate(pairs(streams, ids)):
            try:
                self.append(stream, id)
            except (DecodeError, OptionError) as error:
                error.rows, error.item = (i,), "stream"
                raise

    def delete(self, keys: Any) -> int:
        """Delete items by id or position. Their bytes stay in the file until `compact`.

        What deletes them is written behind what was appended: at the latest when the writer is
        closed. Until then readers see all items.

        Args:
            keys: An id, which means all items that have it, or a position among the items that are
                there; several of these; N booleans; or a slice.

        Returns:
            How many items were deleted.

        Raises:
            UnknownItemError: No item has one of the ids, or is at one of the positions. Then
                nothing is deleted. It is a KeyError and an IndexError, too.
            OptionError: A key is of another type; or the container is written to a file object,
                such as a pipe, which cannot be read.
            DecodeError: A block is damaged, so that its ids are not known.

        Examples:
            >>> with clipcodec.create("photos.clpc", "a") as writer:
            ...     writer.delete(["7.jpg", "8.jpg"]), len(writer)
            (2, 98)
        """
        self._file.opened()
        keys = listed(keys)
        self._know(keys)
        return self._gone.mark(keys, len(self))

    def update(self, stream: bytes | Item, id: str | None = None) -> bool:
        """Append a stream in place of the items that have its id; also if there are none.

        Args:
            stream: As for `append`.
            id: As for `append`; there must be one.

        Returns:
            Whether there were any.

        Raises:
            DecodeError: As for `append`, and so is OSError; then the old items stay.
            OptionError: As for `delete`; also if there is no id.

        Examples:
            >>> stream = clipcodec.encode("photo.jpg", max_bytes=50)
            >>> with clipcodec.create("photos.clpc", "a") as writer:
            ...     writer.update(stream, "7.jpg"), writer.update(stream, "new.jpg"), len(writer)
            (True, False, 101)
        """
        if isinstance(stream, Item) and id is None:
            id = stream.id
        if id is None:
            raise OptionError("an item without an id cannot take the place of another: give an id")
        self._file.opened()
        self._know(id)
        before = self._gone.named(id) if isinstance(id, str) else []
        self.append(stream, id)
        self._gone.add(before)
        return bool(before)

    def _know(self, keys: Any) -> None:
        """Read the ids of all items, if they are asked for, and not known yet."""
        if self._file.path is None:
            raise OptionError("items can be deleted in a container that has a path, not in a pipe")
        named = isinstance(keys, list) and any(isinstance(key, str) for key in keys)
        if self._gone.known or not (named or isinstance(keys, str)):
            return
        there = named_items(self._file.readable(), *self._file.places())
        waiting = enumerate(self._ids, self._written)
        self._gone.know([*there, *((place, id) for place, id in waiting if id is not None)])

    def _check_carried(self, source: Container | ItemReader) -> None:
        """Warn if streams leave the profile behind that their container carries."""
        found = source.embedded(lambda error: None)
        if found is None or found == self._carried:
            return
        name = source.name if isinstance(source, Container) else "the container"
        warnings.warn(
            f"{name} carries a profile, SHA-256 {found.digest.hex()[:8]}…, which does not go with "
            "its streams: create the new container with profile=, and that of the source",
            stacklevel=3,
        )

    def flush(self) -> None:
        """Write what was appended to the disk: after that not even a power cut can lose it.

        Raises:
            OSError: The file cannot be written.

        Examples:
            >>> with clipcodec.create("new.clpc") as writer:
            ...     writer.append(clipcodec.open("photos.clpc")[0])
            ...     writer.flush()
        """
        self._file.opened()
        self._write_all()
        self._file.sync()

    def close(self) -> None:
        """Write what is left, and the index; a new container gets its name. May be called twice.

        Raises:
            OSError: The file cannot be written.
            OutputExistsError: Another process has made a file of this name meanwhile.

        Examples:
            >>> writer = clipcodec.create("new.clpc")
            >>> writer.close()
        """
        if self._file.closed:
            return
        self._write_all()
        self._file.finish()

    def abandon(self) -> None:
        """Keep what was appended, but leave the container unfinished; mode "a" goes on with it.

        An object of an object store is given up, if its file object can do that.

        Examples:
            >>> writer = clipcodec.create("new.clpc")
            >>> writer.append(clipcodec.open("photos.clpc")[0])
            >>> writer.abandon()
            >>> len(clipcodec.open("new.clpc.part", partial=True))
            1
        """
        if self._file.closed or self._file.give_up():
            return
        with suppress(OSError):  # the error that led here matters more
            self._write_all()
            self._file.sync()
        self._file.release()

    def discard(self) -> None:
        """Remove what was written of a new container, which `abandon` would keep.

        What a container that is appended to holds stays. May be called after an error of `close`.

        Examples:
            >>> import os
            >>> writer = clipcodec.create("new.clpc")
            >>> writer.discard()
            >>> os.path.exists("new.clpc.part")
            False
        """
        if self._file.closed:
            return
        self._streams, self._ids, self._waiting = [], [], 0
        self._gone = Marked()
        self._file.remove()

    def __enter__(self) -> ContainerWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            self.abandon()
            return
        try:
            self.close()
        finally:
            self.abandon()

    def _write_all(self) -> None:
        """What was appended, and then what deletes items: if only the first is written, an item
        that was updated is there twice, and found by its id as it is now."""
        self._write_block()
        if self._gone.waiting:
            for data in self._gone.blocks(self._file.places()[0], self._file.end):
                self._file.append(data, 0)
            self._gone.done()

    def _write_block(self) -> None:
        if not self._streams:
            return
        for data, count in packed(self._streams, self._ids, self._block_items):
            self._file.append(data, count)
            self._written += count
            del self._streams[:count], self._ids[:count]
        self._waiting = 0


def _metadata_block(metadata: dict[str, Any]) -> bytes:
    if not isinstance(metadata, dict):
        raise OptionError(f"metadata are {type(metadata).__name__}: expected a dict")
    try:
        return layout.pack_metadata(metadata)
    except (TypeError, ValueError, RecursionError) as error:
        raise OptionError(f"metadata cannot be stored as JSON: {error}") from error


def _opening(
    metadata: dict[str, Any] | None,
    profile: str | os.PathLike[str] | Profile | Embedded | None,
) -> tuple[list[bytes], Embedded | None]:
    """The blocks that a new container begins with, and the profile that it carries."""
    blocks = [] if metadata is None else [_metadata_block(metadata)]
    if profile is None:
        return blocks, None
    from .profiles import to_embed  # here: a container without one needs no profile

    carried = to_embed(profile)
    return [*blocks, carried.block], carried
