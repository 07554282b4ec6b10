"""`clipcodec info` of containers (.clpc): what they hold and carry, as JSON or in words."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..bulk.resume import SETTLED
from ..container import Container
from ..container.metadata import RESERVED
from ..container.streams import profile_name
from ..errors import DecodeError
from .containers import opened
from .inputs import label_of
from .terminal import as_json, counted, size_text, tell, tell_json

_ELSEWHERE = {"digest", "ids", "root", "weights"}  # in that metadata, and of no use to a reader
_CARD, _LONGEST = 12, 160  # lines of a profile's card that are shown; characters of each


def info(name: str, args: argparse.Namespace) -> None:
    """What a container is, on stdout. Raises DecodeError after that if its profile is damaged."""
    faults: list[DecodeError] = []
    with opened(name, profile=args.profile, partial=args.partial) as container:
        known = _facts(name, container, faults)
    if args.json:
        tell_json(known)
    else:
        for line in _words(known):
            tell(line)
    for fault in faults:
        raise fault


def _facts(name: str, container: Container, faults: list[DecodeError]) -> dict[str, Any]:
    profiles: Counter[str] = Counter()
    streams = named = 0
    for stream, id in container.items():
        profiles[profile_name(stream)] += 1
        streams += len(stream)
        named += id is not None
    return {
        "file": name,
        "container": 1,
        "complete": container.complete,
        "items": len(container),
        "deleted": container.deleted,
        "compact_saves": _saved(container),
        "ids": named,
        "size": container.size,
        "stream_bytes": streams,
        "bytes_per_item": container.size / len(container) if len(container) else None,
        "profiles": dict(profiles),
        "carries": _carried(container, faults),
        "metadata": container.metadata,
    }


def _saved(container: Container) -> int:
    """About how many bytes deleted items take in the file: what `compact` saves at least."""
    blocks = container.survey.entries[container.survey.entries[:, 1] > 0]
    there = int(blocks[:, 1].sum())
    return round(int(blocks[:, 0].sum()) * container.deleted / there) if there else 0


def _carried(container: Container, faults: list[DecodeError]) -> dict[str, Any] | None:
    """What is known of the profile that the container carries; None: it carries none."""
    found: dict[str, Any] = {}
    try:
        embedded = container.embedded()
        if embedded is None:
            return None
        size = len(embedded.block)
        found = {
            "sha256": embedded.digest.hex(),
            "file_bytes": embedded.size,
            "bytes": size,
            "bytes_per_item": size / len(container) if len(container) else None,
        }
        profile = container.profile
        assert profile is not None
    except DecodeError as error:
        faults.append(error)
        return {**found, "error": error.reason}
    return {
        "name": profile.name, "kind": profile.kind.name, "id": profile.id,
        "backbone": profile.backbone, "dim": profile.dim, **found, "card": dict(profile.card),
    }  # fmt: skip


def _carried_words(known: dict[str, Any]) -> Iterator[str]:
    if "name" not in known:
        yield "  carries    a profile that cannot be read"
        return
    each = _each(known["bytes_per_item"])
    width = f"{known['dim'] or 'any'} dimensions"
    yield (f"  carries    {known['name']}: kind {known['kind']}, {width}, "
           f"SHA-256 {known['sha256'][:8]}…; {size_text(known['bytes'])}{each}")  # fmt: skip
    facts = {**known["card"]}
    learned = _learned(facts.get("learned"))
    if learned is not None:
        yield f"    {learned}"
        del facts["learned"]
    card = [(key, text) for key, value in facts.items() if (text := _plain(value))]
    yield from (f"    {key[:_LONGEST]}: {text[:_LONGEST]}" for key, text in card[:_CARD])
    if len(card) > _CARD:
        yield f"    and {len(card) - _CARD} more: --json shows all"


def _each(share: float | None) -> str:
    """The share of an item; nothing if there is none."""
    return "" if share is None else f", {share:,.1f} bytes per item"


def _learned(known: Any) -> str | None:
    """What `training.learn` writes into a card; None: it is not that."""
    if not isinstance(known, dict) or known.keys() != {"rows", "held_out", "rank"}:
        return None
    rows, held_out, rank = (known[key] for key in ("rows", "held_out", "rank"))
    if not all(type(value) is int and 0 <= value < 1 << 53 for value in (rows, held_out, rank)):
        return None
    held = f", {held_out:,} held out" if held_out < rows else ", each held out once"
    return (
        f"learned from {counted(rows, 'distinct embedding')}{held}: {counted(rank, 'coefficient')}"
    )


def _metadata_words(metadata: dict[str, Any]) -> Iterator[str]:
    for key, value in metadata.items():
        yield _made_with(value) if key == RESERVED else f"  metadata   {key}: {as_json(value)}"


def _made_with(options: Any) -> str:
    """The package's own key: the options of a job as on the command line, those that were given.

    What is not as a job writes it, as whoever made the container may have, is shown as JSON.
    """
    plain = isinstance(options, dict) and all(
        key == SETTLED or not isinstance(value, (dict, list)) for key, value in options.items()
    )
    if not plain:
        return f"  metadata   {RESERVED}: {as_json(options)}"
    words = []
    for key, value in options.items():
        if key == SETTLED:
            words.append(f"settled at {_plain(value)}" if _plain(value) else "")
        elif key not in _ELSEWHERE and value is not None:
            number = f"{value:g}" if isinstance(value, float) else str(value)
            words.append(f"--{key.replace('_', '-')} {number}")
    return f"  made with  {', '.join(filter(None, words))}"[:_LONGEST]


def _plain(value: Any) -> str:
    """What a card says under one key, as far as it fits on a line."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {text}" for key, one in value.items() if (text := _scalar(one)))
    return _scalar(value)


def _scalar(value: Any) -> str:
    return "" if value is None or isinstance(value, (dict, list)) else str(value)


def _words(known: dict[str, Any]) -> list[str]:
    label = Path(label_of(known["file"])).name
    profiles = known["profiles"].items()
    return [
        f"{label}: clipcodec container, version 1, {'' if known['complete'] else 'not '}complete",
        f"  items      {known['items']:,}, {known['ids']:,} of them with ids",
        *_deleted_words(known),
        f"  size       {size_text(known['size'])}{_each(known['bytes_per_item'])}; "
        f"{size_text(known['stream_bytes'])} of streams",
        *(f"  profile    {name}: {counted(count, 'stream')}" for name, count in profiles),
        *(() if known["carries"] is None else _carried_words(known["carries"])),
        *_metadata_words(known["metadata"]),
    ]


def _deleted_words(known: dict[str, Any]) -> Iterator[str]:
    if known["deleted"]:
        yield (f"  deleted    {known['deleted']:,}; `clipcodec compact` saves about "
               f"{size_text(known['compact_saves'])}")  # fmt: skip
