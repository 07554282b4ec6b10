"""`clipcodec decompress` of containers (.clpc), alone, together, or with single streams."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import BinaryIO

from ..arrays import write_npy
from ..codec import Codec
from ..container.id_lists import lines_of
from ..embeddings import Embeddings
from ..errors import ClipcodecError, DecodeError, OptionError, OutputExistsError
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
from .containers import is_container, opened
from .results import Results, together
from .suffixes import CONTAINER_SUFFIX, STREAM_SUFFIX
from .terminal import as_json, counted


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
