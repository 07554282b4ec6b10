"""`clipcodec train`: embeddings to a profile file."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

from ..errors import OptionError, TrainingError
from .common import refuse_terminal_or_existing


def run(args: argparse.Namespace) -> int:
    refuse_terminal_or_existing(args.out, force=args.force)
    if not Path(args.out).absolute().parent.is_dir():
        raise OptionError(f"--out {args.out}: there is no such directory")
    card = _card(args.card)
    from ..training.pqvae import Recipe, train

    recipe = Recipe(codewords=args.codewords, sub_dim=args.sub_dim, seed=args.seed)
    for name in ("steps", "learning_rate"):
        if getattr(args, name) is not None:
            recipe = replace(recipe, **{name: getattr(args, name)})
    result = train(
        args.embeddings, args.out, recipe, backbone=args.backbone, card=card,
        name=args.name or f"private/{Path(args.out).stem}", quiet=args.quiet,
    )  # fmt: skip
    print(f"{args.out}: trained in {result.seconds:.0f} s on {result.rows} embeddings")
    print(f"  held out          {result.held_out} embeddings")
    print(f"  cosine            {result.cosine:.4f}")
    print(f"  stream            {result.bytes:.1f} bytes")
    print(f"  information       {result.bits_per_symbol:.3f} bits a symbol")
    print(f"  codewords in use  {result.codewords_used} of {args.codewords} "
          f"({result.restarts} restarts)")  # fmt: skip
    return 0


def _card(path: str | None) -> dict[str, object]:
    if path is None:
        return {}
    try:
        card = json.loads(Path(path).read_text("utf-8"))
    except ValueError as error:
        raise TrainingError(f"{path} is not JSON: {error}") from error
    if not isinstance(card, dict):
        raise TrainingError(f"{path} holds {type(card).__name__}, expected a JSON object")
    return card
