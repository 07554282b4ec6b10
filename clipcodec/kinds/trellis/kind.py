"""What the kinds `predictive`, `compact` and `rotation` share (formats/trellis.md).

An embedding becomes coefficients in bands; a trellis quantiser turns them into levels, which are
the symbols; rANS codes these. One byte of the header says the quality.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...bitstream import check_value
from ...embeddings import Embeddings
from ...entropy import Symbols
from ...errors import CorruptError, TruncatedError, WeightsError
from ...target import Target
from ..base import Kind, Parameters, Quantized, Shapes, Tensors, integer
from . import compiled, quantizer, rate
from .engine import Engine
from .tables import LevelTables

TABLES = {
    "tables.frequencies": "uint16",
    "tables.class_of": "uint16",
    "tables.flag_of": "uint16",
}
SIZES = {"qualities", "default_quality", "rows", "alphabet"}
_MAX_TABLES = 1 << 10
_MAX_ALPHABET = 1 << 8
_TOGETHER = 8  # levels that compiled loops check together
_PACKING = 1e-8  # seconds that numpy takes to pack a level and check it


class TrellisKind(Kind):
    """Levels as symbols, at `qualities` rates, coded by rANS alone.

    count  number of levels of an embedding; 0: as many as the header says
    """

    coders = ("rans",)
    table_dtypes = TABLES
    count: int = 0

    def __init__(self, meta: Mapping[str, Any], tensors: Tensors) -> None:
        config = meta["config"]
        self.profile_name = str(meta["name"])
        self.qualities = int(config["qualities"])
        self.default_quality: int = integer(
            config["default_quality"], 1, self.qualities, "default_quality"
        )
        self._tensors = tensors
        self.steps = tensors["steps"].astype(np.float32)
        self.weights = tensors["weights"].astype(np.float32)
        if not ((self.steps > 0).all() and (self.weights > 0).all()):
            raise WeightsError("steps or weights are not positive")

    @staticmethod
    def table_shapes(config: Mapping[str, Any], width: int, groups: int) -> Shapes:
        """Name and shape of the tensors of steps and tables. Raises WeightsError."""
        qualities = integer(config["qualities"], 1, 255, "qualities")
        rows = integer(config["rows"], 2, _MAX_TABLES, "rows")
        alphabet = integer(config["alphabet"], 4, _MAX_ALPHABET, "alphabet")
        return {
            "steps": (qualities,),
            "weights": (qualities,),
            "tables.frequencies": (rows, alphabet),
            "tables.class_of": (qualities, width),
            "tables.flag_of": (qualities, 2 * groups),
        }

    def level_tables(self, bands: Sequence[int]) -> LevelTables:
        """The file's tables, for bands with these bounds."""
        frequencies, class_of, flag_of = (self._tensors[name] for name in TABLES)
        return LevelTables(frequencies, class_of, flag_of, bands)

    @abstractmethod
    def engine(self, width: int) -> Engine:
        """Transform, quantiser and coder for embeddings of this width."""

    def parameters(self, quality: int, count: int) -> bytes:
        return bytes([quality])

    def split(self, rest: bytes) -> tuple[Parameters, bytes]:
        if not rest:
            raise TruncatedError("ends before its quality")
        if not 1 <= rest[0] <= self.qualities:
            raise CorruptError(f"quality {rest[0]} is not in 1 … {self.qualities}")
        return Parameters(rest[0], self.count), rest[1:]

    def quantize(
        self, x: Embeddings, target: Target, header: int, texts: Embeddings | None = None
    ) -> Quantized:
        return Quantized(*rate.search(self, x, target, header, texts))

    def packed(self, symbols: Symbols) -> Sequence[bytes]:
        """Magnitudes as 16 bits, most significant byte first; then the signs of all but zeros.

        Side by side, as in the payload: the CRC notices any damage to 16 signs in a row.
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

    def check_values(self, symbols: Symbols, seeds: Symbols) -> Symbols:
        fast = compiled.loops(_PACKING * symbols.size)
        if fast is None:
            return super().check_values(symbols, seeds)
        checks = np.empty(len(symbols), np.int64)
        fast.check_values(symbols, seeds, _check_tables(), checks)
        return checks

    def encode(
        self, coder: str, symbols: Symbols, qualities: Symbols, checks: Sequence[int]
    ) -> list[bytes]:
        return self.engine(symbols.shape[1]).coder.encode(symbols, qualities, checks)

    def decode(
        self, coder: str, payloads: Sequence[bytes], qualities: Symbols, count: int
    ) -> tuple[Symbols, list[int]]:
        return self.engine(count).coder.decode(payloads, qualities)

    def reconstruct(self, symbols: Symbols, qualities: Symbols) -> Embeddings:
        engine = self.engine(symbols.shape[1])
        return engine.transform.synthesise(engine.latent(symbols, qualities))

    def grid(self, symbols: Symbols) -> NDArray[np.float32]:
        """Levels (N, n) dequantised, in steps: whole numbers as float32 (N, n)."""
        bands = self.engine(symbols.shape[1]).tables.bands
        return quantizer.dequantize(symbols, bands)

    def information(self, symbols: Symbols, qualities: Symbols) -> NDArray[np.float64]:
        return self.engine(symbols.shape[1]).tables.information(symbols, qualities)


@lru_cache(maxsize=1)
def _check_tables() -> NDArray[np.uint16]:
    """(T, 2, 256) the CRC after 2, 4, … 2 · T bytes of zeros, of each high and low byte before."""
    after = (bytes(2 * count) for count in range(1, _TOGETHER + 1))
    return np.array(
        [
            [[check_value(byte << shift, zeros) for byte in range(256)] for shift in (8, 0)]
            for zeros in after
        ],
        np.uint16,
    )
