"""`clipcodec compare`: what each profile keeps of your own embeddings, in how many bytes."""

from __future__ import annotations

import argparse
import glob
import os
import shlex
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from .. import arrays
from ..bulk.sampling import sample
from ..bulk.sources import holds_many
from ..codec import Codec
from ..errors import ClipcodecError, InputError, OptionError
from ..system.optional import require
from ..target import Target
from .common import STDIO, progress_bar, report
from .formats import CONTAINER, EMBEDDINGS, PICTURES, known, refuse_foreign
from .inputs import embedding_rows, is_pipe, label_of, path_or_bytes
from .labels import Source, labels_of
from .terminal import counted, say, tell, tell_json
from .words import read_text_embeddings

if TYPE_CHECKING:
    from ..evaluation.sample import Sample
    from ..texts import TextEmbeddings

_GOALS = ("max_bytes", "mean_bytes", "min_cosine", "quality")


def run(args: argparse.Namespace) -> int:
    from ..evaluation.compare import compare_sample
    from ..profile import registry

    if [*args.data, args.labels, args.texts].count(STDIO) > 1:
        raise OptionError("stdin (-) can be read only once: give it once")
    targets = list(_targets(args)) or None
    texts = None if args.texts is None else read_text_embeddings(args.texts)
    drawn, failed = (_of_images if any(map(_is_image, args.data)) else _of_files)(args, texts)
    if drawn is None:
        return 1
    profiles = list(args.profile or [])
    if not (profiles and args.only):
        profiles += registry.fitting(drawn.data.rows.shape[1])
    with progress_bar(quiet=args.quiet, unit="point") as progress:
        found = compare_sample(
            drawn, profiles, targets=targets, items=args.items, progress=progress
        )
    if args.json:
        for record in found.records():
            tell_json(record)
        for reason in found.left_out:
            say(f"left out: {reason}")
    else:
        for line in found.lines(_train(args)):
            tell(line)
    measured = any(point.found for point in found.points)
    return 1 if failed or found.left_out or not measured else 0


def _train(args: argparse.Namespace) -> str:
    """The command that makes a container of these inputs, with a profile of their own."""
    name = "DATA" if len(args.data) > 1 or is_pipe(args.data[0]) else shlex.quote(args.data[0])
    model = "" if args.backbone is None else f" --backbone {shlex.quote(args.backbone)}"
    return f"clipcodec compress {name} -o OUT.clpc --train{model}"


def _targets(args: argparse.Namespace) -> Iterator[Target]:
    for goal in _GOALS:
        for value in getattr(args, goal) or ():
            yield Target(**{goal: value})


# files of embeddings


def _of_files(args: argparse.Namespace, texts: TextEmbeddings | None) -> tuple[Sample | None, int]:
    """Some rows of the inputs; and how many inputs cannot be read, or None if no one can."""
    from ..evaluation.sample import ROWS, Part, draw

    inputs, failed = _inputs(args.data)
    if not inputs:
        return None, failed
    labels = None
    if args.labels is not None:
        if failed:
            raise InputError("labels are for the rows of all inputs, and one cannot be read")
        labels = labels_of(args.labels, [(label_of(name), source) for name, source, _ in inputs])
    parts = [Part(rows, label_of(name)) for name, _, rows in inputs]
    return draw(parts, args.rows or ROWS, labels=labels, texts=texts), failed


def _inputs(names: list[str]) -> tuple[list[tuple[str, Source, Any]], int]:
    """Each input with its path or bytes and its rows; and how many cannot be read."""
    found, failed = [], 0
    for name in names:
        try:
            found.append((name, *_read(name)))
        except (ClipcodecError, OSError) as error:
            report(name, error)
            failed += 1
    return found, failed


def _read(name: str) -> tuple[Source, Any]:
    if known(name) == CONTAINER:
        raise InputError(
            "a container, whose rows were compressed before and would favour its own profile: give "
            "the embeddings that it was made of"
        )
    refuse_foreign(name, "embeddings", *EMBEDDINGS, error=InputError)
    source = path_or_bytes(name)
    rows = embedding_rows(source, name)
    if rows is None:
        raise InputError("not embeddings: expected .npy, .npz, .safetensors, .pt or .csv")
    return source, rows


# images


def _is_image(name: str) -> bool:
    """Is it one, or does it hold them: a folder, an archive, a list, a pattern?"""
    if is_pipe(name) or arrays.kind_of_file(name) is not None:
        return False
    if not os.path.exists(name):
        return glob.has_magic(name)
    return holds_many(name) or known(name) in PICTURES


def _of_images(args: argparse.Namespace, texts: TextEmbeddings | None) -> tuple[Sample | None, int]:
    """Some of the images, embedded, and of the embeddings among them; and how many failed."""
    from ..evaluation.sample import ROWS, Part, draw

    if args.labels is not None:
        raise OptionError(
            "--labels is for files of embeddings; `clipcodec evaluate` takes a directory of images "
            "with one directory for each class"
        )
    for name in args.data:
        if is_pipe(name):
            raise OptionError(f"{label_of(name)}: it cannot be sampled together with images")
    require("PIL")  # images are known by the suffixes of formats that Pillow reads
    codec = Codec(backbone=args.backbone, device=args.device, weights=args.weights)
    most, tried = args.rows or ROWS, 0
    with progress_bar(quiet=args.quiet, unit="image") as progress:

        def show(done: int, total: int | None) -> None:
            nonlocal tried
            tried = total or 0
            progress(done, total)

        found = sample(args.data, codec, most_rows=most, most_images=most, progress=show)
    failed = tried - len(found.rows)
    if failed:
        say(f"{counted(failed, 'input')} of {tried:,} cannot be read, and is left out")
    drawn = draw([Part(found.rows)], most, texts=texts)
    return replace(drawn, given=found.items), failed
