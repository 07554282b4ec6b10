"""What an input of a verb is: a file, a URL, a pipe or stdin; an image, or a file of embeddings.

A pipe can be read only once. Its first bytes can be looked at before, and are not lost.
"""

from __future__ import annotations

import errno
import io
import os
import shutil
import sys
import tempfile
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, BinaryIO

from numpy.typing import NDArray

from .. import arrays
from ..system.files import written_directly
from ..system.pipes import LARGEST_ARRAY, LARGEST_IMAGE, Pipe, read_at_most
from ..system.stores import is_url

if TYPE_CHECKING:
    from ..system.remote import RemoteFile

STDIO = "-"


def label_of(name: str) -> str:
    """An input as messages call it."""
    return "stdin" if name == STDIO else _fetched.get(name, name)


_fetched: dict[str, str] = {}  # URLs, by the file that was made of each
_objects: dict[str, RemoteFile] = {}  # by URL: opened once, so all reads are of the same object
_waiting: dict[str, Pipe] = {}  # those that were looked at and not read yet


def _pipe(name: str) -> Pipe:
    found = _waiting.pop(name, None)
    if found is not None and (name != STDIO or found.source is sys.stdin.buffer):
        return found
    return Pipe("stdin", sys.stdin.buffer) if name == STDIO else Pipe(name)


def is_pipe(name: str) -> bool:
    """Is it stdin, a pipe or a device, which can be read only once?"""
    return name == STDIO or (written_directly(name) and not os.path.isfile(name))


def remote(name: str) -> RemoteFile:
    """The object that a URL names. OSError if it cannot be read."""
    from ..system.remote import RemoteFile
    from ..system.stores import Location

    if name not in _objects:
        _objects[name] = RemoteFile(Location(name))
    return _objects[name]


def forget() -> None:
    """What an earlier command line has opened may be another object by now."""
    _objects.clear()
    _fetched.clear()


def fetched(name: str, stack: ExitStack) -> str:
    """An input that can be read as a file: of a URL a copy, which `stack` removes."""
    if not is_url(name):
        return name
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="clipcodec-"))
    path = os.path.join(folder, os.path.basename(label_of(name).partition("?")[0]) or "object")
    with remote(name).stream() as source, open(path, "wb") as copy:
        shutil.copyfileobj(source, copy, 1 << 22)
    _fetched[path] = name
    return path


def as_given(text: str) -> str:
    """A message with the URL in place of the copy that was made of it."""
    for path, url in _fetched.items():
        text = text.replace(path, url)
    return text


def first_bytes(name: str, count: int) -> bytes:
    """The first bytes of an input, fewer if it is shorter. OSError if it cannot be read."""
    if is_url(name):
        return remote(name).read_at(0, count)
    if not is_pipe(name):
        with open(name, "rb") as file:
            return file.read(count)
    pipe = _waiting[name] = _pipe(name)
    return pipe.first(count)


def open_input(name: str) -> BinaryIO:
    """A file, or stdin or a pipe from its first byte on, also if it was looked at."""
    if is_url(name):
        return remote(name).stream()
    if not is_pipe(name):
        return open(name, "rb")
    return io.BufferedReader(_pipe(name))


def seekable(name: str) -> str | BinaryIO:
    """The path or URL of a file, or a file that has all bytes of stdin or a pipe."""
    if not is_pipe(name):
        return name
    with tempfile.TemporaryFile() as copy, open_input(name) as pipe:
        shutil.copyfileobj(pipe, copy)
        copy.seek(0)
        raw = io.FileIO(os.dup(copy.fileno()))
    raw.name = label_of(name)  # for errors
    return io.BufferedReader(raw)


def path_or_bytes(name: str) -> str | bytes:
    """The path of a file, or all bytes of a URL, or of stdin or a pipe, which is read only once.

    Raises InputError if they do not end.
    """
    if os.path.isdir(name):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), name)
    if not is_pipe(name) and os.path.isfile(name):
        return name
    head = first_bytes(name, arrays.HEAD)
    most = LARGEST_IMAGE if arrays.kind_of(name, head) is None else LARGEST_ARRAY
    with open_input(name) as file:
        return read_at_most(file, most)


def embedding_rows(source: bytes | str, name: str | None = None) -> NDArray[Any] | None:
    """The rows (N, D) of a file of embeddings, or None if it is another: then it must be an image.

    name  of the file whose bytes these are, if it has one
    """
    if isinstance(source, bytes):
        kind = arrays.kind_of(name or "", source[: arrays.HEAD])
    else:
        kind = arrays.kind_of_file(source)
    return None if kind is None else arrays.read(source, kind)
