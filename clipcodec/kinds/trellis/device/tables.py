"""The tables of a profile's levels, on a device (../tables.py)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ....entropy.ans import PRECISION
from ..tables import SEED_SIGNS, SIGNS_PER_PUSH, LevelTables
from .arithmetic import tensor
from .states import WHOLE, Symbols


class Tables:
    """`LevelTables` as tensors.

    symbols   of all R tables, and of two more in which the only symbol takes no bits
    idle      the first of these two
    classes   (n, Q) table of each level in Q0; the next one is for Q1
    flags     (2 · G, Q) table of each group's flag, after a group of zeros and after another
    bits      (R · K,) float32, code length of each magnitude, without its sign
    """

    def __init__(self, tables: LevelTables, device: torch.device) -> None:
        self.host, self.device = tables, device
        rows, alphabet = tables.left.shape
        keys = tables.left + (np.arange(rows) << PRECISION)[:, None]
        symbol = np.broadcast_to(np.arange(alphabet), keys.shape)
        parity = (symbol & 1) << PRECISION
        entries = np.stack([tables.left, tables.width, symbol, parity]).reshape(4, -1)
        one = np.array([[0], [WHOLE], [0], [0]])  # the only symbol of a table
        idle = np.array([rows, rows + 1]) << PRECISION
        self.idle, self.alphabet = rows, alphabet
        self.symbols = Symbols(
            self.tensor(np.append(keys.ravel()[1:], idle)),
            self.tensor(np.concatenate([entries, one, one], axis=1)),
        )
        self.classes = self.tensor(tables.class_of.T)
        self.flags = self.tensor(tables.flag_of.T)
        self.bits = self.tensor(tables.bits.ravel())

    def tensor(self, values: NDArray[Any]) -> Tensor:
        return tensor(values, self.device)

    @property
    def chunks(self) -> int:
        """How often SIGNS_PER_PUSH signs follow those in the seed, at most."""
        return max(self.host.count - SEED_SIGNS + SIGNS_PER_PUSH - 1, 0) // SIGNS_PER_PUSH


def signs_of_chunk(counts: Tensor, chunk: int) -> Tensor:
    """(N,) how many signs a chunk, from 1 on, holds of messages with `counts` in all."""
    return (counts - SEED_SIGNS - SIGNS_PER_PUSH * (chunk - 1)).clamp_(0, SIGNS_PER_PUSH)


def odd(magnitudes: Tensor, bands: list[tuple[int, int]]) -> Tensor:
    """(n, N) uint8: which quantiser each level uses, Q0 or Q1; see `quantizer.odd`.

    magnitudes  (n, N), of any whole type
    """
    out = torch.zeros(magnitudes.shape, dtype=torch.uint8, device=magnitudes.device)
    parity = (magnitudes & 1).to(torch.uint8)
    for start, end in bands:
        total = parity[start : end - 1]
        for _ in range(3):
            total = total.cumsum(0, dtype=torch.uint8) & 1  # sums modulo 2
        out[start + 1 : end] = total
    return out
