"""The trellis quantiser of many rows on a device: the paths that ../quantizer.py finds.

The same float32 operations in the same order, so the same path to the bit. Positions come first,
(n, N): a step works on one position of all rows.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .. import quantizer
from .tables import Tables

_FIRST, _OFFSET = quantizer._FIRST, quantizer._OFFSET


class Trellis:
    """`quantizer.quantize` with the tables of one profile."""

    def __init__(self, tables: Tables) -> None:
        self._alphabet = tables.alphabet
        bits = tables.bits.clone().view(-1, tables.alphabet)
        bits[:, 1:] += 1  # signs
        self._bits = bits.ravel()
        self._from, self._subset = (
            tables.tensor(array.ravel()) for array in (quantizer._FROM, quantizer._SUBSET)
        )
        # from where and in which subset, by 8 · way + state
        self._back = torch.stack([self._from, self._subset])

    def quantize(self, values: Tensor, rows: Tensor, flags: Tensor, weight: Tensor) -> Tensor:
        """(n, N) int32: the levels of one band, by the path of least squared error + λ · bits.

        values  (n, N) float32, in steps
        rows    (n, N) int64: the table that a level uses in Q0
        flags   (G, 2, 2, N) float32: code length of each group's flag, as in `quantizer.quantize`
        weight  (N,) float32: λ
        """
        n, count = values.shape
        states, device = quantizer.STATES, values.device
        magnitudes, priced = values.abs(), flags * weight
        total = torch.full((states, count), torch.inf, device=device, dtype=torch.float32)
        total[0] = 0
        full = torch.ones((states, count), dtype=torch.bool, device=device)
        second = torch.empty((n, states, count), dtype=torch.bool, device=device)
        level = torch.empty((n, 4, count), dtype=torch.int32, device=device)
        skipped = []
        for group, (start, end) in enumerate(quantizer.groups(0, n)):
            cost = self._subset_costs(
                magnitudes[start:end], rows[start:end], weight, level[start:end]
            )
            zeros = torch.zeros_like(weight)
            for squares in magnitudes[start:end] ** 2:
                zeros = zeros + squares
            flag = priced[group]
            empty = total + zeros + torch.where(full, flag[1, 0], flag[0, 0])
            total = total + torch.where(full, flag[1, 1], flag[0, 1])
            for i in range(start, end):
                ways = total.index_select(0, self._from)
                ways += cost[i - start].index_select(0, self._subset)
                torch.lt(ways[states:], ways[:states], out=second[i])
                total = torch.minimum(ways[:states], ways[states:])
            skipped.append(empty <= total)
            full = ~skipped[-1]
            total = torch.minimum(empty, total)
        state = total.argmin(0)
        levels = torch.empty((n, count), dtype=torch.int32, device=device)
        for (start, end), skip in zip(
            reversed(quantizer.groups(0, n)), reversed(skipped), strict=True
        ):
            left_out = skip.gather(0, state[None])[0]
            after = state
            for i in range(end - 1, start - 1, -1):
                way = second[i].gather(0, state[None])[0]
                before, subset = self._back.index_select(1, (way.to(torch.int64) << 3) + state)
                levels[i] = level[i].gather(0, subset[None])[0]
                state = before
            levels[start:end].masked_fill_(left_out, 0)
            state = torch.where(left_out, after, state)
        return torch.where(values < 0, -levels, levels)

    def _subset_costs(
        self, magnitudes: Tensor, rows: Tensor, weight: Tensor, level: Tensor
    ) -> Tensor:
        """(n, 4, N) least cost of each value in each subset; the magnitudes for it into `level`."""
        cost = torch.empty(level.shape, dtype=torch.float32, device=level.device)
        base = rows * self._alphabet

        def price(m: Tensor, subset: int) -> tuple[Tensor, Tensor]:
            magnitude = (2 * m + _FIRST[subset]).to(torch.int32)
            index = magnitude.clamp(max=self._alphabet - 1) + base
            if subset >= 2:
                index += self._alphabet
            error = magnitudes - (4 * m + _OFFSET[subset])
            return error * error + weight * self._bits[index], magnitude

        for subset in range(4):
            nearest = ((magnitudes - _OFFSET[subset]) * 0.25).round_().clamp_(min=0)
            best, chosen = price(nearest, subset)
            lower, smaller = price((nearest - 1).clamp_(min=0), subset)
            chosen = torch.where(lower < best, smaller, chosen)
            best = torch.minimum(lower, best)
            if subset in (0, 2):  # zero is even, and in both quantisers
                bits = self._bits[base + (self._alphabet if subset else 0)]
                zero = magnitudes * magnitudes + weight * bits
                chosen = torch.where(zero < best, 0, chosen)
                best = torch.minimum(zero, best)
            cost[:, subset], level[:, subset] = best, chosen
        return cost
