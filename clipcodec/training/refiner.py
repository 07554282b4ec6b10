"""The networks in torch, and the closed loop that trains them (formats/predictive.md).

Closed loop: the predictor is trained on coefficients as decoded, not on the original ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from ..kinds.trellis.network import widths
from .klt import ERROR

SCALAR = 1.6  # step of the scalar quantiser used in place of the trellis, in steps of the trellis
_ROUND = 0.44  # rounding offset of levels above one
_SLOPE = (
    0.13  # level one begins at (1 + _SLOPE · bits) / 2 steps, if it costs `bits` more than zero
)
_BINS = 8  # ranges of step sizes, each with its own variances of residuals
_FADE = 0.999  # what is left of a unit's peak after each batch
_UPDATE = 0.03  # share of a new batch in the running variances


class Refiner(nn.Module):
    """The networks: change = out · relu(hidden · estimate + bias + quality · log step).

    One for each band but the last, which changes the coefficients still to come, then one that
    restores all. Coefficients are divided by their standard deviation here
    (kinds/trellis/network.py has the exact form).

    units    hidden units of each prediction, and of the restoration
    peak     for each network (H,) the largest value of each unit of late
    """

    def __init__(
        self, bands: Sequence[int], units: tuple[int, int], dropout: float, seed: int
    ) -> None:
        super().__init__()
        self.bands = list(pairwise(bands))
        dim = bands[-1]
        generator = torch.Generator().manual_seed(seed)
        self.dropout, self.units = dropout, units
        sizes = [units[0]] * (len(self.bands) - 1) + [units[1]]
        self.hidden = nn.ParameterList(
            torch.randn(dim, size, generator=generator) / math.sqrt(max(end, 32))
            for size, (_, end) in zip(sizes, self.bands, strict=True)
        )
        self.bias = nn.ParameterList(torch.zeros(size) for size in sizes)
        self.quality = nn.ParameterList(torch.zeros(size) for size in sizes)
        self.out = nn.ParameterList(
            torch.zeros(size, width)
            for size, width in zip(sizes, [*widths(bands), dim], strict=True)
        )
        self._mask: Tensor | None = None
        self.peak = [torch.zeros(size) for size in sizes]

    def restoration(self) -> list[nn.Parameter]:
        """The parameters of the last network."""
        return [group[-1] for group in (self.hidden, self.bias, self.quality, self.out)]

    def refine(self, estimate: Tensor, band: int, log_step: Tensor) -> Tensor:
        """The estimate (N, D) after network `band`, counted from 0; log_step (N, 1)."""
        end = self.bands[band][1]
        known, rest = estimate[:, :end], estimate[:, end:]
        if band == len(self.bands) - 1:
            return known + self.change(known, None, band, log_step)
        # before the second band all other coefficients are zero
        change = self.change(known, rest if band else None, band, log_step)
        return torch.cat([known, rest + change], 1)

    def change(self, known: Tensor, rest: Tensor | None, band: int, log_step: Tensor) -> Tensor:
        """What network `band` adds to the coefficients still to come, to all if it is the last one.

        known  (N, k) the coefficients decoded so far
        rest   (N, D − k) the estimate of the others; None: it is zero, or there are none
        """
        k = known.shape[1]
        first, second = torch.split(self.hidden[band], [k, len(self.hidden[band]) - k])
        units = known @ first
        if rest is not None:
            units = torch.addmm(units, rest, second)
        units = torch.relu(units + self.bias[band] + log_step * self.quality[band])
        if self.training:
            with torch.no_grad():
                seen = self.peak[band].to(units.device) * _FADE
                self.peak[band] = torch.maximum(seen, units.amax(0))
            if self.dropout:
                units = units * self._kept(units)
        change: Tensor = (units @ self.out[band]).float()
        return change

    def _kept(self, units: Tensor) -> Tensor:
        """Dropout: zeros, and the inverse of the share that is kept; one draw for all networks."""
        if self._mask is None or len(self._mask) != len(units):
            self.draw(len(units), units.device)
        assert self._mask is not None
        return self._mask[:, : units.shape[1]]

    def draw(self, rows: int, device: torch.device) -> None:
        """Draw the units that are left out next: the same places in every network, which is as good
        and takes a tenth of the time.
        """
        share = 1 - self.dropout
        kept = torch.rand(rows, max(self.units), device=device) < share
        self._mask = kept.to(torch.float32) / share


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
        known, rest = u[:, :0], torch.zeros_like(u)
        total = u.new_zeros(())
        if self.refiner.dropout:
            self.refiner.draw(len(u), u.device)
        share = torch.nn.functional.one_hot(bins, _BINS).T.float()
        share = share / share.sum(1, keepdim=True).clamp(min=1)
        for band, (a, b) in enumerate(self.refiner.bands):
            scale = self.scale[a:b]
            residual = (u[:, a:b] - rest[:, : b - a]) * scale
            variance = self.variance[bins, a:b]
            with torch.no_grad():
                found = quantise(residual / step, band, torch.log(variance / step**2))
                decoded = rest[:, : b - a] + found * step / scale
                known = torch.cat([known, decoded], 1)
                self._update_variance(share, residual, a, b)
            if band:
                total = total + (residual**2 / torch.maximum(variance, floor)).sum(1).mean()
            if b == u.shape[1]:
                break
            rest = rest[:, b - a :]
            rest = rest + self.refiner.change(
                known, rest if band else None, band, log_step - self.center
            )
        return total + self.restoration_loss(u, known, step)

    def restoration_loss(self, u: Tensor, estimate: Tensor, step: Tensor) -> Tensor:
        """The error after the restoration of an estimate (N, D), divided by `scale`."""
        log_step = torch.log(step) - self.center
        restored = self.refiner.refine(estimate, len(self.refiner.bands) - 1, log_step)
        return self.error(u, restored, step)

    def error(self, u: Tensor, estimate: Tensor, step: Tensor) -> Tensor:
        """The squared error of the estimate (N, D), in units of that of a coded coefficient."""
        error = ((u - estimate) * self.scale) ** 2
        return 0.5 * (error / (ERROR * step**2)).sum(1).mean()

    def _update_variance(self, share: Tensor, residual: Tensor, a: int, b: int) -> None:
        """share (bins, N): of each row in the mean of its bin."""
        fresh = share @ (residual**2) + 1e-12
        enough = (share > 0).sum(1, keepdim=True) > 16
        rate = _UPDATE * enough.float()
        self.variance[:, a:b] += rate * (fresh - self.variance[:, a:b])
