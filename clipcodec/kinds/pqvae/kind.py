"""PQVAE-shared: a product quantiser around two networks, at one rate (formats/pqvae.md)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...bitstream import CODERS
from ...embeddings import Embeddings
from ...entropy import Coder, FrequencyTables, RawCoder, Symbols, coders
from ...errors import WeightsError
from ...system.forks import cached_property
from ..base import Parameters, Shapes, Tensors, integer
from .layout import Layout
from .quantizer import SharedProductQuantizer
from .transform import PqvaeTransform

_TABLES = {
    "tables.frequencies": "uint16",
    "tables.lengths": "uint8",
    "tables.table_of": "uint16",
}


class PqvaeKind:
    """Transform, quantiser, tables and coders of one profile."""

    name = "pqvae"
    coders = CODERS
    qualities = 0
    tables_types = _TABLES

    def __init__(self, meta: Mapping[str, Any], tensors: Tensors) -> None:
        if not tensors["scale"][0] > 0:
            raise WeightsError("scale is not positive")
        self.layout = Layout.from_config(int(meta["dim"]), meta["config"])
        self.dim: int | None = self.layout.dim
        self.tables = FrequencyTables(*(tensors[name] for name in _TABLES))
        self.transform = PqvaeTransform(self.layout, tensors)
        self._codebook, self._lift = tensors["codebook"], tensors["analysis.lift"]

    @staticmethod
    def shapes(meta: Mapping[str, Any]) -> Shapes:
        """Name and shape of every tensor but the statistics'."""
        layout = Layout.from_config(integer(meta["dim"], 1, 1 << 14, "dim"), meta["config"])
        tables = integer(meta.get("tables"), 1, layout.size, "tables")
        return PqvaeTransform.shapes(layout) | {
            "codebook": (layout.codewords, layout.sub_dim),
            "tables.frequencies": (tables, layout.codewords),
            "tables.lengths": (tables, layout.codewords),
            "tables.table_of": (layout.size,),
        }

    @cached_property
    def quantizer(self) -> SharedProductQuantizer:
        return SharedProductQuantizer(self._codebook, self._lift)

    @cached_property
    def _coders(self) -> dict[str, Coder]:
        return coders(self.tables)

    @cached_property
    def _packer(self) -> RawCoder:
        return RawCoder(self.tables)

    @property
    def bits(self) -> int:
        """Packed size of the symbols of a stream."""
        return self.layout.bits

    def quantize(self, x: Embeddings) -> Symbols:
        """Embeddings (N, D) → symbols (N, n)."""
        return self.transform.analyse(x, self.quantizer)

    def parameters(self, quality: int, size: int) -> bytes:
        return b""

    def split(self, rest: bytes) -> tuple[Parameters, bytes]:
        return Parameters(0, self.layout.size), rest

    def packed(self, symbols: Symbols) -> Sequence[bytes]:
        return self._packer.pack(symbols)

    def encode(
        self, coder: str, symbols: Symbols, qualities: Symbols, checks: list[int]
    ) -> list[bytes]:
        return self._coders[coder].encode(symbols, checks)

    def decode(
        self, coder: str, bodies: list[bytes], parameters: Sequence[Parameters]
    ) -> tuple[Symbols, list[int]]:
        return self._coders[coder].decode(bodies)

    def reconstruct(self, symbols: Symbols, qualities: Symbols) -> Embeddings:
        return self.transform.synthesise(self.quantizer.dequantize(symbols))

    def information(self, symbols: Symbols, qualities: Symbols) -> NDArray[np.float64]:
        return self.tables.information(symbols)
