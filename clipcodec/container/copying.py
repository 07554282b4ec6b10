"""Items of one container to another, with all that goes with them: what cat, filter and dedupe do.

Streams byte for byte, ids, metadata, and the profile that the container carries.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from ..errors import DecodeError, LockedError
from .growing import refuse_itself
from .layout import Item
from .locking import ReplacedLock
from .reader import Container
from .writer import ContainerWriter

Source = str | os.PathLike[str] | BinaryIO | Container
Output = str | os.PathLike[str] | BinaryIO
OnBad = Callable[[DecodeError], object]


@contextmanager
def opened(source: Source, *, partial: bool = False) -> Iterator[Container]:
    """A container that is open already, or one that is opened and closed here."""
    if isinstance(source, Container):
        yield source
        return
    with Container(source, partial=partial) as container:
        yield container


def refuse_own(container: Container, out: object) -> None:
    """Raise OptionError if the output is the container that is read."""
    refuse_itself([container], out)


def copy_items(
    container: Container,
    out: Output,
    items: Iterable[Item],
    *,
    overwrite: bool = False,
    block_items: int | None = None,
    on_bad: OnBad | None = None,
    replaced: ReplacedLock | None = None,
) -> ContainerWriter:
    """Write items of a container to a new one; its writer, closed. On an error nothing is left.

    on_bad    of a profile that is carried and damaged, which is then left out
    replaced  as for `ContainerWriter`
    """
    writer = ContainerWriter(
        out, "w" if overwrite and isinstance(out, (str, os.PathLike)) else "x",
        metadata=container.metadata or None, profile=container.embedded(on_bad),
        block_items=block_items, replaced=replaced,
    )  # fmt: skip
    try:
        for item in items:
            writer.append(item)
        writer.close()
    except BaseException:
        writer.discard()
        raise
    return writer


def chosen_items(
    container: Container, chosen: NDArray[np.bool_], *, partial: bool
) -> Iterator[Item]:
    """The items where (N,) `chosen` is true, in order. Damage was told of when they were chosen."""
    given = 0
    for first, items in container.blocks(_told if partial else None):
        for place, item in enumerate(items, first):
            if chosen[place]:
                given += 1
                yield item
    if given != chosen.sum():
        raise LockedError(f"{container.name} was written by another process meanwhile: try again")


def _told(error: DecodeError) -> None:
    pass
