"""Which items of a source are searched: those with some ids, or where something is true."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..container import Container
from ..container.choosing import did_you_mean
from ..container.keys import no_id, no_place, several_ids
from ..errors import OptionError
from ..system.arrow import as_column

Places = NDArray[np.int64]
Names = Callable[[], "Sequence[str | None]"]


def listed(source: Any) -> Any:
    """A source whose streams can be taken by place: a column becomes Arrow's, others a list.

    A series of pandas is one of these others: its `series[i]` is the row that is labelled i.
    """
    source = as_column(source)
    by_place = isinstance(source, (Sequence, Container, np.ndarray)) or hasattr(source, "to_pylist")
    return list(source) if isinstance(source, Iterable) and not by_place else source


def chosen(count: int, names: Names | None, what: str, ids: Any, where: Any) -> Places | None:
    """The places that a filter leaves, in order; None: all.

    count  items of the source
    names  gives their ids; None: they have none
    what   the source, for messages

    Raises OptionError or UnknownItemError.
    """
    if ids is None and where is None:
        return None
    kept = np.ones(count, bool)
    if ids is not None:
        kept &= _with_ids(names, count, what, ids)
    if where is not None:
        kept &= _where(count, names, where)
    return np.flatnonzero(kept)


def _with_ids(names: Names | None, count: int, what: str, ids: Any) -> NDArray[np.bool_]:
    wanted = {*several_ids(ids)}
    if not wanted:
        return np.zeros(count, bool)
    if names is None:
        raise OptionError(
            f"ids: {what} has no ids, which a container keeps; give positions: where=[…]"
        )
    known = names()
    kept = np.fromiter((name in wanted for name in known), bool, count)
    unknown = wanted.difference(known)
    if unknown:
        remedy = did_you_mean(known, min(unknown)) if len(unknown) == 1 else ""
        raise no_id(sorted(unknown), what, remedy)
    return kept


def _where(count: int, names: Names | None, where: Any) -> NDArray[np.bool_]:
    if callable(where):
        known = names() if names is not None else [None] * count
        return np.fromiter((bool(where(name)) for name in known), bool, count)
    try:
        values = np.asarray(where if hasattr(where, "__len__") else list(where))
    except (ValueError, TypeError) as error:
        raise OptionError(
            f"where: {type(where).__name__}: expected {_EXPECTED.format(count)}"
        ) from error
    if values.ndim == 1 and not values.size and values.dtype.kind != "b":
        return np.zeros(count, bool)  # no positions
    if values.ndim != 1 or values.dtype.kind not in "biu":
        raise OptionError(
            f"where: {values.dtype} of shape {values.shape}: expected {_EXPECTED.format(count)}"
        )
    if values.dtype.kind == "b":
        if len(values) != count:
            raise OptionError(f"where: {len(values)} booleans for {count} items: give one for each")
        return values
    odd = (values >= count) | (values < -count)
    if odd.any():
        raise no_place(values[odd][0], count)
    kept = np.zeros(count, bool)
    kept[values] = True
    return kept


_EXPECTED = "{} booleans, positions, or a function of an id"
