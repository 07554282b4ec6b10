"""`clipcodec caption`, and `clipcodec train-captioner`, which makes what it needs."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

from ..codec import Codec
from ..errors import EmbeddingError
from ..profile.registry import ANY_BACKBONE
from .common import progress_bar, refuse_no_folder, refuse_terminal_or_existing, report, target_of
from .embedded import Block, Embedded
from .formats import Format, refuse_other_format
from .results import Results
from .terminal import counted, say, tell, tell_json

if TYPE_CHECKING:
    from ..tasks.captioning import Captioner

_ROWS = 64  # embeddings captioned before their lines are printed
_MADE = Format("a captioner, a safetensors file", (".safetensors",))
_COLUMNS = ("input", "item", "id", "caption")


def run(args: argparse.Namespace) -> int:
    return _train(args) if args.verb == "train-captioner" else _caption(args)


def _caption(args: argparse.Namespace) -> int:
    from ..tasks.captioning import Captioner

    captioner = Captioner.load(
        args.captioner, language_model=args.language_model, prefix_length=args.prefix_length,
        scale=args.scale, device=args.device,
    )  # fmt: skip
    codec = _codec(args, captioner)
    inputs = Embedded(args.inputs, codec, profile=args.profile, partial=args.partial, rows=_ROWS)
    done = 0
    if args.tsv:
        tell(*_COLUMNS)
    with progress_bar(quiet=args.quiet, unit="caption") as progress:
        progress(0, inputs.expected)
        for block in inputs:
            try:
                captioner.check(block.embeddings.shape[1], block.backbone)
            except EmbeddingError as error:  # of this block's inputs; others may fit
                for name in dict.fromkeys(place.file for place in block.places):
                    report(name, error)
                    inputs.failed += 1
            else:
                _print(block, _captions(captioner, block, args), args)
            done += len(block.places)
            progress(done, max(done, inputs.expected))
    return 1 if inputs.failed else 0


def _codec(args: argparse.Namespace, captioner: Captioner) -> Codec:
    """Decodes streams, and embeds images as those that the captioner was trained on."""
    backbone = args.backbone
    if args.profile is None or Codec(args.profile).profile.backbone == ANY_BACKBONE:
        backbone = backbone or captioner.facts.backbone
    return Codec(args.profile, backbone=backbone, device=args.device, weights=args.weights)


def _captions(captioner: Captioner, block: Block, args: argparse.Namespace) -> list[str]:
    return captioner.caption(block.embeddings, beams=args.beam, max_tokens=args.max_tokens)


def _print(block: Block, captions: list[str], args: argparse.Namespace) -> None:
    for place, caption in zip(block.places, captions, strict=True):
        if args.json:
            tell_json(dict(zip(_COLUMNS, (*place, caption), strict=True)))
        elif args.tsv:
            tell(*("" if field is None else field for field in place), caption)
        else:
            tell(place.name, caption)


def _train(args: argparse.Namespace) -> int:
    from ..tasks.captioning import Recipe, train
    from ..tasks.captioning.training import checkpoint_path

    refuse_other_format(args.output, _MADE)
    if not args.resume:
        refuse_terminal_or_existing(args.output, force=args.force)
    refuse_no_folder(args.output)
    recipe = Recipe(
        kind=args.kind, prefix_length=args.prefix_length, clip_length=args.clip_length,
        layers=args.layers, epochs=args.epochs, batch_size=args.batch_size,
        learning_rate=args.learning_rate, warmup=args.warmup, seed=args.seed,
        tune_language_model=args.tune_language_model, scale=args.scale,
    )  # fmt: skip
    target = target_of(args)
    asked = (args.quality, args.max_bytes, args.min_cosine, args.mean_bytes)
    kept = checkpoint_path(args.output)

    def said(epoch: int, loss: float) -> None:
        if not args.quiet:
            say(f"epoch {epoch} of {args.epochs}: loss {loss:.4f}")

    try:
        with progress_bar(quiet=args.quiet, unit="step") as progress:
            result = train(
                args.embeddings, args.captions, args.output, recipe,
                target=None if asked == (None,) * 4 else target,
                profile=args.profile, backbone=args.backbone, language_model=args.language_model,
                start=args.start, device=args.device, resume=args.resume, overwrite=args.force,
                progress=progress, on_epoch=said,
            )  # fmt: skip
    except (KeyboardInterrupt, SystemExit):
        if kept.exists():
            say(f"whole epochs are in {kept}: the same command with --resume goes on")
        raise
    streams = "none: the embeddings were used as they are"
    if result.stream_bytes is not None:
        streams = f"{result.stream_bytes:.1f} bytes, cosine {result.cosine:.4f}"
    loss = f"{result.losses[-1]:.4f} nats per token, after {counted(result.steps, 'step')}"
    results = Results(args, 1)
    results.done(
        args.embeddings, args.output, os.path.getsize(args.output),
        was=f"{counted(result.captions, 'caption')} of {counted(result.rows, 'embedding')}",
        more=f"trained in {result.seconds:.0f} s",
        facts=[f"loss     {loss}", f"streams  {streams}"],
    )  # fmt: skip
    return results.end()
