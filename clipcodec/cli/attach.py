"""`clipcodec attach` and `clipcodec extract`: streams inside image files."""

from __future__ import annotations

import argparse
from contextlib import suppress
from pathlib import Path

from ..bitstream import DIGEST_BYTES
from ..carriers import attach, extract, format_of
from ..carriers.xmp import owner
from ..codec import Codec
from ..errors import (
    ClipcodecError,
    CorruptError,
    DecodeError,
    ImageError,
    MissingDependencyError,
    OptionError,
    WeightsError,
    placed,
)
from ..target import Target
from .common import (
    STDIO,
    codec_of,
    is_unnamed,
    output_path,
    progress,
    read_stream,
    refuse_shared,
    refuse_terminal_or_existing,
    target_of,
    write_result,
)
from .formats import IMAGES, PICTURES, STREAM, Format, refuse_foreign, refuse_other_format
from .inputs import path_or_bytes
from .results import Results
from .suffixes import STREAM_SUFFIX
from .terminal import size_text


def run(args: argparse.Namespace) -> int:
    suffix, made = (STREAM_SUFFIX, STREAM) if args.verb == "extract" else ("", None)
    outputs = [
        output_path(name, args.output, len(args.inputs), suffix, made) for name in args.inputs
    ]
    refuse_shared(outputs)
    pairs = list(zip(args.inputs, outputs, strict=True))
    return _extract(args, pairs) if args.verb == "extract" else _attach(args, pairs)


def _attach(args: argparse.Namespace, pairs: list[tuple[str, str]]) -> int:
    if args.output is None and not args.force and not all(map(is_unnamed, args.inputs)):
        raise OptionError("the image file itself would be changed: use -f for that, or -o OUT")
    codec, target = codec_of(args), target_of(args)
    stream = _given(args, codec)
    if stream is None:
        target.check(codec.profile, one=True)
    results = Results(args, len(pairs))
    for name, output in progress(pairs, quiet=args.quiet or len(pairs) == 1, unit="file"):
        try:
            refuse_terminal_or_existing(output, force=args.force)
            refuse_foreign(name, "JPEG, PNG, WebP, AVIF or HEIF", *PICTURES, error=ImageError)
            image = path_or_bytes(name)
            _refuse_no_carrier(image)
            if args.output == output:
                refuse_other_format(output, _format(image))
            made = codec.encode(image, target) if stream is None else stream
            write_result(output, attach(image, made), args)
            done = f"stream of {size_text(len(made))} attached"
            results.done(name, output, len(made), words=done)
        except (WeightsError, MissingDependencyError):
            raise  # without a backbone every other image would fail, too
        except (ClipcodecError, OSError) as error:
            results.fail(name, error)
    return results.end()


def _given(args: argparse.Namespace, codec: Codec) -> bytes | None:
    """The stream of --stream, checked; None without that option."""
    if args.stream is None:
        return None
    if len(args.inputs) > 1:
        raise OptionError("--stream is for one image: attach streams to images one at a time")
    if args.stream == STDIO == args.inputs[0]:
        raise OptionError("image and stream cannot both be stdin")
    if target_of(args) != Target():
        raise OptionError("--stream is made already: leave out the options for making one")
    with placed(source=args.stream):
        stream = read_stream(args.stream, codec)
        codec.info(stream)
    return stream


def _format(image: bytes | str) -> Format:
    data = image if isinstance(image, bytes) else Path(image).read_bytes()
    return IMAGES[format_of(data) or ""]


def _refuse_no_carrier(image: bytes | str) -> None:
    """Raise before long work if the file can carry no stream."""
    with suppress(CorruptError):  # a damaged stream is replaced by the new one
        extract(image)


def _extract(args: argparse.Namespace, pairs: list[tuple[str, str]]) -> int:
    codec = Codec(args.profile)
    results = Results(args, len(pairs))
    for name, output in pairs:
        try:
            refuse_terminal_or_existing(output, force=args.force)
            refuse_foreign(name, "JPEG, PNG, WebP, AVIF or HEIF", *PICTURES, error=ImageError)
            streams = extract(path_or_bytes(name))
            stream = _chosen(streams, codec, by_profile=args.profile is not None)
            write_result(output, stream, args)
            results.done(name, output, len(stream), words=f"stream of {size_text(len(stream))}")
        except BrokenPipeError:
            raise
        except (ClipcodecError, OSError) as error:
            results.fail(name, error)
    return results.end()


def _chosen(streams: list[bytes], codec: Codec, *, by_profile: bool) -> bytes:
    """The only stream, or the one of the profile that was asked for."""
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
