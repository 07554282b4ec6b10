"""The recipe `predictive`: train KLT, staged predictor and level tables, and write a profile.

The profile is of kind predictive (formats/predictive.md).
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..codec import Codec
from ..embeddings import Embeddings
from ..errors import OptionError
from ..kinds.trellis.engine import Engine
from ..profile.file import Tensors, read_profile, write_profile
from . import checkpoint, level_tables
from .data import load_embeddings
from .export import statistics
from .klt import klt
from .recipe import Recipe, check, complete
from .trainer import COUNTED, MIN_HELD, QUALITIES, Trainer


@dataclass(frozen=True)
class Result:
    """The result, measured on held-out rows at the default quality.

    rows, held_out  distinct rows in the training files, and rows held out
    quality         the default quality of the profile
    cosine          mean cosine between decoded and original rows
    bytes           mean size of a stream
    seconds         the whole training took
    """

    rows: int
    held_out: int
    quality: int
    cosine: float
    bytes: float
    seconds: float


def train(
    paths: list[str],
    out: str | os.PathLike[str],
    recipe: Recipe,
    *,
    name: str,
    backbone: str,
    text_paths: list[str] | None = None,
    held_paths: list[str] | None = None,
    start: str | os.PathLike[str] | None = None,
    card: Mapping[str, Any] | None = None,
    quiet: bool = True,
) -> Result:
    """Train on the embeddings in `paths` and write the profile `out`.

    text_paths  embeddings of texts, for the metric
    held_paths  embeddings for gains, tables and the result; None: some rows of `paths`
    start       weights to start from, instead of a first phase (checkpoint.py); their KLT, bands
                and units are kept, so steps, hidden and shrinkage may not be given, and
                text_weight counts nothing

    The same files, recipe, name, card, machine and torch give the same profile. Raises
    TrainingError for the data, OptionError for the recipe.
    """
    started = time.perf_counter()
    check(recipe)
    x, counts = load_embeddings(paths)
    weights = None if start is None else checkpoint.load(start)
    if weights is not None:
        if len(weights.klt.mean) != x.shape[1]:
            raise OptionError(
                f"{os.fspath(start or '')}: weights for {len(weights.klt.mean)} dimensions, the "
                f"embeddings have {x.shape[1]}"
            )
        for name in ("steps", "hidden", "shrinkage"):
            if getattr(recipe, name) is not None:
                raise OptionError(
                    f"{name}={getattr(recipe, name)} with weights to start from: these fix it, "
                    "leave it out"
                )
        recipe = replace(recipe, hidden=weights.bias.shape[1], steps=0)
    plan = complete(recipe, len(x))
    text = _load_further(text_paths, x, "text", least=1)
    given = _load_further(held_paths, x, "held-out", least=MIN_HELD)
    fit, kept = hold_out(len(x), plan.seed)
    held = x[kept]
    if given is not None:
        fit, held = np.arange(len(x)), given[:: -(-len(given) // COUNTED)]
    base = weights.klt if weights else klt(
        x[fit], counts[fit].astype(np.float64),
        shrinkage=plan.shrinkage, text=text, text_weight=plan.text_weight,
    )  # fmt: skip
    trainer = Trainer(x[fit], counts[fit], base, plan, quiet=quiet)
    if weights is None:
        trainer.phase_one()
    else:
        trainer.start_from(weights)
    trainer.phase_two()
    fitted = trainer.fit_tables(held)
    tensors = trainer.tensors()
    data = {
        "files": [Path(path).name for path in paths],
        "text_files": [Path(path).name for path in text_paths or []],
        "held_out_files": [Path(path).name for path in held_paths or []],
        "start": None if start is None else Path(start).name,
        "rows": len(x),
        "sha256": hashlib.sha256(x.tobytes()).hexdigest(),
    }
    training = {"embeddings": data, "recipe": {"name": "predictive", **asdict(plan)}}
    quality = _default_quality(fitted, trainer.engine(fitted), held, plan.cosine)
    _write(
        out, trainer, tensors, fitted, x[fit], text, quality, name=name, backbone=backbone,
        card={**(card or {}), **training},
    )  # fmt: skip
    codec = Codec(read_profile(out))
    streams = codec.encode_embeddings(held)
    return Result(
        rows=len(x),
        held_out=len(held),
        quality=quality,
        cosine=float((codec.decode_batch(streams) * held).sum(axis=1).mean()),
        bytes=float(np.mean([len(stream) for stream in streams])),
        seconds=time.perf_counter() - started,
    )


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


def hold_out(rows: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices of rows to train on, and of rows for tables and result: a tenth, at most COUNTED."""
    order = np.random.default_rng(seed).permutation(rows)
    count = min(COUNTED, max(1, rows // 10))
    return np.sort(order[count:]), np.sort(order[:count])


def _default_quality(
    fitted: level_tables.Fitted, engine: Engine, held: Embeddings, cosine: float
) -> int:
    """The lowest quality at which held-out rows have at least this mean cosine."""
    latents = engine.transform.analyse(held)
    low, high = 0, QUALITIES
    while high - low > 1:
        middle = (low + high) // 2
        attempt = engine.attempt(latents, np.full(len(held), middle))
        y = engine.transform.synthesise(attempt.latent)
        reached = ((y * held).sum(axis=1) / np.linalg.norm(y, axis=1)).mean()
        low, high = (low, middle) if reached >= cosine else (middle, high)
    return high


def _write(
    out: str | os.PathLike[str],
    trainer: Trainer,
    tensors: Tensors,
    fitted: level_tables.Fitted,
    rows: Embeddings,
    texts: Embeddings | None,
    quality: int,
    *,
    name: str,
    backbone: str,
    card: Mapping[str, Any],
) -> None:
    stat_tensors, stat_meta = statistics(rows, texts)
    meta = {
        "kind": "predictive",
        "name": name,
        "backbone": backbone,
        "dim": rows.shape[1],
        "config": {
            "qualities": QUALITIES,
            "default_quality": quality,
            "rows": len(fitted.frequencies),
            "alphabet": fitted.frequencies.shape[1],
            "bands": trainer.bands,
            "hidden": trainer.plan.hidden,
            "restore": trainer.plan.restore,
        },
        "statistics": stat_meta,
        "card": dict(card),
    }
    everything = {
        **tensors,
        **stat_tensors,
        "tables.frequencies": fitted.frequencies,
        "tables.class_of": fitted.class_of,
        "tables.flag_of": fitted.flag_of,
    }
    write_profile(Path(out), meta, everything)
