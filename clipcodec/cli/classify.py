"""`clipcodec classify`: which of some labels fits each image, stream or embedding best."""

from __future__ import annotations

import argparse
from collections import Counter

from ..codec import Codec
from ..errors import (
    ClipcodecError,
    EmbeddingError,
    MissingDependencyError,
    OptionError,
    WeightsError,
)
from ..profile.registry import ANY_BACKBONE, UNTRAINED
from ..tasks.naming import Asked, Classifier
from ..texts import TextEmbeddings
from .common import STDIO, codec_of, progress, report
from .embedded import Block, Embedded
from .terminal import note, tell, tell_json
from .words import labels_of, templates_of

_COUNTED = 20  # labels whose counts are shown at the end


def run(args: argparse.Namespace) -> int:
    if STDIO in args.inputs and args.labels == [STDIO]:
        raise OptionError("inputs and labels cannot both be stdin")
    codec = codec_of(args)
    asked = Asked(labels_of(args.labels), templates_of(args), args.temperature)
    embedded = Embedded(args.inputs, codec, profile=args.profile)
    classifiers: dict[tuple[str | None, int], Classifier] = {}
    counts: Counter[str] = Counter()
    refused: set[str] = set()
    failed = 0
    if args.tsv:
        tell("name", "rank", "label", "probability")
    for block in progress(embedded, quiet=args.quiet, unit="block"):
        key = (block.backbone, block.embeddings.shape[1])
        try:
            if key not in classifiers:
                classifiers[key] = _classifier(asked, block, args)
        except (WeightsError, MissingDependencyError, OptionError):
            raise  # every other block would fail alike
        except ClipcodecError as error:
            for name in {place.file: None for place in block.places}:
                if name not in refused:  # once for all blocks of it
                    report(name, error)
                    refused.add(name)
            failed += len(block.places)
            continue
        counts.update(_print(block, classifiers[key], args))
    if not args.quiet:
        _say_counts(counts)
    return 1 if failed or embedded.failed else 0


def _classifier(asked: Asked, block: Block, args: argparse.Namespace) -> Classifier:
    """What classifies the embeddings of this block's model. Raises as `tasks.classify` does."""
    model = block.backbone if block.backbone not in (None, ANY_BACKBONE) else args.backbone
    if model is not None and asked.backbone not in (None, model):
        raise EmbeddingError(f"embeddings of {model}, the labels are of {asked.backbone}")
    model = model or asked.backbone
    if model is None and block.backbone == ANY_BACKBONE:
        if not isinstance(asked.labels, TextEmbeddings):
            raise OptionError(
                "the profile of these embeddings does not say which model made them: name it, "
                "--backbone NAME, such as openai-vit-l-14-336"
            )
        embedder = Codec(UNTRAINED)  # embeds nothing
    elif model is None:
        embedder = codec_of(args)
    else:
        embedder = Codec(backbone=model, device=args.device, weights=args.weights)
    return asked.classifier(embedder, block.embeddings.shape[1])


def _print(block: Block, classifier: Classifier, args: argparse.Namespace) -> list[str]:
    """One line for each embedding; returns the best label of each."""
    indices, probabilities = classifier.best(block.embeddings, args.k)
    best = []
    rows = zip(block.places, indices.tolist(), probabilities.tolist(), strict=True)
    for place, row, values in rows:
        names = [classifier.labels[i] for i in row]
        best.append(names[0])
        found = list(zip(names, values, strict=True))
        if args.json:
            labels = [{"label": name, "probability": round(p, 6)} for name, p in found]
            tell_json({"input": place.file, "item": place.item, "id": place.id, "labels": labels})
        elif args.tsv:
            for rank, (name, p) in enumerate(found, 1):
                tell(place.name, rank, name, f"{p:.6f}")
        else:
            tell(place.name, ", ".join(f"{name} {100 * p:.1f} %" for name, p in found))
    return best


def _say_counts(counts: Counter[str]) -> None:
    total = sum(counts.values())
    if total < 2:
        return
    note(f"{total:,} in all, by their best label:")
    for name, count in counts.most_common(_COUNTED):
        note(f"  {count:>7,}  {100 * count / total:5.1f} %  {name}")
    if len(counts) > _COUNTED:
        note(f"  and {len(counts) - _COUNTED} more labels")
