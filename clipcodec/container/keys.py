"""Which items a key means: a position, an id, a slice, many of these, or a mask."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import OptionError


def places_of(key: Any, count: int, index: Callable[[str], int]) -> int | NDArray[np.int64]:
    """The position of one item, counted from the start, or those of many, in their order.

    count  items that there are
    index  gives the position of an id, or raises KeyError

    Raises IndexError, KeyError, or OptionError for what is no key.
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
        raise IndexError(f"item {wrong[0]} of a container of {count}")
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
        raise IndexError(f"item {key} of a container of {count}")
    return place
