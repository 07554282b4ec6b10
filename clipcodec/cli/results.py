"""What a verb that writes says when an input is done: a line on stderr, and totals at the end.

    photo.jpg: 2.4 MB → 50 bytes, photo.jpg.clip
    3 files: 7.1 MB → 150 bytes, 1 failed

-q silences it, and a result that goes to stdout or a pipe has no line.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable

from ..system.files import written_directly
from ..system.stores import is_url
from .common import STDIO, report
from .inputs import label_of, remote
from .terminal import ARROW, counted, note, size_text


class Results:
    """The results of one command.

    inputs  how many there are to do; with more than one there are totals
    thing   what the totals count
    code    the exit code so far: 1 if an input, or a part of one, failed
    """

    def __init__(self, args: argparse.Namespace, inputs: int, thing: str = "file") -> None:
        self.failed = self.code = 0
        self._quiet: bool = getattr(args, "quiet", False)
        self._inputs, self._thing = inputs, thing
        self._done = self._shown = 0
        self._before: int | None = 0
        self._after = 0

    def done(
        self,
        name: str,
        output: str,
        after: int,
        before: int | None = None,
        *,
        words: str | None = None,
        was: str = "",
        made: str = "",
        more: str = "",
        facts: Iterable[str] = (),
    ) -> None:
        """An input is done.

        name    the input
        output  the file of its result
        after, before   bytes of the result and of the input; None: not known
        words           what was done; None: the sizes say it
        was, made       what these are, such as "50,000 embeddings"
        more            said at the end, in brackets
        facts           lines that follow
        """
        self._done += 1
        self._after += after
        if before is None or self._before is None:
            self._before = None
        else:
            self._before += before
        if self._quiet or is_unseen(output):
            return
        self._shown += 1
        there = _joined(was, "" if before is None else size_text(before))
        here = _joined(made, size_text(after))
        change = words or (f"{there} {ARROW} {here}" if there else here)
        where = "" if output == name else f", {output}"
        note(f"{label_of(name)}: {change}{where}" + (f" ({more})" if more else ""))
        for fact in facts:
            note(f"  {fact}")

    def fail(self, name: str, error: Exception) -> None:
        """Name an input that failed, and why."""
        report(name, error)
        self.failed += 1
        self.code = 1

    def end(self) -> int:
        """Say the totals, if there were several inputs; `code`."""
        if self._inputs > 1 and self._shown:
            size = size_text(self._after)
            if self._before:
                size = f"{size_text(self._before)} {ARROW} {size}"
            lost = f", {self.failed:,} failed" if self.failed else ""
            note(f"{counted(self._done, self._thing)}: {size}{lost}")
        return self.code


def _joined(*parts: str) -> str:
    return ", ".join(filter(None, parts))


def is_unseen(output: str) -> bool:
    """Does this result go to stdout, a pipe or a device, where no file is made?"""
    return output == STDIO or written_directly(output)


def size_of(source: str | bytes) -> int:
    """Bytes of an input: of its file, or as they were read."""
    if isinstance(source, str) and is_url(source):
        return remote(source).size
    return len(source) if isinstance(source, bytes) else os.path.getsize(source)


def together(names: list[str]) -> tuple[str, int | None]:
    """Inputs with one result: what messages call them, and their bytes if all are files."""
    name = names[0] if len(names) == 1 else counted(len(names), "input")
    return name, sum(map(os.path.getsize, names)) if all(map(os.path.isfile, names)) else None
