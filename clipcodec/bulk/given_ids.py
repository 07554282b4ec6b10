"""Ids that a caller gives to the rows of arrays, in place of `rows.npy/17`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ..container.given import id_size
from ..errors import InputError, OptionError
from .array_files import Array
from .entries import Source

_SHOWN = 3


class GivenIds:
    """One id for each row of all sources together, in their order; None: it has none.

    A row keeps its own key, such as `rows.npy/17`, wherever it is told from the others: several may
    be given the same id.
    """

    def __init__(self, ids: Sequence[str | None]) -> None:
        """Raises OptionError for what is no id."""
        if isinstance(ids, (str, bytes)):
            raise OptionError(f"ids={ids!r} is one id: give one for each row")
        self._ids = list(ids)
        for row, id in enumerate(self._ids):
            if id is not None:
                try:
                    id_size(id)
                except OptionError as error:
                    error.rows, error.item = (row,), "id"
                    raise
        self._firsts: dict[str, int] = {}  # of the rows of each source

    def check(self, sources: Sequence[Source]) -> None:
        """Raise unless these are arrays, with as many rows as there are ids.

        OptionError: images are among them. InputError: the numbers differ, or an array cannot be
        read.
        """
        total, counts = 0, list[str]()
        for source in sources:
            if not isinstance(source, Array):
                raise OptionError(
                    "ids are given to rows of embeddings alone: images have their paths as ids"
                )
            if source.rows is None and source.fault is not None:
                raise InputError(
                    f"{source.label}: {source.fault}: its rows cannot be told from ids"
                )
            self._firsts[source.label] = total
            total += source.count
            counts.append(f"{source.label} {source.count:,}")
        if total != len(self._ids):
            each = f" ({', '.join(counts)})" if len(counts) > 1 else ""
            raise InputError(
                f"{len(self._ids):,} ids for {total:,} rows{each}: give one for each row, in their "
                "order"
            )

    def check_distinct(self) -> None:
        """Raise OptionError unless each row is told by its id from all others."""
        empty = self._ids.count(None)
        if empty:
            raise OptionError(
                f"{empty:,} rows are given no id, so it cannot be told whether they are there "
                "already: to go on with a container, give each an id of its own"
            )
        again = self.repeated()
        if again:
            named = ", ".join(map(repr, again[:_SHOWN])) + (", …" if again[_SHOWN:] else "")
            raise OptionError(
                f"{len(again):,} ids are given to several rows ({named}), so it cannot be told "
                "which are there already: to go on with a container, give each an id of its own"
            )

    def repeated(self) -> list[str]:
        """The ids that are given more than once."""
        return [id for id, count in Counter(self._ids).items() if count > 1 and id is not None]

    def of(self, key: str) -> str | None:
        """The id of the row with this key."""
        label, _, row = key.rpartition("/")
        return self._ids[self._firsts[label] + int(row)]

    def keys(self, ids: set[str]) -> set[str]:
        """The keys of the rows whose ids are among these."""
        starts = sorted((first, label) for label, first in self._firsts.items())
        ends = [first for first, _ in starts[1:]] + [len(self._ids)]
        return {
            f"{label}/{row - first}"
            for (first, label), end in zip(starts, ends, strict=True)
            for row in range(first, end)
            if self._ids[row] in ids
        }
