"""`clipcodec decompress` of streams; of containers it is decompress_containers.py."""

from __future__ import annotations

import argparse
import io
from typing import Any

import numpy as np

from ..codec import Codec
from ..errors import ClipcodecError, DecodeError, OptionError
from . import decompress_containers, tables
from .common import (
    STDIO,
    as_stream,
    for_each,
    is_directory,
    path_in,
    read_stream,
    refuse_beside,
    refuse_no_folder,
    refuse_shared,
    refuse_terminal_or_existing,
    write_output,
    write_result,
)
from .containers import is_container
from .formats import ARRAY, IDS, LINES, refuse_other_format
from .results import Results, together
from .terminal import as_json, counted, tell


def run(args: argparse.Namespace) -> int:
    if tables.are_tables(args):
        return tables.decompress(args)
    codec = Codec(args.profile)
    outputs = _outputs(args)
    if outputs is None:
        refuse_other_format(args.output, LINES if args.json else ARRAY)
        refuse_no_folder(args.output or STDIO)
    refuse_other_format(args.ids, IDS)
    refuse_no_folder(args.ids or STDIO, "--ids")
    if any(map(is_container, args.inputs)):
        return decompress_containers.decompress(args, codec, outputs)
    if args.ids:
        raise OptionError("--ids is for containers: a stream alone has none")
    if outputs is not None:
        return _separately(codec, outputs, args)
    if args.output is not None:
        return _together(codec, args)
    return for_each(args.inputs, lambda name: tell(_json(codec, name)))


def _outputs(args: argparse.Namespace) -> list[str] | None:
    """The file of each input, beside it or in the directory -o; None: all go to one place."""
    if args.json or args.output == STDIO:
        return None
    outputs = list(map(decompress_containers.npy_name, args.inputs))
    if args.output is None:
        for name in args.inputs:
            refuse_beside(name)
    else:
        if not is_directory(args.output, None):
            return None
        outputs = [path_in(args.output, "stdin.npy" if n == STDIO else n) for n in outputs]
    refuse_shared(outputs)
    return outputs


def _separately(codec: Codec, outputs: list[str], args: argparse.Namespace) -> int:
    results = Results(args, len(outputs))
    for name, output in zip(args.inputs, outputs, strict=True):
        try:
            refuse_terminal_or_existing(output, force=args.force)
            stream = read_stream(name, codec)
            with as_stream(name):
                data = _npy(codec.decode(stream))
            write_result(output, data, args)
        except BrokenPipeError:
            raise
        except (ClipcodecError, OSError) as error:
            results.fail(name, error)
        else:
            results.done(name, output, len(data), len(stream))
    return results.end()


def _decoded(codec: Codec, name: str) -> Any:
    stream = read_stream(name, codec)
    with as_stream(name):
        return codec.decode(stream)


def _json(codec: Codec, name: str) -> str:
    stream = read_stream(name, codec)
    with as_stream(name):
        embedding = codec.decode(stream)
    row = {
        "file": name,
        "profile": codec.parse(stream).profile.name,
        "embedding": embedding.tolist(),
    }
    return as_json(row)


def _together(codec: Codec, args: argparse.Namespace) -> int:
    """All inputs into one file, as rows (N, D) or lines; nothing is written if one fails."""
    refuse_terminal_or_existing(args.output, force=args.force)
    rows: list[Any] = []
    read = _json if args.json else _decoded
    failed = for_each(args.inputs, lambda name: rows.append(read(codec, name)))
    if failed:
        return failed
    if args.json:
        data = "".join(f"{row}\n" for row in rows).encode()
    elif len({len(row) for row in rows}) > 1:
        raise DecodeError("the streams have several widths: decompress each width separately")
    else:
        data = _npy(np.stack(rows))
    write_output(args.output, data, force=args.force)
    name, size = together(args.inputs)
    made = counted(len(rows), "embedding") if len(rows) > 1 else ""
    Results(args, 1).done(name, args.output, len(data), size, made=made)
    return 0


def _npy(array: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()
