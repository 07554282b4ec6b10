"""Variable-rate schemes: coefficients in bands, refined, trellis-coded (formats/trellis.md)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..embeddings import Embeddings
from ..entropy import Symbols
from ..entropy.levels import LevelCoder, LevelTables
from ..errors import CorruptError, TruncatedError, WeightsError
from ..quantizers import trellis
from ..transforms import PredictiveTransform, RotationTransform
from .base import Parameters, Shapes, Tensors, config_of, integer

Floats = NDArray[np.float32]
Levels = NDArray[np.int64]

WEIGHT = 0.4  # squared steps that a bit is worth: the slope of rate and distortion
_FIRST_SIGN = np.float32(1)


class Transform(Protocol):
    """Between embeddings and coefficients; see transforms/."""

    def analyse(self, x: Embeddings) -> Floats: ...
    def refine(self, estimate: Floats, band: int, log_step: Floats) -> None: ...
    def synthesise(self, y: Floats) -> Embeddings: ...


@dataclass
class Attempt:
    """N embeddings quantised: levels (N, n), ideal bits (N,), squared errors (N,) of latents."""

    levels: Levels
    bits: NDArray[np.float64]
    error: Floats
    latent: Floats


class Engine:
    """Transform, trellis quantiser and tables at work together, for one width."""

    def __init__(self, transform: Transform, tables: LevelTables, steps: Floats) -> None:
        self.transform, self.tables, self.steps = transform, tables, steps
        self.coder = LevelCoder(tables)
        signed = tables.bits.copy()
        signed[:, 1:] += _FIRST_SIGN
        self._bits = signed

    def attempt(self, y: Floats, qualities: Levels, weight: Floats) -> Attempt:
        """Quantise coefficients (N, n) at qualities (N,); `weight` (N,): squared steps a bit."""
        tables = self.tables
        step = self.steps[qualities - 1][:, None]
        log_step = np.log(step)
        estimate = np.zeros_like(y)
        levels = np.zeros(y.shape, np.int64)
        for band, (a, b) in enumerate(tables.bands):
            residual = (y[:, a:b] - estimate[:, a:b]) / step
            classes = tables.class_of[qualities - 1, a:b]
            rows = np.flatnonzero(self._worth_coding(residual, classes, weight))
            if len(rows):
                chosen, grid = trellis.quantize(
                    residual[rows], classes[rows], self._bits, weight[rows]
                )
                flags = self._bits[tables.flag_of[qualities[rows] - 1, band]]
                # coded, or left at zero
                gain = (residual[rows] ** 2 - (residual[rows] - grid) ** 2).sum(axis=1)
                price = self._price(chosen, classes[rows])
                price += flags[:, 1] - 1 - flags[:, 0]
                keep = (gain > weight[rows] * price) & chosen.any(axis=1)
                kept = rows[keep]
                levels[kept, a:b] = chosen[keep]
                estimate[kept, a:b] += grid[keep] * step[kept]
            self.transform.refine(estimate, band, log_step)
        bits = tables.information(levels, qualities)
        error = ((y - estimate) ** 2).sum(axis=1)
        return Attempt(levels, bits, error, estimate)

    def _worth_coding(self, residual: Floats, classes: Levels, weight: Floats) -> NDArray[Any]:
        """Rows (N,) in which some level might be other than zero."""
        size = np.abs(residual)
        extra = self._bits[classes, 1] - self._bits[classes, 0]
        odd = self._bits[classes + 1, 1] - self._bits[classes + 1, 0]
        extra = np.minimum(extra, odd)
        worth: NDArray[Any] = (2 * size - 1 > weight[:, None] * extra).any(axis=1)
        return worth

    def _price(self, levels: Levels, classes: Levels) -> Floats:
        odd = trellis.states(levels, [(0, levels.shape[1])]) & 1
        symbols = np.minimum(np.abs(levels), self.tables.escape)
        price: Floats = self._bits[classes + odd, symbols].sum(axis=1)
        return price

    def latent(self, levels: Levels, qualities: Levels) -> Floats:
        """Levels (N, n) → coefficients (N, n), as decoded."""
        step = self.steps[qualities - 1][:, None]
        log_step = np.log(step)
        residual = trellis.dequantize(levels, self.tables.bands) * step
        estimate = np.zeros_like(residual)
        for band, (a, b) in enumerate(self.tables.bands):
            estimate[:, a:b] += residual[:, a:b]
            self.transform.refine(estimate, band, log_step)
        return estimate


_TABLES = {
    "tables.frequencies": "uint16",
    "tables.class_of": "uint16",
    "tables.flag_of": "uint16",
}
_SIZES = {"qualities", "default_quality", "rows", "alphabet"}
MAX_DIM = 1 << 14
MAX_ROWS = 1 << 10
MAX_ALPHABET = 1 << 8


class TrellisScheme:
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
        if not (self.steps > 0).all():
            raise WeightsError("steps are not positive")

    @staticmethod
    def _table_shapes(config: Mapping[str, Any], width: int, bands: int) -> Shapes:
        qualities = integer(config["qualities"], 1, 255, "qualities")
        rows = integer(config["rows"], 2, MAX_ROWS, "rows")
        alphabet = integer(config["alphabet"], 4, MAX_ALPHABET, "alphabet")
        return {
            "steps": (qualities,),
            "tables.frequencies": (rows, alphabet),
            "tables.class_of": (qualities, width),
            "tables.flag_of": (qualities, bands),
        }

    def _tables(self, bands: Sequence[int]) -> LevelTables:
        return LevelTables(*(self._tensors[name] for name in _TABLES), bands)

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
        """Levels as 16-bit two's complement, most significant byte first."""
        return [row.tobytes() for row in symbols.astype(">i2")]

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


class PredictiveScheme(TrellisScheme):
    """A trained profile: KLT, staged prediction, trellis (formats/predictive.md)."""

    def __init__(self, meta: Mapping[str, Any], tensors: Tensors) -> None:
        super().__init__(meta, tensors)
        self.dim = int(meta["dim"])
        if not (tensors["scale"] > 0).all():
            raise WeightsError("scale is not positive")
        bands = meta["config"]["bands"]
        self._engine = Engine(PredictiveTransform(tensors), self._tables(bands), self.steps)

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
        return PredictiveTransform.shapes(dim, len(bands) - 1, hidden) | (
            TrellisScheme._table_shapes(config, dim, len(bands) - 1)
        )

    def engine(self, size: int) -> Engine:
        return self._engine


class RotationScheme(TrellisScheme):
    """A profile without training, for any width (formats/rotation.md)."""

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
        return TrellisScheme._table_shapes(config, 1, 1)

    def parameters(self, quality: int, size: int) -> bytes:
        """Quality, and the width in one byte below 128, else in two or three."""
        if size < 0x80:
            return bytes([quality, size])
        if size < 1 << 14:
            return bytes([quality, 0x80 | size & 0x7F, size >> 7])
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

    @lru_cache(maxsize=8)  # noqa: B019 - profiles live as long as the process
    def engine(self, size: int) -> Engine:
        return Engine(RotationTransform(size, self._seed), self._tables([0, size]), self.steps)
