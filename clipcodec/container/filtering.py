"""A container of chosen items of another: `filter_items`."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, OptionError, placed
from .choosing import did_you_mean, each_id
from .copying import Output, Source, chosen_items, copy_items, opened, refuse_own
from .keys import no_id, places_of, several_ids
from .layout import Item
from .reader import Container
from .streams import profile_name as name_of_profile

Where = Callable[[Item], object] | Sequence[bool] | Sequence[int] | range | slice | NDArray[Any]


@dataclass(frozen=True)
class Filtered:
    """What `filter_items` has made.

    Attributes:
        items: How many items the new container has.
        bytes: The size of its file; of what was written, for a file object.
        left_out: How many items of the source are not in it.
        damaged: What could not be read, with `partial=True`.

    Examples:
        >>> from clipcodec.container import filter_items
        >>> done = filter_items("photos.clpc", "few.clpc", where=lambda item: item.id < "5")
        >>> done.items + done.left_out, done.damaged
        (100, ())
    """

    items: int
    bytes: int
    left_out: int
    damaged: tuple[str, ...] = ()

    def __repr__(self) -> str:
        from ..system.shown import counted, shown, sized

        def parts() -> list[object]:
            damaged = f"{len(self.damaged):,} damaged" if self.damaged else None
            return [counted(self.items, "item"), sized(self.bytes),
                    f"{self.left_out:,} left out", damaged]  # fmt: skip

        return shown("container.Filtered", parts)


def filter_items(
    source: Source,
    out: Output,
    *,
    ids: Iterable[str] | None = None,
    where: Where | None = None,
    match: str | Iterable[str] = (),
    not_match: str | Iterable[str] = (),
    profile_name: str | None = None,
    overwrite: bool = False,
    partial: bool = False,
    block_items: int | None = None,
) -> Filtered:
    """Write a container of the items of another that are chosen, in their order.

    What is given must all hold of an item. Streams are copied byte for byte, with ids, all
    metadata, and the profile that the container carries. The source is read a block at a time: once
    to choose, once to copy.

    Args:
        source: A container, open or as a path or a binary file.
        out: The path of the new container, or a binary file.
        ids: Only items with these ids, or this one; all of those that have the same.
        where: Only these items: a function that is given each `Item` and says whether to keep it,
            or N booleans, or positions.
        match: Only items whose id matches one of these patterns, such as `"beach/*.jpg"`; `*`
            stands for any letters, slashes too, `?` for one, `[ab]` for one of these.
        not_match: No items whose id matches one of these.
        profile_name: Only items whose stream a profile of this name has made, as `clipcodec head`
            shows it.
        overwrite: Whether a file at `out` may be replaced.
        partial: Whether to take what is good of a container that is cut or damaged.
        block_items: As in `clipcodec.create`.

    Returns:
        What was kept and left out.

    Raises:
        OptionError: Nothing is chosen by, `where` does not fit the container, or `out` is the
            source.
        UnknownItemError: No item has one of the ids, or is at one of the positions `where`.
        InputError: No item matches one of the patterns `match`, or is of the profile.
        DecodeError: The source is no container, or damaged. Nothing is written.
        OutputExistsError: `out` exists, and may not be replaced.
        LockedError: Another process writes `out`, or wrote the source meanwhile.
        OSError: The source cannot be read, or `out` cannot be written; nothing is left of it.

    Examples:
        >>> from clipcodec.container import filter_items
        >>> filter_items("photos.clpc", "two.clpc", ids=["7.jpg", "8.jpg"]).items
        2
        >>> filter_items("photos.clpc", "half.clpc", where=range(50)).items
        50
    """
    how = Criteria(match, not_match, profile_name)
    if ids is None and where is None and not how:
        raise OptionError("nothing to choose by: give ids, where, match, not_match or profile_name")
    with opened(source, partial=partial) as container:
        refuse_own(container, out)
        chosen, damaged = choose(container, ids=ids, where=where, how=how, partial=partial)
        writer = copy_items(
            container, out, chosen_items(container, chosen, partial=partial),
            overwrite=overwrite, block_items=block_items,
            on_bad=(lambda error: damaged.append(str(error))) if partial else None,
        )  # fmt: skip
        left_out = len(container) - len(writer)
    return Filtered(len(writer), writer.size, left_out, tuple(damaged))


def choose(
    container: Container,
    *,
    ids: Iterable[str] | None = None,
    where: Where | None = None,
    how: Criteria | None = None,
    partial: bool = False,
) -> tuple[NDArray[np.bool_], list[str]]:
    """(N,) whether each item is chosen, as `filter_items` chooses; and what is damaged, in words.

    Raises OptionError, InputError, UnknownItemError or DecodeError.
    """
    wanted = None if ids is None else several_ids(ids)
    allowed, ask = _allowed(container, where)
    chosen, found = np.zeros(len(container), bool), set[str]()
    damaged: list[str] = []
    on_bad = (lambda error: damaged.append(str(error))) if partial else None
    for first, items in container.blocks(on_bad):
        for place, item in enumerate(items, first):
            if wanted is not None:
                if item.id not in wanted:
                    continue
                found.add(item.id)
            fits = how is None or how.fits(item)
            chosen[place] = fits and allowed[place] and (ask is None or bool(ask(item)))
    missing = [id for id in wanted or () if id not in found]
    if missing:
        remedy = did_you_mean(each_id(container), missing[0]) if len(missing) == 1 else ""
        raise no_id(missing, container.name, remedy)
    if how is not None:
        how.check(container.name)
    return chosen, damaged


class Criteria:
    """What patterns and the name of a profile say of items: all of it must hold."""

    def __init__(
        self, match: str | Iterable[str], not_match: str | Iterable[str], profile_name: str | None
    ) -> None:
        self._match = {pattern: matcher([pattern]) for pattern in _listed(match)}
        self._against = matcher(patterns) if (patterns := _listed(not_match)) else None
        self._profile = profile_name
        self._used = set[str]()
        self._profiles = dict[str, None]()

    def __bool__(self) -> bool:
        return bool(self._match or self._against or self._profile)

    def fits(self, item: Item) -> bool:
        hit = not self._match
        for pattern, matches in self._match.items():
            if matches(item.id):
                self._used.add(pattern)
                hit = True
        if self._profile is not None:
            name = name_of_profile(item.stream)
            self._profiles[name] = None
            hit = hit and name == self._profile
        return hit and not (self._against is not None and self._against(item.id))

    def check(self, name: str) -> None:
        """After all items: raise InputError for what fits none of them."""
        unused = [pattern for pattern in self._match if pattern not in self._used]
        if unused:
            raise InputError(f"no id in {name} matches {' or '.join(map(repr, unused))}")
        if self._profile is not None and self._profile not in self._profiles:
            there = ", ".join(self._profiles) or "none"
            raise InputError(
                f"no stream in {name} is of profile {self._profile}; there are: {there}"
            )


def _listed(patterns: str | Iterable[str]) -> list[str]:
    return [patterns] if isinstance(patterns, str) else [*patterns]


def matcher(patterns: list[str]) -> Callable[[str | None], bool]:
    """Does an id match one of these patterns?"""
    whole = re.compile("|".join(map(fnmatch.translate, patterns)))
    return lambda id: id is not None and whole.match(id) is not None


def _allowed(
    container: Container, where: Where | None
) -> tuple[NDArray[np.bool_], Callable[[Item], object] | None]:
    """What `where` says of positions, and what it says of items."""
    if where is None or callable(where):
        return np.ones(len(container), bool), where
    with placed(source=container.name):
        places = places_of(where, len(container), container.index)
    allowed = np.zeros(len(container), bool)
    allowed[places] = True
    return allowed, None
