"""Which items a key means: a position, an id, a slice, many of these, or a mask."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import OptionError, UnknownItemError, brief

_NAMED = 3  # ids of those that no item has


def places_of(key: Any, count: int, index: Callable[[str], int]) -> int | NDArray[np.int64]:
    """The position of one item, counted from the start, or those of many, in their order.

    count  items that there are
    index  gives the position of an id, or raises UnknownItemError

    Raises UnknownItemError, or OptionError for what is no key.
    """
    if isinstance(key, slice):
        return np.arange(*key.indices(count))
    many = key.tolist() if hasattr(key, "tolist") else key
    if not isinstance(many, (list, range)):
        return _place(many, count, index)
    if len(many) and all(isinstance(chosen, bool) for chosen in many):
        if len(many) != count:
            raise OptionError(f"{len(many)} booleans for {count} items: give one for each")
        return np.flatnonzero(many)
    if isinstance(many, list) and not all(type(place) is int for place in many):
        return np.array([_place(place, count, index) for place in many], np.int64)
    places = np.array(many if len(many) else [], object)  # of any size: it is checked below
    wrong = [place for place in many if not -count <= place < count]
    if wrong:
        raise no_place(wrong[0], count)
    found = places.astype(np.int64)
    return np.where(found < 0, found + count, found)


def many_places_of(keys: Any, count: int, index: Callable[[str], int]) -> NDArray[np.int64]:
    """As `places_of`, for keys of which there are many; OptionError also for one."""
    if not (isinstance(keys, slice) or hasattr(keys, "tolist")):
        if isinstance(keys, (str, bytes, bytearray)) or not isinstance(keys, Iterable):
            raise OptionError(f"{type(keys).__name__} is not many keys: give a list of them")
        keys = [*keys]
    return np.atleast_1d(places_of(keys, count, index))


def _place(key: Any, count: int, index: Callable[[str], int]) -> int:
    if isinstance(key, str):
        return index(key)
    try:
        if isinstance(key, bool):
            raise TypeError
        place = operator.index(key)
    except TypeError:
        raise OptionError(
            f"{type(key).__name__} is no key of an item: expected its position, its id, a "
            "slice, or a list or array of positions or ids"
        ) from None
    if place < 0:
        place += count
    if not 0 <= place < count:
        raise no_place(key, count)
    return place


def several_ids(ids: Any) -> dict[str, None]:
    """The ids of items that are chosen, each once and in order: of a list or an array, or one.

    Raises OptionError for what are none.
    """
    values = [ids] if isinstance(ids, str) else ids.tolist() if hasattr(ids, "tolist") else ids
    if not isinstance(values, Iterable) or isinstance(values, bytes):
        raise OptionError(f"ids={ids!r}: expected the ids of items, a list of texts")
    found = list(values)
    odd = [value for value in found if not isinstance(value, str)]
    if odd:
        raise OptionError(f"ids: {odd[0]!r} is no id: expected texts; for positions, where=[…]")
    return dict.fromkeys(found)


def no_place(place: Any, count: int) -> UnknownItemError:
    """The error for a position that is not there."""
    there = f"there are {count:,}, counted from 0" if count else "there are none"
    return UnknownItemError(f"no item {place}: {there}")


def no_id(ids: Sequence[str], source: str | None = None, remedy: str = "") -> UnknownItemError:
    """The error for ids that no item has. source: where they were sought."""
    few = "no item has the id" if len(ids) == 1 else "no items have the ids"
    named = ", ".join(brief(repr(id)) for id in ids[:_NAMED])
    more = f" and {len(ids) - _NAMED:,} more" if len(ids) > _NAMED else ""
    error = UnknownItemError(f"{few} {named}{more}{remedy}")
    error.source = source
    return error
