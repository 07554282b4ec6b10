"""`clipcodec info` of streams; describe_containers.py and describe.py have that of other files."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path

from ..codec import Codec
from ..stream import StreamInfo
from . import describe, describe_containers
from .common import (
    as_stream,
    for_each,
    read_stream,
)
from .containers import is_container
from .formats import known
from .inputs import label_of
from .terminal import size_text, tell, tell_json


def run(args: argparse.Namespace) -> int:
    codec = Codec(args.profile)
    return for_each(args.inputs, lambda name: _info(codec, name, args))


def _info(codec: Codec, name: str, args: argparse.Namespace) -> None:
    if is_container(name):
        describe_containers.info(name, args)
        return
    found = known(name, codec)
    if found is not None and describe.describes(found):
        describe.info(name, found, codec, args)
        return
    stream = read_stream(name, codec)
    with as_stream(name):
        info = codec.info(stream)
    if args.json:
        tell_json({"file": name, **asdict(info)})
    else:
        for line in _words(name, info):
            tell(line)


def _words(name: str, info: StreamInfo) -> list[str]:
    identity = f"id {info.profile_id}" if info.digest is None else f"private, {info.digest[:8]}"
    label = Path(label_of(name)).name
    return [
        f"{label}: clipcodec stream, format version {info.version}",
        f"  profile    {info.profile} ({identity})",
        f"  backbone   {info.backbone}, {info.dim} dimensions",
        f"  quality    {info.quality or 'the only one of this profile'}",
        f"  entropy    {info.entropy}, {info.symbols} symbols",
        f"  size       {size_text(info.size)}, {info.bits_per_dimension:.3f} bits per dimension",
        f"  overhead   {info.size - info.information:.1f} bytes beyond the ideal "
        f"{info.information:.1f}",
    ]
