"""The file that a writer makes: blocks are put behind blocks, and the index behind the last."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from ..errors import LockedError, OptionError, OutputExistsError
from ..system.files import abort, move, refuse_existing
from ..system.locks import is_at
from ..system.stores import Location, is_url, local_path
from ..system.uploads import Upload, upload_to
from . import layout
from .deletions import Places
from .files import SeekableFile, path_of
from .locking import ReplacedLock, close_unused, open_locked
from .reader import Container

PART = ".part"
_SMALL_INDEX = 1 << 16  # bytes: written with each block that is appended


class GrowingFile:
    """A file that grows by whole blocks; the caller's file object, a path, or an upload.

    A new container grows as `target` + ".part", and gets its name from `finish`. One that is
    appended to is whole at any time, for its readers: each block is written with an index behind
    it, as long as that is small.

    target    as for `create`
    mode      "x", "w" or "a", as for `create`
    replaced  as for `ContainerWriter`

    Raises OutputExistsError, LockedError, OptionError or OSError.

    Attributes:
        path: of the file that is written; None: it is not a file of this machine, or is not known
        target: what it is called in the end; None as for `path`
        end: bytes of its blocks, without the index at the end
    """

    def __init__(
        self,
        target: str | bytes | os.PathLike[str] | BinaryIO,
        mode: str,
        replaced: ReplacedLock | None = None,
    ) -> None:
        self.path: Path | None = None
        self.target: Path | None = None
        self.end = 0
        self._tail = 0  # bytes in the file after these: an index, to be written over
        self._indexed = False  # does the file end with its index?
        self._entries: list[tuple[int, int]] = []  # of the index
        self._overwrite, self._made = mode == "w", False
        self._process = os.getpid()
        self._replaced = replaced
        self._upload: Upload | None = upload_to(target, mode)
        self._file: BinaryIO | None
        if self._upload is not None:
            self._file = cast(BinaryIO, self._upload)
            return
        path = path_of(target, "write")
        if path is None:
            if mode != "x":
                raise OptionError(f"mode={mode!r} is for paths: for a file object use mode 'x'")
            self._file = cast(BinaryIO, target)
            return
        self.target = Path(os.path.realpath(path))
        self.path = _chosen(self.target, mode)
        self._file, self._made = open_locked(self.path, new=mode == "x")
        if mode == "w" and replaced is None:
            try:
                self._replaced = ReplacedLock(self.target)
            except BaseException:
                self.undo()
                raise

    @property
    def name(self) -> object:
        """What it is called in the end; None if that is not known."""
        return getattr(self._file, "name", None) if self.target is None else self.target.name

    @property
    def new(self) -> bool:
        """Is it a container that has no readers yet?"""
        return self.path is None or self.path != self.target

    @property
    def closed(self) -> bool:
        return self._file is None

    @property
    def size(self) -> int:
        """Bytes of the whole file, as it is now."""
        return self.end + self._tail

    def opened(self) -> BinaryIO:
        """The file. Raises ValueError if it is closed, LockedError in a forked process."""
        if self._file is None:
            raise ValueError("this container is closed: open it again with mode 'a'")
        if self._process != os.getpid() and (self.path or self._upload) is not None:
            raise LockedError(  # both would write at the same places
                f"{self.path or self.name} is written by process {self._process}, which opened it: "
                "a process that was forked from it must open a container of its own"
            )
        return self._file

    def readable(self) -> SeekableFile:
        """The same file, to be read; it must have a path."""
        return SeekableFile(self.opened(), os.fspath(self.path or ""))

    def places(self) -> tuple[Places, NDArray[np.int64]]:
        """Where the items are, and the bytes of each block that has some."""
        entries = np.array(self._entries, np.int64).reshape(-1, 2)
        ends = len(layout.OPENING) + np.cumsum(entries[:, 0])
        sizes = entries[entries[:, 1] > 0, 0]
        return Places.of(ends - entries[:, 0], entries[:, 1]), sizes

    # what is written

    def begin(self, blocks: list[bytes]) -> None:
        """Write the opening, and these blocks without items. What there was is lost."""
        self._put(b"".join([layout.OPENING, *blocks]))
        self._entries = [(len(block), 0) for block in blocks]

    def go_on(self, entries: list[tuple[int, int]], end: int, *, complete: bool) -> None:
        """Go on behind the last of these blocks, which ends at `end`; what follows is cut off.

        complete  whether the file has an index of them all: it need not be written again
        """
        self._entries, self.end, self._indexed = entries, end, complete
        self.opened().truncate(end)
        last = entries[-1][0]
        if self.readable().read_at(end - last, 4) == layout.INDEX:
            entries.pop()
            self.end, self._tail = end - last, last

    def append(self, block: bytes, count: int, *, indexed: bool = False) -> None:
        """Write a block with so many items.

        indexed  with an index behind it in any case
        """
        entry = (len(block), count)
        small = not self.new and 8 * len(self._entries) < _SMALL_INDEX
        index = _index([*self._entries, entry]) if indexed or small else b""
        self._put(block, index)
        self._entries.append(entry)

    def _put(self, data: bytes, index: bytes = b"") -> None:
        """Write all of it, or none: after an error items still wait to be written.

        It takes the place of the index at the end, if there is one, in one call of the system. If
        the machine stops within it, the blocks before are good, and mode "a" goes on after them.
        """
        file = self.opened()
        try:
            if self.path is not None:
                if not index:
                    file.truncate(self.end)
                file.seek(self.end)
            left = memoryview(data + index)
            while left:
                left = left[file.write(left) or 0 :]
        except BaseException as error:
            if self.path is not None:
                with suppress(OSError):
                    self._restore(file)
            if isinstance(error, OSError) and not isinstance(error, LockedError):
                why = f"cannot be written: {error.strerror or error}"
                name = getattr(file, "name", "container") if self.path is None else self.path
                raise type(error)(error.errno or errno.EIO, why, str(name)) from error
            raise
        self.end += len(data)
        self._tail, self._indexed = len(index), bool(index)

    def _restore(self, file: BinaryIO) -> None:
        """As it was before a write that failed."""
        file.seek(self.end)
        if self._tail:  # its room is still there
            file.write(_index(self._entries))
        file.truncate(self.end + self._tail)

    def sync(self) -> None:
        """After that not even a power cut can lose what was written.

        Raises LockedError if the file is not at its path any more, or OSError.
        """
        file = self.opened()
        file.flush()
        if self.path is None:
            return
        os.fsync(file.fileno())
        if sys.platform != "win32" and not is_at(file.fileno(), self.path):
            raise LockedError(
                f"{self.path} was replaced or removed by another process while it was written: "
                "what was appended is not in it, begin again"
            )

    # how it ends

    def finish(self) -> None:
        """Write the index, give the file its name, and close it.

        Raises OutputExistsError, LockedError or OSError; then it is still open.
        """
        if not self._indexed:
            self._put(b"", _index(self._entries))
        self.sync()
        if self._upload is not None:
            self._upload.close()
        if self._replaced is not None:
            self._replaced.check()
        if sys.platform == "win32":  # an open file cannot be renamed there
            self.release()
        if self.path is not None and self.target is not None and self.new:
            move(self.path, self.target, overwrite=self._overwrite)
        self.release()

    def give_up(self) -> bool:
        """Give up an upload; False if it is none."""
        if self.path is None and self._file is not None and abort(self._file):
            self._file = None
            return True
        return False

    def remove(self) -> None:
        """Give up, and remove, what was written of a new container."""
        if self.path is not None and self.new:
            if sys.platform == "win32":  # an open file cannot be removed there
                self.release()
            if self._process == os.getpid():
                with suppress(OSError):  # the error that led here matters more
                    self.path.unlink()
        else:
            self.give_up()
        self.release()

    def undo(self) -> None:
        """Close what could not be begun, and remove it if it was made for that."""
        if self._upload is not None:
            self._upload.abort()
        elif self.path is not None:
            close_unused(self.opened(), self.path, made=self._made)
            self.release()

    def release(self) -> None:
        """Close the file, which unlocks it; a file object of the caller's stays open."""
        file, self._file = self._file, None
        if file is not None and self.path is not None:
            file.close()
        if self._replaced is not None:
            self._replaced.close()


def _chosen(target: Path, mode: str) -> Path:
    """The file to write: the container itself if it is appended to, else its `.part`."""
    part = target.with_name(target.name + PART)
    if mode == "a" and target.is_file():
        return target
    refuse_existing(target, overwrite=mode != "x")
    if mode == "x" and part.exists():
        raise OutputExistsError(
            f"{part} is a container that was not finished, or is being written: go on with "
            "mode='a', or replace it with mode='w'"
        )
    return part


def _index(entries: list[tuple[int, int]]) -> bytes:
    return layout.pack_index(np.array(entries, np.int64).reshape(-1, 2))


def refuse_itself(sources: Collection[object], out: object) -> None:
    """Raise OptionError if the output, or what it is called while it is written, is a source."""
    target = _place(out)
    if target is None:
        return
    for source in sources:
        place = _place(source)
        if isinstance(target, Path) and isinstance(place, Path):
            parts = (target, target.with_name(target.name + PART))
            same = place.exists() and any(
                path.exists() and os.path.samefile(place, path) for path in parts
            )
        else:
            same = place == target
        if same:
            name = source.name if isinstance(source, Container) else source
            raise OptionError(f"{name} is an input, and would be written over: name another output")


def _place(file: object) -> Path | str | None:
    """The path of a file, or the URL of an object; None: that cannot be known.

    Raises MissingDependencyError, OptionError, PermissionError or StoreError for a URL.
    """
    if isinstance(file, Container):
        if not file._file.remote and file._file.own_path is None:
            return None
        file = file._file.path
    file = os.fsdecode(file) if isinstance(file, bytes) else file
    local = local_path(file) if isinstance(file, str) and is_url(file) else None
    location = Location.of(file) if local is None else None
    if location is not None:
        fs, path = location.store()
        url = str(fs.unstrip_protocol(path))
        if local_path(url) is None:
            return url
        local = path
    if local is None and isinstance(file, (str, os.PathLike)):
        local = os.fsdecode(file)
    return None if local is None else Path(os.path.realpath(local))
