"""Several containers, searched as one: their positions count through all of them."""

from __future__ import annotations

from collections.abc import Iterator, Sized
from contextlib import contextmanager
from typing import Any

from ..container import Container
from ..errors import ClipcodecError, OptionError


def containers_of(source: Any) -> list[Container] | None:
    """The containers of a list of them; None: it is another source. Raises OptionError."""
    if not isinstance(source, (list, tuple)):
        return None
    odd = [one for one in source if not isinstance(one, Container)]
    if not source or len(odd) == len(source):
        return None
    if odd:
        raise OptionError(
            f"a list of containers holds a {type(odd[0]).__name__}, too: give containers alone, or "
            "streams alone"
        )
    return list(source)


def one_or_more(source: Any) -> list[Container]:
    """An open container, or several, as a list. Raises OptionError."""
    found = [source] if isinstance(source, Container) else containers_of(source)
    if found is None:
        raise OptionError(
            f"{type(source).__name__}: an index is compared with a container, or a list of them: "
            "clipcodec.open(…)"
        )
    return found


def count_of(source: Any) -> int | None:
    """Items of a source, or of several containers; None: that is not known."""
    several = containers_of(source)
    if several is not None:
        return sum(map(len, several))
    return len(source) if isinstance(source, Sized) else None


@contextmanager
def in_container(name: str | None) -> Iterator[None]:
    """Errors of the `with` block name this container, unless they say more already.

    None: it is the only source.
    """
    try:
        yield
    except ClipcodecError as error:
        if name is not None and error.source is None:
            error.source = name
        raise
