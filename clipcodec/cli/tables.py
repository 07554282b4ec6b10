"""`clipcodec compress` and `decompress` of a column of Parquet tables."""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from ..codec import Codec
from ..errors import (
    BackboneWarning,
    ClipcodecError,
    InputError,
    MissingDependencyError,
    OptionError,
    WeightsError,
)
from ..profile.registry import UNTRAINED
from ..target import Target
from . import own_profile
from .common import (
    STDIO,
    codec_of,
    is_directory,
    make_folder,
    path_in,
    progress_bar,
    refuse_beside,
    refuse_no_folder,
    refuse_shared,
    refuse_terminal_or_existing,
    report,
    target_of,
)
from .formats import TABLE, refuse_foreign, refuse_other_format
from .inputs import is_pipe
from .results import Results, size_of, together
from .terminal import counted

PARQUET = ".parquet"
COMPRESSED = ".clip.parquet"  # what a table of streams is called

Work = Callable[
    [str, str, Callable[[int, int], None], Callable[[Exception], None] | None], int
]  # rows


def are_tables(args: argparse.Namespace) -> bool:
    """Is this command line about tables? OptionError: it is not, but has options only for them."""
    if args.column is not None or any(name.endswith(PARQUET) for name in args.inputs):
        return True
    if args.into is not None or args.keep_column or args.skip_bad_rows:
        raise OptionError("--into, --keep-column and --skip-bad-rows are for tables: --column NAME")
    return False


def compress(args: argparse.Namespace) -> int:
    """Each table to one in which streams take the place of embeddings or images."""
    from ..integrations.arrow import compress_parquet

    if args.column is None:
        raise OptionError("a table needs --column NAME: the embeddings or images to compress")
    codec, target, embed = codec_of(args), target_of(args), bool(args.embed_profile)
    if not args.train:
        target.check(codec.profile)

    def prepare(pairs: list[tuple[str, str]]) -> None:
        nonlocal codec, embed
        learned = _learned(args, pairs, target) if args.train else None
        if learned is not None:
            codec, embed = learned, True

    def work(name: str, output: str, progress: Any, on_bad_row: Any) -> int:
        return compress_parquet(
            name, output, args.column, into=args.into, keep=args.keep_column,
            embed_profile=embed, overwrite=args.force,
            progress=progress, on_bad_row=on_bad_row, profile=codec, **asdict(target),
        )  # fmt: skip

    return _convert_all(
        args, work, lambda name: name.removesuffix(PARQUET) + COMPRESSED, prepare=prepare
    )


def _learned(
    args: argparse.Namespace, pairs: list[tuple[str, str]], target: Target
) -> Codec | None:
    """A codec with a profile learned from all tables that can be read; None: none can.

    Raises TrainingError if such a profile does not pay, or cannot be learned.
    """
    from ..integrations.carried import GROWTH
    from ..integrations.sampled import sample_column

    sound = [pair for pair in pairs if _is_sound(*pair, args)]
    if not sound:
        return None
    embedder = own_profile.embedder(args)
    names = [name for name, _ in sound]
    with progress_bar(quiet=args.quiet, unit="row", desc="sample") as progress:
        found = sample_column(names, args.column, embedder, progress=progress)
    name, _ = together(names)
    output = sound[0][1].removesuffix(COMPRESSED) if len(sound) == 1 else STDIO
    profile = own_profile.learned_from(
        found, args, output, name, target, files=len(sound), growth=GROWTH
    )
    return Codec(profile, backbone=args.backbone, device=args.device, weights=args.weights)


def _is_sound(name: str, output: str, args: argparse.Namespace) -> bool:
    """Can this table be compressed, as far as is known before? If not, it is said later."""
    from ..integrations.arrow import encoded_schema
    from ..integrations.parquet import opened

    try:
        _check(name, output, args)
        with opened(name) as file:
            schema = file.schema_arrow
        encoded_schema(
            schema, args.column, into=args.into, keep=args.keep_column, profile=UNTRAINED
        )
    except (ClipcodecError, OSError):
        return False
    return True


def decompress(args: argparse.Namespace) -> int:
    """Each table to one in which vectors take the place of streams."""
    from ..integrations.arrow import decompress_parquet

    if args.json:
        raise OptionError("--json is for streams: a table becomes a table")
    codec = Codec(args.profile)

    def work(name: str, output: str, progress: Any, on_bad_row: Any) -> int:
        return decompress_parquet(
            name, output, args.column, into=args.into, keep=args.keep_column,
            overwrite=args.force, progress=progress, on_bad_row=on_bad_row,
            profile=codec,
        )  # fmt: skip

    return _convert_all(args, work, _decompressed)


def _decompressed(name: str) -> str:
    if not name.endswith(COMPRESSED):
        raise OptionError(f"{name} does not end in {COMPRESSED}: name the result with -o")
    return name.removesuffix(COMPRESSED) + PARQUET


def _convert_all(
    args: argparse.Namespace,
    work: Work,
    rename: Callable[[str], str],
    prepare: Callable[[list[tuple[str, str]]], None] = lambda pairs: None,
) -> int:
    """prepare: is given inputs and outputs before the first is worked on"""
    if any(map(is_pipe, args.inputs)) or args.output == STDIO:
        raise OptionError("a table is not read from a pipe or written to stdout: name files")
    outputs = [_output_path(name, args.output, len(args.inputs), rename) for name in args.inputs]
    refuse_shared(outputs)
    pairs = list(zip(args.inputs, outputs, strict=True))
    prepare(pairs)
    results = Results(args, len(args.inputs), "table")
    for name, output in pairs:
        bad: list[Exception] = []

        def on_bad_row(error: Exception, name: str = name, bad: list[Exception] = bad) -> None:
            report(name, error)
            bad.append(error)

        try:
            _check(name, output, args)
            if args.output not in (None, output):  # -o is a directory
                make_folder(output)
            size = size_of(name)  # before it is replaced
            quiet = getattr(args, "quiet", False)
            with progress_bar(quiet=quiet, unit="row", unit_scale=True) as show, _warn_once():
                rows = work(name, output, show, on_bad_row if args.skip_bad_rows else None)
        except (WeightsError, MissingDependencyError):
            raise  # without a backbone every other table would fail, too
        except (ClipcodecError, OSError) as error:
            results.fail(name, error)
            continue
        if bad:
            results.code = 1
        results.done(
            name, output, size_of(output), size, was=counted(rows, "row"),
            more=f"{len(bad):,} failed" if bad else "",
        )  # fmt: skip
    return results.end()


def _check(name: str, output: str, args: argparse.Namespace) -> None:
    """Raise if the input is no table, or the output is there already."""
    refuse_foreign(name, "a Parquet table", TABLE, error=InputError)
    refuse_terminal_or_existing(output, force=args.force)


def _output_path(name: str, output: str | None, inputs: int, rename: Callable[[str], str]) -> str:
    if output is None:
        refuse_beside(name)
        return rename(name)
    if is_directory(output, f"{inputs} tables" if inputs > 1 else None):
        return path_in(output, name)
    refuse_other_format(output, TABLE)
    refuse_no_folder(output)
    return output


@contextmanager
def _warn_once() -> Iterator[None]:
    """Warn of embeddings that another model seems to have made once per table, not per batch."""
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
