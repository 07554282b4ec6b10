"""Entropy coders: symbols and check values to bytes and back, lossless and exact.

Each coder is built from `FrequencyTables` and has two methods, for N messages of n symbols:

    encode(symbols (N, n), checks) -> payloads
    decode(payloads) -> (symbols (N, n), checks)

`ans` is the rANS coder itself, also for kinds whose tables change from symbol to symbol.
"""

from __future__ import annotations

from typing import Protocol

from .huffman import HuffmanCoder
from .payloads import Payloads
from .rans import RansCoder
from .raw import RawCoder
from .tables import FrequencyTables, Symbols


class Coder(Protocol):
    def encode(self, symbols: Symbols, checks: list[int]) -> list[bytes]: ...

    def decode(self, payloads: list[bytes]) -> tuple[Symbols, list[int]]: ...


def coders(tables: FrequencyTables) -> dict[str, Coder]:
    """Every coder by its name in the bitstream."""
    return {"raw": RawCoder(tables), "huffman": HuffmanCoder(tables), "rans": RansCoder(tables)}


__all__ = [
    "Coder",
    "FrequencyTables",
    "HuffmanCoder",
    "Payloads",
    "RansCoder",
    "RawCoder",
    "Symbols",
    "coders",
]


def __dir__() -> list[str]:
    """The public names alone."""
    return [*__all__, *(name for name in globals() if name.startswith("__"))]
