"""The recipes `predictive` and `compact`: KLT, networks and tables from rows, in a profile file.

The profile is of the kind of that name (formats/predictive.md, formats/compact.md).
"""

from __future__ import annotations

import hashlib
import os
import time
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..codec import Codec
from ..embeddings import Embeddings
from ..errors import OptionError
from ..kinds.trellis.compact import MAX_BASIS
from ..kinds.trellis.engine import Engine
from ..profile.file import read_profile
from . import checkpoint, level_tables
from .checkpoint import Checkpoint
from .data import Groups, load_embeddings, load_rows
from .division import divide
from .estimate import Estimate
from .folds import folds
from .klt import QUALITIES, Klt, klt
from .progress import Progress, Watch
from .recipe import FEW, Plan, Recipe, check, complete
from .trainer import COMPACT, MIN_HELD, PREDICTIVE, Trainer, by_steps, by_time
from .writing import write

LEAST_ROWS = 100  # distinct ones
_FORMS = {form.kind: form for form in (PREDICTIVE, COMPACT)}
_FOLDS = 5
_LEAST_GAIN = 5e-4  # in cosine at 50 bytes: networks that add less only make the file larger
_LEFT_OUT = 0.01  # share of the variance of held-out rows that a compact profile leaves out


@dataclass(frozen=True, eq=False)
class Result:
    """The result, measured on held-out rows at the default quality.

    rows      distinct rows in the training files
    held      (N, D) rows held out: gains and tables are fitted to them, nothing else is
    groups    how many groups these are; None: single rows, some of which may be all but the same
              as rows that were learned from
    steps     of the optimiser in the first phase
    hidden    units of each prediction; 0: the KLT alone
    given_up  whether networks were trained that held-out rows gained nothing by
    rank      coefficients that are kept
    quality   the default quality of the profile
    cosine    mean cosine between decoded and original rows
    bytes     mean size of a stream
    seconds   the whole training took
    """

    rows: int
    held: Embeddings
    groups: int | None
    steps: int
    hidden: int
    given_up: bool
    rank: int
    quality: int
    cosine: float
    bytes: float
    seconds: float

    @property
    def held_out(self) -> int:
        """How many rows were held out."""
        return len(self.held)


def train(
    paths: list[str],
    out: str | os.PathLike[str],
    recipe: Recipe,
    *,
    name: str,
    backbone: str,
    kind: str = "predictive",
    groups: Groups | None = None,
    text_paths: list[str] | None = None,
    held_paths: list[str] | None = None,
    start: str | os.PathLike[str] | None = None,
    card: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Result:
    """Train on the embeddings in `paths` and write the profile `out`.

    kind        `predictive`, or `compact` for a small file
    groups      what belongs together, such as the frames of a video: it is held out together
    text_paths  embeddings of texts, for the metric
    held_paths  embeddings for gains, tables and the result; None: some rows of `paths`
    start       weights to start from, instead of a first phase (checkpoint.py); their KLT, bands
                and units are kept, so steps, minutes, hidden and shrinkage may not be given, and
                text_weight counts nothing
    progress    is told how far it is

    The same files, recipe, name, card, machine and torch give the same profile, if the recipe says
    the steps: minutes are as many steps as the machine does in them. Raises TrainingError for the
    data, OptionError for the recipe. The file is written at the end, whole or not at all.
    """
    started = time.perf_counter()
    check(recipe)
    _check_kind(kind, recipe, text_paths, start)
    rows = load_rows(paths, groups, least=LEAST_ROWS)
    weights = None if start is None else _weights(start, recipe, rows.x)
    if weights is not None:
        recipe = replace(recipe, hidden=weights.bias.shape[1], steps=0)
    plan = complete(recipe, len(rows.x))
    text = _load_further(text_paths, rows.x, "text", least=1)
    given = _load_further(held_paths, rows.x, "held-out", least=MIN_HELD)
    if given is not None and rows.groups is not None:
        raise OptionError("groups count nothing with held-out files: give one of them")
    parts = divide(rows, given, plan.seed)
    x, counts = rows.x[parts.fit], rows.counts[parts.fit].astype(np.float64)
    base = weights.klt if weights else klt(
        x, counts, shrinkage=plan.shrinkage, text=text, text_weight=plan.text_weight
    )  # fmt: skip
    if kind == "compact":
        base = base.first(_rank(plan, base, parts.held))
    trainer = Trainer(x, rows.counts[parts.fit], base, plan, form=_FORMS[kind])
    given_up = False
    if weights is not None:
        trainer.start_from(weights)
        trainer.phase_two()
    elif plan.hidden or plan.restore:
        gained = _train_networks(trainer, parts.held, progress, started, recipe.hidden is None)
        given_up = gained < _LEAST_GAIN
        if given_up:
            plan = replace(plan, hidden=0, restore=0)
            trainer = Trainer(x, rows.counts[parts.fit], base, plan, form=_FORMS[kind])
    fitted = _fitted(trainer, parts.held)
    data = {
        "files": [Path(path).name for path in paths],
        "text_files": [Path(path).name for path in text_paths or []],
        "held_out_files": [Path(path).name for path in held_paths or []],
        "start": None if start is None else Path(start).name,
        "rows": len(rows.x),
        "groups_held_out": parts.groups,
        "sha256": hashlib.sha256(rows.x.tobytes()).hexdigest(),
    }
    done = asdict(plan) | {"steps": trainer.steps_done, "rank": len(base.variance)}
    training = {"embeddings": data, "recipe": {"name": kind, **done}}
    quality = _default_quality(trainer.engine(fitted), parts.held, plan.cosine)
    write(
        out, trainer, fitted, x, text, quality, name=name, backbone=backbone,
        card={**(card or {}), **training},
    )  # fmt: skip
    codec = Codec(read_profile(out))
    streams = codec.encode_embeddings(parts.held)
    return Result(
        rows=len(rows.x),
        held=parts.held,
        groups=parts.groups,
        steps=trainer.steps_done,
        hidden=plan.hidden,
        given_up=given_up,
        rank=len(base.variance),
        quality=quality,
        cosine=float((codec.decode_batch(streams) * parts.held).sum(axis=1).mean()),
        bytes=float(np.mean([len(stream) for stream in streams])),
        seconds=time.perf_counter() - started,
    )


def _check_kind(
    kind: str, recipe: Recipe, texts: list[str] | None, start: str | os.PathLike[str] | None
) -> None:
    """Raise OptionError for what a kind of profile cannot have."""
    if kind not in _FORMS:
        raise OptionError(f"kind={kind!r}: expected one of {', '.join(_FORMS)}")
    if kind == "compact":
        for what, value in (("texts for the metric", texts), ("weights to start from", start)):
            if value:
                raise OptionError(f"{what}: not for a compact profile, make a predictive one")
    elif recipe.rank is not None:
        raise OptionError(f"rank={recipe.rank}: for a compact profile alone, others keep all")


def _weights(path: str | os.PathLike[str], recipe: Recipe, x: Embeddings) -> Checkpoint:
    """The weights to start from. Raises OptionError for what they fix, and another width."""
    weights = checkpoint.load(path)
    if len(weights.klt.mean) != x.shape[1]:
        raise OptionError(
            f"{os.fspath(path)}: weights for {len(weights.klt.mean)} dimensions, the embeddings "
            f"have {x.shape[1]}"
        )
    for name in ("steps", "minutes", "hidden", "shrinkage"):
        if getattr(recipe, name) is not None:
            raise OptionError(
                f"{name}={getattr(recipe, name)} with weights to start from: these fix it, "
                "leave it out"
            )
    return weights


def _rank(plan: Plan, base: Klt, held: Embeddings) -> int:
    """How many coefficients a compact profile keeps: those asked for, or all that matter."""
    dim = len(base.mean)
    most = min(dim, MAX_BASIS // dim)
    if plan.rank is not None:
        if plan.rank > most:
            raise OptionError(
                f"rank={plan.rank}: at most {most} for embeddings of {dim} dimensions"
            )
        return plan.rank
    power = (base.coefficients(held).astype(np.float64) ** 2).sum(axis=0)
    enough = np.cumsum(power) >= (1 - _LEFT_OUT) * power.sum()
    return min(most, int(enough.argmax()) + 1)


def _load_further(
    paths: list[str] | None, x: Embeddings, what: str, least: int
) -> Embeddings | None:
    """The embeddings in further files, which must be as wide as x; None without files."""
    if not paths:
        return None
    rows = load_embeddings(paths, least=least)[0]
    if rows.shape[1] != x.shape[1]:
        raise OptionError(
            f"{what} embeddings have {rows.shape[1]} dimensions, the others {x.shape[1]}"
        )
    return rows


def _train_networks(
    trainer: Trainer,
    held: Embeddings,
    progress: Progress | None,
    started: float,
    doubtful: bool,
) -> float:
    """Train the networks, and say how much higher the cosine at 50 bytes is with them.

    doubtful  whether they may be given up; else nothing is measured afterwards
    """
    plan = trainer.plan
    estimate = Estimate(trainer, held)
    before, cosine, took = time.perf_counter(), 0.0, 0.0
    if doubtful or progress is not None or plan.steps is None:
        cosine = estimate()
        took = time.perf_counter() - before
    if progress is not None:
        trainer.watch = Watch(progress, estimate, took, cosine)
    if plan.steps is not None:
        trainer.phase_one(by_steps(plan.steps))
    else:
        assert plan.minutes is not None
        left = started + 60 * plan.minutes - time.perf_counter()
        # where minutes are few, tables take as long as the networks
        rest = trainer.rest(took / estimate.attempts, len(held))
        trainer.phase_one(by_time(max(left - rest, left / 2)))
    trainer.phase_two()
    return estimate() - cosine if doubtful else 1.0


def _fitted(trainer: Trainer, held: Embeddings) -> level_tables.Fitted:
    """The tables. Of few rows too few are held out to count levels: then all are, in turn."""
    plan = trainer.plan
    if len(trainer.latents) < FEW and not (plan.hidden or plan.restore):
        return trainer.fit(_crosswise(trainer, plan))
    return trainer.fit_tables(held)


def _crosswise(trainer: Trainer, plan: Plan) -> NDArray[np.float32]:
    """(N, n) coefficients of all rows, each in the KLT of rows without it."""
    x, counts = trainer.x, trainer.counts.astype(np.float64)
    found = np.empty((len(x), len(trainer.scale)), np.float32)
    for held in folds(np.arange(len(x)), _FOLDS, 1 / _FOLDS, plan.seed):
        rest = np.setdiff1d(np.arange(len(x)), held)
        other = klt(x[rest], counts[rest], shrinkage=plan.shrinkage)
        found[held] = other.first(found.shape[1]).coefficients(x[held])
    return found


def _default_quality(engine: Engine, held: Embeddings, cosine: float) -> int:
    """The lowest quality at which held-out rows have at least this mean cosine."""
    latents = engine.transform.analyse(held)

    def fine_enough(quality: int) -> bool:
        attempt = engine.attempt(latents, np.full(len(held), quality))
        y = engine.transform.synthesise(attempt.latent)
        cosines = (y * held).sum(axis=1) / np.linalg.norm(y, axis=1)
        return bool(cosines.mean() >= cosine)

    return 1 + bisect_left(range(1, QUALITIES), True, key=fine_enough)
