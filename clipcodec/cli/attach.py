"""`clipcodec attach` and `clipcodec extract`: streams inside image files."""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import suppress
from pathlib import Path

from ..bitstream import DIGEST_BYTES
from ..carriers import attach, extract
from ..carriers.xmp import owner
from ..codec import Codec
from ..errors import (
    ClipcodecError,
    CorruptError,
    DecodeError,
    ImageError,
    OptionError,
    WeightsError,
)
from . import SUFFIX
from .common import (
    STDIO,
    progress,
    read_stream,
    refuse_shared,
    refuse_terminal_or_existing,
    report,
    target_of,
    write_output,
)


def run(args: argparse.Namespace) -> int:
    suffix = SUFFIX if args.verb == "extract" else ""
    targets = [target_of(name, args.output, len(args.inputs), suffix) for name in args.inputs]
    refuse_shared(targets)
    pairs = list(zip(args.inputs, targets, strict=True))
    return _extract(args, pairs) if args.verb == "extract" else _attach(args, pairs)


def _write(target: str, data: bytes, args: argparse.Namespace) -> None:
    if args.output not in (None, target):  # a directory, then
        Path(target).parent.mkdir(parents=True, exist_ok=True)
    write_output(target, data, force=args.force)


def _image(name: str) -> bytes | str:
    """The name of a file, or what stdin or a pipe, which can be read once only, holds."""
    if name == STDIO:
        return sys.stdin.buffer.read()
    return name if os.path.isfile(name) else Path(name).read_bytes()


def _attach(args: argparse.Namespace, pairs: list[tuple[str, str]]) -> int:
    if args.output is None and not args.force and any(name != STDIO for name in args.inputs):
        raise OptionError("the image file itself would be changed: use -f for that, or -o OUT")
    options = dict(quality=args.quality, max_bytes=args.max_bytes,
                   min_cosine=args.min_cosine, entropy=args.entropy)  # fmt: skip
    codec = Codec(args.profile, backbone=args.backbone, device=args.device, weights=args.weights)
    stream = _given(args, codec)
    if stream is None:
        codec.encode_embeddings([], **options)  # options judged once
    failed = 0
    for name, target in progress(pairs, quiet=args.quiet or len(pairs) == 1, unit="file"):
        try:
            refuse_terminal_or_existing(target, force=args.force)
            image = _image(name)
            _refuse_no_carrier(image)
            made = codec.encode(image, **options) if stream is None else stream
            _write(target, attach(image, made), args)
        except WeightsError:
            raise  # no backbone: every other image would fail alike
        except (ClipcodecError, OSError) as error:
            report(name, error)
            failed += 1
    return 1 if failed else 0


def _given(args: argparse.Namespace, codec: Codec) -> bytes | None:
    """The stream of --stream, checked, if there is one."""
    if args.stream is None:
        return None
    if len(args.inputs) > 1:
        raise OptionError("--stream is of one image: give images with streams one at a time")
    if args.stream == STDIO == args.inputs[0]:
        raise OptionError("image and stream cannot both be stdin")
    if (args.quality, args.max_bytes, args.min_cosine, args.entropy) != (None, None, None, "auto"):
        raise OptionError("--stream is made already: leave out what says how to make it")
    stream = read_stream(args.stream)
    try:
        codec.info(stream)
    except DecodeError as error:
        raise type(error)(f"{args.stream}: {error}") from error
    return stream


def _refuse_no_carrier(image: bytes | str) -> None:
    """Tell files that can carry no stream before long work."""
    with suppress(CorruptError):  # a damaged stream gives way to a new one
        extract(image)


def _extract(args: argparse.Namespace, pairs: list[tuple[str, str]]) -> int:
    codec = Codec(args.profile)
    failed = 0
    for name, target in pairs:
        try:
            refuse_terminal_or_existing(target, force=args.force)
            streams = extract(_image(name))
            _write(target, _chosen(streams, codec, by_profile=args.profile is not None), args)
        except BrokenPipeError:
            raise
        except (ClipcodecError, OSError) as error:
            report(name, error)
            failed += 1
    return 1 if failed else 0


def _chosen(streams: list[bytes], codec: Codec, *, by_profile: bool) -> bytes:
    """The one stream, or that of the profile asked for."""
    found = streams
    if by_profile:
        profile = codec.profile
        names = (profile.id, None), (None, profile.digest[:DIGEST_BYTES])
        found = [stream for stream in streams if owner(stream) in names]
    if len(found) == 1:
        return found[0]
    if not streams:
        raise ImageError("it carries no stream: `clipcodec attach` puts one there")
    there = ", ".join(_label(stream, codec) for stream in streams)
    if by_profile:
        raise ImageError(f"it carries no stream of {codec.profile.name}, but of {there}")
    raise ImageError(f"it carries {len(streams)} streams, of {there}: choose by --profile")


def _label(stream: bytes, codec: Codec) -> str:
    try:
        return codec.info(stream).profile
    except DecodeError:
        return "a profile that is not at hand"
