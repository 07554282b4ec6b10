"""`clipcodec train`: embeddings to a profile file."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from ..errors import OptionError, TrainingError
from .common import refuse_no_folder, refuse_terminal_or_existing
from .formats import PROFILE, refuse_other_format
from .results import Results, together
from .terminal import counted

_OPTIONS = (
    "codewords", "sub_dim", "steps", "learning_rate",
    "text_weight", "hidden", "restore", "shrinkage", "dropout", "weight_decay", "replay", "device",
)  # fmt: skip


def run(args: argparse.Namespace) -> int:
    refuse_other_format(args.output, PROFILE)
    refuse_terminal_or_existing(args.output, force=args.force)
    refuse_no_folder(args.output)
    card = _card(args.card)
    given = {name: getattr(args, name) for name in _OPTIONS if getattr(args, name) is not None}
    common: dict[str, Any] = dict(
        backbone=args.backbone, card=card, name=args.name or f"private/{Path(args.output).stem}",
        quiet=args.quiet,
    )  # fmt: skip
    if args.recipe == "pqvae":
        return _pqvae(args, given, common)
    return _predictive(args, given, common)


def _predictive(args: argparse.Namespace, given: dict[str, Any], common: dict[str, Any]) -> int:
    from ..training.predictive import Recipe, train

    recipe = _recipe(Recipe, given, args)
    result = train(args.embeddings, args.output, recipe, text_paths=args.text_embeddings,
                   held_paths=args.held_out, start=args.start, **common)  # fmt: skip
    facts = [
        f"held out          {counted(result.held_out, 'embedding')}",
        f"default quality   {result.quality}",
        f"cosine            {result.cosine:.4f}",
        f"stream            {result.bytes:.1f} bytes",
    ]
    return _done(args, result.rows, result.seconds, facts)


def _pqvae(args: argparse.Namespace, given: dict[str, Any], common: dict[str, Any]) -> int:
    from ..training.pqvae import Recipe, train

    for name, files in (
        ("text-embeddings", args.text_embeddings), ("held-out", args.held_out),
        ("start", args.start),
    ):  # fmt: skip
        if files:
            raise OptionError(f"--{name}: not for --recipe pqvae")
    recipe = _recipe(Recipe, given, args)
    result = train(args.embeddings, args.output, recipe, **common)
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
