"""Trains a mapping network on decoded embeddings and their captions; can be stopped and resumed."""

from __future__ import annotations

import hashlib
import math
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...codec import Codec
from ...errors import OptionError, OutputExistsError, TrainingError
from ...models.device import device_of
from ...profile.registry import ANY_BACKBONE
from ...system.files import refuse_existing
from ...target import Target
from . import checkpoints, files
from .captioner import Captioner, checked_scale, mapping_with
from .data import Decoded, Pair, checked_pairs, read_captions, through_codec
from .files import CaptionerFile, Facts
from .language import DEFAULT, Language, load_transformers, width_of
from .language import load as load_language
from .layout import HEADS, LAYERS, MLP, PREFIX_LENGTH, TRANSFORMER, Layout
from .loop import Progress, Run, random_numbers

if TYPE_CHECKING:
    from torch import Tensor

    from ...profile.registry import ProfileLike

PathLike = str | os.PathLike[str]


@dataclass(frozen=True)
class Recipe:
    """How to train a captioner. The defaults are ClipCap's.

    Attributes:
        kind: "mlp" or "transformer"; None: that of `start`, else "mlp".
        prefix_length: Of the mapping network; None: as in `start`, else 10.
        clip_length: Of a transformer; None: as in `start`, else 10.
        layers: Of a transformer; None: as in `start`, else 8.
        epochs: How often every caption is seen.
        batch_size: Captions of a step.
        learning_rate: The highest; it rises during the warm-up, then falls to zero in a straight
            line.
        warmup: Steps of the warm-up; at most half of all steps.
        seed: Of random weights and of the order of captions.
        tune_language_model: Train GPT-2, too; the captioner's file then holds it.
        scale: What unit-norm embeddings are multiplied with; None: as in `start`, else 1.

    Examples:
        >>> from clipcodec.tasks.captioning import Recipe
        >>> Recipe(epochs=2).batch_size
        40
    """

    kind: str | None = None
    prefix_length: int | None = None
    clip_length: int | None = None
    layers: int | None = None
    epochs: int = 10
    batch_size: int = 40
    learning_rate: float = 2e-5
    warmup: int = 5000
    seed: int = 0
    tune_language_model: bool = False
    scale: float | None = None

    def __post_init__(self) -> None:
        for name, least in (("epochs", 1), ("batch_size", 1), ("warmup", 0), ("seed", 0)):
            value = getattr(self, name)
            if type(value) is not int or not least <= value < 1 << 31:
                raise OptionError(f"{name}={value!r}: expected a whole number, at least {least}")
        rate = self.learning_rate
        if not isinstance(rate, (int, float)) or not 0 < rate <= 1:
            raise OptionError(f"learning_rate={rate!r} is not above 0 and at most 1")
        if self.scale is not None:
            checked_scale(self.scale)


@dataclass(frozen=True)
class Result:
    """What was trained.

    Attributes:
        rows: How many embeddings there were.
        captions: How many captions there were.
        steps: Of training, all together.
        losses: Mean cross entropy of a token in each epoch, nats.
        cosine: Mean, of embeddings to what the codec gave back.
        stream_bytes: Mean of a stream; None: not compressed.
        seconds: Of this run.

    Examples:
        >>> from clipcodec.tasks.captioning import Result
        >>> Result(100, 500, 130, [3.1, 2.4], 0.97, 49.2, 60.0)
        <clipcodec.tasks.captioning.Result: 500 captions, 100 embeddings, 130 steps, ...>
    """

    rows: int
    captions: int
    steps: int
    losses: list[float]
    cosine: float
    stream_bytes: float | None
    seconds: float

    def __repr__(self) -> str:
        from ...system.shown import counted, shown

        def parts() -> list[object]:
            loss = f"{self.losses[-1]:.3f} nats at the end" if self.losses else None
            size = "not compressed"
            if self.stream_bytes is not None:
                size = f"streams of {self.stream_bytes:.1f} bytes"
            return [counted(self.captions, "caption"), counted(self.rows, "embedding"),
                    counted(self.steps, "step"), loss, size, f"{self.seconds:.1f} s"]  # fmt: skip

        return shown("tasks.captioning.Result", parts)


def checkpoint_path(out: PathLike) -> Path:
    """Where an unfinished training is kept, until `out` is written."""
    return Path(f"{os.fspath(out)}.checkpoint")


def train(
    embeddings: Any,
    captions: PathLike | Sequence[str],
    out: PathLike,
    recipe: Recipe | None = None,
    *,
    target: Target | None = None,
    profile: ProfileLike = None,
    backbone: str | None = None,
    language_model: str | None = None,
    start: PathLike | None = None,
    device: str | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
    on_epoch: Callable[[int, float], object] | None = None,
) -> Result:
    """Train a captioner on embeddings as the codec gives them back, and write it to a file.

    After each epoch the state is in OUT.checkpoint, which is deleted in the end.

    Args:
        embeddings: A file of embeddings, or an array (N, D).
        captions: A file of one caption per line, or of lines `NUMBER<tab>CAPTION`; or N texts.
        out: The captioner's file.
        recipe: None: ClipCap's.
        target: What every embedding is encoded to before it is used; with `profile` None, too, they
            are used as they are, at unit norm.
        profile: As for `Codec`.
        backbone: What made the embeddings, to be kept in the file; None: the profile's.
        language_model: Folder or hub name of GPT-2; None: that of `start`, else "gpt2".
        start: A captioner file to go on from: a published one, or one of ours.
        device: "cpu", "cuda", …
        resume: Go on after the last whole epoch of a run that was stopped, if there was one.
            Everything must be as it was; on the CPU the result is the same to the last bit.
        overwrite: Replace a file that exists, or begin anew a run that was stopped.
        progress: Called with the number of steps done, and of all.
        on_epoch: Called with the number of epochs done and the loss of the last one.

    Returns:
        What was trained: losses, and what the codec kept.

    Raises:
        TrainingError: Captions and embeddings do not fit, or a caption is too long.
        EmbeddingError: Names the rows at fault.
        OptionError: As for `clipcodec.encode`, and so is RateError.
        WeightsError: The language model or `start` is missing or damaged.
        OutputExistsError: The file, or the state of a run that was stopped, is there.
        MissingDependencyError: transformers is not installed.

    Examples:
        >>> from clipcodec.tasks.captioning import Recipe, train
        >>> X = np.load("embeddings.npy")[:2]
        >>> result = train(
        ...     X, ["A cat.", "A dog."], "new.safetensors", Recipe(epochs=1),
        ...     target=clipcodec.Target(quality=20), language_model="gpt2", device="cpu",
        ... )
        >>> result.rows, result.captions
        (2, 2)
    """
    began = time.perf_counter()
    recipe = recipe or Recipe()
    load_transformers()
    refuse_existing(Path(out), overwrite=overwrite)
    kept = checkpoint_path(out)
    if kept.exists() and not resume and not overwrite:
        raise OutputExistsError(
            f"{kept} is of a training that was stopped: --resume (resume=) goes on with it, -f "
            "(overwrite=) begins anew"
        )
    codec = None
    if target is not None or profile is not None:
        codec = Codec(profile, backbone=backbone)
        (target or Target()).check(codec.profile)
    begun = None if start is None else files.read(start)
    chosen_device = device_of(device)
    data = through_codec(embeddings, codec, target or Target())
    pairs = _pairs(captions, len(data.rows))
    facts, tensors = _beginning(recipe, begun, language_model, data.rows.shape[1])
    made_by = backbone or (None if data.backbone == ANY_BACKBONE else data.backbone)
    facts = replace(facts, backbone=made_by or facts.backbone)
    language = load_language(facts.language_model, None if begun is None else begun.language)
    tokens = _tokens(pairs, language, facts.layout.prefix_length)
    identity = _identity(recipe, target, data, pairs, facts, tensors, language)
    checkpoint = checkpoints.read(kept, identity) if resume and kept.exists() else None
    with random_numbers(recipe.seed, chosen_device):
        captioner = Captioner(
            facts, mapping_with(facts.layout, tensors), language, device=str(chosen_device),
            own_language=recipe.tune_language_model or bool(begun and begun.language),
        )  # fmt: skip
        run = Run(captioner, recipe, data.rows, [pair.row for pair in pairs], tokens)
        if checkpoint is not None:
            run.restore(checkpoint)
        for epoch in range(len(run.losses), recipe.epochs):
            run.epoch(progress or (lambda done, total: None))
            if on_epoch is not None:
                on_epoch(epoch + 1, run.losses[-1])
            checkpoints.write(kept, run.checkpoint(identity))
    result = Result(
        len(data.rows), len(pairs), run.step, run.losses, data.cosine, data.stream_bytes,
        time.perf_counter() - began,
    )  # fmt: skip
    captioner.facts = replace(facts, card=_card(recipe, target, data, result, start))
    captioner.save(out, overwrite=overwrite)
    with suppress(OSError):
        kept.unlink()
    return result


def _pairs(captions: PathLike | Sequence[str], rows: int) -> list[Pair]:
    if isinstance(captions, (str, os.PathLike)):
        return read_captions(captions, rows)
    texts = list(captions)
    if len(texts) != rows or not all(isinstance(text, str) for text in texts):
        raise TrainingError(f"{len(texts)} captions for {rows} embeddings: give a text for each")
    return checked_pairs((Pair(i, text, f"caption {i}") for i, text in enumerate(texts)), rows)


def _beginning(
    recipe: Recipe, begun: CaptionerFile | None, language_model: str | None, dim: int
) -> tuple[Facts, dict[str, Tensor] | None]:
    """The facts of the new captioner, and the tensors that its mapping network begins with."""
    known = None if begun is None else begun.facts
    name = language_model or (known.language_model if known else DEFAULT)
    if os.path.isdir(name):
        name = os.path.abspath(name)  # the file is found from other folders, too
    if begun is None:
        return Facts(_new_layout(recipe, dim, width_of(name)), name, recipe.scale or 1.0), None
    layout = begun.layout(None if known or begun.width else width_of(name))
    for asked in ("kind", "prefix_length", "clip_length", "layers"):
        value = getattr(recipe, asked)
        if value is not None and value != getattr(layout, asked):
            raise OptionError(
                f"{asked}={value}: {begun.source} has {getattr(layout, asked)}; leave it out, or "
                "train without `start` (--start)"
            )
    if layout.dim != dim:
        raise TrainingError(
            f"embeddings of {dim} dimensions, {begun.source} takes {layout.dim}: give embeddings "
            "of the model that it was trained on, or train without `start` (--start)"
        )
    scale = recipe.scale or (known.scale if known else 1.0)
    return Facts(layout, name, scale, known.backbone if known else None), begun.mapping


def _new_layout(recipe: Recipe, dim: int, width: int) -> Layout:
    kind = recipe.kind or MLP
    length = PREFIX_LENGTH if recipe.prefix_length is None else recipe.prefix_length
    if kind != TRANSFORMER:
        for name in ("clip_length", "layers"):
            if getattr(recipe, name) is not None:
                raise OptionError(f"{name}: is for kind={TRANSFORMER!r} (--kind transformer)")
        return Layout(kind, dim, width, length)
    clip = PREFIX_LENGTH if recipe.clip_length is None else recipe.clip_length
    layers = LAYERS if recipe.layers is None else recipe.layers
    heads = math.gcd(HEADS, width)  # 8, unless the language model is a very small one
    return Layout(kind, dim, width, length, clip, layers, heads)


def _tokens(pairs: Sequence[Pair], language: Language, prefix_length: int) -> list[list[int]]:
    """The tokens of each caption. One without a full stop gets the end of a text.

    ClipCap leaves that out, and then has nothing to learn where such a caption ends.
    """
    room = language.positions - prefix_length
    found = []
    for pair in pairs:
        tokens = language.tokens(pair.caption)
        if language.end is not None and (not tokens or tokens[-1] != language.stop):
            tokens.append(language.end)
        if len(tokens) > room:
            raise TrainingError(
                f"{pair.place}: a caption of {len(tokens)} tokens, and the language model takes "
                f"{room} beside {prefix_length} prefix vectors: shorten it"
            )
        found.append(tokens)
    return found


def _identity(
    recipe: Recipe,
    target: Target | None,
    data: Decoded,
    pairs: Sequence[Pair],
    facts: Facts,
    tensors: dict[str, Tensor] | None,
    language: Language,
) -> dict[str, Any]:
    """What must be the same when a training goes on."""
    words = "".join(f"{pair.row}\t{pair.caption}\n" for pair in pairs)
    return {
        **{field.name: getattr(recipe, field.name) for field in fields(recipe)},
        "target": None if target is None else target.identity(),
        "profile": data.profile,
        "embeddings": hashlib.sha256(np.ascontiguousarray(data.rows).data).hexdigest(),
        "captions": hashlib.sha256(words.encode()).hexdigest(),
        "language_model": _digest(language.tensors()),
        "start": None if tensors is None else _digest(tensors),
        "layout": asdict(facts.layout),
        "scale": facts.scale,
    }


def _digest(tensors: dict[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(tensors[name].detach().cpu().numpy()).data)
    return digest.hexdigest()


def _card(
    recipe: Recipe,
    target: Target | None,
    data: Decoded,
    result: Result,
    start: PathLike | None,
) -> dict[str, Any]:
    return {
        "recipe": asdict(recipe),
        "start": None if start is None else Path(start).name,
        "profile": data.profile,
        "target": None if target is None else target.identity(),
        "embeddings": result.rows,
        "captions": result.captions,
        "cosine": result.cosine,
        "stream_bytes": result.stream_bytes,
        "loss": result.losses[-1],
    }
