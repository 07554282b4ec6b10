"""Which ids a container has, which a run adds, and what is left to do of each source."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import numpy as np

from ..errors import ClipcodecError, ImageFileError, InputError
from .archives import Archive
from .entries import Entry, Source
from .outcome import Failure

_TOGETHER = 2048  # rows of an array that are read at a time


class Ledger:
    """Which ids are in the container, which come in this run, and what failed."""

    def __init__(
        self, there: set[str], on_failure: Callable[[Failure], object] | None = None
    ) -> None:
        self._there, self._on_failure = there, on_failure
        self._seen: set[str] = set()
        self.there_already = 0
        self.failures: list[Failure] = []

    def wanted(self, id: str) -> bool:
        """Is this one to be compressed? Notes it: the same id again is a failure."""
        if id in self._seen:
            self.fail(id, InputError("a second image of this id: the first is kept"))
        elif id in self._there:
            self.there_already += 1
        else:
            self._seen.add(id)
            return True
        return False

    def is_missing(self, id: str) -> bool:
        """Like `wanted`, but notes nothing."""
        return id not in self._there

    def fail(self, name: str, error: ClipcodecError, rows: int = 1) -> None:
        failure = Failure(name, error, rows)
        self.failures.append(failure)
        if self._on_failure is not None:
            self._on_failure(failure)


def sum_left(sources: list[Source], ledger: Ledger) -> int | None:
    """How many images and rows there are to do in all, if that can be known."""
    left = [left_of(source, ledger) for source in sources]
    return None if None in left else sum(n for n in left if n is not None)


def left_of(source: Source, ledger: Ledger) -> int | None:
    """How many images or rows of a source there are to do, if that can be known."""
    if source.count is None:
        return None
    return sum(entry.rows for entry in source.entries(ledger.is_missing))


def row_parts(sources: list[Source], ledger: Ledger) -> Iterator[tuple[list[str], Any]]:
    """Ids and rows (n, D) of arrays that are to be compressed."""
    for source in sources:
        entries = (
            entry
            for entry in source.entries(ledger.is_missing)
            if isinstance(entry.content, np.ndarray)
        )
        while part := [*islice(entries, _TOGETHER)]:
            yield (
                [entry.id for entry in part],
                np.stack([np.asarray(entry.content) for entry in part]),
            )


def listed(source: Source, ledger: Ledger) -> Iterator[Entry]:
    """The entries to do, without the bytes of archive members; a missing file is an error."""
    found: list[str] = []

    def wanted(id: str) -> bool:
        if not ledger.wanted(id):
            return False
        if isinstance(source, Archive):
            found.append(id)
            return False  # its bytes are not read
        return True

    for entry in source.entries(wanted):
        content = entry.content
        if isinstance(content, str) and not os.path.exists(content):
            content = ImageFileError(f"{content!r} does not exist: check the path")
        yield entry._replace(content=content)
    for id in found:
        yield Entry(id, id, b"")
