"""`clipcodec compress`: each input to one stream; a .npy of N rows to N streams."""

from __future__ import annotations

import argparse
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..codec import Codec
from ..errors import ClipcodecError, EmbeddingError, InputError, OutputExistsError, WeightsError
from . import SUFFIX
from .common import STDIO, progress, read_input, refuse_terminal_or_existing, report, write_output

_NPY = b"\x93NUMPY"


def run(args: argparse.Namespace) -> int:
    codec = Codec(args.profile, device=args.device, weights=args.weights)
    options = dict(quality=args.quality, max_bytes=args.max_bytes,
                   min_cosine=args.min_cosine, entropy=args.entropy)  # fmt: skip
    codec.encode_embeddings(np.empty((0, codec.profile.dim)), **options)  # options judged once
    failed = 0
    many = len(args.inputs) > 1
    for name in progress(args.inputs, quiet=args.quiet or not many, unit="file"):
        try:
            for output, stream in _streams(name, args.output, many, args.force, codec, options):
                write_output(output, stream, force=args.force)
        except WeightsError:
            raise  # no backbone: every other image would fail alike
        except (ClipcodecError, OSError) as error:
            report(name, error)
            failed += 1
    return 1 if failed else 0


def _streams(
    name: str, output: str | None, many: bool, force: bool, codec: Codec, options: dict[str, Any]
) -> Iterator[tuple[str, bytes]]:
    """(output name, stream) for everything that one input holds."""
    data = read_input(name)
    rows = _read_npy(data, name) if data.startswith(_NPY) else None
    if rows is None or rows.ndim == 1:
        target = _target(name, output, many)
        refuse_terminal_or_existing(target, force=force)
        if rows is None:
            image = data if name == STDIO else name
            yield target, codec.encode(image, **options)
        else:
            yield target, codec.encode_embedding(rows, **options)
        return
    folder = _folder(output, name, len(rows))
    stem = "stdin" if name == STDIO else Path(name).name
    digits = max(4, len(str(len(rows) - 1)))
    streams = codec.encode_embeddings(rows, **options)
    targets = [str(folder / f"{stem}.{i:0{digits}d}{SUFFIX}") for i in range(len(streams))]
    for target in targets:
        refuse_terminal_or_existing(target, force=force)
    yield from zip(targets, streams, strict=True)


def _target(name: str, output: str | None, many: bool) -> str:
    if output is None:
        return STDIO if name == STDIO else name + SUFFIX
    if output != STDIO and (many or output.endswith(os.sep) or Path(output).is_dir()):
        stem = "stdin" if name == STDIO else Path(name).name
        return str(_folder(output, name, 1) / (stem + SUFFIX))
    if many:
        raise InputError("several streams cannot share stdout: use -o DIRECTORY")
    return output


def _folder(output: str | None, name: str, rows: int) -> Path:
    if output is None or output == STDIO:
        raise InputError(f"{name} holds {rows} embeddings: use -o DIRECTORY, one stream a file")
    folder = Path(output)
    if folder.exists() and not folder.is_dir():
        raise OutputExistsError(f"{folder} is not a directory: several streams need one")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _read_npy(data: bytes, name: str) -> np.ndarray[Any, np.dtype[Any]]:
    try:
        rows = np.load(io.BytesIO(data), allow_pickle=False)
    except (ValueError, EOFError, OSError, SyntaxError) as error:
        raise EmbeddingError(f"{name} is not a readable .npy file: {error}") from error
    if rows.ndim not in (1, 2):
        raise EmbeddingError(f"{name} holds an array of shape {rows.shape}: expected (D,), (N, D)")
    return np.asarray(rows)
