"""Items of a container by their ids, in little memory; ids near to one that no item has."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from difflib import SequenceMatcher
from heapq import nlargest
from itertools import islice

from .reader import Container

_TRIED = 2000  # ids that are compared letter by letter
_NEAR = 3
_LOOKED_AT = 100_000  # ids: of more it would take seconds
_ALIKE = 0.6  # of 1: letters that two ids have in common, in the same order


def positions(container: Container, ids: Collection[str]) -> dict[str, int]:
    """The position of the item with each of these ids; as `Container.index`, of the last.

    Reads all ids, a block at a time. Ids that no item has are left out.
    """
    wanted = {*ids}
    return {
        item.id: place
        for first, items in container.blocks()
        for place, item in enumerate(items, first)
        if item.id in wanted and item.id is not None
    }


def each_id(container: Container) -> Iterator[str | None]:
    """All ids that can be read, a block at a time."""
    for _, items in container.blocks(lambda error: None):
        for item in items:
            yield item.id


def did_you_mean(ids: Iterable[str | None], id: str) -> str:
    """The end of a message: those of these ids that may have been meant; "" if there is none."""
    alike = [repr(other) for other in near(ids, id)]
    *most, last = alike or [""]
    return f": did you mean {', '.join(most)}{' or ' if most else ''}{last}?" if alike else ""


def near(ids: Iterable[str | None], id: str) -> list[str]:
    """At most three of these ids that may have been meant; of equally near ones the first."""
    sought = _key(id)
    alike: dict[str, None] = {}  # the same but for folders and capital letters, or a part of it
    others: dict[str, int] = {}
    for other in islice(ids, _LOOKED_AT):
        if other is None:
            continue
        key = _key(other)
        if key == sought or (len(sought) > 2 and sought in other.casefold()):
            alike[other] = None
            if len(alike) == _NEAR:
                break
        elif not alike:
            others[other] = _shared(key, sought)
    if alike:
        return [*alike]
    tried = nlargest(_TRIED, others, key=others.__getitem__)
    scored = {one: max(_ratio(one, id), _ratio(_key(one), sought)) for one in tried}
    best = nlargest(_NEAR, scored, key=scored.__getitem__)
    return [other for other in best if scored[other] >= _ALIKE]


def _key(id: str) -> str:
    return id.rpartition("/")[2].casefold()


def _shared(a: str, b: str) -> int:
    """How many letters they have in common, at their places, roughly."""
    return sum(map(str.__eq__, a, b)) + sum(map(str.__eq__, a[::-1], b[::-1]))


def _ratio(a: str, b: str) -> float:
    return SequenceMatcher(None, a, b).ratio()
