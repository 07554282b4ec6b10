"""The staged predictor in torch, and the loop that trains it closed."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from .klt import ERROR

SCALAR = 1.6  # step of the scalar quantiser that stands in for the trellis, in its steps
_ROUND = 0.44  # rounding offset of levels above one
_SLOPE = 0.13  # threshold of level one: half a step, and this for each bit that it costs more
_BINS = 8  # of step sizes, for the variance of residuals
_MEMORY = 0.03


class Refiner(nn.Module):
    """After each band: estimate += out · relu(hidden · estimate + bias + quality · log step).

    Works on coefficients divided by their standard deviation.
    """

    def __init__(self, bands: Sequence[int], hidden: int, dropout: float, seed: int) -> None:
        super().__init__()
        self.bands = list(pairwise(bands))
        dim, stages = bands[-1], len(self.bands)
        generator = torch.Generator().manual_seed(seed)
        self.dropout = dropout
        self.hidden = nn.ParameterList(
            torch.randn(dim, hidden, generator=generator) / math.sqrt(max(end, 32))
            for _, end in self.bands
        )
        self.bias = nn.Parameter(torch.zeros(stages, hidden))
        self.quality = nn.Parameter(torch.zeros(stages, hidden))
        self.out = nn.ParameterList(torch.zeros(hidden, dim) for _ in self.bands)

    def refine(self, estimate: Tensor, band: int, log_step: Tensor) -> Tensor:
        units = torch.relu(
            estimate @ self.hidden[band] + self.bias[band] + log_step * self.quality[band]
        )
        if self.training and self.dropout:
            units = nn.functional.dropout(units, self.dropout)
        refined: Tensor = estimate + (units @ self.out[band]).float()
        return refined


Quantiser = Callable[[Tensor, int, Tensor], Tensor]
"""(residual in steps (N, k), band, log variance of it (N, k)) → reconstruction in steps."""


def scalar(residual: Tensor, band: int, log_variance: Tensor) -> Tensor:
    """A scalar quantiser with a dead zone by rate, standing in for the trellis."""
    step = torch.exp(-0.5 * log_variance) * SCALAR  # in standard deviations
    inner = torch.erf(0.6 * step / math.sqrt(2))
    outer = (torch.erf(1.6 * step / math.sqrt(2)) - inner) / 2
    bits = torch.log2((inner + 1e-9) / (outer + 1e-6)).clamp(0, 14)
    size = residual.abs() / SCALAR
    level = torch.where(
        size < 1.5, (size > (1 + _SLOPE * bits) / 2).float(), torch.floor(size + _ROUND)
    )
    return torch.sign(residual) * level * SCALAR


class Loop:
    """The closed loop over bands, with running variances of the residuals as its memory."""

    def __init__(self, refiner: Refiner, scale: Tensor, steps: tuple[float, float]) -> None:
        self.refiner, self.scale = refiner, scale
        self.low, self.span = math.log(min(steps)), math.log(max(steps) / min(steps))
        self.center = self.low + self.span / 2
        self.variance = (scale**2).repeat(_BINS, 1)

    def loss(self, u: Tensor, step: Tensor, quantise: Quantiser) -> Tensor:
        """Bits and error of coefficients u (N, D), over `scale`, at steps (N, 1).

        A residual's weight is what its variance costs: bits where it is coded, error where not.
        """
        log_step = torch.log(step)
        bins = ((log_step[:, 0] - self.low) / self.span * _BINS).long().clamp(0, _BINS - 1)
        floor = ERROR * step**2
        estimate = torch.zeros_like(u)
        total = u.new_zeros(())
        for band, (a, b) in enumerate(self.refiner.bands):
            residual = (u[:, a:b] - estimate[:, a:b]) * self.scale[a:b]
            variance = self.variance[bins, a:b]
            with torch.no_grad():
                found = quantise(residual / step, band, torch.log(variance / step**2))
                decoded = estimate[:, a:b] + found * step / self.scale[a:b]
                self._remember(bins, residual, a, b)
            if band:
                total = total + (residual**2 / torch.maximum(variance, floor)).sum(1).mean()
            estimate = torch.cat([estimate[:, :a], decoded, estimate[:, b:]], 1)
            estimate = self.refiner.refine(estimate, band, log_step - self.center)
        error = ((u - estimate) * self.scale) ** 2
        return total + 0.5 * (error / floor).sum(1).mean()

    def _remember(self, bins: Tensor, residual: Tensor, a: int, b: int) -> None:
        for i in range(_BINS):
            rows = residual[bins == i]
            if len(rows) > 16:
                fresh = (rows**2).mean(0) + 1e-12
                self.variance[i, a:b] += _MEMORY * (fresh - self.variance[i, a:b])
