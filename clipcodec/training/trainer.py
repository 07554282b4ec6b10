"""Trains the networks of a KLT's coefficients, in two phases, and fits their tables."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..embeddings import Embeddings
from ..kinds.trellis.compact import CompactTransform, rounded
from ..kinds.trellis.engine import Engine
from ..kinds.trellis.predictive import PredictiveTransform
from ..kinds.trellis.tables import LevelTables
from ..profile.file import Tensors
from . import level_tables
from .checkpoint import Checkpoint
from .data import thinned
from .division import COUNTED
from .gains import Predicting, gains
from .klt import HIGH, LOW, QUALITIES, RDO_WEIGHT, Klt, steps_for
from .recipe import Plan
from .refiner import Loop, Refiner, scalar
from .whole import in_whole_numbers

LEARNED = 1.8  # bits per dimension up to which networks are trained; above, they gain little
MIN_HELD = 100  # rows, at least, that the tables can be fitted to
_GAIN_ROWS = 1000  # rows, at most, by which gains are found
_ROUGH_ROWS, _ROUGH_ROUNDS = 512, 4  # of tables that gains and the second phase are found with
_AFTERWARDS = 16  # times that held-out rows are quantised for the default quality and the result
REPLAYED = 1 << 14  # rows that the encoder codes at a time, in the second phase
EPOCHS = 6  # times that the network sees each of these rows
_ROUNDING = 1e-3  # mean squared error that the rounding of a compact basis causes: half in cosine
_FRACTIONS = (
    0.012, 0.027, 0.047, 0.078, 0.125, 0.19, 0.28, 0.36, 0.44, 0.556, 0.69,
)  # fmt: skip  # of D: ends of the bands
_WARMING = 40  # batches that set the running values of weights from elsewhere


def bands_for(dim: int, count: int | None = None) -> list[int]:
    """Bounds of the bands. The first ones are narrow: a few coefficients of large variance there
    predict much of the rest.

    count  of coefficients, where a profile keeps the first ones only
    """
    count = count or dim
    ends = {max(1, round(share * dim)) for share in _FRACTIONS}
    return sorted({0, count, *(end for end in ends if end < count)})


@dataclass(frozen=True)
class Form:
    """How a kind of profile stores the KLT.

    kind       its name in the file
    basis      the tensors of a KLT; the networks' and the tables' are the same in every kind
    transform  what codes with all tensors, in bands of these bounds
    """

    kind: str
    basis: Callable[[Klt], Tensors]
    transform: Callable[[Tensors, Sequence[int]], Predicting]


def _matrices(base: Klt) -> Tensors:
    return {
        "center": base.mean.astype(np.float32),
        "analysis": base.analysis.astype(np.float16),
        "synthesis": base.synthesis.astype(np.float16),
    }


def _rounded(base: Klt) -> Tensors:
    """Orthonormal rows in eight bits, none of which costs more than its share of _ROUNDING."""
    rank, dim = base.synthesis.shape
    coarsest = np.sqrt(12 * _ROUNDING / (rank * dim * base.variance))
    basis, shift = rounded(base.synthesis, coarsest)
    return {"center": base.mean.astype(np.float16), "basis": basis, "shift": shift}


PREDICTIVE = Form("predictive", _matrices, PredictiveTransform)
COMPACT = Form("compact", _rounded, CompactTransform)


Watch = Callable[[float], None]


def by_steps(count: int) -> Iterator[float]:
    """The share done before each of `count` steps."""
    return (done / count for done in range(count))


def by_time(seconds: float) -> Iterator[float]:
    """The share done before each step, until that many seconds are over; one step at least."""
    start = time.perf_counter()
    share = 0.0
    while share < 1:
        yield share
        share = (time.perf_counter() - start) / seconds if seconds > 0 else 1.0


class Trainer:
    """Trains one network in two phases: with a scalar quantiser, then with the real encoder.

    x       (N, D) training rows
    counts  (N,) how often each row counts
    base    the KLT in which they are coded, of n ≤ D coefficients
    form    the kind of profile that is made

    watch is told after each step of the first phase which share of it is done; it may be set.
    """

    def __init__(
        self,
        x: Embeddings,
        counts: NDArray[np.int64],
        base: Klt,
        plan: Plan,
        *,
        form: Form = PREDICTIVE,
    ) -> None:
        self.plan, self.base, self.form = plan, base, form
        self.x, self.counts = x, counts
        self.watch: Watch = lambda share: None
        self.steps_done = 0
        dim, count = x.shape[1], len(base.variance)
        self.bands = bands_for(dim, count)
        low = min(LOW * dim / count, HIGH / 2)  # bits of all dimensions, on those that are coded
        self.steps = steps_for(base.variance, QUALITIES, low, HIGH)
        self._basis = form.basis(base)
        self.rdo_weights = np.full(QUALITIES, RDO_WEIGHT, np.float32)
        self.gains = {
            "predict.gain": np.ones((QUALITIES, len(self.bands) - 2), np.float32),
            "restore.gain": np.ones(QUALITIES, np.float32),
        }
        self.latents = base.coefficients(x)
        self.scale = np.sqrt(base.variance).astype(np.float32)
        self.share = counts / counts.sum()
        self.rng = np.random.default_rng(plan.seed)
        torch.manual_seed(plan.seed)
        self.device = torch.device(plan.device)
        self.refiner = Refiner(self.bands, (plan.hidden, plan.restore), plan.dropout, plan.seed).to(
            self.device
        )
        finest = float(steps_for(base.variance, 2, low, max(LEARNED, 1.5 * low))[1])
        self.learned = int((self.steps >= finest).sum())  # the network learns qualities up to this
        ends = float(self.steps[0]), float(self.steps[self.learned - 1])
        self.loop = Loop(self.refiner, torch.from_numpy(self.scale).to(self.device), ends)

    def phase_one(self, shares: Iterable[float]) -> None:
        """Train all networks with a scalar quantiser, which is faster than the trellis.

        shares  which share of the phase is done before each step: `by_steps` or `by_time`. The
                learning rate goes by it.
        """
        rate = self.plan.learning_rate
        if not (self.plan.hidden or self.plan.restore):
            return
        optimiser = self._optimiser(self.refiner.parameters(), rate)
        for share in shares:
            self._step(optimiser, self._scalar_loss(), rate, share, self.steps_done)
            self.steps_done += 1
            self.watch(share)

    def start_from(self, weights: Checkpoint) -> None:
        """Take the weights, and set the running values (variances, peaks) for them."""
        weights.copy_to(self.refiner, self.loop.center)
        with torch.no_grad():
            for _ in range(_WARMING):
                self._scalar_loss()

    def _scalar_loss(self) -> Tensor:
        rows = self.rng.choice(len(self.latents), self.plan.batch, p=self.share)
        exponent = self.rng.random((len(rows), 1), np.float32)
        step = self.steps[0] * (self.steps[self.learned - 1] / self.steps[0]) ** exponent
        u, s = self._tensors(self.latents[rows] / self.scale, step)
        with self._autocast():
            return self.loop.loss(u, s, scalar)

    def phase_two(self) -> None:
        """Train the restoration with what the real encoder chose: it codes many rows, then the
        network learns.
        """
        plan = self.plan
        count = plan.replay if plan.restore else 0
        optimiser = self._optimiser(self.refiner.restoration(), plan.restore_rate)
        done = 0
        engine: Engine | None = None
        while done < count:
            rows = self.rng.choice(len(self.latents), REPLAYED, p=self.share)
            engine = engine or self.engine(self.fit_rough(self.latents[rows[:COUNTED]]))
            latents, estimate, step = self._replay(rows, engine)
            for _ in range(EPOCHS):
                order = self.rng.permutation(len(latents))
                for some in np.array_split(order, -(-len(order) // plan.batch)):
                    if done < count:
                        u, e, s = self._tensors(latents[some], estimate[some], step[some])
                        with self._autocast():
                            loss = self.loop.restoration_loss(u, e, s)
                        self._step(optimiser, loss, plan.restore_rate, done / count, done)
                        done += 1

    def _replay(
        self, rows: NDArray[np.int64], engine: Engine
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Code rows at random qualities → latents, estimates before the restoration (both divided
        by `scale`), and steps (N, 1).
        """
        latents = self.latents[rows]
        qualities = self.rng.integers(1, self.learned + 1, len(rows))
        estimate = np.concatenate(
            [
                engine.attempt(latents[at : at + 2048], qualities[at : at + 2048]).estimate
                for at in range(0, len(rows), 2048)
            ]
        )  # fmt: skip
        u, e = (np.asarray(y / self.scale, np.float32) for y in (latents, estimate))
        return u, e, self.steps[qualities - 1][:, None]

    def _optimiser(self, parameters: Any, rate: float) -> torch.optim.Optimizer:
        return torch.optim.AdamW(
            parameters, lr=rate, betas=(0.9, 0.99), weight_decay=self.plan.weight_decay, fused=True
        )

    def _step(
        self, optimiser: torch.optim.Optimizer, loss: Tensor, rate: float, done: float, count: int
    ) -> None:
        """One step of the optimiser: warm-up, then a cosine schedule; done 0 … 1."""
        for group in optimiser.param_groups:
            group["lr"] = rate * min(1.0, (count + 1) / 100) * (1 + math.cos(math.pi * done)) / 2
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    def _tensors(self, *arrays: NDArray[np.float32]) -> list[Tensor]:
        return [torch.from_numpy(a).to(self.device) for a in arrays]

    def _autocast(self) -> torch.autocast:
        return torch.autocast(
            self.device.type, torch.bfloat16, enabled=_half_is_fast(self.device.type)
        )

    def tensors(self) -> Tensors:
        """The tensors of the profile, in the precision of the file (formats/predictive.md)."""
        return {
            **self._basis,
            "scale": self.scale,
            **in_whole_numbers(self.refiner, self.scale, np.log(self.steps), self.loop.center),
            **self.gains,
            "steps": self.steps,
            "weights": self.rdo_weights,
        }

    def transform(self) -> Predicting:
        return self.form.transform(self.tensors(), self.bands)

    def engine(self, fitted: level_tables.Fitted) -> Engine:
        tables = LevelTables(fitted.frequencies, fitted.class_of, fitted.flag_of, self.bands)
        return Engine(self.transform(), tables, self.steps, self.rdo_weights)

    def fit_tables(self, held: Embeddings) -> level_tables.Fitted:
        """Set the gains and fit the tables, with rows that the network has not seen."""
        transform = self.transform()
        latents = transform.analyse(held)
        if self.plan.hidden or self.plan.restore:
            rough = self.fit_rough(latents)
            some = thinned(latents, _GAIN_ROWS)
            self.gains = gains(transform, self.engine(rough), some)
        return self.fit(latents)

    def fit_rough(self, latents: NDArray[np.float32]) -> level_tables.Fitted:
        """Tables that are nearly right, by a few rows."""
        return self.fit(thinned(latents, _ROUGH_ROWS), rounds=_ROUGH_ROUNDS)

    def fit(
        self, latents: NDArray[np.float32], rounds: int = level_tables.ROUNDS
    ) -> level_tables.Fitted:
        """Tables fitted to coefficients (N, n) of rows that the KLT has not seen."""
        return level_tables.fit(
            self.transform(), latents, self.bands, self.steps, self.rdo_weights,
            scale=self.scale.astype(np.float64), rounds=rounds, floor=self.floor,
        )  # fmt: skip

    def rest(self, seconds: float, held: int) -> float:
        """Seconds that everything after the first phase will take, about.

        seconds  to quantise a row once
        held     rows for the tables
        """
        rounds = 2 * _ROUGH_ROUNDS + level_tables.ROUNDS
        quick = level_tables.FIRST_ROWS * level_tables.FIRST_GRID * rounds
        tables = level_tables.GRID * (held + 2 * _ROUGH_ROWS + min(held, _GAIN_ROWS))
        replayed = REPLAYED * -(-self.plan.replay * self.plan.batch // (REPLAYED * EPOCHS))
        return 1.4 * seconds * (quick + tables + replayed + _AFTERWARDS * held)

    @property
    def floor(self) -> float:
        """Least variance of a coefficient, for the tables."""
        shrinkage = self.plan.shrinkage or 0.0
        return shrinkage * float(self.base.variance.sum()) / len(self.base.mean)


def _half_is_fast(device: str) -> bool:
    """Whether products of 16-bit numbers are faster. A processor without instructions for them
    emulates them, and takes several times as long.
    """
    if device != "cpu":
        return True
    # not in every torch: without it, float32 is the safe choice
    supported = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return bool(supported is not None and supported())
