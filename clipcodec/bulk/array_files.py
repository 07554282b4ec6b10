"""Rows of files of embeddings as entries of a job."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from numpy.typing import NDArray

from .. import arrays
from ..embeddings import as_rows
from ..errors import ClipcodecError, EmbeddingError
from .entries import (
    Entry,
    Tally,
    Wanted,
    id_fault,
    label,
    printable,
    shown,
)

CheckWidth = Callable[[int, int], object]  # dimensions, and how many rows have them


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
            yield Entry(printable(self.label), shown(self._name), self.fault, self.count)
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
