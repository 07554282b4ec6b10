"""Transform, trellis quantiser and tables at work together (formats/trellis.md)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ...embeddings import Embeddings
from ...entropy import Symbols
from ...errors import EmbeddingError
from . import compiled, quantizer
from .aim import Aim, Course, steer
from .coder import LevelCoder
from .tables import MAX_LEVEL, Levels, LevelTables

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
_FARTHEST = 2 * MAX_LEVEL + 8  # steps
_DEQUANTIZED = 2e-8  # seconds that numpy takes for a level
_CALLS, _QUANTISED = 1e-2, 1.5e-7  # seconds that numpy takes for an attempt, and for a coefficient
_OVERFLOW = "the profile's numbers overflow on it: no stream can hold it"


class Transform(Protocol):
    """Between embeddings (N, D) and coefficients (N, n); see staged.py and rotation.py.

    scale    (n,) standard deviation of each coefficient
    predict  in place, after a band: the estimate of the later ones
    restore  in place, after the last band: the estimate of all
    pull     a gradient by the embedding, before it is of unit norm, to one by the coefficients
    """

    @property
    def scale(self) -> Floats: ...
    def analyse(self, x: Embeddings) -> Floats: ...
    def predict(self, estimate: Floats, band: int, qualities: Symbols) -> None: ...
    def restore(self, estimate: Floats, qualities: Symbols) -> None: ...
    def synthesise(self, y: Floats) -> Embeddings: ...
    def pull(self, gradient: NDArray[np.float64]) -> NDArray[np.float64]: ...


@dataclass
class Attempt:
    """N embeddings, quantised once.

    levels     (N, n)
    bits       (N,) their ideal code length
    until      (N, B) of it, the bits up to the end of each band
    estimate   (N, n) coefficients before the restoration
    y          (N, n) the coefficients that were asked for
    qualities  (N,)
    """

    levels: Levels
    bits: Doubles
    until: Doubles
    estimate: Floats
    y: Floats
    qualities: Symbols
    _restore: Callable[[Floats, Symbols], None]

    @cached_property
    def latent(self) -> Floats:
        """(N, n) coefficients as decoded: one more network, which runs when this is first read."""
        latent = self.estimate.copy()
        self._restore(latent, self.qualities)
        return latent

    def part(self, where: Symbols) -> Attempt:
        """Some of the embeddings, in their order, of which alone the latent is wanted."""
        if len(where) == len(self.bits):
            return self
        return Attempt(
            self.levels[where],
            self.bits[where],
            self.until[where],
            self.estimate[where],
            self.y[where],
            self.qualities[where],
            self._restore,
        )

    @property
    def error(self) -> Floats:
        """(N,) squared error of the latent."""
        error: Floats = ((self.y - self.latent) ** 2).sum(axis=1)
        return error


class Engine:
    """Transform, trellis quantiser and tables at work together, for one width.

    steps    (Q,) quantiser step at each quality
    weights  (Q,) RDO weight λ at each quality: squared steps per bit
    """

    def __init__(
        self,
        transform: Transform,
        tables: LevelTables,
        steps: Floats,
        weights: Floats,
    ) -> None:
        self.transform, self.tables = transform, tables
        self.steps, self.weights = steps, weights
        self.coder = LevelCoder(tables)
        self._bounds = np.array([0, *(end for _, end in tables.bands)])
        self._begins = [0, *np.cumsum([2 * len(groups) for groups in tables.groups]).tolist()]
        self._bits = tables.bits.copy()
        self._bits[:, 1:] += 1  # signs
        # a level other than zero costs at least this many bits more, in either quantiser
        extra = self._bits[:, 1] - self._bits[:, 0]
        self._extra = np.minimum(extra, np.append(extra[1:], extra[-1]))

    def attempt(
        self,
        y: Floats,
        qualities: Levels,
        factor: Floats | float = 1.0,
        aim: Aim | None = None,
    ) -> Attempt:
        """Quantise coefficients (N, n) at qualities (N,).

        factor  (N,) or one for all: multiplies the usual λ
        aim     how long the messages should become: λ of the last bands is changed for it
        Raises EmbeddingError for rows on which the profile's numbers overflow.
        """
        tables = self.tables
        weight = (self.weights[qualities - 1] * factor).astype(np.float32)
        course = Course.of(y, self.steps[qualities - 1], weight, qualities)
        fast = compiled.loops(_CALLS + _QUANTISED * y.size)
        if fast is not None and not np.isfinite(weight).all():  # they take no NaN for a cost
            fast = None
        until = np.empty((len(y), len(tables.bands)))
        for band, (a, b) in enumerate(tables.bands):
            left = None if aim is None else aim.left(band, b == tables.count)
            if left is None or np.isinf(left).all():
                self._quantise(fast, course, band)
            else:
                steer(partial(self._quantise, fast, band=band), course, slice(a, b), left)
            until[:, band] = course.bits
            if b < tables.count:
                self.transform.predict(course.estimate, band, qualities)
        _refuse(~np.isfinite(((y - course.estimate) ** 2).sum(axis=1)))
        return Attempt(
            course.levels, course.bits, until, course.estimate, y, qualities,
            self.transform.restore,
        )  # fmt: skip

    def _quantise(self, loops: Any, course: Course, band: int) -> None:
        """Take every row through one band."""
        tables, (a, b), at = self.tables, self.tables.bands[band], self._begins[band]
        if loops is not None:
            bad = np.zeros(len(course.bits), np.bool_)
            loops.band(
                course.y, course.steps, course.weight, course.qualities, a, b, at, *tables.compact,
                tables.bits, self._bits, self._extra, _FARTHEST,
                course.levels, course.estimate, course.bits, course.full, bad,
            )  # fmt: skip
            _refuse(bad)
            return
        quality, step = course.qualities - 1, course.steps[:, None]
        residual = _within_reach((course.y[:, a:b] - course.estimate[:, a:b]) / step)
        classes = tables.class_of[quality, a:b]
        flags = tables.flag_of[quality, at : self._begins[band + 1]]
        # rows in which some level other than zero may pay for its bits
        pays = 2 * np.abs(residual) - 1 > course.weight[:, None] * self._extra[classes]
        rows = np.flatnonzero(pays.any(axis=1))
        if len(rows):
            flag_bits = tables.bits[flags[rows], :2].reshape(len(rows), -1, 2, 2)
            course.levels[rows, a:b], grid = quantizer.quantize(
                residual[rows], classes[rows], self._bits, flag_bits, course.weight[rows]
            )
            course.estimate[rows, a:b] += grid * step[rows]
        more, course.full = tables.band_information(
            course.levels[:, a:b], classes, flags, course.full
        )
        course.bits += more

    def latent(self, levels: Levels, qualities: Levels) -> Floats:
        """Levels (N, n) → coefficients (N, n), as decoded."""
        estimate = self.estimate(levels, qualities)
        self.transform.restore(estimate, qualities)
        return estimate

    def estimate(self, levels: Levels, qualities: Levels, bands: int | None = None) -> Floats:
        """Levels (N, n) → coefficients (N, n) before the restoration.

        bands  how many, the first, to predict from; None: all
        """
        residual = self.dequantized(levels, self.steps[qualities - 1])
        estimate = np.zeros_like(residual)
        for band, (a, b) in enumerate(self.tables.bands):
            estimate[:, a:b] += residual[:, a:b]
            if b < self.tables.count and (bands is None or band < bands):
                self.transform.predict(estimate, band, qualities)
        return estimate

    def dequantized(self, levels: Levels, steps: Floats) -> Floats:
        """Levels (N, n) times the step of each row (N,)."""
        fast = compiled.loops(_DEQUANTIZED * levels.size)
        if fast is None:
            return quantizer.dequantize(levels, self.tables.bands) * steps[:, None]
        residual = np.empty(levels.shape, np.float32)
        fast.dequantize(np.ascontiguousarray(levels), steps, self._bounds, residual)
        return residual


def _within_reach(residual: Floats) -> Floats:
    """Clip what no level can hold, in steps, to a level too high, which the coder refuses."""
    _refuse(np.isnan(residual).any(axis=1))
    return np.clip(residual, -_FARTHEST, _FARTHEST)


def _refuse(rows: Any) -> None:
    """Raise EmbeddingError for the rows (N,) that are set."""
    if rows.any():
        raise EmbeddingError(_OVERFLOW, rows=np.flatnonzero(rows).tolist())
