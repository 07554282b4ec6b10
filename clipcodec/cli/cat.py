"""`clipcodec cat`: chosen items of a container, to stdout, files or another container."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from ..container import Container, ContainerWriter, Item
from ..container.choosing import near, positions
from ..container.splitting import write_streams
from ..errors import DecodeError, InputError, OptionError
from .common import (
    STDIO,
    is_directory,
    refuse_no_folder,
    refuse_terminal_or_existing,
    report,
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
        places = _places(container, name, ids, args.index)
        if places is None:
            return 1
        size = _write(container, places, form, args)
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


def _places(
    container: Container, name: str, ids: list[str], indices: list[int]
) -> list[int] | None:
    """Positions of the chosen items; None if there is none for some, which stderr names."""
    found = positions(container, ids) if ids else {}
    faults = [_no_id(container, id) for id in dict.fromkeys(ids) if id not in found]
    places = [found[id] for id in ids if id in found]
    for index in indices:
        try:
            places.append(range(len(container))[index])
        except IndexError:
            faults.append(f"no item {index}: {counted(len(container), 'item')}, from 0")
    for fault in faults:
        report(name, InputError(fault))
    return None if faults else places


def _no_id(container: Container, id: str) -> str:
    alike = " or ".join(repr(other) for other in near(container, id))
    remedy = f": did you mean {alike}?" if alike else ": `clipcodec ids` lists them"
    if id.isascii() and id.isdigit() and int(id) < len(container):
        remedy = f": for the item at this position give --index {id}"
    return f"no item has the id {id!r}{remedy}"


def _write(container: Container, places: list[int], form: str, args: argparse.Namespace) -> int:
    """Write the items in one of the forms; the bytes of all results."""
    output = STDIO if args.output is None else args.output
    if form == "stream":
        stream = container[places[0]]
        refuse_terminal_or_existing(output, force=args.force)
        write_output(output, stream, force=args.force)
        return len(stream)
    if form == "directory":
        made = write_streams(_numbered(container, places), output, overwrite=args.force)
        return sum(path.stat().st_size for path in made)
    writer = ContainerWriter(
        output, "w" if args.force else "x", metadata=container.metadata or None,
        profile=container.embedded(_say if args.partial else None),
    )  # fmt: skip
    try:
        for _, item in _numbered(container, places):
            writer.append(item)
        writer.close()
    except BaseException:
        writer.discard()
        raise
    return writer.size


def _say(error: DecodeError) -> None:
    say(f"left out: {error}")


def _numbered(container: Container, places: list[int]) -> Iterator[tuple[int, Item]]:
    for place in places:
        yield place, container.item(place)
