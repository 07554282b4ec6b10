"""Containers made by `clipcodec compress`: jobs of clipcodec.bulk, with progress and failures.

`-o OUT.clpc` puts all inputs into one; without -o each file of several embeddings gets its own.
"""

from __future__ import annotations

import argparse
import glob
import os
import shutil
import sys
import tempfile
from collections import Counter
from contextlib import ExitStack
from typing import Any

from .. import arrays
from ..bulk.archives import is_archive
from ..bulk.job import Job, Mode
from ..bulk.outcome import Failure, JobResult
from ..bulk.sources import holds_many
from ..errors import ClipcodecError, MissingDependencyError, OptionError, RateError, WeightsError
from ..models import BATCH
from ..system.optional import require
from . import own_profile
from .chosen import read_ids, refuse_two_stdin
from .common import (
    STDIO,
    progress_bar,
    refuse_no_folder,
    target_of,
    words,
)
from .formats import ARCHIVE, COMPRESSED, EMBEDDINGS, PICTURES, refuse_foreign
from .inputs import is_pipe, label_of
from .results import Results, together
from .suffixes import CONTAINER_SUFFIX
from .terminal import counted, note, say, size_text, tell

# for containers only
_OPTIONS = (
    "workers", "batch_size", "precision", "decode", "resume", "dry_run", "train", "embed_profile",
    "ids",
)  # fmt: skip
_NAMED = 5  # that fail as they cannot be as small or as good as was asked
_LONG = 10.0  # seconds; of a shorter job the speed is not said


def wants_container(args: argparse.Namespace) -> bool:
    """Does the command line ask for a container of all inputs?

    OptionError: it has inputs or options only for one, and names another output.
    """
    if args.output is not None and args.output.lower().endswith(CONTAINER_SUFFIX):
        return True
    for name in args.inputs:
        if holds_many(name):
            stem = os.path.basename(os.path.abspath(name)).partition(".")[0] or "images"
            raise OptionError(
                f"{name}: it holds many images: name a container for them, such as "
                f"-o {stem}{CONTAINER_SUFFIX}"
            )
    why = f"-o {args.output} is none"
    if args.output in (None, STDIO):
        images = [n for n in args.inputs if not is_pipe(n) and arrays.kind_of_file(n) is None]
        why = f"{images[0]} becomes one stream" if images else ""
    fault = container_option(args, why) if why else None
    if fault:
        raise OptionError(fault)
    return False


def container_option(args: argparse.Namespace, why: str) -> str | None:
    """What is wrong with an option that says how a container is made, where none is made."""
    for option in _OPTIONS:
        if getattr(args, option) is not None:
            flag = "--" + option.replace("_", "-")
            return f"{flag} is for a container, and {why}: give -o OUT{CONTAINER_SUFFIX}"
    return None


def run(args: argparse.Namespace) -> int:
    """All inputs into the container `args.output`."""
    for name in filter(os.path.isfile, args.inputs):
        try:
            refuse_foreign(
                name, "images or embeddings", *EMBEDDINGS, ARCHIVE, COMPRESSED, *PICTURES
            )
        except OptionError as error:
            raise OptionError(f"{name}: {error}") from error
    if any(map(holds_many, args.inputs)):
        require("PIL")  # images are known by the suffixes of formats that Pillow reads
    refuse_no_folder(args.output)
    results = Results(args, 1)
    name, size = together(args.inputs)
    with ExitStack() as stack:
        inputs = own_profile.files(args.inputs, stack) if args.train else args.inputs
        return _all(args, inputs, name, size, results)


def _all(
    args: argparse.Namespace, inputs: list[str], name: str, size: int | None, results: Results
) -> int:
    job = _job(args, inputs, args.output, name)
    if any(map(is_archive, args.inputs)) or any(name.endswith(".txt") for name in args.inputs):
        size = None  # it holds more than images, or names them
    try:
        _do(job, name, _thing(args.inputs), size, args.output, args, results)
    except (WeightsError, MissingDependencyError):
        for name in filter(_is_missing, args.inputs):  # no work was begun that would name them
            say(f"{name}: there is no such file or folder: check the path")
        raise
    return results.end()


def _is_missing(name: str) -> bool:
    return name != STDIO and not os.path.lexists(name) and not glob.has_magic(name)


def one(
    name: str,
    source: str | bytes,
    output: str,
    size: int,
    args: argparse.Namespace,
    results: Results,
) -> None:
    """One file of embeddings into a container of its own.

    source   its path, or its bytes if it is stdin or a pipe
    output   the container; "-" for stdout
    size     bytes of the input
    results  is told what became of it
    """
    if output == STDIO and args.resume:
        raise OptionError("--resume goes on with a container in a file: give -o OUT.clpc")
    with ExitStack() as stack:
        folder = ""
        if output == STDIO or isinstance(source, bytes):
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="clipcodec-"))
        path = source if isinstance(source, str) else own_profile.copy(source, folder, name)
        out = os.path.join(folder, "stdout.clpc") if output == STDIO else output
        try:
            _do(_job(args, [path], out, name), name, "embedding", size, output, args, results)
        except ClipcodecError as error:
            if output == STDIO:
                error.reason = error.reason.replace(out, "stdout")
            raise
        if output == STDIO and not args.dry_run:
            with open(out, "rb") as file:
                shutil.copyfileobj(file, sys.stdout.buffer)


def _job(args: argparse.Namespace, inputs: list[str], output: str, name: str) -> Job:
    """name: what messages call the inputs"""
    if args.resume and args.force:
        raise OptionError("--resume keeps what is there, -f replaces it: give one of them")
    mode: Mode = "resume" if args.resume else "replace" if args.force else "new"
    target = target_of(args)
    ids = None if args.ids is None else _ids(args)
    own: dict[str, Any] = {"profile": args.profile, "embed_profile": bool(args.embed_profile)}
    if args.train:
        own = own_profile.options(args, inputs, output, name, mode, target)
    job = Job(
        inputs, output, target, backbone=args.backbone, device=args.device, weights=args.weights,
        precision=args.precision or "fp32", workers=args.workers,
        batch_size=BATCH if args.batch_size is None else args.batch_size, mode=mode, ids=ids,
        decode=args.decode or "exact", **own,
    )  # fmt: skip
    if job.carried and not args.train and not args.quiet:
        note(f"{output}: goes on with the profile that it carries, {job.codec.profile.name}")
    return job


def check_ids(args: argparse.Namespace) -> None:
    """Raise OptionError where --ids cannot say which row is meant."""
    if args.ids is None:
        return
    if args.column is not None or any(name.endswith(".parquet") for name in args.inputs):
        raise OptionError(
            "--ids is for files of embeddings: a table keeps its column of ids beside the streams"
        )
    refuse_two_stdin(args.ids, *args.inputs)
    alone = args.output is None or not args.output.lower().endswith(CONTAINER_SUFFIX)
    if alone and len(args.inputs) > 1:
        raise OptionError(
            f"--ids names the rows of all inputs together: give -o OUT{CONTAINER_SUFFIX}, or one "
            "input at a time"
        )


def _ids(args: argparse.Namespace) -> list[str | None]:
    """One id for each row. stderr says what is empty or used again."""
    ids = read_ids(args.ids)
    counts = Counter(id for id in ids if id is not None)
    again = [id for id, count in counts.items() if count > 1]
    if again and not args.quiet:
        shown = ", ".join(map(repr, again[:3])) + (", …" if again[3:] else "")
        used = "id is used" if len(again) == 1 else "ids are used"
        note(f"{label_of(args.ids)}: {len(again):,} {used} more than once, and finds the last "
             f"row that has it: {shown}")  # fmt: skip
    empty = len(ids) - counts.total()
    if empty and not args.quiet:
        note(f"{label_of(args.ids)}: {counted(empty, 'empty line')}: rows without an id")
    return ids


def _thing(inputs: list[str]) -> str:
    """What the inputs hold, as far as their names and first bytes say."""
    found = set()
    for name in inputs:
        if is_pipe(name) or (glob.has_magic(name) and not os.path.exists(name)):
            found.add("item")
        else:
            found.add("embedding" if arrays.kind_of_file(name) else "image")
    return found.pop() if len(found) == 1 else "item"


def _do(
    job: Job,
    name: str,
    thing: str,
    size: int | None,
    output: str,
    args: argparse.Namespace,
    results: Results,
) -> None:
    if args.dry_run:
        _plan(job, thing, output, args, results)
        return
    failures = _Failures()
    try:
        with progress_bar(quiet=args.quiet, unit=thing) as progress:
            result = job.run(progress, failures.add)
    except BaseException:
        if job.unfinished is not None and output != STDIO:
            how = "the same command with --resume goes on"
            if args.force:
                how = f"to go on with it give --resume, not -f, with no {output} in its way"
            say(f"what was written is in {job.unfinished}: {how}")
        raise
    finally:
        failures.end()
    if result.failed:
        results.code = 1
    words = None if result.compressed else f"no {thing} is new"
    results.done(
        name, output, result.size, size, words=words,
        was=counted(result.compressed, thing), more=_more(job, result),
    )  # fmt: skip


def _more(job: Job, result: JobResult) -> str:
    asked = job.target.mean_bytes
    facts = [f"{result.bytes_per_item:.1f} bytes each"]
    if job.target.max_bytes is not None:  # which is of the streams alone
        facts[0] += " with ids"
    if result.profile_bytes:
        items = result.compressed + result.there_already
        facts[0] += f" and {result.profile_bytes / max(items, 1):.1f} for the profile"
    if asked is not None:
        facts.append(f"asked {asked:g}")
    if result.adapted:
        facts.append("the quality was adapted as images came, so it depends on their order")
    if result.there_already:
        more = " more" if result.compressed else ""
        facts.append(f"{result.there_already:,}{more} there already")
    if result.failed:
        facts.append(f"{result.failed:,} failed")
    if result.seconds > _LONG:
        facts.append(f"{result.compressed / result.seconds:.3g} per second")
    return ", ".join(facts)


def _plan(job: Job, thing: str, output: str, args: argparse.Namespace, results: Results) -> None:
    """Ids of what would be compressed on stdout, the rest on stderr."""
    plan = job.plan()
    for failure in plan.failures:
        _name(failure)
    for id in plan.ids:
        tell(id)
    if not args.quiet:
        learns = args.train and not job.carried
        if plan.bytes is None or (learns and job.target.mean_bytes is None):
            about = "size unknown"
        else:
            about = f"about {size_text(plan.bytes)}"
        if learns:
            about += f"; {own_profile.planned(len(plan.ids), thing)}"
        say(f"{output}: {len(plan.ids):,} to compress, {about}; {plan.there_already:,} there "
            f"already, {plan.failed:,} would fail")  # fmt: skip
    if plan.failed:
        results.code = 1


class _Failures:
    """Says what failed. Streams that cannot be as was asked fail alike: a few of them are named."""

    def __init__(self) -> None:
        self._alike = 0

    def add(self, failure: Failure) -> None:
        if isinstance(failure.error, RateError):
            self._alike += failure.rows
            if self._alike > _NAMED:
                return
        _name(failure)

    def end(self) -> None:
        if self._alike > _NAMED:
            say(f"{self._alike - _NAMED:,} more failed in the same way")


def _name(failure: Failure) -> None:
    say(f"{label_of(failure.name)}: {words(failure.error, failure.name)}")
