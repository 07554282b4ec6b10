"""Payloads → levels of many messages, on a device: what ../batch.py does in numpy.

One step pops one symbol of every message; a step is some thirty small operations, whatever the
number of messages is.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ....entropy.ans import PRECISION
from ..tables import SEED_SIGNS
from .checks import Checks
from .states import Decoder
from .tables import Tables, signs_of_chunk


class Messages(NamedTuple):
    """What N payloads hold.

    magnitudes  (n, N) int16
    signs       (1 + chunks, N) int64: the first in the lowest bit; the seed's, then the chunks'
    alone       (N,) messages that must be decoded alone: they have an escape, or are damaged
    """

    magnitudes: Tensor
    signs: Tensor
    alone: Tensor

    def levels(self, rows: slice) -> Tensor:
        """(n, …) int32: the levels of some of the messages."""
        levels = self.magnitudes[:, rows].to(torch.int32)
        nonzero = levels != 0
        # those in the seed as the upper half of a chunk: then all chunks are alike
        signs = self.signs[:, rows].clone()
        signs[0] <<= SEED_SIGNS
        rank = nonzero.cumsum(0, dtype=torch.int32).add_(SEED_SIGNS - 1)
        chunk = signs.gather(0, (rank >> 4).to(torch.int64)).to(torch.int32)
        negative = (chunk >> (rank & 15) & 1).bool() & nonzero
        return torch.where(negative, -levels, levels)


def decode(
    tables: Tables, checks: Checks, decoder: Decoder, qualities: Tensor, seeds: Tensor
) -> Messages:
    """The messages of a decoder.

    qualities  (N,) int64, from 1 on
    seeds      (N,) int64: state of the check value after each header
    """
    host, symbols = tables.host, tables.symbols
    which = qualities - 1
    magnitudes = torch.empty((host.count, len(which)), dtype=torch.int16, device=tables.device)
    alone = torch.zeros(len(which), dtype=torch.bool, device=tables.device)
    counts, zero = torch.zeros_like(which), torch.zeros_like(which)
    full, check = zero + 1, seeds
    odd = before = earlier = zero
    for group, (a, b, first) in enumerate(host.coded_groups):
        if first:
            odd = before = earlier = zero
        flags = tables.flags[2 * group : 2 * group + 2].index_select(1, which)
        full, _ = decoder.pop(torch.where(full > 0, flags[1], flags[0]) << PRECISION, symbols)
        alone |= full > 1
        keys = tables.classes[a:b].index_select(1, which)
        keys = torch.where(full > 0, keys, tables.idle) << PRECISION
        highest = zero
        for i, key in enumerate(keys, a):
            found, parity = decoder.pop(key + odd, symbols)
            # see `quantizer.odd`; in Q1 by one table more, so times 2**24
            odd, before, earlier = odd ^ before ^ earlier ^ parity, odd, before
            check = checks.word(check, found)
            highest = torch.maximum(highest, found)
            magnitudes[i] = found
        alone |= (highest == host.escape) | ((highest == 0) & (full > 0))
        counts += (magnitudes[a:b] != 0).sum(0)
    signs = torch.empty((tables.chunks + 1, len(which)), dtype=torch.int64, device=tables.device)
    for chunk in range(1, tables.chunks + 1):
        signs[chunk] = decoder.pop_uniform(signs_of_chunk(counts, chunk))
    seed = decoder.seeds() - 1
    signs[0] = seed & (1 << SEED_SIGNS) - 1
    alone |= seed >> SEED_SIGNS != checks.signs(check, signs, counts)  # -1 where no seed is left
    alone |= signs[0] >> counts.clamp(max=SEED_SIGNS) != 0
    return Messages(magnitudes, signs, alone)
