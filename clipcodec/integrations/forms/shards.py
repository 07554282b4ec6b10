"""`.tar`: shards of WebDataset, of which each sample is a stream, `KEY.clip`.

The key is the id, made safe as a file name without dots, as WebDataset takes what follows the first
dot for the kind of the member. Where it is not the id, `KEY.json` says the id.
"""

from __future__ import annotations

import glob
import io
import json
import os
import re
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain, count, islice
from pathlib import Path
from typing import IO, Any

from ...container import Container
from ...container.embedded import Embedded
from ...container.layout import MAX_STREAM, Item
from ...container.names import STREAM_SUFFIX, FileNames
from ...errors import CorruptError, InputError, OptionError, OutputExistsError, brief
from ...system.folders import filling
from ..converting import How, Incoming, note_lost

WORDS = "shards of WebDataset"
_PROFILE = ".profile.safetensors"
_JSON = ".json"
_MOST_JSON = 1 << 16
_SHARD_ITEMS = 10_000
_BRACES = re.compile(r"\{(\d+)\.\.(\d*)\}")


def write(container: Container, name: str, how: How) -> int:
    """All shards, or none; with the profile that the container carries beside them."""
    how.refuse(WORDS, "ids", "column", "id_column", "embeddings")
    if how.shard_items is not None and _BRACES.search(name) is None:
        raise OptionError(
            f"shard_items={how.shard_items} is for several shards, and {name} is one: name them "
            "NAME-{000000..}.tar"
        )
    note_lost(container, how, ids=False, metadata=True)
    folder, base = os.path.split(name)
    names, items, numbers = FileNames(""), container.items(), count()
    several = _BRACES.search(base) is not None
    each = how.shard_items or _SHARD_ITEMS
    made = [*islice(_shard_names(base), max(1, -(-len(container) // each)))] if several else [base]
    embedded = container.embedded()
    _refuse_others(name, {*made}, carries=embedded is not None, overwrite=how.overwrite)
    with filling(folder or os.curdir, overwrite=how.overwrite) as there:
        for shard in made:
            some = islice(items, each) if several else items
            first = next(some, None)
            with tarfile.open(there / shard, "x", format=tarfile.PAX_FORMAT) as tar:
                while first is not None:
                    _add(tar, first, names, next(numbers))
                    first = next(some, None)
        if embedded is not None:
            made.append(_profile_of(base))
            (there / made[-1]).write_bytes(embedded.data)
            how.notes.append(f"the profile of the streams is a file beside them: {made[-1]}")
    return sum(os.path.getsize(os.path.join(folder, one)) for one in made)


def _shard_names(base: str) -> Iterator[str]:
    braces = _BRACES.search(base)
    if braces is None:
        yield base
        return
    start, last = braces[1], braces[2]
    for number in range(int(start), int(last) + 1) if last else count(int(start)):
        yield f"{base[: braces.start()]}{number:0{len(start)}d}{base[braces.end() :]}"
    raise OptionError(
        f"{base} names too few shards for all items: leave the last number out, or give "
        "shard_items, the items of each"
    )


def _refuse_others(name: str, made: set[str], *, carries: bool, overwrite: bool) -> None:
    """Raise OutputExistsError if what another run has left would be taken for a part of this one.

    made     the shards of this one
    carries  whether a profile goes beside them
    """
    there = _found(name) if _BRACES.search(name) else []
    if overwrite:  # those of the same names are replaced
        there = [path for path in there if os.path.basename(path) not in made]
    if there:
        remedy = "remove it" if overwrite else "remove it, or give overwrite=True"
        raise OutputExistsError(f"{there[0]} is a shard of another run: {remedy}")
    folder, base = os.path.split(name)
    profile = os.path.join(folder, _profile_of(base))
    if not carries and os.path.exists(profile):
        raise OutputExistsError(
            f"{profile} is the profile of other streams, and would be taken for that of these: "
            "remove it"
        )


def _profile_of(base: str) -> str:
    stem = _BRACES.sub("", base)[: -len(".tar")].rstrip("-_.") or "shards"
    return stem + _PROFILE


def _add(tar: tarfile.TarFile, item: Item, names: FileNames, number: int) -> None:
    """The members of one sample."""
    key = _key(item.id, names, number)
    _member(tar, key + STREAM_SUFFIX, item.stream)
    if key != item.id:
        _member(tar, key + _JSON, json.dumps({"id": item.id}).encode())


def _key(id: str | None, names: FileNames, number: int) -> str:
    """A name without dots that no other sample has."""
    first = f"{number:08d}" if id is None else id.replace(".", "_")
    tries = chain([first], (f"item-{number:08d}-{more}" for more in count()))
    made = (names.name(name, number) for name in tries)
    return next(key for key in made if "." not in key)  # one that was taken has its number there


def _member(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)  # of no owner and no time: the same items give the same bytes
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))


@contextmanager
def read(name: str, how: How) -> Iterator[Incoming]:
    how.refuse(WORDS, "ids", "column", "id_column", "embeddings", "shard_items")
    how.refuse_rate()
    shards = _there(name)
    if not shards:
        raise InputError(f"{name}: there is no such shard: check the path")
    folder, base = os.path.split(name)
    beside = Path(folder) / _profile_of(base)
    profile: Any = None
    if how.profile is not None:
        from ...container.profiles import profile_of

        given = profile_of(how.profile)
        profile = given if given.id is None else None
    elif beside.is_file():
        profile = Embedded.of(beside.read_bytes())
    yield Incoming(_items(shards, how), profile=profile)


def _there(name: str) -> list[str]:
    """The shards that are named, in order of their numbers. Raises InputError if some are not."""
    found, braces = _found(name), _BRACES.search(name)
    if braces is not None and braces[2]:
        named = int(braces[2]) - int(braces[1]) + 1
        if len(found) != named:
            raise InputError(f"{name}: {len(found)} of these {named} shards are there")
    return found


def _found(name: str) -> list[str]:
    braces = _BRACES.search(name)
    if braces is None:
        return [name] if os.path.exists(name) else []
    before, after = name[: braces.start()], name[braces.end() :]
    pattern = re.compile(re.escape(before) + r"(\d+)" + re.escape(after))
    found = []
    for path in glob.glob(f"{glob.escape(before)}*{glob.escape(after)}"):
        match = pattern.fullmatch(path)
        if match and int(braces[1]) <= int(match[1]) <= int(braces[2] or match[1]):
            found.append((int(match[1]), path))
    return [path for _, path in sorted(found)]


def _items(shards: list[str], how: How) -> Iterator[Item]:
    others = 0
    for path in shards:
        waiting: dict[str, Any] = {}  # parts of the sample with this key
        try:
            with tarfile.open(path, "r|*") as tar:
                for member in tar:
                    key, kind = _split(member.name)
                    if not member.isfile() or kind not in (STREAM_SUFFIX, _JSON):
                        others += not member.isdir()
                        continue
                    if waiting and waiting["key"] != key:
                        yield from _item(waiting)
                        waiting = {}
                    data = _read(tar.extractfile(member), member, path)
                    if kind in waiting:
                        yield from _item(waiting)
                        waiting = {}
                    waiting |= {"key": key, kind: data}
                yield from _item(waiting)
        except (tarfile.TarError, EOFError) as error:
            raise InputError(f"{path} is not a readable tar archive: {brief(error)}") from error
    if others:
        how.notes.append(f"members that are no streams, left out: {others:,}")


def _split(name: str) -> tuple[str, str]:
    """A member's name without its suffix, which is one of ours, or empty."""
    for suffix in (STREAM_SUFFIX, _JSON):
        if name.lower().endswith(suffix) and len(name) > len(suffix):
            return name[: -len(suffix)].removeprefix("./"), suffix
    return name, ""


def _read(file: IO[bytes] | None, member: tarfile.TarInfo, path: str) -> bytes:
    most = MAX_STREAM if member.name.lower().endswith(STREAM_SUFFIX) else _MOST_JSON
    if file is None or member.size > most:
        raise CorruptError(
            f"{path}: member {member.name!r} has {member.size:,} bytes: at most {most:,} are read"
        )
    return file.read()


def _item(parts: dict[str, Any]) -> Iterator[Item]:
    if STREAM_SUFFIX not in parts:
        return
    id: str | None = parts["key"]
    try:
        known = json.loads(parts.get(_JSON, b"{}"))
    except (ValueError, RecursionError):
        known = {}
    if isinstance(known, dict) and "id" in known:
        found = known["id"]
        id = found if isinstance(found, str) and found else None if found is None else str(found)
    yield Item(parts[STREAM_SUFFIX], id)
