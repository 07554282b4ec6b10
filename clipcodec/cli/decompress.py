"""`clipcodec decompress` and `clipcodec info` of streams.

containers.py has those of containers, describe.py has `info` of other files.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ..codec import Codec
from ..errors import ClipcodecError, DecodeError, OptionError
from ..stream import StreamInfo
from . import containers, describe, tables
from .common import (
    STDIO,
    is_unnamed,
    read_stream,
    refuse_shared,
    refuse_terminal_or_existing,
    report,
    write_output,
)
from .formats import ARRAY, IDS, LINES, known, refuse_other_format
from .suffixes import STREAM_SUFFIX
from .terminal import as_json, tell, tell_json


def run(args: argparse.Namespace) -> int:
    if args.verb == "decompress" and tables.are_tables(args):
        return tables.decompress(args)
    codec = Codec(args.profile)
    if args.verb == "info":
        return _for_each(args.inputs, lambda name: _info(codec, name, args))
    refuse_other_format(args.output, LINES if args.json else ARRAY)
    refuse_other_format(args.ids, IDS)
    if any(map(containers.is_container, args.inputs)):
        if args.output is None and not args.json:
            refuse_shared(map(containers.npy_name, args.inputs))
        return containers.decompress(args, codec)
    if args.ids:
        raise OptionError("--ids is for containers: a stream alone has none")
    if args.output is not None:
        return _together(codec, args.inputs, args.output, args.force, as_json=args.json)
    if args.json:
        return _for_each(args.inputs, lambda name: tell(_json(codec, name)))
    refuse_shared(map(_npy_name, args.inputs))
    return _for_each(args.inputs, lambda name: _one_file(codec, name, args.force))


def _for_each(names: list[str], work: Callable[[str], None]) -> int:
    """Do the work for every input; the exit code. One that fails is named, the others go on."""
    failed = 0
    for name in names:
        try:
            work(name)
        except BrokenPipeError:
            raise
        except (ClipcodecError, OSError) as error:
            report(name, error)
            failed += 1
    return 1 if failed else 0


def _one_file(codec: Codec, name: str, force: bool) -> None:
    output = _npy_name(name)
    refuse_terminal_or_existing(output, force=force)
    write_output(output, _npy(codec.decode(read_stream(name, codec))), force=force)


def _npy_name(name: str) -> str:
    return STDIO if is_unnamed(name) else name.removesuffix(STREAM_SUFFIX) + ".npy"


def _json(codec: Codec, name: str) -> str:
    stream = read_stream(name, codec)
    embedding = codec.decode(stream)
    row = {
        "file": name,
        "profile": codec.parse(stream).profile.name,
        "embedding": embedding.tolist(),
    }
    return as_json(row)


def _together(codec: Codec, names: list[str], output: str, force: bool, *, as_json: bool) -> int:
    """All inputs into one file, as rows (N, D) or lines; nothing is written if one fails."""
    refuse_terminal_or_existing(output, force=force)
    rows: list[Any] = []
    read = _json if as_json else lambda codec, name: codec.decode(read_stream(name, codec))
    failed = _for_each(names, lambda name: rows.append(read(codec, name)))
    if failed:
        return failed
    if as_json:
        write_output(output, "".join(f"{row}\n" for row in rows).encode(), force=force)
        return 0
    if len({len(row) for row in rows}) > 1:
        raise DecodeError("the streams have several widths: decompress each width separately")
    write_output(output, _npy(np.stack(rows)), force=force)
    return 0


def _npy(array: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def _info(codec: Codec, name: str, args: argparse.Namespace) -> None:
    if containers.is_container(name):
        containers.info(name, args)
        return
    found = known(name, codec)
    if found is not None and describe.describes(found):
        describe.info(name, found, codec, args)
        return
    info = codec.info(read_stream(name, codec))
    if args.json:
        tell_json({"file": name, **asdict(info)})
    else:
        for line in _words(name, info):
            tell(line)


def _words(name: str, info: StreamInfo) -> list[str]:
    identity = f"id {info.profile_id}" if info.digest is None else f"private, {info.digest[:8]}"
    label = "stdin" if name == STDIO else Path(name).name
    return [
        f"{label}: clipcodec stream, format version {info.version}",
        f"  profile    {info.profile} ({identity})",
        f"  backbone   {info.backbone}, {info.dim} dimensions",
        f"  quality    {info.quality or 'the only one of this profile'}",
        f"  entropy    {info.entropy}, {info.symbols} symbols",
        f"  size       {info.size} bytes, {info.bits_per_dimension:.3f} bits per dimension",
        f"  overhead   {info.size - info.information:.1f} bytes beyond the ideal "
        f"{info.information:.1f}",
    ]
