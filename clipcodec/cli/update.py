"""`clipcodec update`: streams in place of those that have their ids."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator

from ..codec import Codec
from ..container import Container, ContainerWriter, Item
from ..container.streams import id_of_stream
from ..errors import ClipcodecError, InputError, OptionError, placed
from .chosen import refuse_two_stdin
from .common import STDIO, read_stream, report
from .containers import in_place, is_container, opened, require_container
from .inputs import label_of
from .results import Results
from .terminal import counted, say, tell


def run(args: argparse.Namespace) -> int:
    name = args.container
    in_place(name)
    refuse_two_stdin(*args.inputs)
    if args.id is not None and len(args.inputs) > 1:
        raise OptionError("--id is for one stream: give one input")
    if any(os.path.isfile(one) and os.path.samefile(one, name) for one in args.inputs):
        raise OptionError(f"{name} is the container that is changed: name other inputs")
    require_container(name)
    codec = Codec(args.profile)
    with opened(name, profile=args.profile) as container:
        items = _read(container, codec, args)
        if items is None:
            return 1
        if args.dry_run:
            _plan(container, items, args)
            return 0
        writer = ContainerWriter(name, "a", survey=container.survey)
        try:
            replaced = sum(writer.update(item) for item in items)
            writer.close()
        finally:
            writer.discard()
    added = len(items) - replaced
    Results(args, 1).done(
        name, name, writer.size, words=f"{counted(replaced, 'item')} replaced, {added:,} added"
    )
    return 0


def _read(container: Container, codec: Codec, args: argparse.Namespace) -> list[Item] | None:
    """All items of all inputs: before anything is changed. None if some fail: stderr says which."""
    items: list[Item] = []
    failed = False
    for source in args.inputs:
        try:
            items += _items(source, container, codec, args)
        except (ClipcodecError, OSError) as error:
            report(source, error)
            failed = True
    return None if failed else items


def _items(
    source: str, container: Container, codec: Codec, args: argparse.Namespace
) -> Iterator[Item]:
    if not is_container(source):
        with placed(source=label_of(source)):
            stream = read_stream(source, codec, "a stream or a container")
            codec.info(stream)
        if args.id is None and source == STDIO:
            raise OptionError("a stream on stdin has no id: give --id")
        yield Item(stream, id_of_stream(source) if args.id is None else args.id)
        return
    if args.id is not None:
        raise OptionError("--id is for one stream: the items of a container have ids")
    with opened(source, profile=None) as other:
        carried = other.embedded()
        if carried is not None and carried != container.embedded():
            raise InputError(
                f"it carries a profile that {container.name} does not carry, so that its streams "
                "could not be decoded there: `clipcodec merge` makes one container of both"
            )
        for place, item in enumerate(other.items()):
            if item.id is None:
                raise InputError(f"item {place} has no id, so it cannot take the place of another")
            yield item


def _plan(container: Container, items: list[Item], args: argparse.Namespace) -> None:
    there = {id for id in container.ids if id is not None}
    replaced = 0
    for item in items:
        tell("replaced" if item.id in there else "added", item.id)
        replaced += item.id in there
        there.add(item.id or "")
    say(f"{args.container}: {counted(replaced, 'item')} would be replaced, "
        f"{len(items) - replaced:,} added")  # fmt: skip
