"""The staged predictor in torch, and the closed loop that trains it (formats/predictive.md).

Closed loop: the predictor is trained on coefficients as decoded, not on the original ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from .klt import ERROR

SCALAR = 1.6  # step of the scalar quantiser used in place of the trellis, in steps of the trellis
_ROUND = 0.44  # rounding offset of levels above one
_SLOPE = (
    0.13  # level one begins at (1 + _SLOPE · bits) / 2 steps, if it costs `bits` more than zero
)
_BINS = 8  # ranges of step sizes, each with its own variances of residuals
_UPDATE = 0.03  # share of a new batch in the running variances


class Refiner(nn.Module):
    """After each band: estimate += out · relu(hidden · estimate + bias + quality · log step).

    Coefficients are divided by their standard deviation here.
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
        """The estimate (N, D) after stage `band`; log_step (N, 1)."""
        units = torch.relu(
            estimate @ self.hidden[band] + self.bias[band] + log_step * self.quality[band]
        )
        if self.training and self.dropout:
            units = nn.functional.dropout(units, self.dropout)
        refined: Tensor = estimate + (units @ self.out[band]).float()
        return refined


Quantiser = Callable[[Tensor, int, Tensor], Tensor]
"""(residual (N, k) in steps, band, its log variance (N, k)) → reconstruction (N, k) in steps."""


def scalar(residual: Tensor, band: int, log_variance: Tensor) -> Tensor:
    """A scalar `Quantiser` in place of the trellis; its dead zone depends on the cost in bits."""
    step = torch.exp(-0.5 * log_variance) * SCALAR  # in standard deviations
    inner = torch.erf(0.6 * step / math.sqrt(2))
    outer = (torch.erf(1.6 * step / math.sqrt(2)) - inner) / 2
    bits = torch.log2((inner + 1e-9) / (outer + 1e-6)).clamp(0, 14)
    magnitude = residual.abs() / SCALAR
    level = torch.where(
        magnitude < 1.5,
        (magnitude > (1 + _SLOPE * bits) / 2).float(),
        torch.floor(magnitude + _ROUND),
    )
    return torch.sign(residual) * level * SCALAR


class Loop:
    """The closed loop over the bands, with running variances of the residuals.

    scale  (D,) standard deviations of the coefficients
    steps  coarsest and finest step that the network is trained at
    """

    def __init__(self, refiner: Refiner, scale: Tensor, steps: tuple[float, float]) -> None:
        self.refiner, self.scale = refiner, scale
        self.low, self.span = math.log(min(steps)), math.log(max(steps) / min(steps))
        self.center = self.low + self.span / 2
        self.variance = (scale**2).repeat(_BINS, 1)

    def loss(self, u: Tensor, step: Tensor, quantise: Quantiser) -> Tensor:
        """The loss of coefficients u (N, D), divided by `scale`, at steps (N, 1).

        It stands for bits plus error. A squared residual is divided by its running variance, as
        that decides the bits, but at least by the error of a coded coefficient.
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
                self._update_variance(bins, residual, a, b)
            if band:
                total = total + (residual**2 / torch.maximum(variance, floor)).sum(1).mean()
            estimate = torch.cat([estimate[:, :a], decoded, estimate[:, b:]], 1)
            estimate = self.refiner.refine(estimate, band, log_step - self.center)
        error = ((u - estimate) * self.scale) ** 2
        return total + 0.5 * (error / floor).sum(1).mean()

    def _update_variance(self, bins: Tensor, residual: Tensor, a: int, b: int) -> None:
        for i in range(_BINS):
            rows = residual[bins == i]
            if len(rows) > 16:
                fresh = (rows**2).mean(0) + 1e-12
                self.variance[i, a:b] += _UPDATE * (fresh - self.variance[i, a:b])
