"""Errors about rows: counted anew for the caller, collected, and raised as one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

from .base import ClipcodecError, reasons_of, set_reasons

T = TypeVar("T")


class RowNumbers(Protocol):
    """A list or array of row numbers."""

    def __getitem__(self, i: int, /) -> Any: ...


class placed:
    """A context manager: its errors name rows as the caller of this function counts them.

    rows    the number of the first row, or the number of each row, of what the block works on;
            None: the caller gave a single input
    item, source   as in `ClipcodecError`; None: as they are

    >>> with placed(1000, item="row"):
    ...     raise EmbeddingError("all zero", rows=[3])
    Traceback (most recent call last):
    clipcodec.errors.EmbeddingError: row 1003: all zero
    """

    def __init__(
        self,
        rows: int | RowNumbers | None = 0,
        *,
        item: str | None = None,
        source: str | None = None,
    ) -> None:
        self._rows, self._item, self._source = rows, item, source

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if not isinstance(error, ClipcodecError):
            return
        rows = self._rows
        for one in (error, *error._others):
            if rows is None:
                one.rows = ()
            elif isinstance(rows, int):
                one.rows = tuple(row + rows for row in one.rows)
            elif one.rows:
                set_reasons(one, {int(rows[i]): why for i, why in reversed(reasons_of(one))})
            one.item = self._item or one.item
            one.source = self._source or one.source


@contextmanager
def collected(faults: list[ClipcodecError], rows: int | RowNumbers) -> Iterator[None]:
    """Keep an error of the `with` block that is about rows, placed as `placed` does, in `faults`.

    So all parts of a batch can be tried before `raise_merged`.
    """
    try:
        with placed(rows):
            yield
    except ClipcodecError as error:
        if not error.rows:
            raise
        faults.append(error)


def raise_merged(faults: Iterable[ClipcodecError]) -> None:
    """Raise one error for errors about rows, if there are any: that of the first row.

    It has all rows whose errors are of its type; the others go with it, for `each_row`.
    """
    found = [one for fault in faults for one in (fault, *fault._others)]
    if not found:
        return
    leads: dict[type[ClipcodecError], ClipcodecError] = {}
    reasons: dict[type[ClipcodecError], dict[int, str]] = {}
    for one in sorted(found, key=lambda one: one.rows):
        leads.setdefault(type(one), one)
        reasons.setdefault(type(one), {}).update(reasons_of(one))
    for kind, lead in leads.items():
        set_reasons(lead, reasons[kind])
    first, *others = leads.values()
    first._others = tuple(others)
    raise first


def raise_rows(faults: Mapping[int, ClipcodecError]) -> None:
    """As `raise_merged`, of an error for each row at fault."""
    for row, fault in faults.items():
        fault.rows = (row,)
    raise_merged(faults.values())


def each_row(
    work: Callable[[list[int]], Iterable[T]],
    count: int,
    caught: type[ClipcodecError] = ClipcodecError,
) -> list[T | ClipcodecError]:
    """What `work` makes of each of `count` rows, or the error of a row in its place.

    work    takes row numbers; gives a result for each, or raises an error of type `caught` about
            some of them (numbered within what it was given). These are left out, and the others
            tried again: one round per check that some rows fail, however many they are.

    Errors about no row are raised.
    """
    found: dict[int, T | ClipcodecError] = {}
    rows = list(range(count))
    while rows:
        try:
            with placed(rows):
                results = work(rows)
            found.update(zip(rows, results, strict=True))
            break
        except caught as error:
            if not error.rows:
                raise
            for one in (error, *error._others):
                if isinstance(one, caught):
                    found.update((fault.rows[0], fault) for fault in one.each())
            rows = [row for row in rows if row not in found]
    return [found[row] for row in range(count)]
