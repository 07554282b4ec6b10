"""`clipcodec head`: the first items of a container, a line each."""

from __future__ import annotations

import argparse
from itertools import islice
from typing import Any, NamedTuple

from ..codec import Codec
from ..container import Item
from ..container.streams import profile_name
from ..errors import DecodeError, UnknownProfileError
from .common import report
from .containers import opened, require_container
from .terminal import shown, tell, tell_json


class _Row(NamedTuple):
    """One line; a profile of None: what the stream is cannot be told."""

    item: int
    id: str | None
    profile: str | None
    quality: float | None
    bytes: int


def run(args: argparse.Namespace) -> int:
    name = args.container
    require_container(name)
    failed, rows = 0, list[_Row]()
    with opened(name, profile=args.profile, partial=args.partial) as container:
        for place, item in enumerate(islice(container.items(), args.count)):
            try:
                rows.append(_row(place, item, container.codec))
            except DecodeError as error:
                rows.append(_Row(place, item.id, None, None, len(item.stream)))
                error.source = f"item {place}"
                report(name, error)
                failed += 1
    if args.json:
        for row in rows:
            tell_json({"file": name, **row._asdict()})
    else:
        _print(rows)
    return 1 if failed else 0


def _row(place: int, item: Item, codec: Codec) -> _Row:
    """What the header of a stream says. Raises DecodeError."""
    try:
        parsed = codec.parse(item.stream)
    except UnknownProfileError:
        return _Row(place, item.id, profile_name(item.stream), None, len(item.stream))
    quality = parsed.parameters.quality or None
    return _Row(place, item.id, parsed.profile.name, quality, len(item.stream))


def _print(rows: list[_Row]) -> None:
    lines = [("item", "id", "profile", "quality", "bytes"), *map(_cells, rows)]
    width = [max(len(line[column]) for line in lines) for column in range(5)]
    for item, id, profile, quality, size in lines:
        tell(f"{item:>{width[0]}}  {id:<{width[1]}}  {profile:<{width[2]}}  "
             f"{quality:>{width[3]}}  {size:>{width[4]}}")  # fmt: skip


def _cells(row: _Row) -> tuple[str, ...]:
    def cell(value: Any) -> str:
        return "-" if value is None else f"{value:g}" if isinstance(value, float) else shown(value)

    return tuple(map(cell, row))
