"""Transform, trellis quantiser and tables at work together (formats/trellis.md)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ...embeddings import Embeddings
from ...entropy import Symbols
from ...errors import EmbeddingError
from . import quantizer
from .aim import Aim, Band, Path
from .coder import LevelCoder
from .tables import MAX_LEVEL, Levels, LevelTables

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
_LEAP, _PARTS = 4, 8  # of the logarithm of λ, in parts of one: the first other λ that is tried
_WAYS = np.array([math.exp(i / _PARTS) for i in range(-2 * _LEAP, 2 * _LEAP + 1)], np.float32)
_CLOSE = 2.0  # bits: near enough
_FARTHEST = 2 * MAX_LEVEL + 8  # steps
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
        step = self.steps[qualities - 1][:, None]
        estimate = np.zeros_like(y)
        levels = np.zeros(y.shape, np.int64)
        bits, full, at = np.zeros(len(y)), np.ones(len(y), np.int64), 0
        until = np.zeros((len(y), len(tables.bands)))
        for band, ((a, b), groups) in enumerate(zip(tables.bands, tables.groups, strict=True)):
            flags = tables.flag_of[qualities - 1, at : at + 2 * len(groups)]
            at += 2 * len(groups)
            part = Band(
                _within_reach((y[:, a:b] - estimate[:, a:b]) / step),
                tables.class_of[qualities - 1, a:b],
                flags,
                full,
            )
            chosen = self._path(part, weight)
            if aim is not None:
                self._steer(part, weight, chosen, aim.left(band, b == tables.count) - bits)
            levels[:, a:b] = chosen.levels
            estimate[:, a:b] += chosen.grid * step
            full = chosen.full
            bits += chosen.bits
            until[:, band] = bits
            if b < tables.count:
                self.transform.predict(estimate, band, qualities)
        bad = np.flatnonzero(~np.isfinite(((y - estimate) ** 2).sum(axis=1)))
        if len(bad):
            raise EmbeddingError(_OVERFLOW, rows=bad.tolist())
        return Attempt(levels, bits, until, estimate, y, qualities, self.transform.restore)

    def _path(self, part: Band, weight: Floats) -> Path:
        """The trellis path of each row through one band."""
        n, k = part.residual.shape
        levels, grid = np.zeros((n, k), np.int64), np.zeros((n, k), np.float32)
        # rows in which some level other than zero may pay for its bits
        pays = 2 * np.abs(part.residual) - 1 > weight[:, None] * self._extra[part.classes]
        rows = np.flatnonzero(pays.any(axis=1))
        if len(rows):
            flag_bits = self.tables.bits[part.flags[rows], :2].reshape(len(rows), -1, 2, 2)
            levels[rows], grid[rows] = quantizer.quantize(
                part.residual[rows], part.classes[rows], self._bits, flag_bits, weight[rows]
            )
        bits, full = self.tables.band_information(levels, part.classes, part.flags, part.full)
        return Path(levels, grid, bits, full)

    def _steer(self, part: Band, weight: Floats, chosen: Path, left: Doubles) -> None:
        """Replace paths whose bits are far from what is `left` (N,) for them; infinite: any are.

        λ is doubled or halved, about, by halving what it may be. The path stays whose bits come
        nearest below, or exceed it least.
        """
        slack = left - chosen.bits
        rows = np.flatnonzero(np.isfinite(slack) & ~((slack >= 0) & (slack < _CLOSE)))
        way = np.where(slack[rows] < 0, _LEAP, -_LEAP)  # of the logarithm of λ, in parts
        for step in (_LEAP, _LEAP // 2):
            if not len(rows):
                return
            tried = self._path(part.of(rows), weight[rows] * _WAYS[way + 2 * _LEAP])
            now, before = left[rows] - tried.bits, slack[rows]
            nearer = np.where(before >= 0, (now >= 0) & (now < before), now > before)
            better = np.flatnonzero(nearer)
            chosen.put(rows[better], tried.of(better))
            slack[rows[better]] = now[better]
            same = (now < 0) == (way > 0)  # not there yet
            way = np.where(same, 2 * way, way - np.sign(way) * (step // 2))
            far = np.flatnonzero(~((now >= 0) & (now < _CLOSE)))
            rows, way = rows[far], way[far]

    def latent(self, levels: Levels, qualities: Levels) -> Floats:
        """Levels (N, n) → coefficients (N, n), as decoded."""
        step = self.steps[qualities - 1][:, None]
        residual = quantizer.dequantize(levels, self.tables.bands) * step
        estimate = np.zeros_like(residual)
        for band, (a, b) in enumerate(self.tables.bands):
            estimate[:, a:b] += residual[:, a:b]
            if b < self.tables.count:
                self.transform.predict(estimate, band, qualities)
        self.transform.restore(estimate, qualities)
        return estimate


def _within_reach(residual: Floats) -> Floats:
    """Clip what no level can hold, in steps, to a level too high, which the coder refuses."""
    bad = np.flatnonzero(np.isnan(residual).any(axis=1))
    if len(bad):
        raise EmbeddingError(_OVERFLOW, rows=bad.tolist())
    return np.clip(residual, -_FARTHEST, _FARTHEST)
