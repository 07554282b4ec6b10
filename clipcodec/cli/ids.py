"""`clipcodec ids`: the ids of containers' items, a line each."""

from __future__ import annotations

import argparse
import sys

from ..container import Item
from ..errors import InputError
from .common import STDIO, for_each, refuse_terminal_or_existing
from .containers import opened, require_container
from .inputs import label_of
from .terminal import say, shown, tell, tell_json


def run(args: argparse.Namespace) -> int:
    if args.null:
        refuse_terminal_or_existing(STDIO, force=False)
    return for_each(args.inputs, lambda name: _ids(name, args))


def _ids(name: str, args: argparse.Namespace) -> None:
    """The ids of one container, read a block at a time. Of an item without one, an empty line."""
    require_container(name)
    escaped = 0
    with opened(name, profile=None, partial=args.partial) as container:
        for place, item in enumerate(container.items()):
            if args.json:
                tell_json({"file": name, "item": place, "id": item.id})
            elif args.null:
                sys.stdout.buffer.write(_with_nul(place, item))
            else:
                tell(item.id or "")
                escaped += shown(item.id or "") != (item.id or "")
    if escaped and not args.quiet:
        count = "1 id has" if escaped == 1 else f"{escaped:,} ids have"
        say(f"{label_of(name)}: {count} characters that are shown escaped: --json or --null gives "
            "them as they are")  # fmt: skip


def _with_nul(place: int, item: Item) -> bytes:
    id = item.id or ""
    if "\0" in id:
        raise InputError(f"the id of item {place} has a NUL, so --null cannot hold it: use --json")
    return id.encode() + b"\0"
