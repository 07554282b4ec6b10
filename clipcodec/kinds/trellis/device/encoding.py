"""Levels → payloads of many messages, on a device: what ../batch.py does in numpy."""

from __future__ import annotations

import torch
from torch import Tensor

from ....entropy.ans import PRECISION
from ..tables import SEED_SIGNS
from .checks import Checks
from .states import WHOLE, Encoder
from .tables import Tables, odd, signs_of_chunk


def encode(
    tables: Tables, checks: Checks, levels: Tensor, qualities: Tensor, seeds: Tensor
) -> tuple[Tensor, Tensor]:
    """Words (N, W) int32 and lengths (N,) in bytes of N payloads, check values inside.

    levels     (n, N) int32, none an escape
    qualities  (N,) int64, from 1 on
    seeds      (N,) int64: state of the check value after each header
    """
    host, entries = tables.host, tables.symbols.entries
    which, magnitudes = qualities - 1, levels.abs()
    signs, counts = _pack_signs(tables, levels)
    check = seeds
    for row in magnitudes:
        check = checks.word(check, row)
    check = checks.signs(check, signs, counts)
    pushes = host.count + len(host.coded_groups)
    encoder = Encoder(
        (check << SEED_SIGNS) + signs[0] + 1, (PRECISION * pushes + host.count) // 32 + 2
    )
    for chunk in range(tables.chunks, 0, -1):
        shift = PRECISION - signs_of_chunk(counts, chunk)
        encoder.push(signs[chunk] << shift, torch.ones_like(shift) << shift)
    full = [magnitudes[a:b].amax(0) > 0 for a, b, _ in host.coded_groups]
    in_q1 = odd(levels, host.bands)
    for group in range(len(full) - 1, -1, -1):
        a, b, _ = host.coded_groups[group]
        table = tables.classes[a:b].index_select(1, which) + in_q1[a:b]
        index = table * tables.alphabet + magnitudes[a:b]
        # a group of zeros takes no bits: its levels have the interval of all
        left = torch.where(full[group], entries[0][index], 0)
        width = torch.where(full[group], entries[1][index], WHOLE)
        for i in range(b - a - 1, -1, -1):
            encoder.push(left[i], width[i])
        flags = tables.flags[2 * group : 2 * group + 2].index_select(1, which)
        flag = torch.where(full[group - 1], flags[1], flags[0]) if group else flags[1]
        index = flag * tables.alphabet + full[group]
        encoder.push(entries[0][index], entries[1][index])
    return encoder.payloads()


def _pack_signs(tables: Tables, levels: Tensor) -> tuple[Tensor, Tensor]:
    """Signs of N messages as in `decoding.Messages`, and how many each has (N,)."""
    nonzero = levels != 0
    rank = nonzero.cumsum(0, dtype=torch.int64).add_(SEED_SIGNS - 1)
    bit = (levels < 0).to(torch.int64) << (rank & 15)
    signs = torch.zeros((tables.chunks + 1, levels.shape[1]), dtype=torch.int64, device=rank.device)
    signs.scatter_add_(0, rank >> 4, bit)
    signs[0] >>= SEED_SIGNS
    return signs, rank[-1] - (SEED_SIGNS - 1)
