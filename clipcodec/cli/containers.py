"""Containers that are named on the command line: known by their first bytes, and opened.

A file is read block by block; stdin or a pipe is first copied to a temporary file.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import BinaryIO

from ..container import Container
from ..container.layout import MAGIC, OPENING, check_opening
from ..errors import DecodeError, OptionError, placed
from ..system.files import open_directly, written_directly
from ..system.stores import is_url
from .common import (
    STDIO,
)
from .formats import CONTAINER, refuse_foreign
from .inputs import first_bytes, is_pipe, label_of, seekable
from .terminal import say


def is_container(name: str) -> bool:
    """Does this input begin as a container does? Nothing of a pipe is taken away."""
    try:
        return first_bytes(name, len(MAGIC)) == MAGIC
    except OSError:
        return False


def require_container(name: str) -> None:
    """Raise DecodeError, naming the input, or OSError unless it begins as a container does.

    So that no more is read of a pipe that is none.
    """
    with placed(source=label_of(name)):
        refuse_foreign(name, "a container", CONTAINER, error=DecodeError)
        check_opening(first_bytes(name, len(OPENING)))


@contextmanager
def opened(name: str, *, profile: str | None, partial: bool = False) -> Iterator[Container]:
    """The container. If only a part of it can be read, stderr says so."""
    with ExitStack() as stack:
        source = seekable(name)
        if not isinstance(source, str):
            stack.enter_context(source)
        container = stack.enter_context(Container(source, profile=profile, partial=partial))
        if not container.complete:
            say(f"{label_of(name)}: not complete: {len(container)} good items are read")
        yield container


def in_place(name: str) -> None:
    """Raise OptionError for what is no file of this machine: nothing in it can be changed."""
    if is_url(name):
        raise OptionError(f"{name}: an object in a store cannot be changed: change a copy of it")
    if is_pipe(name):
        raise OptionError(f"{label_of(name)}: a container is changed in its file: name one")


@contextmanager
def binary(name: str) -> Iterator[str | BinaryIO]:
    """A container to write, for the library: a path, or a file for stdout, pipes and devices."""
    if name == STDIO:
        yield sys.stdout.buffer
    elif written_directly(name):
        with open_directly(name) as file:
            yield file
    else:
        yield name
