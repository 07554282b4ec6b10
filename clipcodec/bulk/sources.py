"""What inputs mean: directories, patterns, lists, archives, arrays → entries with ids, in order.

Ids, and so the order, do not depend on the machine: POSIX slashes, sorted by code point.

* a directory: its image files, those of its folders too, links followed; id: the path within it,
  after the directory's name if `prefix`. Hidden files are left out, and so is all whose suffix is
  not one of an image format that Pillow reads.
* a pattern such as "photos/**/*.jpg": the images, archives and arrays that match; id of an image:
  the path as it matched
* list.txt: a path a line, relative to the list's folder; id: the line. Blank lines and those that
  begin with # say nothing.
* shard.tar, also compressed, or "-" for one on stdin: its image members, streamed, never
  extracted; id: shard.tar/member
* rows.npy: embeddings, memory-mapped; id: rows.npy/0, rows.npy/1, …
* any other file is an image; id: the path as given
"""

from __future__ import annotations

import glob
import os
import sys
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import (
    ClipcodecError,
    EmbeddingError,
    ImageError,
    ImageFileError,
    InputError,
    OptionError,
    brief,
)

STDIN = "-"
LARGEST = 1 << 28  # bytes of an image file
_LONGEST_ID = 1 << 12
_ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
_NPY = b"\x93NUMPY"
# stubs that need another program to be read, and what images.py refuses
_NOT_READ = {"BUFR", "GRIB", "HDF5", "MPEG", "EPS", "WMF"}

Wanted = Callable[[str], bool]


class Entry(NamedTuple):
    """One thing to compress.

    id       of the stream to be
    name     in messages
    content  a path or the bytes of an image file, a row of an array, or what is wrong with it
    """

    id: str
    name: str
    content: str | bytes | NDArray[Any] | ClipcodecError


class Source(Protocol):
    """One input. count: how many entries it has, if that is known without reading it."""

    images: bool

    @property
    def count(self) -> int | None: ...

    def entries(self, wanted: Wanted) -> Iterator[Entry]:
        """The entries whose id is wanted, and those that cannot be read; asks for all in order."""


def find(
    inputs: Sequence[str], *, prefix: bool | None = None, stdin: BinaryIO | None = None
) -> tuple[list[Source], str | None]:
    """What the inputs are, in their order, and the directory that ids are relative to, if one is.

    prefix  ids of a directory's files begin with its name; None: if there are several inputs

    An input that is not there is a source of one entry that says so. Raises OptionError if the ids
    of two inputs would be the same.
    """
    bare = len(inputs) == 1 and os.path.isdir(inputs[0]) and not prefix
    labels: list[str] = []
    sources: list[Source] = []
    for name in inputs:
        if name != STDIN and not os.path.exists(name) and glob.has_magic(name):
            matches = [m for m in sorted(glob.glob(name, recursive=True)) if _known(m)]
            if not matches:
                sources.append(_Files([_failed(name, f"no image matches {name!r}")]))
            for match in matches:
                _add(sources, labels, match, bare=False, stdin=None)
        else:
            _add(sources, labels, name, bare=bare, stdin=stdin)
    for label, count in Counter(labels).items():
        if count > 1:
            raise OptionError(
                f"{count} inputs are called {label!r}, and ids begin with that: rename one, or "
                "give them to containers of their own"
            )
    return sources, _label(inputs[0]) if bare else None


def _add(
    sources: list[Source], labels: list[str], name: str, *, bare: bool, stdin: BinaryIO | None
) -> None:
    """Append what one input is, and its name if ids begin with that."""
    files: list[_Listed] = []
    if name == STDIN or _is_archive(name):
        source = Archive(name, stdin)
        labels.append(source.label)
        sources.append(source)
        return
    if os.path.isdir(name):
        start = "" if bare else _label(name) + "/"
        files = _directory(name, start)
        if not bare:
            labels.append(_label(name))
    elif name.lower().endswith(".txt") and os.path.isfile(name):
        files = _list(name)
    elif _is_array(name):
        labels.append(_label(name))
        sources.append(_Rows(name))
        return
    else:
        files = [(_posix(name), name)]
    if sources and isinstance(sources[-1], _Files):
        sources[-1].extend(files)
    else:
        sources.append(_Files(files))


# files

_Listed = tuple[str, "str | ClipcodecError"]  # id, and path or what is wrong


class _Files:
    images = True

    def __init__(self, files: list[_Listed]) -> None:
        self._files = files

    def extend(self, files: list[_Listed]) -> None:
        self._files += files

    @property
    def count(self) -> int | None:
        return len(self._files)

    def entries(self, wanted: Wanted) -> Iterator[Entry]:
        for id, content in self._files:
            if isinstance(content, ClipcodecError):
                yield Entry(id, _shown(id), content)
            elif (fault := _id_fault(id)) is not None:
                yield Entry(_shown(id), _shown(content), fault)
            elif wanted(id):
                yield Entry(id, content, content)


def _directory(top: str, start: str) -> list[_Listed]:
    found: list[_Listed] = []
    _walk(top, start, found, frozenset())
    if not found:
        found.append(_failed(top, f"{top!r} holds no image files"))
    return sorted(found, key=lambda pair: pair[0])


def _walk(folder: str, start: str, found: list[_Listed], above: frozenset[Any]) -> None:
    try:
        status = os.stat(folder)
        key = (status.st_dev, status.st_ino)
        if key in above:  # a link to a folder around it
            return
        with os.scandir(folder) as scan:
            items = list(scan)
    except OSError as error:
        found.append(_failed(folder, f"{folder!r} cannot be read: {error.strerror}"))
        return
    for item in items:
        if item.name.startswith("."):
            continue
        if item.is_dir():
            _walk(item.path, f"{start}{item.name}/", found, above | {key})
        elif _is_image(item.name):
            found.append((start + item.name, item.path))


def _list(name: str) -> list[_Listed]:
    try:
        lines = Path(name).read_bytes().removeprefix(b"\xef\xbb\xbf").splitlines()
    except OSError as error:
        return [_failed(name, f"{name!r} cannot be read: {error.strerror}")]
    folder = os.path.dirname(name)
    found: list[_Listed] = []
    for line in lines:
        text = os.fsdecode(line.strip())
        if text and not text.startswith("#"):
            found.append((_posix(text), os.path.join(folder, text)))
    return found or [_failed(name, f"{name!r} names no images: one path a line is expected")]


@lru_cache(maxsize=1)
def _suffixes() -> frozenset[str]:
    from PIL import Image

    formats = Image.registered_extensions().items()
    return frozenset(s for s, kind in formats if kind in Image.OPEN and kind not in _NOT_READ)


def _is_image(name: str) -> bool:
    """By its suffix."""
    return os.path.splitext(name)[1].lower() in _suffixes()


# archives


class _Header(tarfile.TarInfo):
    """tarfile takes a damaged header for the archive's end. This one tells."""

    @classmethod
    def fromtarfile(cls, tarfile_: tarfile.TarFile) -> _Header:
        try:
            header = super().fromtarfile(tarfile_)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            raise
        except tarfile.HeaderError as error:
            why = str(error)
            if why == "empty header":
                why = "it ends without its end mark: cut, or still being written"
            raise tarfile.ReadError(why) from error
        assert isinstance(header, _Header)
        return header


class Archive:
    images = True
    count: int | None = None

    def __init__(self, name: str, stdin: BinaryIO | None) -> None:
        self._name, self._stdin = name, stdin
        self.label = "stdin" if name == STDIN else _label(name)

    def entries(self, wanted: Wanted) -> Iterator[Entry]:
        seen = 0
        try:
            with self._open() as archive:
                while (member := archive.next()) is not None:
                    archive.members = []  # type: ignore[attr-defined]  # it would keep them all
                    base = member.name.rpartition("/")[2]
                    if not member.isfile() or base.startswith(".") or not _is_image(base):
                        continue
                    seen += 1
                    yield from self._member(archive, member, wanted)
        except Exception as error:  # gzip, bz2, xz and tarfile raise nearly anything
            why = getattr(error, "strerror", None) or brief(error) or type(error).__name__
            message = f"{why}; of this archive {seen} images were found, what follows is lost"
            yield Entry(self.label, self._name, InputError(message))
            return
        if not seen:
            yield Entry(self.label, self._name, InputError("the archive holds no image files"))

    def _open(self) -> tarfile.TarFile:
        if self._name == STDIN:
            file = self._stdin or sys.stdin.buffer
            return tarfile.open(fileobj=file, mode="r|*", tarinfo=_Header)
        if os.path.isfile(self._name) and self._name.lower().endswith(".tar"):
            try:  # can seek over what is not wanted
                return tarfile.open(self._name, "r:", tarinfo=_Header)
            except tarfile.ReadError:
                pass  # compressed, in spite of its name
        return tarfile.open(self._name, "r|*", tarinfo=_Header)

    def _member(
        self, archive: tarfile.TarFile, member: tarfile.TarInfo, wanted: Wanted
    ) -> Iterator[Entry]:
        id = f"{self.label}/{member.name.removeprefix('./')}"
        fault = _id_fault(id)
        if fault is not None:
            yield Entry(_shown(id), _shown(id), fault)
        elif wanted(id):
            if member.size > LARGEST:
                yield Entry(id, id, too_large(member.size))
                return
            file = archive.extractfile(member)
            assert file is not None  # it is a file
            data = file.read()
            if len(data) != member.size:
                raise tarfile.ReadError("it ends inside a member: cut")
            yield Entry(id, id, data)


def too_large(size: int) -> ImageError:
    return ImageError(f"{size} bytes: above the limit of {LARGEST} for an image file")


# arrays


class _Rows:
    images = False

    def __init__(self, name: str) -> None:
        self._name, self._label = name, _label(name)
        self._rows: NDArray[Any] | EmbeddingError
        try:
            rows = np.load(name, mmap_mode="r", allow_pickle=False)
            if rows.ndim not in (1, 2) or not len(rows):
                shape = f"an array of shape {rows.shape}"
                raise EmbeddingError(f"{shape}: expected (D,) or (N, D), N > 0")
            self._rows = np.atleast_2d(rows)
        except EmbeddingError as error:
            self._rows = error
        except Exception as error:  # a damaged header makes numpy raise nearly anything
            self._rows = EmbeddingError(f"not a readable .npy file: {brief(error)}")

    @property
    def count(self) -> int | None:
        return 1 if isinstance(self._rows, EmbeddingError) else len(self._rows)

    def entries(self, wanted: Wanted) -> Iterator[Entry]:
        if isinstance(self._rows, EmbeddingError):
            yield Entry(self._label, self._name, self._rows)
            return
        for i, row in enumerate(self._rows):
            id = f"{self._label}/{i}"
            if wanted(id):
                yield Entry(id, id, row)


# names


def _known(match: str) -> bool:
    """Is a file that a pattern matches an input?"""
    return os.path.isfile(match) and (_is_image(match) or _is_archive(match) or _is_array(match))


def _is_archive(name: str) -> bool:
    return name.lower().endswith(_ARCHIVES) and not os.path.isdir(name)


def _is_array(name: str) -> bool:
    if not os.path.isfile(name):
        return False
    try:
        with open(name, "rb") as file:
            return file.read(len(_NPY)) == _NPY
    except OSError:
        return False


def holds_many(name: str) -> bool:
    """Is this input, by its name, one that only a container can take?"""
    return name != STDIN and (os.path.isdir(name) or _is_archive(name))


def _label(name: str) -> str:
    return os.path.basename(os.path.abspath(name)) or "root"


def _posix(path: str) -> str:
    return path.replace(os.sep, "/")


def _failed(name: str, why: str) -> _Listed:
    return name, ImageFileError(why)


def _id_fault(id: str) -> ClipcodecError | None:
    try:
        size = len(id.encode())
    except UnicodeEncodeError:
        return InputError("its name is not UTF-8, so it can be no id: rename it")
    if size > _LONGEST_ID:
        return InputError(f"its name has {size} bytes, and an id at most {_LONGEST_ID}: rename it")
    return None


def _shown(name: str) -> str:
    """A name that is not UTF-8, as text."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")
