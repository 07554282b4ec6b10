"""`clipcodec compare`: what each profile keeps of your own embeddings, in how many bytes."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

from ..errors import ClipcodecError, InputError, OptionError
from ..target import Target
from .common import STDIO, progress_bar, report
from .formats import CONTAINER, EMBEDDINGS, known, refuse_foreign
from .inputs import embedding_rows, label_of, path_or_bytes
from .labels import Source, labels_of
from .terminal import say, tell, tell_json
from .words import read_text_embeddings

_GOALS = ("max_bytes", "mean_bytes", "min_cosine", "quality")


def run(args: argparse.Namespace) -> int:
    from ..evaluation.compare import compare_sample
    from ..evaluation.sample import ROWS, Part, draw
    from ..profile import registry

    if [*args.data, args.labels, args.texts].count(STDIO) > 1:
        raise OptionError("stdin (-) can be read only once: give it once")
    targets = list(_targets(args)) or None
    texts = None if args.texts is None else read_text_embeddings(args.texts)
    inputs, failed = _inputs(args.data)
    if not inputs:
        return 1
    labels = None
    if args.labels is not None:
        if failed:
            raise InputError("labels are for the rows of all inputs, and one cannot be read")
        labels = labels_of(args.labels, [(label_of(name), source) for name, source, _ in inputs])
    parts = [Part(rows, label_of(name)) for name, _, rows in inputs]
    drawn = draw(parts, args.rows or ROWS, labels=labels, texts=texts)
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
        name = args.data[0] if len(args.data) == 1 and args.data[0] != STDIO else "DATA"
        for line in found.lines(f"clipcodec compress {name} -o OUT.clpc --train"):
            tell(line)
    measured = any(point.found for point in found.points)
    return 1 if failed or found.left_out or not measured else 0


def _targets(args: argparse.Namespace) -> Iterator[Target]:
    for goal in _GOALS:
        for value in getattr(args, goal) or ():
            yield Target(**{goal: value})


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
