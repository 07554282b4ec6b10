"""`clipcodec merge`: containers and streams to one container."""

from __future__ import annotations

import argparse
import io
import os
from contextlib import ExitStack

from ..codec import Codec
from ..container.merging import Mergeable, Merged, merge, same_ids
from ..container.metadata import named_keys
from ..errors import ClipcodecError, DecodeError, OptionError, placed
from ..system.stores import is_url
from .common import STDIO, read_stream, refuse_no_folder, refuse_terminal_or_existing, report
from .containers import binary, is_container
from .formats import CONTAINER, STREAM, refuse_foreign, refuse_other_format
from .inputs import is_pipe, label_of, remote, seekable
from .results import Results, together
from .terminal import counted, say


def run(args: argparse.Namespace) -> int:
    if args.inputs.count(STDIO) > 1:
        raise OptionError("stdin can be only one input")
    refuse_other_format(args.output, CONTAINER)
    refuse_no_folder(args.output)
    refuse_terminal_or_existing(args.output, force=args.force)
    codec = Codec(args.profile)
    if not _all_fit(args.inputs, codec):
        return 1
    with ExitStack() as stack:
        sources: list[Mergeable] = []
        for name in args.inputs:
            sources.append(_source(name, codec, stack))
        done = merge(
            sources, stack.enter_context(binary(args.output)), same_id=args.same_id,
            overwrite=args.force, partial=args.partial, profile=args.profile,
        )  # fmt: skip
    if not args.quiet:
        _say(done, args.same_id)
    name, size = together(args.inputs)
    came = sum(done.inputs.values())
    made = "" if came == done.items else counted(done.items, "item")
    Results(args, 1).done(name, args.output, done.bytes, size, was=counted(came, "item"), made=made)
    return 0


def _all_fit(names: list[str], codec: Codec) -> bool:
    """Is every input there, and a container or a stream by its first bytes? stderr names others."""
    fit = True
    for name in names:
        try:
            refuse_foreign(
                name, "a container or a stream", CONTAINER, STREAM, codec=codec, error=DecodeError
            )
            if is_url(name):
                remote(name)
            elif not is_pipe(name):
                os.stat(name)
        except (ClipcodecError, OSError) as error:
            report(name, error)
            fit = False
    return fit


class _Stream(io.BytesIO):
    """A stream that came through a pipe."""

    name: str


def _source(name: str, codec: Codec, stack: ExitStack) -> Mergeable:
    """A path; or all of a pipe, of which no more is read than a stream has, if it is none.

    A URL of a container, or the stream that it names.
    """
    if not is_pipe(name) and not is_url(name):
        return name
    if is_container(name):
        source = seekable(name)
        return source if isinstance(source, str) else stack.enter_context(source)
    with placed(source=label_of(name)):
        stream = _Stream(read_stream(name, codec))
    stream.name = label_of(name)
    return stream


def _say(done: Merged, same_id: str) -> None:
    """What was not taken as it was."""
    for reason in done.damaged:
        say(f"left out: {reason}")
    if done.same_ids:
        rest = "all are kept, and the id finds the last (--same-id first, last or refuse)"
        if same_id != "keep":
            rest = f"the {same_id} is kept, {counted(done.left_out, 'item')} left out"
        say(f"{same_ids(done.same_ids, done.differ, done.examples)}: {rest}")
    if done.not_common:
        say(f"metadata that the inputs do not share are left out: {named_keys(done.not_common)}")
    if len(done.profiles) > 1:
        counts = ", ".join(f"{name} ({count:,})" for name, count in done.profiles.items())
        say(f"streams of several profiles: {counts}: only embeddings of one width can be decoded "
            "together")  # fmt: skip
