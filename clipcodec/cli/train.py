"""`clipcodec train`: embeddings to a profile file."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from ..errors import OptionError, TrainingError
from .common import progress_bar, refuse_no_folder, refuse_terminal_or_existing
from .formats import PROFILE, refuse_other_format
from .labels import labels_of
from .results import Results, together
from .terminal import counted, note

_OPTIONS = (
    "codewords", "sub_dim", "minutes", "steps", "batch", "learning_rate", "rank", "text_weight",
    "hidden", "restore", "shrinkage", "dropout", "weight_decay", "replay", "device",
)  # fmt: skip
_COMPARED = 500  # held-out rows


def run(args: argparse.Namespace) -> int:
    refuse_other_format(args.output, PROFILE)
    refuse_terminal_or_existing(args.output, force=args.force)
    refuse_no_folder(args.output)
    args.embeddings = [*args.files, *(args.embeddings or [])]
    if not args.embeddings:
        raise OptionError("no file of embeddings: name one or more, such as mine.npy")
    card = _card(args.card)
    given = {name: getattr(args, name) for name in _OPTIONS if getattr(args, name) is not None}
    common: dict[str, Any] = dict(
        backbone=args.backbone, card=card, name=args.name or f"private/{Path(args.output).stem}",
    )  # fmt: skip
    if args.recipe == "pqvae":
        return _pqvae(args, given, common)
    return _staged(args, given, common)


def _staged(args: argparse.Namespace, given: dict[str, Any], common: dict[str, Any]) -> int:
    from ..training.predictive import Result, train
    from ..training.recipe import Recipe

    recipe = _recipe(Recipe, given, args)
    with _shown(quiet=args.quiet) as progress:
        result: Result = train(
            args.embeddings, args.output, recipe, kind=args.recipe, groups=_groups(args),
            text_paths=args.text_embeddings, held_paths=args.held_out, start=args.start,
            progress=progress, **common,
        )  # fmt: skip
    facts = [
        f"held out          {_held(args, result)}",
        f"learned           {_learned(args, result)}",
        f"default quality   {result.quality}",
        f"cosine            {result.cosine:.4f}",
        f"stream            {result.bytes:.1f} bytes",
    ]
    code = _done(args, result.rows, result.seconds, facts)
    if not args.quiet:
        for line in _compared(args.output, result.held, result.rows):
            note(line)
    return code


def _groups(args: argparse.Namespace) -> Any:
    if args.groups in (None, "files", "folders"):
        return args.groups
    return labels_of(args.groups, [(name, name) for name in args.embeddings], "--groups")


def _held(args: argparse.Namespace, result: Any) -> str:
    held = counted(result.held_out, "embedding")
    if result.groups is not None:
        return f"{held} of {counted(result.groups, 'group')}"
    if args.held_out:
        return f"{held} of --held-out"
    return f"{held}, single rows: where others are all but the same, figures flatter (--groups)"


def _learned(args: argparse.Namespace, result: Any) -> str:
    kept = "" if args.recipe == "predictive" else f"{counted(result.rank, 'coefficient')}, "
    if result.hidden:
        return f"{kept}networks of {result.hidden} units, {counted(result.steps, 'step')}"
    if result.given_up:
        return f"{kept}the KLT alone: networks gained nothing on what was held out"
    few = "" if args.hidden == 0 else ": the rows are too few for networks"
    return f"{kept}the KLT alone{few}"


def _compared(output: str, held: Any, items: int) -> list[str]:
    """The new profile beside the shipped ones, on rows that were held out."""
    from ..evaluation.compare import compare
    from ..profile import registry

    if len(held) < 2:
        return []
    profiles = [output, *registry.fitting(held.shape[1])]
    return ["", *compare(held, profiles, sample=_COMPARED, items=items).lines()]


@contextmanager
def _shown(*, quiet: bool) -> Iterator[Callable[[Any], None]]:
    """Progress: a bar on a terminal, elsewhere a line for each estimate of the cosine."""
    if quiet:
        yield lambda moment: None
        return
    if not sys.stderr.isatty():
        yield lambda moment: note(_words(moment)) if moment.new else None
        return
    with progress_bar(quiet=False, unit="%", desc="networks") as bar:

        def show(moment: Any) -> None:
            bar(round(100 * moment.share), 100, f"cosine at 50 bytes {moment.cosine:.4f}")

        yield show


def _words(moment: Any) -> str:
    done = f"{100 * moment.share:3.0f} % of training" if moment.share else "before training"
    return f"{done}: cosine at 50 bytes about {moment.cosine:.4f}"


def _pqvae(args: argparse.Namespace, given: dict[str, Any], common: dict[str, Any]) -> int:
    from ..training.pqvae import Recipe, train

    for name, files in (
        ("text-embeddings", args.text_embeddings), ("held-out", args.held_out),
        ("start", args.start), ("groups", args.groups),
    ):  # fmt: skip
        if files:
            raise OptionError(f"--{name}: not for --recipe pqvae")
    recipe = _recipe(Recipe, given, args)
    result = train(args.embeddings, args.output, recipe, quiet=args.quiet, **common)
    facts = [
        f"held out          {counted(result.held_out, 'embedding')}",
        f"cosine            {result.cosine:.4f}",
        f"stream            {result.bytes:.1f} bytes",
        f"information       {result.bits_per_symbol:.3f} bits per symbol",
        f"codewords in use  {result.codewords_used} of {recipe.codewords} "
        f"({result.restarts} restarts)",
    ]
    return _done(args, result.rows, result.seconds, facts)


def _done(args: argparse.Namespace, rows: int, seconds: float, facts: list[str]) -> int:
    name, _ = together(args.embeddings)
    results = Results(args, 1)
    results.done(
        name, args.output, os.path.getsize(args.output), was=counted(rows, "embedding"),
        more=f"trained in {seconds:.0f} s", facts=facts,
    )  # fmt: skip
    return results.end()


R = TypeVar("R")


def _recipe(recipe: Callable[..., R], given: dict[str, Any], args: argparse.Namespace) -> R:
    """The recipe with the options given; an option of the other recipe is an error."""
    known = {field.name for field in fields(recipe)}  # type: ignore[arg-type]
    for name in given.keys() - known:
        raise OptionError(f"--{name.replace('_', '-')}: not for --recipe {args.recipe}")
    return recipe(**given, seed=args.seed)


def _card(path: str | None) -> dict[str, object]:
    if path is None:
        return {}
    try:
        card = json.loads(Path(path).read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise TrainingError(f"{path} is not JSON: {error}") from error
    if not isinstance(card, dict):
        raise TrainingError(f"{path} holds {type(card).__name__}, expected a JSON object")
    return card
