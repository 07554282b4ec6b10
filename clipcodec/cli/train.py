"""`clipcodec train`: embeddings to a profile file."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from ..errors import OptionError, TrainingError
from .common import refuse_terminal_or_existing
from .formats import PROFILE, refuse_other_format
from .terminal import tell

_OPTIONS = (
    "codewords", "sub_dim", "steps", "learning_rate",
    "text_weight", "hidden", "restore", "shrinkage", "dropout", "weight_decay", "replay", "device",
)  # fmt: skip


def run(args: argparse.Namespace) -> int:
    refuse_other_format(args.output, PROFILE)
    refuse_terminal_or_existing(args.output, force=args.force)
    if not Path(args.output).absolute().parent.is_dir():
        raise OptionError(f"-o {args.output}: there is no such directory")
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
    tell(f"{args.output}: trained in {result.seconds:.0f} s on {result.rows} embeddings")
    tell(f"  held out          {result.held_out} embeddings")
    tell(f"  default quality   {result.quality}")
    tell(f"  cosine            {result.cosine:.4f}")
    tell(f"  stream            {result.bytes:.1f} bytes")
    return 0


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
    tell(f"{args.output}: trained in {result.seconds:.0f} s on {result.rows} embeddings")
    tell(f"  held out          {result.held_out} embeddings")
    tell(f"  cosine            {result.cosine:.4f}")
    tell(f"  stream            {result.bytes:.1f} bytes")
    tell(f"  information       {result.bits_per_symbol:.3f} bits per symbol")
    tell(f"  codewords in use  {result.codewords_used} of {recipe.codewords} "
          f"({result.restarts} restarts)")  # fmt: skip
    return 0


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
