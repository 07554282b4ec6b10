"""Coefficients → levels of many rows on a device: what `Engine.attempt` does in numpy."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .. import quantizer
from ..tables import LENGTH_BITS, MAX_LEVEL
from .tables import Tables, odd
from .transform import Transform
from .trellis import Trellis

_FARTHEST = 2 * MAX_LEVEL + 8  # steps
_LARGE = 1e30  # a sum of squares that is still far from an overflow


class Attempt(NamedTuple):
    """N embeddings, quantised once; see `engine.Attempt`.

    levels    (n, N) int32
    bits      (N,) float64
    estimate  (N, n) float32
    wrong     (N,) rows with numbers near an overflow, or none: the others alone are right
    """

    levels: Tensor
    bits: Tensor
    estimate: Tensor
    wrong: Tensor


class Quantizer:
    """`Engine.attempt` for one profile.

    steps  (Q,) float32
    extra  (R,) float32: by how many bits a level other than zero costs more, at least
    """

    def __init__(self, tables: Tables, transform: Transform, steps: Tensor, extra: Tensor) -> None:
        self._tables, self._transform = tables, transform
        self._steps, self._extra = steps, extra
        self._trellis = Trellis(tables)

    def attempt(self, y: Tensor, which: Tensor, weight: Tensor) -> Attempt:
        """Quantise coefficients y (N, n) at qualities which + 1 (N,) with λ weight (N,)."""
        tables, host = self._tables, self._tables.host
        count, step = len(y), self._steps[which, None]
        estimate = torch.zeros_like(y)
        levels = torch.empty((host.count, count), dtype=torch.int32, device=y.device)
        bits = torch.zeros(count, dtype=torch.float64, device=y.device)
        wrong = torch.zeros(count, dtype=torch.bool, device=y.device)
        full, at = ~wrong, 0
        for band, ((a, b), groups) in enumerate(zip(host.bands, host.groups, strict=True)):
            residual = ((y[:, a:b] - estimate[:, a:b]) / step).T.contiguous()
            wrong |= residual.isnan().any(0)
            residual.nan_to_num_(0.0).clamp_(-_FARTHEST, _FARTHEST)
            classes = tables.classes[a:b].index_select(1, which)
            flags = tables.flags[at : at + 2 * len(groups)].index_select(1, which)
            at += 2 * len(groups)
            chosen = self._trellis.quantize(residual, classes, self._flag_bits(flags), weight)
            # elsewhere no level but zero pays for its bits, and all stay zero
            pays = 2 * residual.abs() - 1 > weight * self._extra[classes]
            chosen = torch.where(pays.any(0), chosen, 0)
            quantiser = odd(chosen, [(0, b - a)])
            more, full = self._information(chosen.abs(), classes + quantiser, flags, full)
            levels[a:b], bits = chosen, bits + more
            grid = (2 * chosen - chosen.sign() * quantiser).T.to(torch.float32)
            estimate[:, a:b] += grid * step
            if b < host.count:
                self._transform.predict(estimate, band, which)
        left = y - estimate
        wrong |= ~((left * left).sum(1) < _LARGE)
        return Attempt(levels, bits, estimate, wrong)

    def _flag_bits(self, flags: Tensor) -> Tensor:
        """(G, 2, 2, N) code lengths: [was the group before full, is this one]."""
        index = flags.view(-1, 2, 1, flags.shape[1]) * self._tables.alphabet
        values = torch.arange(2, device=flags.device).view(1, 1, 2, 1)
        return self._tables.bits[index + values]

    def _information(
        self, magnitudes: Tensor, tables: Tensor, flags: Tensor, full: Tensor
    ) -> tuple[Tensor, Tensor]:
        """(N,) bits of one band's levels, as `LevelTables.band_information`.

        magnitudes, tables  (k, N), the tables by each level's quantiser
        flags               (2 · G, N)
        full                (N,) whether the group before was; so is the second result
        """
        alphabet, escape = self._tables.alphabet, self._tables.host.escape
        index = tables * alphabet + magnitudes.clamp(max=escape)
        each = self._tables.bits[index].to(torch.float64)
        each += magnitudes > 0
        rest = (magnitudes - (escape - 1)).clamp_(min=1).to(torch.float32)
        escaped = LENGTH_BITS - 1 + torch.frexp(rest).exponent
        each += torch.where(magnitudes >= escape, escaped, 0)
        total = torch.zeros(magnitudes.shape[1], dtype=torch.float64, device=each.device)
        for group, (a, b) in enumerate(quantizer.groups(0, len(magnitudes))):
            table = torch.where(full, flags[2 * group + 1], flags[2 * group])
            full = magnitudes[a:b].amax(0) > 0
            total += self._tables.bits[table * alphabet + full]
            total += torch.where(full, each[a:b].sum(0), 0)
        return total, full
