"""A progress bar over named work, where tqdm is installed and stderr is a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")


def progress(items: Sequence[T], name: Callable[[T], str], *, quiet: bool) -> Iterator[T]:
    """The items, one after the other; the bar shows the name of the one that is worked on."""
    try:
        from tqdm import tqdm
    except ImportError:  # a light installation leaves it out
        yield from items
        return
    with tqdm(items, disable=True if quiet else None, unit="codec", leave=False) as bar:
        for item in bar:
            bar.set_description(name(item))
            yield item
