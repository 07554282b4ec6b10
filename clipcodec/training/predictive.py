"""The recipe `predictive`: train KLT, staged predictor and level tables, and write a profile.

The profile is of kind predictive (formats/predictive.md).
"""

from __future__ import annotations

import hashlib
import math
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from ..codec import Codec
from ..embeddings import Embeddings
from ..errors import OptionError
from ..kinds.trellis import quantizer as trellis
from ..kinds.trellis.engine import Engine
from ..kinds.trellis.predictive import PredictiveTransform
from ..kinds.trellis.tables import LevelTables
from ..profile.file import Tensors, read_profile, write_profile
from . import level_tables
from .data import load_embeddings
from .export import statistics
from .klt import Klt, klt, steps_for
from .refiner import Loop, Quantiser, Refiner, scalar

QUALITIES = 100
LOW, HIGH = 0.08, 4.0  # bits per dimension of the coarsest and the finest quality, in theory
LEARNED = (
    1.8  # bits per dimension up to which the network is trained; above, prediction gains little
)
RDO_WEIGHT = 0.4  # λ, in squared steps per bit; close to the best value at every rate
COUNTED = 2000  # rows, at most, that the tables are fitted to
MIN_HELD = 100  # rows, at least, that the tables can be fitted to
REPLAYED = 1 << 14  # rows that the encoder codes at a time, in the second phase
EPOCHS = 3  # times that the network sees each of these rows
_FRACTIONS = (0.012, 0.027, 0.047, 0.078, 0.125, 0.19, 0.28, 0.44, 0.69)  # of D: ends of the bands


@dataclass(frozen=True)
class Recipe:
    """How to train; the defaults are those of the shipped profiles.

    Where a value is None, `complete` chooses it by the number of rows.

    steps        of the optimiser in the first phase, with a scalar quantiser
    replay       of the optimiser in the second phase, with the real encoder
    hidden       units of each stage's network; 0: no prediction, the KLT alone
    batch        rows per step of the optimiser
    shrinkage    of the covariance, 0 … 1; None: estimated (`klt.oas`)
    text_weight  weight of the text embeddings in the metric, 0 … 0.99 (see `klt.klt`)
    cosine       least mean cosine of held-out rows at the default quality
    """

    steps: int | None = None
    replay: int | None = None
    hidden: int | None = None
    batch: int = 1024
    learning_rate: float = 2e-3
    weight_decay: float = 5e-2
    dropout: float | None = None
    shrinkage: float | None = None
    text_weight: float = 0.6
    cosine: float = 0.98
    seed: int = 0


@dataclass(frozen=True)
class Plan:
    """A recipe with every value chosen."""

    steps: int
    replay: int
    hidden: int
    batch: int
    learning_rate: float
    weight_decay: float
    dropout: float
    shrinkage: float | None
    text_weight: float
    cosine: float
    seed: int


def complete(recipe: Recipe, rows: int) -> Plan:
    """Choose the values that are None. With few rows, a large network or many steps overfit."""
    steps = min(7_500, rows // 7) if recipe.steps is None else recipe.steps
    hidden = 0 if rows < 4_000 else 96 if rows < 30_000 else 256
    by_rows = {
        "steps": steps,
        "replay": steps * 4 // 15,
        "hidden": hidden,
        "dropout": 0.2 if rows < 30_000 else 0.1,
    }
    given = {name: value for name, value in asdict(recipe).items() if value is not None}
    return Plan(**{"shrinkage": None, **by_rows, **given})


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
    card: Mapping[str, Any] | None = None,
    quiet: bool = True,
) -> Result:
    """Train on the embeddings in `paths` and write the profile `out`.

    text_paths  embeddings of texts, for the metric
    held_paths  embeddings for gains, tables and the result; None: some rows of `paths`

    The same files, recipe, name, card, machine and torch give the same profile. Raises
    TrainingError for the data, OptionError for the recipe.
    """
    started = time.perf_counter()
    _check(recipe)
    x, counts = load_embeddings(paths)
    plan = complete(recipe, len(x))
    text = _load_further(text_paths, x, "text", least=1)
    given = _load_further(held_paths, x, "held-out", least=MIN_HELD)
    fit, kept = hold_out(len(x), plan.seed)
    held = x[kept]
    if given is not None:
        fit, held = np.arange(len(x)), given[:: -(-len(given) // COUNTED)]
    base = klt(
        x[fit], counts[fit].astype(np.float64),
        shrinkage=plan.shrinkage, text=text, text_weight=plan.text_weight,
    )  # fmt: skip
    trainer = Trainer(x[fit], counts[fit], base, plan, quiet=quiet)
    trainer.phase_one()
    trainer.phase_two()
    fitted = trainer.fit_tables(held)
    tensors = trainer.tensors()
    data = {
        "files": [Path(path).name for path in paths],
        "text_files": [Path(path).name for path in text_paths or []],
        "held_out_files": [Path(path).name for path in held_paths or []],
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


def _check(recipe: Recipe) -> None:
    """Raise OptionError for a value out of range."""
    for name, low, high in (
        ("steps", 0, 10**7), ("replay", 0, 10**7), ("hidden", 0, 4096), ("seed", 0, 2**32 - 1),
        ("text_weight", 0, 0.99), ("dropout", 0, 0.9), ("shrinkage", 0, 1), ("cosine", 0, 0.9999),
    ):  # fmt: skip
        value = getattr(recipe, name)
        if value is not None and not low <= value <= high:
            raise OptionError(f"{name}={value} is not in {low} … {high}")
    if not 0 < recipe.learning_rate <= 1:
        raise OptionError(f"learning_rate={recipe.learning_rate} is not above 0 and at most 1")


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


def bands_for(dim: int) -> list[int]:
    """Bounds of the bands. The first ones are narrow: a few coefficients of large variance there
    predict much of the rest.
    """
    return sorted({0, dim, *(max(1, round(share * dim)) for share in _FRACTIONS)})


class Trainer:
    """Trains one network in two phases: with a scalar quantiser, then with the real encoder.

    x       (N, D) training rows
    counts  (N,) how often each row counts
    base    the KLT in which they are coded
    """

    def __init__(
        self,
        x: Embeddings,
        counts: NDArray[np.int64],
        base: Klt,
        plan: Plan,
        *,
        quiet: bool,
    ) -> None:
        self.plan, self.base, self.quiet = plan, base, quiet
        self.bands = bands_for(x.shape[1])
        self.steps = steps_for(base.variance, QUALITIES, LOW, HIGH)
        self.rdo_weights = np.full(QUALITIES, RDO_WEIGHT, np.float32)
        self.gain = np.ones((QUALITIES, len(self.bands) - 1, 2), np.float32)
        self.latents = ((x - base.mean) @ base.analysis).astype(np.float32)
        self.scale = np.sqrt(base.variance).astype(np.float32)
        self.share = counts / counts.sum()
        self.rng = np.random.default_rng(plan.seed)
        torch.manual_seed(plan.seed)
        self.refiner = Refiner(self.bands, plan.hidden, plan.dropout, plan.seed)
        finest = float(steps_for(base.variance, 2, LOW, LEARNED)[1])
        self.learned = int((self.steps >= finest).sum())  # the network learns qualities up to this
        ends = float(self.steps[0]), float(self.steps[self.learned - 1])
        self.loop = Loop(self.refiner, torch.from_numpy(self.scale), ends)
        self.optimiser = torch.optim.AdamW(
            self.refiner.parameters(), lr=plan.learning_rate, betas=(0.9, 0.99),
            weight_decay=plan.weight_decay, fused=True,
        )  # fmt: skip
        self.done = 0  # steps of the optimiser

    def phase_one(self) -> None:
        """Train with a scalar quantiser, which is faster than the trellis quantiser."""
        for _ in self._bar(self.plan.steps, "scalar"):
            rows = self.rng.choice(len(self.latents), self.plan.batch, p=self.share)
            exponent = self.rng.random((len(rows), 1), np.float32)
            step = self.steps[0] * (self.steps[self.learned - 1] / self.steps[0]) ** exponent
            self._step(self.latents[rows], step, scalar)

    def phase_two(self) -> None:
        """Train with what the real encoder chose: it codes many rows, then the network learns."""
        steps_left = self.plan.replay if self.plan.hidden else 0
        bar = self._bar(steps_left, "trellis")
        fitted: level_tables.Fitted | None = None
        while steps_left:
            rows = self.rng.choice(len(self.latents), REPLAYED, p=self.share)
            if fitted is None or steps_left % 1000 < REPLAYED * EPOCHS // self.plan.batch:
                fitted = self._fit(self.latents[rows[:COUNTED]], rounds=2 if fitted else 3)
            latents, decoded, step = self._replay(rows, self.engine(fitted))
            for _ in range(EPOCHS):
                order = self.rng.permutation(len(latents))
                for at in range(0, len(order), self.plan.batch):
                    if steps_left:
                        some = order[at : at + self.plan.batch]
                        self._step(latents[some], step[some], replayed(decoded[some], self.bands))
                        steps_left -= 1
                        bar.update()
        bar.close()

    def _replay(
        self, rows: NDArray[np.int64], engine: Engine
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Code rows at random qualities → latents, decoded residuals in steps, and steps (N, 1)."""
        latents = self.latents[rows]
        qualities = self.rng.integers(1, self.learned + 1, len(rows))
        levels = np.concatenate(
            [
                engine.attempt(latents[at : at + 2048], qualities[at : at + 2048]).levels
                for at in range(0, len(rows), 2048)
            ]
        )  # fmt: skip
        return (
            latents,
            trellis.dequantize(levels, engine.tables.bands),
            self.steps[qualities - 1][:, None],
        )

    def _step(
        self, latents: NDArray[np.float32], step: NDArray[np.float32], quantise: Quantiser
    ) -> None:
        """One step of the optimiser, with latents (N, D) quantised at steps (N, 1)."""
        plan = self.plan
        if not plan.hidden:
            return
        total = plan.steps + plan.replay
        rate = plan.learning_rate * min(1.0, (self.done + 1) / 100)
        for group in self.optimiser.param_groups:
            group["lr"] = rate * (1 + math.cos(math.pi * self.done / total)) / 2
        with torch.autocast("cpu", torch.bfloat16):
            loss = self.loop.loss(
                torch.from_numpy(latents / self.scale), torch.from_numpy(step), quantise
            )
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        self.done += 1

    def _bar(self, steps: int, what: str) -> Any:
        steps = steps if self.plan.hidden else 0
        return tqdm(
            range(steps), disable=True if self.quiet else None, unit="step", leave=False, desc=what
        )

    def tensors(self) -> Tensors:
        """The tensors of the profile, in the precision of the file (formats/predictive.md)."""
        r = self.refiner

        def stack(parameters: Any) -> NDArray[np.float16]:
            return np.stack([p.detach().numpy() for p in parameters]).astype(np.float16)

        bias, quality = (p.detach().numpy() for p in (r.bias, r.quality))
        return {
            "center": self.base.mean.astype(np.float32),
            "analysis": self.base.analysis.astype(np.float32),
            "synthesis": self.base.synthesis.astype(np.float16),
            "scale": self.scale,
            "refine.hidden": stack(r.hidden),
            "refine.bias": bias - self.loop.center * quality,
            "refine.quality": quality.copy(),
            "refine.out": stack(r.out),
            "refine.gain": self.gain,
            "steps": self.steps,
            "weights": self.rdo_weights,
        }

    def transform(self) -> PredictiveTransform:
        return PredictiveTransform(self.tensors(), self.bands)

    def engine(self, fitted: level_tables.Fitted) -> Engine:
        tables = LevelTables(fitted.frequencies, fitted.class_of, fitted.flag_of, self.bands)
        return Engine(self.transform(), tables, self.steps, self.rdo_weights)

    def fit_tables(self, held: Embeddings) -> level_tables.Fitted:
        """Set the gains and fit the tables, with rows that the network has not seen."""
        transform = self.transform()
        latents = transform.analyse(held)
        if self.plan.hidden:
            rough = self._fit(latents, rounds=3)
            self.gain = gains(transform, self.engine(rough), latents)
        return self._fit(latents, rounds=5)

    def _fit(self, latents: NDArray[np.float32], rounds: int) -> level_tables.Fitted:
        shrinkage = self.plan.shrinkage or 0.0
        return level_tables.fit(
            self.transform(), latents, self.bands, self.steps, self.rdo_weights,
            scale=self.scale.astype(np.float64), rounds=rounds,
            floor=shrinkage * float(self.base.variance.mean()),
        )  # fmt: skip


class _Calibrator:
    """A transform that measures, band by band, which share of its network's correction to apply.

    gain  (bands, 2) the share with the least squared error: for coefficients decoded so far, and
          for later ones
    """

    def __init__(
        self, inner: PredictiveTransform, latents: NDArray[np.float32], ends: list[int]
    ) -> None:
        self.inner, self.latents, self.ends = inner, latents, ends
        self.scale = inner.scale
        self.gain = np.zeros((len(ends), 2))

    def analyse(self, x: Embeddings) -> NDArray[np.float32]:
        return self.inner.analyse(x)

    def synthesise(self, y: NDArray[np.float32]) -> Embeddings:
        return self.inner.synthesise(y)

    def pull(self, gradient: NDArray[np.float64]) -> NDArray[np.float64]:
        return self.inner.pull(gradient)

    def refine(
        self, estimate: NDArray[np.float32], band: int, qualities: NDArray[np.int64]
    ) -> None:
        added = self.inner.correction(estimate, band, qualities)
        end = self.ends[band]
        for part, columns in enumerate((slice(0, end), slice(end, None))):
            change, missing = added[:, columns], (self.latents - estimate)[:, columns]
            power = float((change * change).sum())
            gain = float((change * missing).sum()) / power if power else 0.0
            self.gain[band, part] = np.clip(gain, 0, 1)
            estimate[:, columns] += self.gain[band, part] * change


def gains(
    transform: PredictiveTransform, engine: Engine, latents: NDArray[np.float32]
) -> NDArray[np.float32]:
    """(Q, stages, 2) shares of the network's correction to apply, as `_Calibrator` finds them.

    They are measured at some qualities and interpolated between them.
    """
    ends = [end for _, end in engine.tables.bands]
    grid = np.unique(np.linspace(1, QUALITIES, level_tables.GRID).round().astype(np.int64))
    found = []
    for quality in grid:
        calibrator = _Calibrator(transform, latents, ends)
        own = Engine(calibrator, engine.tables, engine.steps, engine.weights)
        own.attempt(latents, np.full(len(latents), quality))
        found.append(calibrator.gain.ravel())
    every = np.arange(1, QUALITIES + 1)
    columns = [np.interp(every, grid, column) for column in np.array(found).T]
    return np.stack(columns, axis=1).reshape(QUALITIES, len(ends), 2).astype(np.float32)


def replayed(decoded: NDArray[np.float32], bands: list[int]) -> Quantiser:
    """A quantiser that returns what the encoder chose: `decoded` (N, D), in steps."""
    known = torch.from_numpy(decoded)

    def quantise(residual: Tensor, band: int, log_variance: Tensor) -> Tensor:
        return known[:, bands[band] : bands[band + 1]]

    return quantise


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
