"""PQVAE-shared: a product quantiser around two networks, at one rate (formats/pqvae.md)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...embeddings import Embeddings
from ...entropy import Coder, FrequencyTables, RawCoder, Symbols, coders
from ...errors import WeightsError
from ...system.forks import cached_property
from ...target import Target
from ..base import MAX_DIM, Kind, Parameters, Quantized, Shapes, Tensors, integer
from .config import PqvaeConfig
from .quantizer import SharedProductQuantizer
from .transform import PqvaeTransform

_TABLES = {
    "tables.frequencies": "uint16",
    "tables.lengths": "uint8",
    "tables.table_of": "uint16",
}


class PqvaeKind(Kind):
    """Transform, quantiser, tables and coders of one profile."""

    name = "pqvae"
    coders = ("raw", "huffman", "rans")
    table_dtypes = _TABLES

    def __init__(self, meta: Mapping[str, Any], tensors: Tensors) -> None:
        if not tensors["scale"][0] > 0:
            raise WeightsError("scale is not positive")
        self.config = PqvaeConfig.from_meta(int(meta["dim"]), meta["config"])
        self.profile_name = str(meta["name"])
        self.dim = self.config.dim
        self.bits = self.config.bits
        self.tables = FrequencyTables(*(tensors[name] for name in _TABLES))
        self.transform = PqvaeTransform(self.config, tensors)
        self._codebook, self._lift = tensors["codebook"], tensors["analysis.lift"]

    @staticmethod
    def shapes(meta: Mapping[str, Any]) -> Shapes:
        """Name and shape of every tensor but the statistics'."""
        config = PqvaeConfig.from_meta(integer(meta["dim"], 1, MAX_DIM, "dim"), meta["config"])
        tables = integer(meta.get("tables"), 1, config.count, "tables")
        return PqvaeTransform.shapes(config) | {
            "codebook": (config.codewords, config.sub_dim),
            "tables.frequencies": (tables, config.codewords),
            "tables.lengths": (tables, config.codewords),
            "tables.table_of": (config.count,),
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

    def quantize(
        self, x: Embeddings, target: Target, header: int, texts: Embeddings | None = None
    ) -> Quantized:
        symbols = self.transform.analyse(x, self.quantizer)
        return Quantized(symbols, np.zeros(len(x), np.int64))

    def split(self, rest: bytes) -> tuple[Parameters, bytes]:
        return Parameters(0, self.config.count), rest

    def packed(self, symbols: Symbols) -> Sequence[bytes]:
        return self._packer.pack(symbols)

    def encode(
        self, coder: str, symbols: Symbols, qualities: Symbols, checks: Sequence[int]
    ) -> list[bytes]:
        return self._coders[coder].encode(symbols, list(checks))

    def decode(
        self, coder: str, payloads: Sequence[bytes], qualities: Symbols, count: int
    ) -> tuple[Symbols, list[int]]:
        return self._coders[coder].decode(list(payloads))

    def reconstruct(self, symbols: Symbols, qualities: Symbols) -> Embeddings:
        return self.transform.synthesise(self.quantizer.dequantize(symbols))

    def information(self, symbols: Symbols, qualities: Symbols) -> NDArray[np.float64]:
        return self.tables.information(symbols)
