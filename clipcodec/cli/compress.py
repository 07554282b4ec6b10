"""`clipcodec compress`: an image to a stream, a file of embeddings to a container of streams."""

from __future__ import annotations

import argparse
import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from ..codec import Codec
from ..errors import (
    ClipcodecError,
    InputError,
    MissingDependencyError,
    OptionError,
    WeightsError,
)
from ..target import Target
from . import compress_many, own_profile, tables
from .common import (
    STDIO,
    codec_of,
    is_directory,
    is_unnamed,
    output_path,
    path_in,
    progress,
    refuse_beside,
    refuse_shared,
    refuse_terminal_or_existing,
    target_of,
    write_result,
)
from .formats import EMBEDDINGS, PICTURES, STREAM, refuse_foreign
from .inputs import embedding_rows, fetched, path_or_bytes
from .results import Results, size_of
from .suffixes import CONTAINER_SUFFIX, STREAM_SUFFIX
from .terminal import counted


def run(args: argparse.Namespace) -> int:
    own_profile.check(args)
    compress_many.check_ids(args)
    if tables.are_tables(args):
        return tables.compress(args)
    with ExitStack() as stack:
        for name in args.inputs if args.output is None else ():
            refuse_beside(name)
        args.inputs = [fetched(name, stack) for name in args.inputs]
        return _run(args)


def _run(args: argparse.Namespace) -> int:
    if compress_many.wants_container(args):
        return compress_many.run(args)
    instead = _container_instead(args.output)
    outputs = [
        output_path(name, args.output, len(args.inputs), STREAM_SUFFIX, STREAM, instead=instead)
        for name in args.inputs
    ]
    refuse_shared(outputs)
    codec, target = codec_of(args), target_of(args)
    target.check(codec.profile)
    work = _Work(args, codec, target)
    pairs = list(zip(args.inputs, outputs, strict=True))
    for name, output in progress(pairs, quiet=args.quiet or len(pairs) == 1, unit="file"):
        try:
            work.one(name, output)
        except (WeightsError, MissingDependencyError):
            raise  # without a backbone every other image would fail, too
        except (ClipcodecError, OSError) as error:
            if isinstance(error, _UsageError) and len(pairs) == 1:
                raise
            work.results.fail(name, error)
    return work.results.end()


class _UsageError(OptionError):
    """What -o or an option says does not fit what the input turned out to hold."""


class _Work:
    """The inputs of a command line, one after the other."""

    def __init__(self, args: argparse.Namespace, codec: Codec, target: Target) -> None:
        self._args, self._codec, self._target = args, codec, target
        self._made: dict[str, str] = {}  # containers of this command, and of what they are
        self.results = Results(args, len(args.inputs))

    def one(self, name: str, output: str) -> None:
        """An image or one embedding to a stream, several to a container or a stream each."""
        args, codec, target = self._args, self._codec, self._target
        refuse_foreign(name, "an image or embeddings", *EMBEDDINGS, *PICTURES, error=InputError)
        source = path_or_bytes(name)
        size = size_of(source)
        rows = embedding_rows(source, name)
        if rows is not None and len(rows) > 1:
            self._several(name, source, rows, size)
            return
        fault = compress_many.container_option(args, f"{name} becomes one stream")
        if fault:
            raise _UsageError(fault)
        refuse_terminal_or_existing(output, force=args.force)
        if rows is None:
            stream = codec.encode(source, target)
        else:
            stream = codec.encode_embedding(rows[0], target)
        write_result(output, stream, args)
        self.results.done(name, output, len(stream), size)

    def _several(self, name: str, source: str | bytes, rows: Any, size: int) -> None:
        output = self._args.output
        if output is None or output == STDIO:
            self._container(name, source, size)
            return
        what = counted(len(rows), "embedding")
        if not is_directory(output, None) and len(self._args.inputs) == 1:
            raise _UsageError(
                f"-o {output}: {what} of {name} go into one container, or a stream each into a "
                f"directory: give -o {Path(output).with_suffix(CONTAINER_SUFFIX)}, or -o {output}/"
            )
        paths = _numbered(name, output, len(rows))
        for path in paths:
            refuse_terminal_or_existing(path, force=self._args.force)
        total = 0
        streams = self._codec.encode_embeddings(rows, self._target)
        for path, stream in zip(paths, streams, strict=True):
            write_result(path, stream, self._args)
            total += len(stream)
        self.results.done(
            name, os.path.join(output, ""), total, size, was=what,
            made=counted(len(rows), "stream"), more=f"{total / len(rows):.1f} bytes each",
        )  # fmt: skip

    def _container(self, name: str, source: str | bytes, size: int) -> None:
        """All rows into one container, beside the input or to stdout."""
        unnamed = self._args.output == STDIO or is_unnamed(name)
        output = STDIO if unnamed else str(Path(name).with_suffix(CONTAINER_SUFFIX))
        place = os.path.realpath(output)
        if place in self._made:
            raise InputError(
                f"it would become {output}, as {self._made[place]} did: give them one at a time"
            )
        refuse_terminal_or_existing(output, force=True)  # the job says more of what exists
        compress_many.one(name, source, output, size, self._args, self.results)
        self._made[place] = name


def _numbered(name: str, directory: str, rows: int) -> list[str]:
    """The path of each row's stream in a directory."""
    digits = max(4, len(str(rows - 1)))
    return [path_in(directory, name, f".{i:0{digits}d}{STREAM_SUFFIX}") for i in range(rows)]


def _container_instead(output: str | None) -> str:
    """The other remedy where several results need a directory."""
    name = "out" if output in (None, STDIO) else Path(str(output)).with_suffix("")
    return f", or -o {name}{CONTAINER_SUFFIX} for one container"
