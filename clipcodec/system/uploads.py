"""Writing an object of a store: it appears whole, or not at all."""

from __future__ import annotations

import atexit
import errno
import io
import os
import secrets
import sys
import tempfile
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, cast

from ..errors import ClipcodecError, OptionError, OutputExistsError
from . import files
from .stores import Location, fail, place_of

_PART = 1 << 24  # bytes of a part of a multipart upload, of which S3 takes 10,000
_unfinished: weakref.WeakSet[Upload] = weakref.WeakSet()


@contextmanager
def replacing(target: str | os.PathLike[str] | Location, *, overwrite: bool) -> Iterator[BinaryIO]:
    """A new file, or an object if `target` is a URL, that is there when the `with` block has ended.

    As `files.replacing`. An object's file cannot seek.
    """
    upload = upload_to(target, "w" if overwrite else "x")
    if upload is None:
        with files.replacing(place_of(target), overwrite=overwrite) as file:
            yield file
        return
    try:
        yield cast(BinaryIO, upload)
        upload.close()
    finally:
        upload.abort()  # of no effect once it is closed


def write(target: str | os.PathLike[str], data: bytes, *, overwrite: bool) -> None:
    """Write a whole file or object."""
    with replacing(target, overwrite=overwrite) as file:
        file.write(data)


def refuse_existing(target: str | os.PathLike[str] | Location, *, overwrite: bool) -> None:
    """Raise before long work if this URL's object exists, and may not be replaced; or OptionError.

    Raises as `upload_to`.
    """
    location = _location(target)
    if location is None:
        files.refuse_existing(Path(place_of(target)), overwrite=overwrite)
        return
    fs, path = location.store()
    _refuse_protocol(fs, location)
    if not overwrite:
        _refuse_existing(fs, path, location)


def upload_to(target: object, mode: str) -> Upload | None:
    """A file object whose `close` makes the object, and whose `abort` gives it up.

    target  None is given for all but URLs and what fsspec opens later, `OpenFile`
    mode    "x": the object must not exist yet; "w": it is replaced

    Raises OptionError for mode "a", and for a store that cannot be written; OutputExistsError; and
    as `stores.fail`.
    """
    location = _location(target)
    if location is None:
        return None
    if mode == "a":
        raise OptionError(
            f"{location.name}: an object of a store cannot be appended to: write a new one and "
            "merge both (`clipcodec merge`), or download it, append, and upload it"
        )
    if mode not in ("x", "w"):
        raise OptionError(f"mode={mode!r}: expected 'x', 'w' or 'a'")
    return Upload(location, overwrite=mode == "w")


def _location(target: object) -> Location | None:
    place = place_of(os.fsdecode(target) if isinstance(target, bytes) else target)
    return place if isinstance(place, Location) else None


def _refuse_protocol(fs: Any, location: Location) -> None:
    protocol = (fs.protocol,) if isinstance(fs.protocol, str) else fs.protocol
    if "https" in protocol:
        raise OptionError(
            f"{location.name}: http cannot be written to: write a file, and upload it"
        )


def _refuse_existing(fs: Any, path: str, location: Location) -> None:
    with suppress(Exception):  # what the file system remembers of a folder may be old
        fs.invalidate_cache(path)
    try:
        exists = fs.exists(path)
    except Exception as error:
        fail(location.name, error, "cannot be looked for")
    if exists:
        raise OutputExistsError(
            f"{location.name} exists, and overwriting it was not asked for (overwrite=True, mode "
            "'w', -f)"
        )


def _abort_all() -> None:
    """At the end of the program."""
    for upload in [*_unfinished]:
        upload.abort()


# before concurrent.futures ends the threads that requests need; what `atexit` has is called after
getattr(threading, "_register_atexit", atexit.register)(_abort_all)


class Upload(io.RawIOBase):
    """An object that is written: parts are sent as they come, and made the object by `close`.

    Until then whatever had the name stays. Stores other than S3 get all of it at the end, from a
    temporary file.

    Raises OutputExistsError; FileNotFoundError: there is no such bucket; PermissionError or
    StoreError.
    """

    def __init__(self, location: Location, *, overwrite: bool) -> None:
        self.name = location.name
        self._location, self._overwrite = location, overwrite
        self._done, self._process = True, os.getpid()
        fs, path = location.store()
        _refuse_protocol(fs, location)
        if not overwrite:
            _refuse_existing(fs, path, location)
        self._fs, self._path = fs, path
        self._size = 0
        self._file: Any = None
        self._commits = False  # does `_file` make the object? Else it is a temporary one
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        try:
            self._open()
        except Exception as error:
            self._fail(error, "cannot be written")
        self._done = False
        _unfinished.add(self)

    def _open(self) -> None:
        if type(self._fs).__module__.startswith("s3fs"):
            self._file, self._commits = self._multipart(), True
            return
        self._folder = tempfile.TemporaryDirectory(prefix="clipcodec-")
        self._file = open(os.path.join(self._folder.name, "object"), "wb")  # noqa: SIM115

    def _multipart(self) -> Any:
        """A file object of s3fs that commits and discards."""
        how = {"autocommit": False, "block_size": _PART}
        try:
            file = self._fs.open(self._path, "wb" if self._overwrite else "xb", **how)
        except (ValueError, NotImplementedError):  # mode "x" is new
            file = self._fs.open(self._path, "wb", **how)
        with suppress(Exception):  # the file system would end it with a transaction of the caller's
            self._fs.transaction.files.remove(file)
        file.offset = 0  # as its first flush does, so that a store that refuses does so now
        file._initiate_upload()
        return file

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._size

    def write(self, data: Any, /) -> int:
        if self._done:
            raise ValueError(f"{self.name}: the upload is closed")
        try:
            self._file.write(data)
        except Exception as error:
            self._fail(error, "cannot be written")
        self._size += memoryview(data).nbytes
        return memoryview(data).nbytes

    def close(self) -> None:
        """Make the object. If that fails it is given up."""
        if not self._done:
            try:
                if not self._overwrite:  # some stores pass over the condition of `commit`
                    _refuse_existing(self._fs, self._path, self._location)
                self._commit() if self._commits else self._send()
            except Exception as error:
                self.abort()
                self._fail(error, "cannot be written")
            except BaseException:
                self.abort()
                raise
            self._end()
        super().close()

    def _commit(self) -> None:
        self._file.close()
        try:
            self._file.commit()
        except OSError as error:
            if self._overwrite or error.errno != errno.ENOSYS:
                raise
            self._file.mode = "wb"  # the store knows no condition
            self._file.commit()

    def _send(self) -> None:
        """Upload the temporary file."""
        whole = self._file.name
        self._file.close()
        if getattr(self._fs, "async_impl", False):  # an object store: a name has all of it or none
            self._fs.put_file(whole, self._path)
            return
        temporary = f"{self._path}.clipcodec-{secrets.token_hex(6)}.tmp"
        try:
            self._fs.put_file(whole, temporary)
            self._fs.mv(temporary, self._path)
        except BaseException:
            with suppress(Exception):
                self._fs.rm_file(temporary)
            raise

    def abort(self) -> None:
        """Give up what was written. Of no effect after `close`, and in a forked process."""
        if self._done or self._process != os.getpid():
            return
        file = self._file
        if self._commits:
            with suppress(Exception):  # the error that led here says more
                file.discard()
            file.closed = True  # it would begin, and finish, when it is closed
        self._end()

    def _end(self) -> None:
        file, self._file, self._done = self._file, None, True
        if self._folder is not None:
            file.close()
            self._folder.cleanup()
        with suppress(Exception):
            self._fs.invalidate_cache(self._path)

    def _fail(self, error: Exception, what: str) -> None:
        if isinstance(error, ClipcodecError):
            raise error
        if isinstance(error, FileExistsError):
            raise OutputExistsError(
                f"{self.name} was made by another process meanwhile, and is kept"
            ) from error
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise error  # of the temporary file
        fail(self.name, error, what)

    def __del__(self) -> None:
        if not self._done and not sys.is_finalizing():  # else its threads are gone
            self.abort()
