"""`clipcodec compress` and `decompress` of a column of Parquet tables."""

from __future__ import annotations

import argparse
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..codec import Codec
from ..errors import BackboneWarning, ClipcodecError, OptionError, WeightsError
from .common import STDIO, refuse_shared, refuse_terminal_or_existing, report

PARQUET = ".parquet"
SUFFIX = ".clip.parquet"

Work = Callable[[str, str, Callable[[int, int], None], Callable[[Exception], None] | None], Any]


def are_tables(args: argparse.Namespace) -> bool:
    """Is this command line about tables? OptionError: it is not, with options of theirs."""
    if args.column is not None or any(name.endswith(PARQUET) for name in args.inputs):
        return True
    if args.into is not None or args.keep_column or args.skip_bad_rows:
        raise OptionError("--into, --keep-column and --skip-bad-rows are for tables: --column NAME")
    return False


def compress(args: argparse.Namespace) -> int:
    """Each table to one with a column of streams in place of embeddings or images."""
    from ..integrations.arrow import compress_parquet

    if args.column is None:
        raise OptionError("a table needs --column NAME: the embeddings or images to compress")
    codec = Codec(args.profile, backbone=args.backbone, device=args.device, weights=args.weights)
    options = dict(quality=args.quality, max_bytes=args.max_bytes,
                   min_cosine=args.min_cosine, entropy=args.entropy)  # fmt: skip
    codec.encode_embeddings([], **options)  # options judged once

    def work(name: str, target: str, progress: Any, on_bad_row: Any) -> None:
        compress_parquet(name, target, args.column, into=args.into, keep=args.keep_column,
                         overwrite=args.force, progress=progress, on_bad_row=on_bad_row,
                         profile=codec, **options)  # fmt: skip

    return _each(args, work, lambda name: name.removesuffix(PARQUET) + SUFFIX)


def decompress(args: argparse.Namespace) -> int:
    """Each table to one with a column of vectors in place of streams."""
    from ..integrations.arrow import decompress_parquet

    if args.json:
        raise OptionError("--json is for streams: a table becomes a table")
    codec = Codec(args.profile)

    def work(name: str, target: str, progress: Any, on_bad_row: Any) -> None:
        decompress_parquet(name, target, args.column, into=args.into, keep=args.keep_column,
                           overwrite=args.force, progress=progress, on_bad_row=on_bad_row,
                           profile=codec)  # fmt: skip

    return _each(args, work, _decompressed)


def _decompressed(name: str) -> str:
    if not name.endswith(SUFFIX):
        raise OptionError(f"{name} does not end in {SUFFIX}: name the result with -o")
    return name.removesuffix(SUFFIX) + PARQUET


def _each(args: argparse.Namespace, work: Work, rename: Callable[[str], str]) -> int:
    if STDIO in (*args.inputs, args.output):
        raise OptionError("a table is not read from stdin or written to stdout: name files")
    targets = [_target(name, args.output, len(args.inputs), rename) for name in args.inputs]
    refuse_shared(targets)
    failed = 0
    for name, target in zip(args.inputs, targets, strict=True):
        bad: list[Exception] = []

        def on_bad_row(error: Exception, name: str = name, bad: list[Exception] = bad) -> None:
            report(name, error)
            bad.append(error)

        try:
            refuse_terminal_or_existing(target, force=args.force)
            if target != args.output and args.output is not None:  # a directory, then
                Path(target).parent.mkdir(parents=True, exist_ok=True)
            with _bar(getattr(args, "quiet", False)) as progress, _warned_once():
                work(name, target, progress, on_bad_row if args.skip_bad_rows else None)
        except WeightsError:
            raise  # no backbone: every other table would fail alike
        except (ClipcodecError, OSError) as error:
            report(name, error)
            bad.append(error)
        failed += bool(bad)
    return 1 if failed else 0


def _target(name: str, output: str | None, inputs: int, rename: Callable[[str], str]) -> str:
    if output is None:
        return rename(name)
    if inputs > 1 or output.endswith(os.sep) or Path(output).is_dir():
        if Path(output).exists() and not Path(output).is_dir():
            raise OptionError(f"{output} is not a directory: several tables need one")
        return str(Path(output) / Path(name).name)
    return output


@contextmanager
def _bar(quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """Rows done, on stderr, on a terminal only."""
    from tqdm import tqdm

    with tqdm(disable=True if quiet else None, leave=False, unit="row", unit_scale=True) as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield progress


@contextmanager
def _warned_once() -> Iterator[None]:
    """Of embeddings that another model seems to have made, once a table, not once a batch."""
    show, said = warnings.showwarning, []

    def once(message: Any, category: Any, *rest: Any, **named: Any) -> None:
        if issubclass(category, BackboneWarning):
            said.append(message)
            if len(said) > 1:
                return
        show(message, category, *rest, **named)

    warnings.showwarning = once
    try:
        yield
    finally:
        warnings.showwarning = show
