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
from .coder import LevelCoder
from .tables import MAX_LEVEL, Levels, LevelTables

Floats = NDArray[np.float32]
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

    levels    (N, n)
    bits      (N,) their ideal code length
    estimate  (N, n) coefficients before the restoration
    y         (N, n) the coefficients that were asked for
    """

    levels: Levels
    bits: NDArray[np.float64]
    estimate: Floats
    y: Floats
    _restore: Callable[[Floats], None]

    @cached_property
    def latent(self) -> Floats:
        """(N, n) coefficients as decoded."""
        latent = self.estimate.copy()
        self._restore(latent)
        return latent

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
        self._bits = tables.bits.copy()
        self._bits[:, 1:] += 1  # signs
        # a level other than zero costs at least this many bits more, in either quantiser
        extra = self._bits[:, 1] - self._bits[:, 0]
        self._extra = np.minimum(extra, np.append(extra[1:], extra[-1]))

    def attempt(self, y: Floats, qualities: Levels, factor: Floats | float = 1.0) -> Attempt:
        """Quantise coefficients (N, n) at qualities (N,).

        factor  (N,) or one for all: multiplies the usual λ
        Raises EmbeddingError for rows on which the profile's numbers overflow.
        """
        weight = (self.weights[qualities - 1] * factor).astype(np.float32)
        estimate = np.zeros_like(y)
        levels = np.zeros(y.shape, np.int64)
        bits = np.zeros(len(y))
        fast = compiled.loops(_CALLS + _QUANTISED * y.size)
        if fast is not None and np.isfinite(weight).all():
            self._bands_compiled(fast, y, qualities, weight, levels, estimate, bits)
        else:
            self._bands(y, qualities, weight, levels, estimate, bits)
        bad = np.flatnonzero(~np.isfinite(((y - estimate) ** 2).sum(axis=1)))
        if len(bad):
            raise EmbeddingError(_OVERFLOW, rows=bad.tolist())
        return Attempt(
            levels, bits, estimate, y, partial(self.transform.restore, qualities=qualities)
        )

    def _bands(
        self, y: Floats, qualities: Levels, weight: Floats,
        levels: Levels, estimate: Floats, bits: NDArray[np.float64],
    ) -> None:  # fmt: skip
        """Band after band: levels (N, n), what they add to the estimate, and their bits (N,)."""
        tables, at = self.tables, 0
        step, full = self.steps[qualities - 1][:, None], np.ones(len(y), np.int64)
        for band, ((a, b), groups) in enumerate(zip(tables.bands, tables.groups, strict=True)):
            residual = _within_reach((y[:, a:b] - estimate[:, a:b]) / step)
            classes = tables.class_of[qualities - 1, a:b]
            flags = tables.flag_of[qualities - 1, at : at + 2 * len(groups)]
            at += 2 * len(groups)
            # rows in which some level other than zero may pay for its bits
            pays = 2 * np.abs(residual) - 1 > weight[:, None] * self._extra[classes]
            rows = np.flatnonzero(pays.any(axis=1))
            if len(rows):
                flag_bits = tables.bits[flags[rows], :2].reshape(len(rows), -1, 2, 2)
                chosen, grid = quantizer.quantize(
                    residual[rows], classes[rows], self._bits, flag_bits, weight[rows]
                )
                levels[rows, a:b] = chosen
                estimate[rows, a:b] += grid * step[rows]
            more, full = tables.band_information(levels[:, a:b], classes, flags, full)
            bits += more
            if b < tables.count:
                self.transform.predict(estimate, band, qualities)

    def _bands_compiled(
        self, loops: Any, y: Floats, qualities: Levels, weight: Floats,
        levels: Levels, estimate: Floats, bits: NDArray[np.float64],
    ) -> None:  # fmt: skip
        """`_bands` by the compiled loops, which take no NaN for a cost."""
        tables, at = self.tables, 0
        y, steps = np.ascontiguousarray(y), self.steps[qualities - 1]
        full, bad = np.ones(len(y), np.int64), np.zeros(len(y), np.bool_)
        for band, ((a, b), groups) in enumerate(zip(tables.bands, tables.groups, strict=True)):
            loops.band(
                y, steps, weight, qualities, a, b, at, *tables.whole, tables.bits, self._bits,
                self._extra, _FARTHEST, levels, estimate, bits, full, bad,
            )  # fmt: skip
            _refuse(bad)
            at += 2 * len(groups)
            if b < tables.count:
                self.transform.predict(estimate, band, qualities)

    def latent(self, levels: Levels, qualities: Levels) -> Floats:
        """Levels (N, n) → coefficients (N, n), as decoded."""
        residual = self._dequantized(levels, self.steps[qualities - 1])
        estimate = np.zeros_like(residual)
        for band, (a, b) in enumerate(self.tables.bands):
            estimate[:, a:b] += residual[:, a:b]
            if b < self.tables.count:
                self.transform.predict(estimate, band, qualities)
        self.transform.restore(estimate, qualities)
        return estimate

    def _dequantized(self, levels: Levels, steps: Floats) -> Floats:
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
