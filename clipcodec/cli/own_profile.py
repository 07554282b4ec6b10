"""`clipcodec compress --train`: a profile learned from the inputs, for the container they go into.

It is learned from a random sample before anything is written, so what stops it leaves no file.
Images of the sample are embedded once: the job takes their embeddings.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import arrays
from ..bulk.job import Mode
from ..bulk.resume import Begun, carried, refuse
from ..bulk.sampling import MOST_IMAGES, MOST_ROWS, Sample, sample
from ..codec import Codec
from ..container.profiles import profile_of, refuse_registered
from ..errors import OptionError, TrainingError, placed
from ..profile.file import Profile, parse_profile
from ..profile.registry import ANY_BACKBONE, UNTRAINED
from ..target import Target
from .common import STDIO, progress_bar
from .inputs import first_bytes, is_pipe, label_of, path_or_bytes
from .terminal import counted, note, size_text

if TYPE_CHECKING:
    from ..training.learn import Learned

_REMEDIES = (
    f"leave out --train and give --profile {UNTRAINED}; or give more rows; or train one profile "
    "for several containers, clipcodec train, and keep it beside them"
)


def check(args: argparse.Namespace) -> None:
    """Raise OptionError where options about profiles contradict each other."""
    if args.train and args.profile is not None:
        raise OptionError(
            "--train learns a profile, and --profile names one: leave one of them out"
        )
    if args.minutes is not None and not args.train:
        raise OptionError("--minutes is of --train, which is not given")
    if args.embed_profile and args.profile is None and not args.train:
        raise OptionError(
            "--embed-profile puts the profile that --profile names into the container, and none "
            "is named: the default one is in every installation"
        )
    if args.embed_profile and not args.train:
        refuse_registered(profile_of(args.profile))


def options(
    args: argparse.Namespace, inputs: list[str], output: str, name: str, mode: Mode, target: Target
) -> dict[str, Any]:
    """What `Job` is given for --train: the profile, where it goes, and images embedded before.

    inputs  files and folders, no pipes
    name    what messages call them

    Raises TrainingError if a profile of their own does not pay, or cannot be learned.
    """
    if mode == "resume" and _goes_on(output):
        if not args.quiet:
            note(f"{output}: goes on with the profile that it carries; none is learned")
        return {}
    refuse(output, mode)
    if args.dry_run:
        return {"profile": UNTRAINED}
    with placed(None, source=label_of(name)):
        found = _sample(args, inputs)
    profile = learned_from(found, args, output, name, target)
    return {"profile": profile, "embed_profile": True, "embeddings": found.embedded}


def learned_from(
    found: Sample,
    args: argparse.Namespace,
    output: str,
    name: str,
    target: Target,
    *,
    files: int = 1,
    growth: float = 1.0,
) -> Profile:
    """A profile learned from a sample, and what it costs and brings in words.

    output  file for which it is; "-": several, or none of a name
    name    what messages call the inputs
    files   how many files carry it, each with its share of the items
    growth  bytes in these files for each byte of a container's block

    Raises TrainingError if a profile of their own does not pay, or cannot be learned.
    """
    with placed(None, source=label_of(name)):
        items = max(1, round(found.items / files))  # of each file
        learned = _learn(args, found, max(1, round(items / growth)), output, target, label_of(name))
        share = _share(round(learned.size * growth), items, files)
        if not args.quiet:
            for line in _account(found, learned, share):
                note(f"{label_of(name)}: {line}")
        if not learned.better:
            raise TrainingError(f"{_why(learned, share)}: {_REMEDIES}")
    return parse_profile(learned.data, path=None)


def _goes_on(output: str) -> bool:
    """Is there a container to go on with, which carries a profile?"""
    if carried(output) is not None:
        return True
    with Begun(output, resume=True) as begun:
        if begun.found and not begun.items:
            raise OptionError(
                f"{begun.path} was cut before its profile was whole, and has no items: give -f in "
                "place of --resume"
            )
        if begun.found:
            raise OptionError(
                f"{begun.path} was begun without a profile of its own: leave out --train, or begin "
                "another container"
            )
    return False


def embedder(args: argparse.Namespace) -> Codec | None:
    """What embeds the images of a sample; None: no backbone is named."""
    if args.backbone is None:
        return None
    return Codec(
        UNTRAINED, backbone=args.backbone, device=args.device, weights=args.weights,
        precision=args.precision or "fp32",
    )  # fmt: skip


def _sample(args: argparse.Namespace, inputs: list[str]) -> Sample:
    with progress_bar(quiet=args.quiet, unit="item", desc="sample") as progress:
        return sample(inputs, embedder(args), progress=progress)


def _learn(
    args: argparse.Namespace, found: Sample, items: int, output: str, target: Target, label: str
) -> Learned:
    from ..training.learn import learn

    def progress(text: str) -> None:
        if sys.stderr.isatty() and not args.quiet:
            note(f"{label}: {text}")

    several = found.groups.max() > 0
    minutes = {} if args.minutes is None else {"minutes": args.minutes}
    return learn(
        found.rows, target=target, items=items, groups=found.groups if several else None,
        name="private/learned" if output == STDIO else f"private/{Path(output).stem}",
        backbone=args.backbone or ANY_BACKBONE, device=args.device or "cpu",
        progress=progress, **minutes,
    )  # fmt: skip


def _account(found: Sample, learned: Learned, share: str) -> list[str]:
    """What was learned from, what it costs, and what it brings."""
    part = "" if found.whole else f" of {found.items:,}, chosen at random"
    if found.whole and len(found.rows) < found.items:
        part = f" of {found.items:,}, the others cannot be encoded"
    images = f", {counted(len(found.embedded), 'image')} of them embedded" if found.embedded else ""
    networks = f", networks of {learned.hidden} units" if learned.hidden else ", no networks"
    held = (
        f"{counted(learned.held_out, 'embedding')} held out"
        if learned.held_out < len(found.rows)
        else "embeddings held out in turn"
    )
    return [
        f"learned from {counted(len(found.rows), 'embedding')}{part}{images}: "
        f"{counted(learned.rank, 'coefficient')}{networks}, {learned.seconds:.0f} s",
        f"profile: {share}",
        f"{held}: cosine {learned.cosine:.4f} at "
        f"{learned.bytes:.1f} bytes; {UNTRAINED} in the same file: {learned.rotation_cosine:.4f}",
    ]


def _share(size: int, items: int, files: int) -> str:
    """What a profile of this size takes, in a file or in each of several."""
    each = f" in each of {files} files" if files > 1 else ""
    return f"{size_text(size)}{each}, {size / items:.1f} bytes for each of {counted(items, 'item')}"


def _why(learned: Learned, share: str) -> str:
    return (
        f"a profile of its own does not pay ({share}): with it the cosine would "
        f"be {learned.cosine:.4f}, with {UNTRAINED} in the same file {learned.rotation_cosine:.4f}"
    )


def planned(items: int, thing: str) -> str:
    """What --dry-run says of the profile."""
    most = MOST_IMAGES if thing == "image" else MOST_ROWS
    part = f" {most:,} of" if items > most else ""
    return f"a profile would be learned from{part} {counted(items, thing)} and put into it"


def files(inputs: list[str], stack: ExitStack) -> list[str]:
    """The inputs, and in place of each pipe a file of what came through it, for ids of its name.

    stack  removes the files

    OptionError: it is no pipe of embeddings.
    """
    return [_file(name, stack) if is_pipe(name) else name for name in inputs]


def _file(name: str, stack: ExitStack) -> str:
    head = first_bytes(name, arrays.HEAD)
    if arrays.kind_of("" if name == STDIO else name, head) is None:
        raise OptionError(
            f"{label_of(name)}: --train reads images twice, and a pipe can be read once: give a "
            "file"
        )
    data = path_or_bytes(name)
    assert isinstance(data, bytes)  # of a pipe
    return copy(data, stack.enter_context(tempfile.TemporaryDirectory(prefix="clipcodec-")), name)


def copy(data: bytes, folder: str, name: str) -> str:
    """A file of what came through a pipe; ids begin with its name."""
    path = Path(folder, os.path.basename(label_of(name)))
    path.write_bytes(data)
    return str(path)
