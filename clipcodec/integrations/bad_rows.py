"""Rows of a column that cannot be coded: an error that names them, or handed over one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from ..errors import ClipcodecError, each_row, placed
from ..retrieval.sources import WidthError
from .values import Places

_ROWS = 1 << 14  # tried again without the bad ones among them

OnBadRow = Callable[[ClipcodecError], object] | None


class Column:
    """Where we are in a column; its rows are counted over all batches."""

    def __init__(self, name: str | None, on_bad_row: OnBadRow) -> None:
        self.row = 0
        self._source = None if name is None else f"column {name!r}"
        self._on_bad_row = on_bad_row

    def _placed(self, places: Places | None = None) -> AbstractContextManager[None]:
        """Errors about the rows `places` of this batch name column and row; None: the column."""
        rows = None if places is None else places + self.row
        return placed(rows, item="row", source=self._source)

    def _bad(self, error: ClipcodecError, places: Places, *, together: bool = False) -> None:
        """Raise an error about the rows `places`, or hand it over, as one or one for each row."""
        if self._on_bad_row is None:
            with self._placed(places):
                raise error
        for fault in [error] if together else error.each():
            try:
                with self._placed(places):
                    raise fault
            except ClipcodecError as named:
                named.__traceback__ = None  # it would keep the whole batch in memory
                self._on_bad_row(named)

    def _made(
        self, work: Callable[[Any], Any], rows: Any, places: Places, caught: type[ClipcodecError]
    ) -> tuple[Any, Places]:
        """What `work` makes of rows, one result per row, and their places; without the bad rows.

        rows    a list or an array, of which `work` takes any selection
        places  where they are in this batch
        caught  the class of errors about bad rows; others are always raised
        """
        if self._on_bad_row is None or not len(rows):
            with self._placed(places):
                return work(rows) if len(rows) else [], places
        results: list[Any] = []
        fine: list[int] = []
        for at in range(0, len(rows), _ROWS):
            own, faults = places[at : at + _ROWS], list[ClipcodecError]()
            with self._placed(own):
                found = _of_each(work, rows[at : at + _ROWS], caught)
            for place, result in zip(own.tolist(), found, strict=True):
                if isinstance(result, ClipcodecError):
                    faults.append(result)
                else:
                    results.append(result)
                    fine.append(place)
            for fault in _of_one_cause(faults):
                self._bad(fault, own, together=True)
        return results, np.array(fine, np.int64)


def _of_each(
    work: Callable[[Any], Any], rows: Any, caught: type[ClipcodecError]
) -> list[Any | ClipcodecError]:
    """What `work` makes of each row, or the row's error."""

    def some(picks: list[int]) -> Any:
        if len(picks) == len(rows):
            return work(rows)  # not copied
        return work(rows[picks] if isinstance(rows, np.ndarray) else [rows[i] for i in picks])

    return each_row(some, len(rows), caught)


def _of_one_cause(faults: list[ClipcodecError]) -> Iterator[ClipcodecError]:
    """The faults of rows, those of the same wrong width as one."""
    widths: dict[str, list[int]] = {}
    for fault in faults:
        if isinstance(fault, WidthError):
            widths.setdefault(fault.reason, []).extend(fault.rows)
        else:
            yield fault
    for reason, rows in widths.items():
        yield WidthError(reason, rows=rows)
