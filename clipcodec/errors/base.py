"""The base of all errors: what is wrong, and with which rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Self

_LONGEST_REASON = 400  # characters


class ClipcodecError(Exception):
    """Base of all errors that clipcodec raises on purpose.

    Catch it to go on after any of them. The message names the input, says what was expected and
    what to do.

    Args:
        reason: What is wrong and what to do about it.
        rows: Rows of the caller's batch that have this fault.

    Attributes:
        reason: What is wrong and what to do about it.
        rows: Rows of the caller's batch that have this fault, in order, counted from 0: all that
            were checked together; () for a single input.
        source: Where these rows are: a file or a column; None: in what was given.
        item: What a row is called in the message: "embedding", "stream", "image", "row", …

    Examples:
        >>> X = np.load("embeddings.npy")
        >>> X[3] = np.nan
        >>> try:
        ...     clipcodec.encode_embeddings(X)
        ... except clipcodec.ClipcodecError as error:
        ...     print(error.index, error)
        3 embedding 3: NaN or infinite values
    """

    __module__ = "clipcodec.errors"  # where it is imported from, as tracebacks name it
    item: str = "item"

    def __init__(self, reason: object = "", *, rows: Iterable[int] = ()) -> None:
        super().__init__(reason)
        self.reason = str(reason)
        self.rows = tuple(rows)
        self.source: str | None = None
        self._reasons: tuple[str, ...] = ()  # one per row, where they differ
        self._others: tuple[ClipcodecError, ...] = ()  # found with it, about other rows

    @property
    def index(self) -> int | None:
        """The first row at fault, counted from 0; None if the caller gave a single input."""
        return self.rows[0] if self.rows else None

    def __str__(self) -> str:
        place = [] if self.source is None else [self.source]
        if self.rows:
            more = f" and {len(self.rows) - 1} more" if len(self.rows) > 1 else ""
            place.append(f"{self.item} {self.rows[0]}{more}")
        return f"{', '.join(place)}: {self.reason}" if place else self.reason

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    @classmethod
    def of_rows(cls, reasons: Mapping[int, str]) -> Self:
        """Make one error for rows with a reason each; its message is the first one's.

        Args:
            reasons: What is wrong with each row.

        Returns:
            The error, which knows all rows.

        Examples:
            >>> clipcodec.DecodeError.of_rows({2: "cut", 5: "damaged"})
            DecodeError('stream 2 and 1 more: cut')
        """
        rows = sorted(reasons)
        error = cls(reasons[rows[0]], rows=rows)
        set_reasons(error, reasons)
        return error

    def each(self) -> Iterator[ClipcodecError]:
        """Make an error for each of its rows.

        Yields:
            Errors without traceback, which keep no image or array alive.

        Examples:
            >>> error = clipcodec.DecodeError.of_rows({2: "cut", 5: "damaged"})
            >>> [str(one) for one in error.each()]
            ['stream 2: cut', 'stream 5: damaged']
        """
        for row, reason in reasons_of(self):
            error = type(self)(reason, rows=[row])
            error.source, error.item = self.source, self.item
            yield error


def reasons_of(error: ClipcodecError) -> list[tuple[int, str]]:
    """Each row at fault with its reason."""
    reasons = error._reasons or (error.reason,) * len(error.rows)
    return list(zip(error.rows, reasons, strict=True))


def set_reasons(error: ClipcodecError, reasons: Mapping[int, str]) -> None:
    """Make it an error about these rows, with a reason each; its message is the first one's."""
    error.rows = tuple(sorted(reasons))
    error._reasons = tuple(reasons[row] for row in error.rows)
    error.reason = error._reasons[0]


def brief(reason: object) -> str:
    """A reason as part of a message: not the whole file that a library may quote in it."""
    text = str(reason)
    return text if len(text) <= _LONGEST_REASON else f"{text[:_LONGEST_REASON]}…"
