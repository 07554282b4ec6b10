"""`clipcodec info` and `clipcodec decompress` of containers (.clpc), known by their first bytes.

A file is read block by block; stdin or a pipe is first copied to a temporary file.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from ..arrays import write_npy
from ..bulk.resume import SETTLED
from ..codec import Codec
from ..container import Container
from ..container.id_lists import lines_of
from ..container.layout import MAGIC, OPENING, check_opening
from ..container.metadata import RESERVED
from ..container.streams import profile_name
from ..embeddings import Embeddings
from ..errors import ClipcodecError, DecodeError, OptionError, OutputExistsError, placed
from ..system import uploads
from ..system.files import open_directly, replacing, written_directly
from ..system.stores import is_url
from .common import (
    STDIO,
    as_stream,
    is_unnamed,
    make_folder,
    read_stream,
    refuse_terminal_or_existing,
)
from .formats import CONTAINER, refuse_foreign
from .inputs import first_bytes, is_pipe, label_of, seekable
from .results import Results, together
from .suffixes import CONTAINER_SUFFIX, STREAM_SUFFIX
from .terminal import as_json, counted, say, size_text, tell, tell_json

_ELSEWHERE = {"digest", "ids", "root", "weights"}  # in that metadata, and of no use to a reader
_CARD, _LONGEST = 12, 160  # lines of a profile's card that are shown; characters of each


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


# info


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


# decompress


def decompress(args: argparse.Namespace, codec: Codec, outputs: list[str] | None) -> int:
    """Decompress inputs of which at least one is a container.

    outputs  the file of each input; None: all go together to -o, or with --json to stdout
    """
    if args.json and args.ids:
        raise OptionError("--ids: the lines of --json hold the ids already")
    if outputs is None:
        results = Results(args, 1)
        _together(args.inputs, args.output or STDIO, args, codec, results)
        return results.code
    if args.ids and len(args.inputs) > 1:
        raise OptionError("--ids writes the ids of all inputs together: name one file, -o OUT.npy")
    results = Results(args, len(outputs))
    for name, output in zip(args.inputs, outputs, strict=True):
        try:
            _together([name], output, args, codec, results)
        except OutputExistsError as error:
            results.fail(name, error)
    return results.end()


def npy_name(name: str) -> str:
    if is_unnamed(name):
        return STDIO
    stem = name.removesuffix(CONTAINER_SUFFIX)
    return (stem if stem != name else name.removesuffix(STREAM_SUFFIX)) + ".npy"


class _SomeFailed(Exception):
    """An input failed, as stderr says; nothing may be written."""


def _together(
    names: list[str], output: str, args: argparse.Namespace, codec: Codec, results: Results
) -> None:
    outputs = [output] if args.ids is None else [output, args.ids]
    if len({*map(os.path.realpath, outputs)}) < len(outputs):
        raise OptionError("-o and --ids name the same file")
    for path in outputs:
        refuse_terminal_or_existing(path, force=args.force)
    if args.output not in (None, output, STDIO):  # -o is a directory
        make_folder(output)
    label, size = together(names)
    try:
        with ExitStack() as stack:
            if args.json and output == STDIO:
                _lines(names, sys.stdout.buffer, args, codec, results)
                return
            files = [stack.enter_context(_seekable(name, args.force)) for name in outputs]
            if args.json:
                count = _lines(names, files[0], args, codec, results)
            else:
                count = _rows(names, files[0], files[1:], args, codec, results)
            if count is None:
                raise _SomeFailed
            written = files[0].seek(0, os.SEEK_END)
    except _SomeFailed:
        return
    results.done(label, output, written, size, made=counted(count, "embedding"))


@contextmanager
def _seekable(name: str, force: bool) -> Iterator[BinaryIO]:
    """A file that can seek. When whole it becomes `name`, or goes to a URL, stdout or a pipe."""
    if name != STDIO and not written_directly(name) and not is_url(name):
        with replacing(name, overwrite=force) as file:
            yield file
        return
    with tempfile.TemporaryFile() as file:
        yield file
        file.seek(0)
        if name == STDIO:
            shutil.copyfileobj(file, sys.stdout.buffer)
        elif is_url(name):
            with uploads.replacing(name, overwrite=force) as there:
                shutil.copyfileobj(file, there)
        else:
            with open_directly(name) as there:
                shutil.copyfileobj(file, there)


_Block = tuple[Embeddings, list["str | None"]]


def _blocks(name: str, args: argparse.Namespace, codec: Codec) -> Iterator[_Block]:
    """Embeddings and ids of one input, some thousand at a time; a single stream has no id."""
    if not is_container(name):
        stream = read_stream(name, codec)
        with as_stream(name):
            row = codec.decode(stream)
        yield row[None], [None]
        return
    with opened(name, profile=args.profile, partial=args.partial) as container:
        yield from container.decode_items()
        if not len(container):
            yield container.no_rows(), []


def _all_blocks(
    names: list[str], args: argparse.Namespace, codec: Codec, results: Results
) -> Iterator[tuple[str, _Block | None]]:
    """The blocks of all inputs, each with its input; None: that input failed, as stderr says."""
    for name in names:
        blocks = _blocks(name, args, codec)
        while True:
            try:
                block = next(blocks, None)
            except (ClipcodecError, OSError) as error:
                results.fail(name, error)
                yield name, None
                break
            if block is None:
                break
            yield name, block


def _rows(
    names: list[str],
    file: BinaryIO,
    ids_files: list[BinaryIO],
    args: argparse.Namespace,
    codec: Codec,
    results: Results,
) -> int | None:
    """Write a .npy of all rows, and one line per id. How many; None if an input failed."""
    count, width, failed = 0, None, False

    def parts() -> Iterator[Embeddings]:
        nonlocal count, width, failed
        for _, block in _all_blocks(names, args, codec, results):
            if block is None:
                failed = True
                continue
            rows, ids = block
            if width not in (None, rows.shape[1]) and len(rows):
                raise DecodeError(
                    "the streams have several widths: decompress each width separately"
                )
            width = rows.shape[1] if width is None or len(rows) else width
            count += len(rows)
            yield rows
            for ids_file in ids_files:
                ids_file.write(lines_of(ids).encode())

    write_npy(file, parts())
    return None if failed else count


def _lines(
    names: list[str],
    file: BinaryIO,
    args: argparse.Namespace,
    codec: Codec,
    results: Results,
) -> int | None:
    """Write one line of JSON per item. How many; None if an input failed."""
    failed, count, item, last = False, 0, 0, ""
    for name, block in _all_blocks(names, args, codec, results):
        if block is None:
            failed = True
            continue
        item = item if name == last else 0
        last = name
        for row, id in zip(*block, strict=True):
            line = {"file": name, "item": item, "id": id, "embedding": row.tolist()}
            file.write(as_json(line).encode() + b"\n")
            item += 1
            count += 1
    return None if failed else count
