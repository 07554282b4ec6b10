"""A kind of profile in a folder of its own: one bit per dimension, the sign around a mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from clipcodec.embeddings import Embeddings
from clipcodec.entropy import Symbols
from clipcodec.errors import TruncatedError
from clipcodec.kinds import Kind, Parameters, Quantized
from clipcodec.kinds.base import Shapes, Tensors, integer
from clipcodec.target import Target


class ToyKind(Kind):
    """Symbols are 0 or 1; a payload is the check value, then the packed bits."""

    name = "toy"
    coders = ("raw",)
    table_dtypes: ClassVar[Mapping[str, str]] = {}

    def __init__(self, meta: Mapping[str, Any], tensors: Tensors) -> None:
        self.profile_name = str(meta["name"])
        self.dim = self.bits = len(tensors["mean"])
        self.mean = tensors["mean"].astype(np.float32)

    @staticmethod
    def shapes(meta: Mapping[str, Any]) -> Shapes:
        return {"mean": (integer(meta["dim"], 1, 64, "dim"),)}

    def split(self, rest: bytes) -> tuple[Parameters, bytes]:
        return Parameters(0, len(self.mean)), rest

    def quantize(
        self, x: Embeddings, target: Target, header: int, texts: Embeddings | None = None
    ) -> Quantized:
        return Quantized((x > self.mean).astype(np.int64), np.zeros(len(x), np.int64))

    def packed(self, symbols: Symbols) -> Sequence[bytes]:
        return [row.tobytes() for row in np.packbits(symbols.astype(np.uint8), axis=1)]

    def encode(
        self, coder: str, symbols: Symbols, qualities: Symbols, checks: Sequence[int]
    ) -> list[bytes]:
        rows = zip(checks, self.packed(symbols), strict=True)
        return [check.to_bytes(2, "big") + bits for check, bits in rows]

    def decode(
        self, coder: str, payloads: Sequence[bytes], qualities: Symbols, count: int
    ) -> tuple[Symbols, list[int]]:
        size = len(self.mean)
        short = [i for i, payload in enumerate(payloads) if len(payload) != 2 + (size + 7) // 8]
        if short:
            raise TruncatedError("ends before its last sign", rows=short)
        bits = [np.unpackbits(np.frombuffer(p, np.uint8, offset=2))[:size] for p in payloads]
        return np.stack(bits).astype(np.int64), [int.from_bytes(p[:2], "big") for p in payloads]

    def reconstruct(self, symbols: Symbols, qualities: Symbols) -> Embeddings:
        return (self.mean + np.where(symbols, 0.1, -0.1)).astype(np.float32)

    def information(self, symbols: Symbols, qualities: Symbols) -> NDArray[np.float64]:
        return np.full(len(symbols), float(symbols.shape[1]))
