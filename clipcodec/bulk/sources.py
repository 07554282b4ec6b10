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
from collections.abc import Sequence
from typing import BinaryIO

from .. import arrays
from ..errors import InputError, OptionError
from ..system.files import written_directly
from ..system.optional import require
from ..system.pipes import LARGEST_ARRAY, Pipe, read_at_most
from .archives import STDIN, Archive, begins_archive, is_archive
from .array_files import Array, CheckWidth
from .entries import (
    FOLDER,
    IN_ITSELF,
    Source,
    Tally,
    kind_fault,
    label,
    posix,
    printable,
    shown,
    text_of,
)
from .files import Files, Listed, Stream, absent, directory, failed, listed_in
from .patterns import matches_of, not_taken


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
        for name in sorted(matches_of(pattern, circles), key=text_of):
            why = not_taken(name, pattern)
            if why is None:
                matches.append(name)
            elif not (why == FOLDER and pattern.endswith(("**", "**/*"))):  # it takes all below
                left_out.add(why, shown(name))
        for folder in sorted(circles):
            left_out.add(IN_ITSELF, shown(folder))
        failures = [] if matches else [failed(pattern, f"no image matches {shown(pattern)!r}")]
        self._add_files(failures, left_out)
        for name in matches:
            fault = kind_fault(name)
            if fault is None:
                self.add(name)
            else:
                self._add_files([(posix(name), fault)])

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
            self._add_files(*directory(name, "" if self._bare else label(name) + "/"))
        elif (kind := arrays.kind_of_file(name)) is not None:
            self._add_array(Array(name, name, kind, self._check_width))
        elif name.lower().endswith(".txt") and os.path.isfile(name):
            self._add_files(listed_in(name))
        else:
            self._add_files([(posix(name), absent(name) or kind_fault(name) or name)])

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
                self.sources.append(Stream(name, pipe))
        except OSError as error:
            self._add_files([failed(name, f"cannot be read: {error.strerror}")])
        except InputError as error:
            self._add_files([(text_of(name), error)])

    def _add_archive(self, archive: Archive) -> None:
        self.labels.append(archive.label)
        self.sources.append(archive)

    def _add_array(self, array: Array) -> None:
        self.labels.append(array.label)
        self.sources.append(array)

    def _add_files(self, files: list[Listed], left_out: Tally | None = None) -> None:
        if not (self.sources and isinstance(self.sources[-1], Files)):
            self.sources.append(Files())
        source = self.sources[-1]
        assert isinstance(source, Files)
        source.extend(files, left_out or Tally())


def holds_many(name: str) -> bool:
    """Is this input, by its name, one whose streams only a container can hold?"""
    return name != STDIN and (os.path.isdir(name) or is_archive(name))
