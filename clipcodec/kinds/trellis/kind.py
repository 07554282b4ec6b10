"""Variable-rate schemes: coefficients in bands, refined, trellis-coded (formats/trellis.md)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ...embeddings import Embeddings
from ...entropy import Symbols
from ...errors import CorruptError, EmbeddingError, TruncatedError, WeightsError
from ..base import Parameters, Shapes, Tensors, config_of, integer
from . import quantizer as trellis
from .levels import MAX_LEVEL, LevelCoder, LevelTables
from .predictive import PredictiveTransform
from .rotation import RotationTransform

Floats = NDArray[np.float32]
Levels = NDArray[np.int64]
_FARTHEST = 2 * MAX_LEVEL + 8  # steps
_LEAST_SCALE = 1e-18  # its inverse, times a weight, is a float32 still
_OVERFLOW = "the numbers of this profile overflow on this embedding: no stream can hold it"


class Transform(Protocol):
    """Between embeddings and coefficients; see transforms/."""

    @property
    def spread(self) -> Floats: ...
    def analyse(self, x: Embeddings) -> Floats: ...
    def refine(self, estimate: Floats, band: int, qualities: Symbols) -> None: ...
    def synthesise(self, y: Floats) -> Embeddings: ...


@dataclass
class Attempt:
    """N embeddings quantised: levels (N, n), ideal bits (N,), latents (N, n) as decoded, and
    their squared errors (N,)."""

    levels: Levels
    bits: NDArray[np.float64]
    latent: Floats
    error: Floats


class Engine:
    """Transform, trellis quantiser and tables at work together, for one width.

    steps    (Q,) of the quantiser, at each quality
    weights  (Q,) squared steps that a bit is worth to the encoder
    encoder  the transform as the encoder computes it, if it does so in another way
    """

    def __init__(
        self,
        transform: Transform,
        tables: LevelTables,
        steps: Floats,
        weights: Floats,
        encoder: Transform | None = None,
    ) -> None:
        self.transform, self.tables = transform, tables
        self.encoder = encoder or transform
        self.steps, self.weights = steps, weights
        self.coder = LevelCoder(tables)
        self._bits = tables.bits.copy()
        self._bits[:, 1:] += 1  # signs
        # a level other than zero costs at least this many bits more, in either quantiser
        extra = self._bits[:, 1] - self._bits[:, 0]
        self._extra = np.minimum(extra, np.append(extra[1:], extra[-1]))

    def attempt(self, y: Floats, qualities: Levels, economy: Floats | float = 1.0) -> Attempt:
        """Quantise coefficients (N, n) at qualities (N,).

        economy  (N,) or one for all: how much more than usual a bit is worth
        """
        tables = self.tables
        weight = (self.weights[qualities - 1] * economy).astype(np.float32)
        step = self.steps[qualities - 1][:, None]
        estimate = np.zeros_like(y)
        levels = np.zeros(y.shape, np.int64)
        bits, full, at = np.zeros(len(y)), np.ones(len(y), np.int64), 0
        for band, ((a, b), groups) in enumerate(zip(tables.bands, tables.groups, strict=True)):
            residual = _within_reach((y[:, a:b] - estimate[:, a:b]) / step)
            classes = tables.class_of[qualities - 1, a:b]
            flags = tables.flag_of[qualities - 1, at : at + 2 * len(groups)]
            at += 2 * len(groups)
            worth = 2 * np.abs(residual) - 1 > weight[:, None] * self._extra[classes]
            rows = np.flatnonzero(worth.any(axis=1))
            if len(rows):
                prices = tables.bits[flags[rows], :2].reshape(len(rows), -1, 2, 2)
                chosen, grid = trellis.quantize(
                    residual[rows], classes[rows], self._bits, prices, weight[rows]
                )
                levels[rows, a:b] = chosen
                estimate[rows, a:b] += grid * step[rows]
            more, full = tables.band_information(levels[:, a:b], classes, flags, full)
            bits += more
            self.encoder.refine(estimate, band, qualities)
        error = ((y - estimate) ** 2).sum(axis=1)
        if not np.isfinite(error).all():
            raise EmbeddingError(_OVERFLOW)
        return Attempt(levels, bits, estimate, error)

    def latent(self, levels: Levels, qualities: Levels) -> Floats:
        """Levels (N, n) → coefficients (N, n), as decoded."""
        step = self.steps[qualities - 1][:, None]
        residual = trellis.dequantize(levels, self.tables.bands) * step
        estimate = np.zeros_like(residual)
        for band, (a, b) in enumerate(self.tables.bands):
            estimate[:, a:b] += residual[:, a:b]
            self.transform.refine(estimate, band, qualities)
        return estimate


def _within_reach(residual: Floats) -> Floats:
    """In steps. What no level can say becomes a level too high, which the coder refuses."""
    if np.isnan(residual).any():
        raise EmbeddingError(_OVERFLOW)
    return np.clip(residual, -_FARTHEST, _FARTHEST)


_TABLES = {
    "tables.frequencies": "uint16",
    "tables.class_of": "uint16",
    "tables.flag_of": "uint16",
}
_SIZES = {"qualities", "default_quality", "rows", "alphabet"}
MAX_DIM = 1 << 14
MAX_ROWS = 1 << 10
MAX_ALPHABET = 1 << 8


class TrellisKind:
    """What both kinds share: one quality byte, levels as symbols, rANS alone."""

    coders = ("rans",)
    tables_types = _TABLES
    dim: int | None

    def __init__(self, meta: Mapping[str, Any], tensors: Tensors) -> None:
        config = meta["config"]
        self.qualities = int(config["qualities"])
        self.default_quality = integer(
            config["default_quality"], 1, self.qualities, "default_quality"
        )
        self._tensors = tensors
        self.steps = tensors["steps"].astype(np.float32)
        self.weights = tensors["weights"].astype(np.float32)
        if not ((self.steps > 0).all() and (self.weights > 0).all()):
            raise WeightsError("steps or weights are not positive")

    @staticmethod
    def _table_shapes(config: Mapping[str, Any], width: int, groups: int) -> Shapes:
        qualities = integer(config["qualities"], 1, 255, "qualities")
        rows = integer(config["rows"], 2, MAX_ROWS, "rows")
        alphabet = integer(config["alphabet"], 4, MAX_ALPHABET, "alphabet")
        return {
            "steps": (qualities,),
            "weights": (qualities,),
            "tables.frequencies": (rows, alphabet),
            "tables.class_of": (qualities, width),
            "tables.flag_of": (qualities, 2 * groups),
        }

    def _tables(self, bands: Sequence[int]) -> LevelTables:
        frequencies, class_of, flag_of = (self._tensors[name] for name in _TABLES)
        return LevelTables(frequencies, class_of, flag_of, bands)

    def engine(self, size: int) -> Engine:
        """The engine for embeddings of this width."""
        raise NotImplementedError

    def parameters(self, quality: int, size: int) -> bytes:
        return bytes([quality])

    def split(self, rest: bytes) -> tuple[Parameters, bytes]:
        if not rest:
            raise TruncatedError("stream ends before its quality")
        if not 1 <= rest[0] <= self.qualities:
            raise CorruptError(f"quality {rest[0]} is not in 1 … {self.qualities}")
        return Parameters(rest[0], self.dim or 0), rest[1:]

    def packed(self, symbols: Symbols) -> Sequence[bytes]:
        """Magnitudes as 16 bits, most significant byte first; then the signs of all but zeros.

        Side by side, as in the body: the CRC notices any damage to 16 signs in a row.
        """
        n, size = symbols.shape
        levels = np.zeros((n, size + 7), np.int16)
        levels[:, :size] = symbols
        kept = levels != 0
        counts = np.count_nonzero(kept, axis=1)
        # zeros past the end, as many as fill the last byte: the signs of all rows in one go
        kept[:, size:] = np.arange(7) < (-counts % 8)[:, None]
        signs = np.packbits(levels.ravel()[np.flatnonzero(kept)] < 0).tobytes()
        bounds = pairwise([0, *np.cumsum((counts + 7) // 8).tolist()])
        magnitudes = np.abs(levels[:, :size]).astype(">u2")
        return [row.tobytes() + signs[a:b] for row, (a, b) in zip(magnitudes, bounds, strict=True)]

    def encode(
        self, coder: str, symbols: Symbols, qualities: Symbols, checks: list[int]
    ) -> list[bytes]:
        return self.engine(symbols.shape[1]).coder.encode(symbols, qualities, checks)

    def decode(
        self, coder: str, bodies: list[bytes], parameters: Sequence[Parameters]
    ) -> tuple[Symbols, list[int]]:
        qualities = np.array([p.quality for p in parameters])
        return self.engine(parameters[0].size).coder.decode(bodies, qualities)

    def reconstruct(self, symbols: Symbols, qualities: Symbols) -> Embeddings:
        engine = self.engine(symbols.shape[1])
        return engine.transform.synthesise(engine.latent(symbols, qualities))

    def information(self, symbols: Symbols, qualities: Symbols) -> NDArray[np.float64]:
        return self.engine(symbols.shape[1]).tables.information(symbols, qualities)


class PredictiveKind(TrellisKind):
    """A trained profile: KLT, staged prediction, trellis (formats/predictive.md)."""

    name = "predictive"

    def __init__(self, meta: Mapping[str, Any], tensors: Tensors) -> None:
        super().__init__(meta, tensors)
        self.dim = int(meta["dim"])
        if not (tensors["scale"].astype(np.float32) >= _LEAST_SCALE).all():
            raise WeightsError(f"scale is not positive, or below {_LEAST_SCALE}")
        bands = meta["config"]["bands"]
        self._engine = Engine(
            PredictiveTransform(tensors, bands),
            self._tables(bands),
            self.steps,
            self.weights,
            PredictiveTransform(tensors, bands, exact=True),
        )

    @staticmethod
    def shapes(meta: Mapping[str, Any]) -> Shapes:
        """Name and shape of every tensor but the statistics'."""
        config = config_of(meta, _SIZES | {"bands", "hidden"})
        dim = integer(meta["dim"], 1, MAX_DIM, "dim")
        hidden = integer(config["hidden"], 0, MAX_DIM, "hidden")
        bands = config["bands"]
        if not isinstance(bands, list) or len(bands) < 2 or bands[0] != 0 or bands[-1] != dim:
            raise WeightsError(f"bands are {bands!r}, expected bounds from 0 to {dim}")
        for low, high in pairwise(bands):
            integer(high, low + 1, dim, "a band's bound")
        return PredictiveTransform.shapes(dim, bands, hidden, config["qualities"]) | (
            TrellisKind._table_shapes(
                config, dim, sum(len(trellis.groups(a, b)) for a, b in pairwise(bands))
            )
        )

    def engine(self, size: int) -> Engine:
        return self._engine


class RotationKind(TrellisKind):
    """A profile without training, for any width (formats/rotation.md)."""

    name = "rotation"
    dim = None

    def __init__(self, meta: Mapping[str, Any], tensors: Tensors) -> None:
        super().__init__(meta, tensors)
        self._seed = integer(meta["config"]["seed"], 0, (1 << 64) - 2, "seed")
        self.engine(1)  # judges the tables

    @staticmethod
    def shapes(meta: Mapping[str, Any]) -> Shapes:
        """Name and shape of every tensor."""
        config = config_of(meta, _SIZES | {"seed"})
        integer(meta["dim"], 0, 0, "dim")
        return TrellisKind._table_shapes(config, 1, 1)

    def parameters(self, quality: int, size: int) -> bytes:
        """Quality, and the width in one byte below 128, else in two or three."""
        if size < 0x80:
            return bytes([quality, size])
        if size < 1 << 14:
            return bytes([quality, 0x80 | size & 0x7F, size >> 7])
        if size > MAX_DIM:
            raise EmbeddingError(f"embeddings of width {size}: at most {MAX_DIM}")
        return bytes([quality, 0x80, 0x80, 1])  # MAX_DIM

    def split(self, rest: bytes) -> tuple[Parameters, bytes]:
        (quality, _), rest = super().split(rest)
        size, used = 0, 0
        while True:
            if used == len(rest):
                raise TruncatedError("stream ends inside its width")
            size |= (rest[used] & 0x7F) << 7 * used
            used += 1
            if rest[used - 1] < 0x80:
                break
            if used == 3:
                raise CorruptError("a width of more than three bytes")
        if not 1 <= size <= MAX_DIM or not rest[used - 1]:
            raise CorruptError(f"width {size} is not in 1 … {MAX_DIM}, or not in shortest form")
        return Parameters(quality, size), rest[used:]

    def decode(
        self, coder: str, bodies: list[bytes], parameters: Sequence[Parameters]
    ) -> tuple[Symbols, list[int]]:
        levels, checks = super().decode(coder, bodies, parameters)
        if not levels.any(axis=1).all():
            raise CorruptError("all levels are zero: that is no direction")
        return levels, checks

    @lru_cache(maxsize=8)  # noqa: B019 - profiles live as long as the process
    def engine(self, size: int) -> Engine:
        transform = RotationTransform(size, self._seed)
        return Engine(transform, self._tables([0, size]), self.steps, self.weights)
