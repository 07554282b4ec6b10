"""`clipcodec cat`: chosen items of a container, to stdout, files or another container."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from ..container import Container, Item
from ..container.copying import copy_items, refuse_own
from ..container.splitting import write_streams
from ..errors import DecodeError, OptionError
from .chosen import places
from .common import (
    STDIO,
    is_directory,
    refuse_no_folder,
    refuse_terminal_or_existing,
    write_output,
)
from .containers import opened, require_container
from .formats import STREAM, refuse_other_format
from .results import Results
from .suffixes import CONTAINER_SUFFIX
from .terminal import counted, say


def run(args: argparse.Namespace) -> int:
    name, ids = args.container, args.ids
    count = len(ids) + len(args.index)
    if not count:
        raise OptionError("no items: name them by id, or by position with --index N")
    form = _form(args.output, count)
    require_container(name)
    with opened(name, profile=None, partial=args.partial) as container:
        chosen = places(container, name, ids, args.index)
        if chosen is None:
            return 1
        size = _write(container, chosen, form, args)
    Results(args, 1).done(name, args.output or STDIO, size, was=counted(count, "item"))
    return 0


def _form(output: str | None, count: int) -> str:
    """What is written: "stream", "container" or "directory". Raises OptionError."""
    if output is None or output == STDIO:
        if count > 1:
            raise OptionError(
                f"{count} streams cannot share stdout: give -o OUT{CONTAINER_SUFFIX}, or "
                "-o DIRECTORY/"
            )
        return "stream"
    if output.lower().endswith(CONTAINER_SUFFIX) and not Path(output).is_dir():
        refuse_no_folder(output)
        return "container"
    several = f"{count} streams" if count > 1 else None
    if is_directory(output, several, f", or -o OUT{CONTAINER_SUFFIX} for one container"):
        return "directory"
    refuse_other_format(output, STREAM)
    refuse_no_folder(output)
    return "stream"


def _write(container: Container, chosen: list[int], form: str, args: argparse.Namespace) -> int:
    """Write the items in one of the forms; the bytes of all results."""
    output = STDIO if args.output is None else args.output
    if form == "stream":
        stream = container[chosen[0]]
        refuse_terminal_or_existing(output, force=args.force)
        write_output(output, stream, force=args.force)
        return len(stream)
    if form == "directory":
        made = write_streams(_numbered(container, chosen), output, overwrite=args.force)
        return sum(path.stat().st_size for path in made)
    refuse_own(container, output)
    writer = copy_items(
        container, output, (item for _, item in _numbered(container, chosen)),
        overwrite=args.force, on_bad=_say if args.partial else None,
    )  # fmt: skip
    return writer.size


def _say(error: DecodeError) -> None:
    say(f"left out: {error}")


def _numbered(container: Container, chosen: list[int]) -> Iterator[tuple[int, Item]]:
    for place in chosen:
        yield place, container.item(place)
