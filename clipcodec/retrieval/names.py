"""The ids of some rows: unpacked when they are first asked for."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..container.ids import pack_ids, unpack_ids
from ..errors import CorruptError, placed


class Names:
    """The ids of `count` rows, None where a row has none.

    ids     one for each row; None: no row has an id, or they are still packed
    packed  as `container.ids.pack_ids` makes them
    check   CRC-32 of `packed`
    source  what an error of packed ids names
    ready   called before `packed` is read; raises an error if the file that it lies in was cut
    """

    def __init__(
        self, count: int, ids: list[str | None] | None = None, *,
        packed: NDArray[np.uint8] | None = None, check: int = 0, source: str = "",
        ready: Callable[[], None] | None = None,
    ) -> None:  # fmt: skip
        self._count, self._ids = count, ids
        self._packed, self._check, self._source = packed, check, source
        self._ready = ready

    @classmethod
    def of(cls, ids: list[str | None]) -> Names:
        return cls(len(ids), ids if any(id is not None for id in ids) else None)

    def __len__(self) -> int:
        return self._count

    @property
    def some(self) -> bool:
        """Whether a row may have an id."""
        return self._ids is not None or self._packed is not None

    def list(self) -> list[str | None]:
        """All ids. Raises CorruptError or TruncatedError."""
        if self._ids is not None:
            return self._ids
        if self._packed is None:
            return [None] * self._count
        if self._ready is not None:
            self._ready()
        data = self._packed.tobytes()
        with placed(source=self._source):
            if zlib.crc32(data) != self._check:
                raise CorruptError("check value of the ids does not match: damaged")
            self._ids = unpack_ids(data, self._count)
        return self._ids

    def part(self, rows: slice | NDArray[Any]) -> Names:
        """Those of some rows."""
        count = len(range(self._count)[rows]) if isinstance(rows, slice) else len(rows)
        if not self.some:
            return Names(count)
        ids = self.list()
        return Names.of(ids[rows] if isinstance(rows, slice) else [ids[i] for i in rows.tolist()])

    def pack(self) -> bytes:
        """The ids as they are stored; nothing if no row has one."""
        return pack_ids(self.list()) if self.some else b""


def joined_names(parts: Sequence[Names]) -> Names:
    """The ids of all rows."""
    if not any(part.some for part in parts):
        return Names(sum(map(len, parts)))
    return Names.of([id for part in parts for id in part.list()])
