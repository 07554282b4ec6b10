"""Write a container, or append to one."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from itertools import repeat
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, cast

import numpy as np

from ..bitstream import split
from ..errors import DecodeError, LockedError, OptionError, OutputExistsError, TruncatedError
from ..system.files import lock, move, refuse_existing
from . import layout
from .survey import SeekableFile, Survey, read_survey

PART = ".part"
BLOCK_ITEMS = 1024
_BLOCK_BYTES = 1 << 20


def create(
    target: str | os.PathLike[str] | BinaryIO,
    mode: str = "x",
    *,
    metadata: dict[str, Any] | None = None,
    block_items: int = BLOCK_ITEMS,
) -> ContainerWriter:
    """Open a container for writing.

    target       a path, or a binary file to write to, such as a pipe
    mode         "x": a new file; "w": replace an existing one; "a": append, or go on where a writer
                 was interrupted (what follows the last good block is cut off)
    metadata     a JSON object to keep in a new container
    block_items  items that are read, checked and, if damaged, lost together: 1 … 65536

    A new container is written to `target` + ".part", and renamed when it is closed. If the `with`
    block is left by an error, that file stays, with all items until then, for mode "a".
    Raises OutputExistsError, LockedError (another process writes it), OptionError, OSError; in mode
    "a" CorruptError or UnsupportedError, if the file is no container that can be appended to.

    >>> with clipcodec.create("out.clpc") as writer:
    ...     writer.append(stream, id="photo.jpg")
    """
    return ContainerWriter(target, mode, metadata=metadata, block_items=block_items)


class ContainerWriter:
    """Appends streams to a container; for one thread at a time. See `create`."""

    def __init__(
        self,
        target: str | os.PathLike[str] | BinaryIO,
        mode: str = "x",
        *,
        metadata: dict[str, Any] | None = None,
        block_items: int = BLOCK_ITEMS,
        survey: Survey | None = None,
    ) -> None:
        """survey: of the file to append to, if it was surveyed already (`Container.survey`)."""
        if mode not in ("x", "w", "a"):
            raise OptionError(f"mode={mode!r}: expected 'x', 'w' or 'a'")
        if not 1 <= block_items <= layout.MAX_ITEMS:
            raise OptionError(f"block_items={block_items}: expected 1 to {layout.MAX_ITEMS}")
        self._block_items, self._overwrite = block_items, mode == "w"
        self._streams: list[bytes] = []  # not written yet, nor are their `_ids`
        self._ids: list[str | None] = []
        self._waiting = 0  # bytes of both
        self._entries: list[tuple[int, int]] = []  # of the index
        self._written = 0  # items
        self._end = 0  # bytes
        self._indexed = False  # does the file end with its index?
        self._path: Path | None = None
        opening = [layout.OPENING]
        if metadata is not None:
            opening.append(_metadata_block(metadata))
        if not isinstance(target, (str, os.PathLike)):
            if mode != "x":
                raise OptionError(f"mode={mode!r} is for paths: for a file object use mode 'x'")
            self._file: BinaryIO | None = target
            self._begin(opening)
            return
        self._target = Path(os.path.realpath(target))
        self._path = self._choose(mode)
        self._file = _open_locked(self._path, new=mode == "x")
        try:
            if mode != "a" or not self._resume(metadata, survey):
                self._file.truncate(0)
                self._file.seek(0)
                self._begin(opening)
        except BaseException:
            self._file.close()
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

    def _resume(self, metadata: dict[str, Any] | None, survey: Survey | None) -> bool:
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
        if not len(survey.entries):
            return False
        if metadata is not None and metadata != survey.metadata:
            raise OptionError(f"{self._path} has other metadata, and keeps them: give none")
        self._entries = [(size, count) for size, count in survey.entries.tolist()]
        self._written = int(survey.entries[:, 1].sum())
        self._end, self._indexed = survey.end, survey.complete
        file.truncate(self._end)
        file.seek(self._end)
        return True

    def __len__(self) -> int:
        """Items of the container, also those that are not on the disk yet."""
        return self._written + len(self._streams)

    def append(self, stream: bytes, id: str | None = None) -> None:
        """Add one stream, and a name for it. Raises DecodeError if it is no stream, or OSError."""
        split(stream)
        if len(stream) > layout.MAX_STREAM:
            raise OptionError(f"a stream of {len(stream)} bytes: at most {layout.MAX_STREAM}")
        size = 0 if id is None else _id_size(id)
        self._open()
        self._streams.append(bytes(stream))
        self._ids.append(id)
        self._waiting += len(stream) + size
        if len(self._streams) >= self._block_items or self._waiting >= _BLOCK_BYTES:
            self._write_block()

    def extend(self, streams: Iterable[bytes], ids: Iterable[str | None] | None = None) -> None:
        """Add streams in order, each with its id if `ids` are given (one per stream).

        Raises as `append` does, naming the stream at fault; those before it have been added.
        """
        pairs = zip(streams, repeat(None)) if ids is None else zip(streams, ids, strict=True)
        for i, (stream, id) in enumerate(pairs):
            try:
                self.append(stream, id)
            except (DecodeError, OptionError) as error:
                error.rows, error.item = (i,), "stream"
                raise

    def flush(self) -> None:
        """Write what was appended to the disk: after that not even a power cut can lose it."""
        self._open()
        self._write_block()
        self._sync()

    def close(self) -> None:
        """Write what is left and the index; a new container gets its name. May be called twice."""
        if self._file is None:
            return
        self._write_block()
        if not self._indexed:
            self._put(layout.pack_index(np.array(self._entries, np.int64).reshape(-1, 2)))
            self._indexed = True
        self._sync()
        if sys.platform == "win32":  # an open file cannot be renamed there
            self._release()
        if self._path is not None and self._path != self._target:
            move(self._path, self._target, overwrite=self._overwrite)
        self._release()

    def abandon(self) -> None:
        """Keep what was appended, but leave the container unfinished; mode "a" goes on with it."""
        if self._file is None:
            return
        with suppress(OSError):  # the error that led here matters more
            self._write_block()
            self._sync()
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
        return self._file

    def _write_block(self) -> None:
        if not self._streams:
            return
        named = any(id is not None for id in self._ids)
        data = layout.pack_items(self._streams, self._ids if named else None)
        self._put(data)
        self._indexed = False
        self._entries.append((len(data), len(self._streams)))
        self._written += len(self._streams)
        self._streams, self._ids, self._waiting = [], [], 0

    def _put(self, data: bytes) -> None:
        """Write all of it, or none: after an error the items still wait to be written."""
        file = self._open()
        try:
            left = memoryview(data)
            while left:
                left = left[file.write(left) or 0 :]
        except BaseException as error:
            if self._path is not None:
                with suppress(OSError):
                    file.truncate(self._end)
                    file.seek(self._end)
            if isinstance(error, OSError):
                why = f"cannot be written: {error.strerror or error}"
                name = getattr(file, "name", "container") if self._path is None else self._path
                raise type(error)(error.errno or errno.EIO, why, str(name)) from error
            raise
        self._end += len(data)

    def _sync(self) -> None:
        file = self._open()
        file.flush()
        if self._path is not None:
            os.fsync(file.fileno())

    def _release(self) -> None:
        """Close the file, which unlocks it; a file object of the caller's stays open."""
        file, self._file = self._file, None
        if file is not None and self._path is not None:
            file.close()


def _open_locked(path: Path, *, new: bool) -> BinaryIO:
    """Open and lock for reading and writing. Unbuffered: a write that fails raises at once."""
    flags = os.O_RDWR | os.O_CREAT | (os.O_EXCL if new else 0) | getattr(os, "O_BINARY", 0)
    try:
        number = os.open(path, flags, 0o666)
    except FileExistsError:
        raise OutputExistsError(f"{path} was made by another process meanwhile") from None
    except OSError as error:
        why = f"cannot be written: {error.strerror}"
        raise type(error)(error.errno, why, os.fspath(path)) from error
    file = cast(BinaryIO, os.fdopen(number, "r+b", buffering=0))
    try:
        lock(file.fileno(), path)
    except BaseException:
        file.close()
        raise
    return file


def _id_size(id: str) -> int:
    try:
        size = len(id.encode())
    except UnicodeEncodeError as error:
        raise OptionError(f"id {id!r} is not Unicode text: give another") from error
    if not 0 < size <= layout.MAX_ID:
        raise OptionError(f"an id of {size} bytes: expected 1 to {layout.MAX_ID}")
    return size


def _metadata_block(metadata: dict[str, Any]) -> bytes:
    if not isinstance(metadata, dict):
        raise OptionError(f"metadata are {type(metadata).__name__}: expected a dict")
    try:
        return layout.pack_metadata(metadata)
    except (TypeError, ValueError, RecursionError) as error:
        raise OptionError(f"metadata cannot be stored as JSON: {error}") from error
