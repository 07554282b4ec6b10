"""The rank, precision and steps of a profile, so that a target is met in the smallest file."""

from __future__ import annotations

from collections.abc import Sequence
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
from .measured import Curve
from .plain import Plain
from .principal import Axes
from .rank import EACH, Choice, Chooser, worth

COSINE = 0.98  # of the default quality, where nothing is asked for
_LOW_BITS = 24.0  # of a payload at the coarsest
_FINEST = 0.1  # error of the finest step, as a share of what is lost without any
_WORTH_ROWS, _WORTH_GRID = 400, 16
_COMPARED = 100  # rows that show what any/rotation takes
_DEARER = (1, 2, 4, 8, 16, 32)
_FIXED = 4_000  # bytes of a profile beside its center and what belongs to coefficients
_LEAST_HALF = 2.0**-14
_SPARE = 0.7  # of the error that min_cosine allows, for what is not kept at all


class Chosen(NamedTuple):
    """Rank and precision; steps (Q,) of all qualities; probabilities of levels to begin with."""

    choice: Choice
    steps: NDArray[np.float32]
    start: NDArray[np.float64]


class Choosing:
    """Chooses for rows that several axes describe.

    sets      axes, and rows (N, D) for each of them: what coefficients are worth is seen on these
    rows      (m, D) the axes that the profile gets
    items     embeddings that share it
    examples  (N, D) rows that any/rotation is compared on
    """

    def __init__(
        self,
        sets: Sequence[tuple[Axes, Embeddings]],
        rows: NDArray[np.float64],
        target: Target,
        items: int,
        examples: Embeddings,
    ) -> None:
        self.rows, self.target, self.items, self.examples = rows, target, items, examples
        self.latents = np.concatenate([axes.coefficients(x)[:, : len(rows)] for axes, x in sets])
        self.total = np.concatenate([((x - axes.mean) ** 2).sum(axis=1) for axes, x in sets])
        self.power = (self.latents.astype(np.float64) ** 2).mean(axis=0)

    def chosen(self) -> Chosen:
        """What meets the target in the smallest file."""
        power, latents = self.power, self.latents
        count, dim = self.rows.shape
        low = min(LOW * dim, _LOW_BITS) / count
        steps = steps_for(power, QUALITIES, low, HIGH * dim / count)
        weights = np.full(QUALITIES, RDO_WEIGHT, np.float32)
        bands, plain = [0, count], Plain(np.sqrt(power).astype(np.float32))
        few = thinned(latents, _WORTH_ROWS)
        fitted = level_tables.fit(
            plain, few, bands, steps, weights, scale=np.sqrt(power + 1e-18), known=True, rounds=6
        )
        tables = LevelTables(fitted.frequencies, fitted.class_of, fitted.flag_of, bands)
        engine = Engine(plain, tables, steps, weights)
        grid = np.unique(np.linspace(1, QUALITIES, _WORTH_GRID).round().astype(np.int64))
        each = self.target.max_bytes is not None or self.target.min_cosine is not None
        chooser = Chooser(
            worth(engine, few, float(self.total.mean()), grid), self.rows,
            self.items, RDO_WEIGHT * (EACH if each else 1),
        )  # fmt: skip
        shares = fitted.frequencies[: 2 * level_tables.CLASSES] / 65536.0
        # the dearer the profile is taken to be, the smaller it gets: what saves most is kept
        chooser.least = _in_reach(latents, self.total, self.target.min_cosine)
        curve = Curve(thinned(self.examples, _COMPARED))
        choices = []
        for factor in _DEARER:
            chooser.items = self.items / factor
            choice = self._meeting(chooser)
            size = choice.size + _FIXED + 2 * dim
            saved = curve.bytes(choice.cosine) - choice.bits / 8 - size / self.items
            choices.append((saved, -factor, choice))
        choice = max(choices, key=lambda c: c[:2])[2]
        return Chosen(choice, self._laid_out(choice), shares)

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
        coarse, fine = steps_for(
            power, 2, min(LOW * dim, _LOW_BITS) / count, HIGH * dim / count
        ).tolist()
        missing = max(float(self.total.mean()) - float(power.sum()), 0.0)
        fine = max(fine, float(np.sqrt(_FINEST * missing / (count * ERROR))))
        fine, coarse = min(fine, choice.step / 2), max(coarse, choice.step * 2)
        steps = np.geomspace(coarse, fine, QUALITIES)
        if fine >= _LEAST_HALF:  # in half precision they deflate better
            steps = steps.astype(np.float16)
        return steps.astype(np.float32)


def _in_reach(
    latents: NDArray[np.float32], total: NDArray[np.float64], cosine: float | None
) -> int:
    """Coefficients with which each of these rows (N, m) can have this cosine, and some to spare."""
    if cosine is None:
        return 1
    left = np.array(total, np.float64)
    for count, column in enumerate(latents.T, 1):
        left -= column.astype(np.float64) ** 2
        if left.max() <= _SPARE * (1 - cosine**2):
            return count
    return int(latents.shape[1])
