"""The check values of many streams at once: CRC-16 over their packed symbols (bitstream.py).

A byte or word of a message goes through one table look-up in each message's state.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..tables import SEED_SIGNS, SIGNS_PER_PUSH
from .arithmetic import tensor

_POLYNOMIAL = 0x1021


class Checks:
    """CRC-16 of magnitudes and signs, as `TrellisKind.packed` lays them out."""

    def __init__(self, device: torch.device) -> None:
        byte = np.arange(1 << 16)  # the state after one more byte, which is zero
        for _ in range(8):
            byte = byte << 1 & 0xFFFF ^ np.where(byte & 0x8000, _POLYNOMIAL, 0)
        turned = np.zeros_like(byte)  # the 16 bits in the other order
        for i in range(16):
            turned |= (np.arange(1 << 16) >> i & 1) << 15 - i
        self._byte, self._word, self._turned = (
            tensor(table, device) for table in (byte, byte[byte], turned)
        )

    def word(self, state: Tensor, word: Tensor) -> Tensor:
        """(N,) states after 16 bits more, such as a magnitude."""
        return self._word.index_select(0, state ^ word)

    def signs(self, state: Tensor, signs: Tensor, counts: Tensor) -> Tensor:
        """(N,) states after the signs.

        signs   (1 + chunks, N): as in the payload, the first SEED_SIGNS, then SIGNS_PER_PUSH each
        counts  (N,) how many there are
        """
        for chunk, value in enumerate(signs):
            left = counts - max(SEED_SIGNS + SIGNS_PER_PUSH * (chunk - 1), 0)
            turned = self._turned.index_select(0, value)
            one = self._byte.index_select(0, state ^ turned & 0xFF00)
            if chunk:  # of two bytes
                one = torch.where(left > 8, self._word.index_select(0, state ^ turned), one)
            state = torch.where(left > 0, one, state)
        return state
