"""Items of a container by their ids, in little memory; ids near to one that no item has."""

from __future__ import annotations

from collections.abc import Collection
from difflib import SequenceMatcher
from heapq import nlargest

from .reader import Container

_TRIED = 2000  # ids that are compared letter by letter
_NEAR = 3
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


def near(container: Container, id: str) -> list[str]:
    """At most three ids of the container that may have been meant."""
    sought = _key(id)
    alike: dict[str, None] = {}  # the same but for folders and capital letters, or a part of it
    others: list[tuple[int, str]] = []
    for _, items in container.blocks():
        for item in items:
            if item.id is None:
                continue
            key = _key(item.id)
            if key == sought or (len(sought) > 2 and sought in item.id.casefold()):
                alike[item.id] = None
                if len(alike) == _NEAR:
                    return [*alike]
            else:
                others.append((_shared(key, sought), item.id))
        others = nlargest(_TRIED, others)
    if alike:
        return [*alike]
    scored = [(max(_ratio(other, id), _ratio(_key(other), sought)), other) for _, other in others]
    best = nlargest(_NEAR, dict.fromkeys(scored))
    return [other for score, other in best if score >= _ALIKE]


def _key(id: str) -> str:
    return id.rpartition("/")[2].casefold()


def _shared(a: str, b: str) -> int:
    """How many letters they have in common, at their places, roughly."""
    return sum(map(str.__eq__, a, b)) + sum(map(str.__eq__, a[::-1], b[::-1]))


def _ratio(a: str, b: str) -> float:
    return SequenceMatcher(None, a, b).ratio()
