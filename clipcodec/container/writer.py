"""Write a container, or append to one."""

from __future__ import annotations

import errno
import os
import sys
import warnings
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from ..errors import (
    CorruptError,
    DecodeError,
    LockedError,
    OptionError,
    OutputExistsError,
    TruncatedError,
    UnsupportedError,
    placed,
)
from ..system.files import abort, move, refuse_existing
from ..system.locks import is_at
from ..system.uploads import Upload, upload_to
from ..text_form import check_start
from . import layout
from .deletions import Places
from .embedded import embedded_in
from .files import SeekableFile, path_of
from .given import checked_bytes, id_size, pairs, plain
from .layout import Item
from .locking import close_unused, open_locked
from .marking import Marked, listed, named_items
from .mending import BLOCK_BYTES, mended, profile_to_put, refuse_lost_deletions
from .packing import BLOCK_ITEMS, packed
from .piped import ItemReader
from .reader import Container
from .survey import Survey, read_survey

if TYPE_CHECKING:
    from ..profile import Profile
    from .embedded import Embedded

PART = ".part"
_SMALL_INDEX = 1 << 16  # bytes: written with each block that is appended


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
            decoded without another file: a loaded one, its file, or a container that carries it. In
            mode "a" the one that is there, or None.
        block_items: Items that are read, checked and, if damaged, lost together: 1 … 65536. None:
            256, or 1024 where 256 would take an eighth of a byte more for each.

    Returns:
        The writer, to be closed by `close` or a `with` block.

    Raises:
        OutputExistsError: The file exists, and the mode is "x".
        LockedError: Another process writes it.
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
    ) -> None:
        """survey: of the file to append to, if it was surveyed already (`Container.survey`)."""
        if mode not in ("x", "w", "a"):
            raise OptionError(f"mode={mode!r}: expected 'x', 'w' or 'a'")
        if block_items is not None and not 1 <= block_items <= layout.MAX_ITEMS:
            raise OptionError(f"block_items={block_items}: expected 1 to {layout.MAX_ITEMS}")
        self._block_items, self._overwrite = block_items, mode == "w"
        self._process = os.getpid()
        self._streams: list[bytes] = []  # not written yet, nor are their `_ids`
        self._ids: list[str | None] = []
        self._waiting = 0  # bytes of both
        self._entries: list[tuple[int, int]] = []  # of the index
        self._written = 0  # items, deleted ones included
        self._gone = Marked()
        self._end = 0  # bytes, without the index at the end
        self._tail = 0  # bytes in the file after these: an index, to be written over
        self._indexed = False  # does the file end with its index?
        self._path: Path | None = None
        self._carried: Embedded | None = None
        opening = [layout.OPENING]
        if metadata is not None:
            opening.append(_metadata_block(metadata))
        embedded = None if profile is None else _to_embed(profile)
        if embedded is not None:
            opening.append(embedded.block)
            self._carried = embedded
        self._upload: Upload | None = upload_to(target, mode)
        if self._upload is not None:
            self._file: BinaryIO | None = cast(BinaryIO, self._upload)
            try:
                self._begin(opening)
            except BaseException:
                self._upload.abort()
                raise
            return
        path = path_of(target, "write")
        if path is None:
            if mode != "x":
                raise OptionError(f"mode={mode!r} is for paths: for a file object use mode 'x'")
            self._file = cast(BinaryIO, target)
            self._begin(opening)
            return
        self._target = Path(os.path.realpath(path))
        self._path = self._choose(mode)
        self._file, made = open_locked(self._path, new=mode == "x")
        try:
            if mode != "a" or not self._resume(metadata, embedded, survey):
                self._file.truncate(0)
                self._file.seek(0)
                self._begin(opening)
        except BaseException:
            close_unused(self._file, self._path, made=made)
            raise

    def _choose(self, mode: str) -> Path:
        """The file to write: the container itself if it is appended to, else its `.part`."""
        part = self._target.with_name(self._target.name + PART)
        if mode == "a" and self._target.is_file():
            return self._target
        refuse_existing(self._target, overwrite=mode != "x")
        if mode == "x" and part.exists():
            raise OutputExistsError(
                f"{part} is a container that was not finished, or is being written: go on with "
                "mode 'a' (--resume), or replace it with mode 'w' (-f)"
            )
        return part

    def _begin(self, opening: list[bytes]) -> None:
        self._put(b"".join(opening))
        self._entries = [(len(part), 0) for part in opening[1:]]

    def _resume(
        self, metadata: dict[str, Any] | None, embedded: Embedded | None, survey: Survey | None
    ) -> bool:
        """Go on after the last good block; False if there is none."""
        file = cast(BinaryIO, self._file)
        source = SeekableFile(file, os.fspath(self._path or ""))
        if survey is None:
            try:
                survey = read_survey(source, partial=True)
            except TruncatedError:  # empty, or cut in its first bytes
                return False
        elif survey.state is None or survey.state != source.state():
            raise LockedError(f"{self._path} was written by another process meanwhile: try again")
        with placed(source=source.name):
            if isinstance(survey.why, UnsupportedError):  # what follows would be cut off
                raise survey.why
            refuse_lost_deletions(source, survey)
            put = profile_to_put(source, survey, embedded)
            if embedded is None:
                with suppress(DecodeError):  # it says so when it is needed
                    self._carried = embedded_in(source)
            if not len(survey.entries):
                if self._path == self._target and isinstance(survey.why, CorruptError):
                    raise survey.why  # a container that was finished once is not begun anew
                return False
        if metadata is not None and metadata != survey.metadata:
            raise OptionError(f"{self._path} has other metadata, and keeps them: give none")
        self._entries = mended(file, source, survey)
        self._written = int(survey.entries[:, 1].sum())
        self._gone = Marked(survey.deletions)
        self._end, self._indexed = survey.end, survey.complete
        file.truncate(self._end)
        last = self._entries[-1][0]
        if source.read_at(self._end - last, 4) == layout.INDEX:
            self._entries.pop()
            self._end, self._tail = self._end - last, last
        if put is not None:  # nothing stands behind it yet
            entry = (len(put.block), 0)
            self._put(put.block, self._index([*self._entries, entry]))
            self._entries.append(entry)
        return True

    def __repr__(self) -> str:
        from ..system.shown import counted, filed, shown, sized

        def parts() -> list[object]:
            path = self._path is not None
            name = self._target.name if path else getattr(self._file, "name", None)
            waiting = f"{len(self._streams)} of them not written yet" if self._streams else None
            return [None if name is None else filed(str(name)), counted(len(self), "item"),
                    sized(self._end + self._tail), waiting,
                    "closed" if self._file is None else "open"]  # fmt: skip

        return shown("ContainerWriter", parts)

    def __len__(self) -> int:
        """Items of the container, also those that are not on the disk yet."""
        return self._written + len(self._streams) - len(self._gone)

    @property
    def size(self) -> int:
        """Bytes of the file so far; after `close`, of the whole container."""
        return self._end + self._tail

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
        self._open()
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
            KeyError: No item has an id. Then nothing is deleted, also for what follows.
            IndexError: There is no such position.
            OptionError: A key is of another type; or the container is written to a file object,
                such as a pipe, which cannot be read.
            DecodeError: A block is damaged, so that its ids are not known.

        Examples:
            >>> with clipcodec.create("photos.clpc", "a") as writer:
            ...     writer.delete(["7.jpg", "8.jpg"]), len(writer)
            (2, 98)
        """
        self._open()
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
        self._open()
        self._know(id)
        before = self._gone.named(id) if isinstance(id, str) else []
        self.append(stream, id)
        self._gone.add(before)
        return bool(before)

    def _know(self, keys: Any) -> None:
        """Read the ids of all items, if they are asked for, and not known yet."""
        if self._path is None:
            raise OptionError("items can be deleted in a container that has a path, not in a pipe")
        named = isinstance(keys, list) and any(isinstance(key, str) for key in keys)
        if self._gone.known or not (named or isinstance(keys, str)):
            return
        file = SeekableFile(self._open(), os.fspath(self._path))
        there = named_items(file, *self._places())
        waiting = enumerate(self._ids, self._written)
        self._gone.know([*there, *((place, id) for place, id in waiting if id is not None)])

    def _places(self) -> tuple[Places, NDArray[np.int64]]:
        """Where the items in the file are, and the bytes of each block that has some."""
        entries = np.array(self._entries, np.int64).reshape(-1, 2)
        ends = len(layout.OPENING) + np.cumsum(entries[:, 0])
        sizes = entries[entries[:, 1] > 0, 0]
        return Places.of(ends - entries[:, 0], entries[:, 1]), sizes

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
        self._open()
        self._write_all()
        self._sync()

    def close(self) -> None:
        """Write what is left, and the index; a new container gets its name. May be called twice.

        Raises:
            OSError: The file cannot be written.
            OutputExistsError: Another process has made a file of this name meanwhile.

        Examples:
            >>> writer = clipcodec.create("new.clpc")
            >>> writer.close()
        """
        if self._file is None:
            return
        self._write_all()
        if not self._indexed:
            self._put(b"", self._index(self._entries))
        self._sync()
        if self._upload is not None:
            self._upload.close()
        if sys.platform == "win32":  # an open file cannot be renamed there
            self._release()
        if self._path is not None and self._path != self._target:
            move(self._path, self._target, overwrite=self._overwrite)
        self._release()

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
        if self._file is None:
            return
        if self._path is None and abort(self._file):
            self._file = None
            return
        with suppress(OSError):  # the error that led here matters more
            self._write_all()
            self._sync()
        self._release()

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
        if self._file is None:
            return
        self._streams, self._ids, self._waiting = [], [], 0
        self._gone = Marked()
        if self._path is None:
            abort(self._file)
        elif self._path != self._target and self._process == os.getpid():
            if sys.platform == "win32":  # an open file cannot be removed there
                self._release()
            with suppress(OSError):  # the error that led here matters more
                self._path.unlink()
        self._release()

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

    # files

    def _open(self) -> BinaryIO:
        if self._file is None:
            raise ValueError("this container is closed: open it again with mode 'a'")
        if self._process != os.getpid() and (self._path or self._upload) is not None:
            raise LockedError(  # both would write at the same places
                f"{self._path or self._file.name} is written by process {self._process}, which "
                "opened it: a process that was forked from it must open a container of its own"
            )
        return self._file

    def _write_all(self) -> None:
        """What was appended, and then what deletes items: if only the first is written, an item
        that was updated is there twice, and found by its id as it is now."""
        self._write_block()
        if self._gone.waiting:
            for data in self._gone.blocks(self._places()[0], self._end):
                self._write(data, 0)
            self._gone.done()

    def _write_block(self) -> None:
        if not self._streams:
            return
        for data, count in packed(self._streams, self._ids, self._block_items):
            self._write(data, count)
            self._written += count
            del self._streams[:count], self._ids[:count]
        self._waiting = 0

    def _write(self, data: bytes, count: int) -> None:
        """A whole block with so many items."""
        entry = (len(data), count)
        # a container that is appended to is whole at any time, for its readers
        growing = self._path is not None and self._path == self._target
        small = growing and 8 * len(self._entries) < _SMALL_INDEX
        self._put(data, self._index([*self._entries, entry]) if small else b"")
        self._entries.append(entry)

    @staticmethod
    def _index(entries: list[tuple[int, int]]) -> bytes:
        return layout.pack_index(np.array(entries, np.int64).reshape(-1, 2))

    def _put(self, data: bytes, index: bytes = b"") -> None:
        """Write all of it, or none: after an error items still wait to be written.

        It takes the place of the index at the end, if there is one, in one call of the system. If
        the machine stops within it, the blocks before are good, and mode "a" goes on after them.
        """
        file = self._open()
        try:
            if self._path is not None:
                if not index:
                    file.truncate(self._end)
                file.seek(self._end)
            left = memoryview(data + index)
            while left:
                left = left[file.write(left) or 0 :]
        except BaseException as error:
            if self._path is not None:
                with suppress(OSError):
                    self._restore(file)
            if isinstance(error, OSError) and not isinstance(error, LockedError):
                why = f"cannot be written: {error.strerror or error}"
                name = getattr(file, "name", "container") if self._path is None else self._path
                raise type(error)(error.errno or errno.EIO, why, str(name)) from error
            raise
        self._end += len(data)
        self._tail, self._indexed = len(index), bool(index)

    def _restore(self, file: BinaryIO) -> None:
        """As it was before a write that failed."""
        file.seek(self._end)
        if self._tail:  # its room is still there
            file.write(self._index(self._entries))
        file.truncate(self._end + self._tail)

    def _sync(self) -> None:
        file = self._open()
        file.flush()
        if self._path is None:
            return
        os.fsync(file.fileno())
        if sys.platform != "win32" and not is_at(file.fileno(), self._path):
            raise LockedError(
                f"{self._path} was replaced or removed by another process while it was written: "
                "what was appended is not in it, begin again"
            )

    def _release(self) -> None:
        """Close the file, which unlocks it; a file object of the caller's stays open."""
        file, self._file = self._file, None
        if file is not None and self._path is not None:
            file.close()


def _metadata_block(metadata: dict[str, Any]) -> bytes:
    if not isinstance(metadata, dict):
        raise OptionError(f"metadata are {type(metadata).__name__}: expected a dict")
    try:
        return layout.pack_metadata(metadata)
    except (TypeError, ValueError, RecursionError) as error:
        raise OptionError(f"metadata cannot be stored as JSON: {error}") from error


def _to_embed(profile: str | os.PathLike[str] | Profile | Embedded) -> Embedded:
    from .profiles import to_embed  # here: a container without one needs no profile

    return to_embed(profile)
