"""The rank, precision and steps of a profile, so that a target is met in the smallest file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..embeddings import Embeddings
from ..kinds.trellis.engine import Engine
from ..kinds.trellis.tables import LevelTables
from ..target import Target
from . import level_tables
from .data import thinned
from .estimate import HEADER
from .klt import ERROR, HIGH, LOW, QUALITIES, RDO_WEIGHT, steps_for
from .plain import Plain
from .principal import Axes
from .rank import Choice, Chooser, worth

COSINE = 0.98  # of the default quality, where nothing is asked for
LEAST_BYTES = (
    4  # of its payload: a seed of three, and the part of a byte that says where levels are
)
_LOW_BITS = 24.0  # of a payload at the coarsest
_FINEST = 0.02  # error of the finest step, as a share of what is lost without any
_FINEST_ERROR = 1.2e-4  # squared, where nothing else is lost: any/rotation ends there
_WORTH_ROWS, _WORTH_GRID = 400, 16
_LEAST_HALF = 2.0**-14
_ENOUGH = 0.9999  # cosine: more coefficients make a larger file, and nobody sees the difference
# Of the squared error that min_cosine allows a row: for what is not kept at all, for the rounding
# of the axes, and for the finest step
_SPARE, _ROUNDED, _STEPS = 0.7, 0.1, 0.05
_UNLIKE = 2.0  # times the usual power of its coefficients: a row that is hard to reach


class Chosen(NamedTuple):
    """Rank and precision; steps (Q,) of all qualities; probabilities of levels to begin with."""

    choice: Choice
    steps: NDArray[np.float32]
    start: NDArray[np.float64]


class Choosing:
    """Chooses for rows that several axes describe.

    sets   axes, and rows (N, D) for each of them: what coefficients are worth is seen on these
    axes   that the profile gets
    items  embeddings that share it
    own    (N, D) rows of the file, all of which must reach a target of a least cosine
    """

    def __init__(
        self,
        sets: Sequence[tuple[Axes, Embeddings]],
        axes: Axes,
        target: Target,
        items: int,
        own: Embeddings,
    ) -> None:
        count = min(len(axes.rows), *(len(some.rows) for some, _ in sets))
        self.rows, self.target, self.items = axes.rows[:count], target, items
        self.latents = np.concatenate([some.coefficients(x)[:, :count] for some, x in sets])
        self.total = np.concatenate([((x - some.mean) ** 2).sum(axis=1) for some, x in sets])
        self.power = (self.latents.astype(np.float64) ** 2).mean(axis=0)
        self.allowed = 0.0  # squared error of a row
        self.least = 1  # coefficients
        if target.min_cosine is not None:
            self.allowed = 1 - float(target.min_cosine) ** 2
            most = _SPARE * self.allowed
            self.least = max(_needed(some, count, x, most) for some, x in [*sets, (axes, own)])

    def chosen(self) -> Chosen:
        """What meets the target in the smallest file."""
        power, latents = self.power, self.latents
        count, dim = self.rows.shape
        low = min(LOW * dim, _LOW_BITS) / count
        steps = steps_for(power, QUALITIES, low, HIGH * dim / count)
        if self.target.mean_bytes is None:
            steps = np.maximum(steps, np.float32(np.sqrt(_FINEST_ERROR / 10 / (count * ERROR))))
        weights = np.full(QUALITIES, RDO_WEIGHT, np.float32)
        bands, plain = [0, count], Plain(np.sqrt(power).astype(np.float32))
        few = thinned(latents, _WORTH_ROWS)
        total = float(thinned(self.total, _WORTH_ROWS).mean())
        fitted = level_tables.fit(
            plain, few, bands, steps, weights, scale=np.sqrt(power + 1e-18), known=True, rounds=6
        )
        tables = LevelTables(fitted.frequencies, fitted.class_of, fitted.flag_of, bands)
        engine = Engine(plain, tables, steps, weights)
        grid = np.unique(np.linspace(1, QUALITIES, _WORTH_GRID).round().astype(np.int64))
        chooser = Chooser(
            worth(engine, few, total, grid), self.rows,
            self.items, RDO_WEIGHT,
        )  # fmt: skip
        shares = fitted.frequencies[: 2 * level_tables.CLASSES] / 65536.0
        chooser.least = self.least
        choice = self._meeting(chooser)
        if self.target.mean_bytes is None:
            enough = chooser.for_cosine(_ENOUGH)
            choice = max(choice, enough, key=lambda c: c.step)
        choice = self._precise(choice)
        return Chosen(choice, self._laid_out(choice), shares)

    def _precise(self, choice: Choice) -> Choice:
        """With axes so finely rounded that a row may still have the least cosine asked for."""
        if not self.allowed:
            return choice
        values = choice.rank * self.rows.shape[1]
        power = np.maximum(_UNLIKE * self.power[: choice.rank], 1e-18)
        unit = np.sqrt(12 * _ROUNDED * self.allowed / (values * power))
        return replace(choice, coarsest=np.minimum(choice.coarsest, unit))

    def _meeting(self, chooser: Chooser) -> Choice:
        """The choice at the step where the target is met."""
        target = self.target
        if target.max_bytes is not None or target.mean_bytes is not None:
            size = target.max_bytes or target.mean_bytes or 0.0
            header = HEADER if target.max_bytes is not None else 1
            return chooser.for_bits(max(8.0 * (size - header) - 16, 8.0))
        if target.quality is None:
            return chooser.for_cosine(target.min_cosine or COSINE)
        step = float(chooser.worth.steps[len(chooser.worth.steps) // 2])
        for _ in range(12):
            steps = self._laid_out(chooser.at(step))
            wanted = float(steps[min(int(target.quality), QUALITIES) - 1])
            step = float(np.sqrt(step * wanted))
        return chooser.at(step)

    def _laid_out(self, choice: Choice) -> NDArray[np.float32]:
        """Steps of all qualities: from a few bits up to where finer ones gain little."""
        power = self.power[: choice.rank]
        dim, count = self.rows.shape[1], choice.rank
        low = min(LOW * dim, _LOW_BITS) / count
        coarse = float(steps_for(power, 2, low, HIGH * dim / count)[0])
        missing = max(float(self.total.mean()) - float(power.sum()), 0.0)
        left = max(_FINEST * missing, _FINEST_ERROR)
        if self.allowed:
            left = min(left, _STEPS * self.allowed)
        fine = float(np.sqrt(left / (count * ERROR)))
        fine, coarse = min(fine, choice.step / 2), max(coarse, choice.step * 2)
        steps = np.geomspace(coarse, fine, QUALITIES)
        if fine >= _LEAST_HALF:  # in half precision they deflate better
            steps = steps.astype(np.float16)
        return steps.astype(np.float32)


def _needed(axes: Axes, count: int, x: Embeddings, allowed: float) -> int:
    """Of `count`, with how many none of x (N, D) lacks more than this squared error; else all."""
    left = ((x - axes.mean) ** 2).sum(axis=1)
    for number, column in enumerate(axes.coefficients(x).T[:count], 1):
        left -= column.astype(np.float64) ** 2
        if left.max() <= allowed:
            return number
    return count
