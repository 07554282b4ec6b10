"""`clipcodec compress … -o OUT.clpc`: a job of clipcodec.bulk, with its progress and failures."""

from __future__ import annotations

import argparse
import os

from ..bulk.job import Failure, Job, Mode
from ..bulk.sources import holds_many
from ..errors import OptionError
from ..models import BATCH
from ..system.optional import require
from .common import STDIO, progress_bar, target_of, words
from .formats import ARCHIVE, COMPRESSED, EMBEDDINGS, PICTURES, refuse_foreign
from .suffixes import CONTAINER_SUFFIX
from .terminal import say, tell


def wants_container(args: argparse.Namespace) -> bool:
    """Does the command line ask for a container? OptionError: it has options only for one."""
    if args.output is not None and args.output.lower().endswith(CONTAINER_SUFFIX):
        return True
    for name in args.inputs:
        if holds_many(name):
            raise OptionError(
                f"{name} holds many images: name a container, -o OUT{CONTAINER_SUFFIX}"
            )
    for option in ("workers", "batch_size", "precision", "resume", "dry_run"):
        if getattr(args, option) is not None:
            flag = "--" + option.replace("_", "-")
            raise OptionError(f"{flag} is for a container: give -o OUT{CONTAINER_SUFFIX}")
    return False


def run(args: argparse.Namespace) -> int:
    if args.resume and args.force:
        raise OptionError("--resume keeps what is there, -f replaces it: give one of them")
    mode: Mode = "resume" if args.resume else "replace" if args.force else "new"
    for name in filter(os.path.isfile, args.inputs):
        try:
            refuse_foreign(
                name, "images or embeddings", *EMBEDDINGS, ARCHIVE, COMPRESSED, *PICTURES
            )
        except OptionError as error:
            raise OptionError(f"{name}: {error}") from error
    if any(name == STDIO or holds_many(name) for name in args.inputs):
        require("PIL")  # images are known by the suffixes of formats that Pillow reads
    job = Job(
        args.inputs, args.output, target_of(args), profile=args.profile, backbone=args.backbone,
        device=args.device, weights=args.weights, precision=args.precision or "fp32",
        workers=args.workers, batch_size=BATCH if args.batch_size is None else args.batch_size,
        mode=mode,
    )  # fmt: skip
    return _plan(job, args) if args.dry_run else _run(job, args)


def _run(job: Job, args: argparse.Namespace) -> int:
    try:
        with progress_bar(quiet=args.quiet, unit="image") as progress:
            result = job.run(progress, _report)
    except BaseException:
        if job.unfinished is not None:
            how = "the same command with --resume goes on"
            if args.force:
                how = f"to go on with it give --resume, not -f, with no {args.output} in its way"
            say(f"what was written is in {job.unfinished}: {how}")
        raise
    if not args.quiet:
        say(f"{args.output}: {result.compressed} compressed, {result.there_already} there "
             f"already, {result.failed} failed; {result.bytes} bytes of streams, "
             f"{result.compressed / result.seconds:.1f} per second")  # fmt: skip
        if job.target.mean_bytes is not None:
            how = ""
            if result.adapted:
                how = "; the quality was adapted as images came, so it depends on their order"
            say(f"{args.output}: mean {result.bytes_per_item:.1f} bytes per item, asked "
                f"{job.target.mean_bytes:g}{how}")  # fmt: skip
    return 1 if result.failed else 0


def _plan(job: Job, args: argparse.Namespace) -> int:
    """Ids of what would be compressed on stdout, the rest on stderr."""
    plan = job.plan()
    for failure in plan.failures:
        _report(failure)
    for id in plan.ids:
        tell(id)
    if not args.quiet:
        about = "size unknown" if plan.bytes is None else f"about {plan.bytes} bytes"
        say(f"{args.output}: {len(plan.ids)} to compress, {about}; {plan.there_already} there "
             f"already, {plan.failed} would fail")  # fmt: skip
    return 1 if plan.failed else 0


def _report(failure: Failure) -> None:
    name = "stdin" if failure.name == "-" else failure.name
    say(f"{name}: {words(failure.error, failure.name)}")
