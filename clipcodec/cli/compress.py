"""`clipcodec compress`: each input to one stream; a .npy of N rows to N streams."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..codec import Codec
from ..errors import (
    ClipcodecError,
    EmbeddingError,
    InputError,
    OutputExistsError,
    WeightsError,
    brief,
)
from . import SUFFIX, compress_many, tables
from .common import (
    STDIO,
    progress,
    refuse_shared,
    refuse_terminal_or_existing,
    report,
    target_of,
    write_output,
)

_NPY = b"\x93NUMPY"


def run(args: argparse.Namespace) -> int:
    if tables.are_tables(args):
        return tables.compress(args)
    if compress_many.concerns(args):
        return compress_many.run(args)
    codec = Codec(args.profile, backbone=args.backbone, device=args.device, weights=args.weights)
    options = dict(quality=args.quality, max_bytes=args.max_bytes,
                   min_cosine=args.min_cosine, entropy=args.entropy)  # fmt: skip
    codec.encode_embeddings(np.empty((0, codec.profile.dim or 1)), **options)  # options judged once
    targets = [target_of(name, args.output, len(args.inputs), SUFFIX) for name in args.inputs]
    refuse_shared(targets)
    failed = 0
    pairs = list(zip(args.inputs, targets, strict=True))
    for name, target in progress(pairs, quiet=args.quiet or len(pairs) == 1, unit="file"):
        try:
            for output, stream in _streams(name, target, args, codec, options):
                if args.output not in (None, output):  # a directory, then
                    Path(output).parent.mkdir(parents=True, exist_ok=True)
                write_output(output, stream, force=args.force)
        except WeightsError:
            raise  # no backbone: every other image would fail alike
        except (ClipcodecError, OSError) as error:
            report(name, error)
            failed += 1
    return 1 if failed else 0


def _streams(
    name: str, target: str, args: argparse.Namespace, codec: Codec, options: dict[str, Any]
) -> Iterator[tuple[str, bytes]]:
    """(output, stream) for everything that one input holds."""
    source: bytes | str = name
    if name == STDIO:
        source = sys.stdin.buffer.read()
    elif not os.path.isfile(name):  # a pipe can be read once only
        source = Path(name).read_bytes()
    rows = _embeddings(source)
    if rows is None or len(rows) == 1:
        refuse_terminal_or_existing(target, force=args.force)
        if rows is None:
            yield target, codec.encode(source, **options)
        else:
            yield target, codec.encode_embedding(rows[0], **options)
        return
    targets = _numbered(name, args.output, len(rows))
    for one in targets:
        refuse_terminal_or_existing(one, force=args.force)
    yield from zip(targets, codec.encode_embeddings(rows, **options), strict=True)


def _numbered(name: str, output: str | None, rows: int) -> list[str]:
    """One stream's name for each row, all in the directory `output`."""
    if output is None or output == STDIO:
        raise InputError(f"{rows} embeddings, one stream each: use -o DIRECTORY")
    if Path(output).exists() and not Path(output).is_dir():
        raise OutputExistsError(f"{output} is not a directory: {rows} streams need one")
    stem = "stdin" if name == STDIO else Path(name).name
    digits = max(4, len(str(rows - 1)))
    return [str(Path(output) / f"{stem}.{i:0{digits}d}{SUFFIX}") for i in range(rows)]


def _embeddings(source: bytes | str) -> np.ndarray[Any, np.dtype[Any]] | None:
    """The rows (N, D) of a .npy file, or None: then it is to be an image."""
    with io.BytesIO(source) if isinstance(source, bytes) else open(source, "rb") as file:
        if file.read(len(_NPY)) != _NPY:
            return None
        file.seek(0)
        try:
            rows = np.load(file, allow_pickle=False)
        except Exception as error:  # a damaged header makes numpy raise nearly anything
            raise EmbeddingError(f"not a readable .npy file: {brief(error)}") from error
    if rows.ndim not in (1, 2) or not len(rows):
        raise EmbeddingError(f"an array of shape {rows.shape}: expected (D,) or (N, D), N > 0")
    return np.atleast_2d(rows)
