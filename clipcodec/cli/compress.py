"""`clipcodec compress`: each input to one stream; a file of N embeddings to N streams."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from ..codec import Codec
from ..errors import (
    ClipcodecError,
    InputError,
    MissingDependencyError,
    OutputExistsError,
    WeightsError,
)
from ..target import Target
from . import compress_many, tables
from .common import (
    STDIO,
    codec_of,
    output_path,
    progress,
    refuse_shared,
    refuse_terminal_or_existing,
    report,
    target_of,
    write_result,
)
from .formats import EMBEDDINGS, PICTURES, STREAM, refuse_file_name, refuse_foreign
from .inputs import embedding_rows, path_or_bytes
from .suffixes import STREAM_SUFFIX


def run(args: argparse.Namespace) -> int:
    if tables.are_tables(args):
        return tables.compress(args)
    if compress_many.wants_container(args):
        return compress_many.run(args)
    codec, target = codec_of(args), target_of(args)
    target.check(codec.profile)
    outputs = [
        output_path(name, args.output, len(args.inputs), STREAM_SUFFIX, STREAM)
        for name in args.inputs
    ]
    refuse_shared(outputs)
    failed = 0
    pairs = list(zip(args.inputs, outputs, strict=True))
    for name, output in progress(pairs, quiet=args.quiet or len(pairs) == 1, unit="file"):
        try:
            for path, stream in _streams(name, output, args, codec, target):
                write_result(path, stream, args)
        except (WeightsError, MissingDependencyError):
            raise  # without a backbone every other image would fail, too
        except (ClipcodecError, OSError) as error:
            report(name, error)
            failed += 1
    return 1 if failed else 0


def _streams(
    name: str, output: str, args: argparse.Namespace, codec: Codec, target: Target
) -> Iterator[tuple[str, bytes]]:
    """Every stream of one input, and where it is written."""
    refuse_foreign(name, "an image or embeddings", *EMBEDDINGS, *PICTURES, error=InputError)
    source = path_or_bytes(name)
    rows = embedding_rows(source, name)
    if rows is None or len(rows) == 1:
        refuse_terminal_or_existing(output, force=args.force)
        if rows is None:
            yield output, codec.encode(source, target)
        else:
            yield output, codec.encode_embedding(rows[0], target)
        return
    outputs = _numbered(name, args.output, len(rows))
    for path in outputs:
        refuse_terminal_or_existing(path, force=args.force)
    yield from zip(outputs, codec.encode_embeddings(rows, target), strict=True)


def _numbered(name: str, output: str | None, rows: int) -> list[str]:
    """The path of each row's stream, all in the directory `output`."""
    if output is None or output == STDIO:
        raise InputError(f"{rows} embeddings, one stream each: use -o DIRECTORY")
    if Path(output).exists() and not Path(output).is_dir():
        raise OutputExistsError(f"{output} is not a directory: {rows} streams need one")
    refuse_file_name(output, f"{rows} streams")
    stem = "stdin" if name == STDIO else Path(name).name
    digits = max(4, len(str(rows - 1)))
    return [str(Path(output) / f"{stem}.{i:0{digits}d}{STREAM_SUFFIX}") for i in range(rows)]
