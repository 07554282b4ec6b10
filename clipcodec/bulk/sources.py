"""What the inputs of a job are: directories, patterns, lists, archives and arrays → entries.

Ids, and so the order, are the same on every machine and in every locale: names' bytes as UTF-8,
with forward slashes, sorted by code point.

* directory: its image files and those of the folders in it, links followed; id: the path within
  the directory, after the directory's name if `prefix`. Hidden files, and files without the suffix
  of an image format that Pillow reads, are left out, and counted in `left_out`.
* pattern such as "photos/**/*.jpg": the images, archives and arrays that match; id of an image:
  the path as it matched
* list.txt: one path per line, relative to the list's folder; id: the line. Blank lines, and lines
  that begin with #, are skipped. Also in UTF-16 with its mark, or with NUL after each path: these
  are taken as they are.
* shard.tar, also compressed: its images (archives.py); id: shard.tar/name
* rows.npy, .npz, .safetensors, .pt or .csv: embeddings, memory-mapped if they can be (arrays.py);
  id: rows.npy/0, rows.npy/1, …
* "-": an archive or embeddings on stdin, by its first bytes
* any other file is an image; id: the path as given

What an entry is (file, folder, pipe) is asked before it is opened. An input by its own name may be
a pipe or an open file (<(…), /dev/stdin): an archive, embeddings or an image, by its first bytes.
It is read here, not in a worker, and once.
"""

from __future__ import annotations

import glob
import io
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from numpy.typing import NDArray

from .. import arrays
from ..embeddings import as_rows
from ..errors import ClipcodecError, EmbeddingError, ImageFileError, InputError, OptionError
from ..system.files import written_directly
from ..system.optional import require
from ..system.pipes import LARGEST_ARRAY, LARGEST_IMAGE, Pipe, read_at_most
from .archives import STDIN, Archive, begins_archive, is_archive
from .entries import (
    FOLDER,
    HIDDEN,
    IN_ITSELF,
    NO_IMAGE,
    OTHER_INPUT,
    Entry,
    Source,
    Tally,
    Wanted,
    id_fault,
    is_image,
    kind_fault,
    label,
    no_image,
    printable,
    text_of,
)

CheckWidth = Callable[[int, int], object]  # dimensions, and how many rows have them


def find(
    inputs: Sequence[str],
    *,
    prefix: bool | None = None,
    stdin: BinaryIO | None = None,
    check_width: CheckWidth | None = None,
) -> tuple[list[Source], str | None]:
    """What the inputs are, in their order, and the directory that ids are relative to, if one is.

    prefix       ids of a directory's files begin with its name; None: if there are several inputs
    check_width  raises EmbeddingError for an array whose rows cannot be encoded: all its rows are
                 then one entry that says so

    An input that does not exist is a source of one entry that says so. Raises OptionError if the
    ids of two inputs would be the same.
    """
    bare = len(inputs) == 1 and os.path.isdir(inputs[0]) and not prefix
    found = _Finder(bare, stdin, check_width)
    for name in inputs:
        if name != STDIN and not os.path.exists(name) and glob.has_magic(name):
            found.add_matches(name)
        else:
            found.add(name)
    for beginning, count in Counter(found.labels).items():
        if count > 1:
            raise OptionError(
                f"{count} inputs are called {beginning!r}, and ids begin with that name: rename "
                "one, or put them into containers of their own"
            )
    return found.sources, printable(label(inputs[0])) if bare else None


class _Finder:
    """Collects sources, and in `labels` what ids of each begin with."""

    def __init__(self, bare: bool, stdin: BinaryIO | None, check_width: CheckWidth | None) -> None:
        self._bare, self._stdin, self._check_width = bare, stdin, check_width
        self.sources: list[Source] = []
        self.labels: list[str] = []

    def add_matches(self, pattern: str) -> None:
        left_out = Tally()
        circles: set[str] = set()
        matches = []
        for name in sorted(_glob(pattern, circles), key=text_of):
            why = _not_taken(name, pattern)
            if why is None:
                matches.append(name)
            elif not (why == FOLDER and pattern.endswith(("**", "**/*"))):  # it takes all below
                left_out.add(why, _shown(name))
        for folder in sorted(circles):
            left_out.add(IN_ITSELF, _shown(folder))
        failures = [] if matches else [_failed(pattern, f"no image matches {_shown(pattern)!r}")]
        self._add_files(failures, left_out)
        for name in matches:
            fault = kind_fault(name)
            if fault is None:
                self.add(name)
            else:
                self._add_files([(_posix(name), fault)])

    def add(self, name: str) -> None:
        if name == STDIN:
            self._add_stdin()
        elif written_directly(name):
            self._add_stream(name)
        elif is_archive(name):
            self._add_archive(Archive(name, None))
        elif os.path.isdir(name):
            if not self._bare:
                self.labels.append(label(name))
            self._add_files(*_directory(name, "" if self._bare else label(name) + "/"))
        elif (kind := arrays.kind_of_file(name)) is not None:
            self._add_array(Array(name, name, kind, self._check_width))
        elif name.lower().endswith(".txt") and os.path.isfile(name):
            self._add_files(_list(name))
        else:
            self._add_files([(_posix(name), _absent(name) or kind_fault(name) or name)])

    def _add_stdin(self) -> None:
        """Embeddings, known by their first bytes, or an archive."""
        stdin = self._stdin or sys.stdin.buffer
        at = stdin.tell() if stdin.seekable() else None
        pipe = Pipe("stdin", stdin)
        kind = arrays.kind_of("", pipe.first(arrays.HEAD))
        if kind is None:
            require("PIL")  # images are known by the suffixes of formats that Pillow reads
            if at is None:
                stdin = io.BufferedReader(pipe)
            else:  # links in it need a second pass
                stdin.seek(at)
            self._add_archive(Archive(STDIN, stdin))
            return
        try:
            data = read_at_most(pipe, LARGEST_ARRAY)
            self._add_array(Array("stdin", data, kind, self._check_width))
        except InputError as error:
            self._add_files([("stdin", error)])

    def _add_stream(self, name: str) -> None:
        """A pipe, or an open file: it is what its first bytes say. Workers cannot open it."""
        try:
            pipe = Pipe(name)
            head = pipe.first(arrays.HEAD)
            kind = arrays.kind_of(name, head)
            if kind is not None:
                with pipe:
                    data = read_at_most(pipe, LARGEST_ARRAY)
                self._add_array(Array(name, data, kind, self._check_width))
            elif is_archive(name) or begins_archive(head):
                self._add_archive(Archive(name, io.BufferedReader(pipe)))
            else:
                self.sources.append(_Stream(name, pipe))
        except OSError as error:
            self._add_files([_failed(name, f"cannot be read: {error.strerror}")])
        except InputError as error:
            self._add_files([(text_of(name), error)])

    def _add_archive(self, archive: Archive) -> None:
        self.labels.append(archive.label)
        self.sources.append(archive)

    def _add_array(self, array: Array) -> None:
        self.labels.append(array.label)
        self.sources.append(array)

    def _add_files(self, files: list[_Listed], left_out: Tally | None = None) -> None:
        if not (self.sources and isinstance(self.sources[-1], _Files)):
            self.sources.append(_Files())
        source = self.sources[-1]
        assert isinstance(source, _Files)
        source.extend(files, left_out or Tally())


# files

_Listed = tuple[str, "str | ClipcodecError"]  # id, and path or what is wrong


class _Line(str):
    """The path in a line of a list, of which it is not known yet what it is."""


class _Files:
    def __init__(self) -> None:
        self._files: list[_Listed] = []
        self.left_out = Tally()

    @property
    def images(self) -> bool:
        """Without a file to read no backbone is needed, not even to say what is wrong."""
        return any(not isinstance(content, ClipcodecError) for _, content in self._files)

    def extend(self, files: list[_Listed], left_out: Tally) -> None:
        self._files += files
        self.left_out.update(left_out)

    @property
    def count(self) -> int | None:
        return len(self._files)

    def entries(self, wanted: Wanted) -> Iterator[Entry]:
        for i, (id, content) in enumerate(self._files):
            if isinstance(content, ClipcodecError):
                yield Entry(printable(id), printable(id), content)
            elif (fault := id_fault(id)) is not None:
                yield Entry(printable(id), _shown(content), fault)
            elif wanted(id):
                checked: str | ClipcodecError = content
                if isinstance(content, _Line):
                    checked = kind_fault(content) or str(content)
                    self._files[i] = id, checked
                yield Entry(id, _shown(content), checked)


class _Stream:
    """One image that comes through a pipe."""

    images = True
    count: int | None = None  # to know it, it would have to be read

    def __init__(self, name: str, pipe: Pipe) -> None:
        self._name, self._pipe = name, pipe
        self.left_out = Tally()

    def entries(self, wanted: Wanted) -> Iterator[Entry]:
        id, name = _posix(self._name), _shown(self._name)
        fault = id_fault(id)
        if fault is not None:
            yield Entry(printable(id), name, fault)
        elif wanted(id):
            try:
                with self._pipe:
                    content: bytes | ClipcodecError = read_at_most(self._pipe, LARGEST_IMAGE)
            except InputError as error:
                content = error
            except OSError as error:
                content = ImageFileError(f"cannot be read: {error.strerror}")
            yield Entry(id, name, content)


def _directory(top: str, start: str) -> tuple[list[_Listed], Tally]:
    found: list[_Listed] = []
    left_out = Tally()
    _walk(top, start, found, left_out, frozenset())
    if not found:
        found.append(_failed(top, f"{_shown(top)!r} holds no image files"))
    return sorted(found, key=lambda pair: pair[0]), left_out


def _walk(
    folder: str, start: str, found: list[_Listed], left_out: Tally, above: frozenset[Any]
) -> None:
    """Append the images of a folder and those below it. above: the folders that it lies in."""
    try:
        status = os.stat(folder)
        key = (status.st_dev, status.st_ino)
        if key in above:  # it would never end
            left_out.add(IN_ITSELF, printable(start))
            return
        with os.scandir(folder) as scan:
            items = sorted(scan, key=lambda item: item.name)
    except OSError as error:
        found.append(_failed(folder, f"{_shown(folder)!r} cannot be read: {error.strerror}"))
        return
    for item in items:
        id = start + text_of(item.name)
        if item.name.startswith("."):
            left_out.add(HIDDEN, printable(id))
        elif _is_folder(item):
            _walk(item.path, f"{id}/", found, left_out, above | {key})
        elif is_image(item.name):
            found.append((id, (None if _is_file(item) else kind_fault(item.path)) or item.path))
        elif arrays.suffix_of(item.name) not in (None, ".csv") or is_archive(item.path):
            left_out.add(OTHER_INPUT, printable(id))
        else:
            left_out.add(no_image(item.name), printable(id))


def _is_folder(item: os.DirEntry[str]) -> bool:
    try:
        return item.is_dir()
    except OSError:  # a link to itself
        return False


def _is_file(item: os.DirEntry[str]) -> bool:
    try:
        return item.is_file()
    except OSError:
        return False


def _list(name: str) -> list[_Listed]:
    try:
        paths = _paths(Path(name).read_bytes())
    except OSError as error:
        return [_failed(name, f"{_shown(name)!r} cannot be read: {error.strerror}")]
    except UnicodeError:
        why = "is text in damaged UTF-16, or without its mark: save it as UTF-8"
        return [_failed(name, f"{_shown(name)!r} {why}")]
    folder = os.path.dirname(name)
    found: list[_Listed] = [
        (_posix(path), _Line(os.path.join(folder, path))) for path in map(os.fsdecode, paths)
    ]
    return found or [_failed(name, f"{_shown(name)!r} names no images: expected one path per line")]


def _paths(data: bytes) -> list[bytes]:
    """The paths in a list: one per line, or, as `find -print0` writes them, each ended by NUL.

    Raises UnicodeError for text in UTF-16 that is damaged or has no byte order mark.
    """
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        data = data.decode("utf-16").encode()  # as Windows programs write
        if b"\0" in data:
            raise UnicodeError
    if b"\0" not in data:
        lines = (line.strip() for line in data.removeprefix(b"\xef\xbb\xbf").splitlines())
        return [line for line in lines if line and not line.startswith(b"#")]
    paths = data.split(b"\0")
    if sum(len(path) <= 1 for path in paths) > len(paths) // 2 + 1:  # each second byte is NUL
        raise UnicodeError
    return [path for path in paths if path]


def _absent(name: str) -> ImageFileError | None:
    """What is wrong with an input that is not there; None: it is."""
    if os.path.lexists(name):
        return None
    return ImageFileError("there is no such file or folder: check the path")


def _failed(name: str, why: str) -> _Listed:
    return text_of(name), ImageFileError(why)


def _posix(path: str) -> str:
    return text_of(path).replace(os.sep, "/")


def _shown(path: str) -> str:
    return printable(text_of(path))


# arrays


class Array:
    """Rows of a file of embeddings.

    rows   (N, D) of any type and norms, as they lie in the file; None if they cannot be encoded
    fault  why they cannot
    """

    images = False

    def __init__(
        self, name: str, source: arrays.Source, kind: str, check_width: CheckWidth | None
    ) -> None:
        """source: its path, or all its bytes"""
        self._name, self.label = name, label(name)
        self.left_out = Tally()
        self.rows: NDArray[Any] | None = None
        self.fault: ClipcodecError | None = None
        self.count = 1
        try:
            rows = arrays.read(source, kind)
            self.count = len(rows)
            self.fault = id_fault(f"{self.label}/0") or _fault(rows, check_width)
            if self.fault is None:
                self.rows = rows
        except EmbeddingError as error:
            self.fault = error

    def entries(self, wanted: Wanted) -> Iterator[Entry]:
        if self.fault is not None:
            yield Entry(printable(self.label), _shown(self._name), self.fault, self.count)
        for i, row in enumerate(() if self.rows is None else self.rows):
            id = f"{self.label}/{i}"
            if wanted(id):
                yield Entry(id, id, row)


def _fault(rows: NDArray[Any], check_width: CheckWidth | None) -> EmbeddingError | None:
    """What is wrong with all rows alike, if anything."""
    try:
        as_rows(rows)
    except EmbeddingError as error:
        return EmbeddingError(f"{len(rows)} rows: {error.reason}")
    try:
        if check_width is not None:
            check_width(rows.shape[1], len(rows))
    except EmbeddingError as error:
        return EmbeddingError(error.reason)
    return None


# names


def _not_taken(match: str, pattern: str) -> str | None:
    """Why what matches a pattern is no input; None: it is one.

    Arrays but .npy are taken if the pattern ends as they do: a table or the weights of a model may
    lie beside images.
    """
    if os.path.isdir(match):
        return FOLDER
    named = arrays.suffix_of(match) is not None  # then Pillow, which knows images, is not asked
    if not named and (is_image(match) or is_archive(match)):
        return None
    kind = arrays.kind_of_file(match)
    if kind is not None:
        asked = kind == arrays.suffix_of(pattern) or kind == ".npy"
        return None if asked else NO_IMAGE if kind == ".csv" else OTHER_INPUT
    gone = match.lower().endswith(".npy") and not os.path.isfile(match)
    return None if gone else no_image(match)


def _glob(pattern: str, circles: set[str]) -> set[str]:
    """As glob.glob, but ** does not go in circles: with two such links glob would never end.

    circles  links to a folder that they lie in are added
    """
    parts = pattern.replace(os.altsep or os.sep, os.sep).split(os.sep)
    if "**" not in parts:
        return set(glob.glob(pattern))
    at = parts.index("**")
    after = at + 1
    while parts[after : after + 1] == ["**"]:  # as one
        after += 1
    rest = os.sep.join(parts[after:]) or "*"
    tops = glob.glob(os.sep.join([*parts[:at], ""])) if at else [""]
    found: set[str] = set()
    for top in tops:
        for folder in _folders(top, frozenset(), circles):
            found |= _glob(os.path.join(glob.escape(folder), rest), circles)
    return found


def _folders(folder: str, above: frozenset[Any], circles: set[str]) -> Iterator[str]:
    """A folder and those below it that are not hidden."""
    try:
        status = os.stat(folder or os.curdir)
        key = (status.st_dev, status.st_ino)
        if key in above:
            circles.add(folder)
            return
        with os.scandir(folder or os.curdir) as scan:
            names = sorted(i.name for i in scan if not i.name.startswith(".") and _is_folder(i))
    except OSError:  # as glob.glob; what cannot be listed matches nothing
        return
    yield folder
    for name in names:
        yield from _folders(os.path.join(folder, name), above | {key}, circles)


def holds_many(name: str) -> bool:
    """Is this input, by its name, one whose streams only a container can hold?"""
    return name != STDIN and (os.path.isdir(name) or is_archive(name))
