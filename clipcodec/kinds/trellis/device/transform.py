"""The transform of a staged kind on a device: the numbers of ../staged.py and ../network.py.

Rows with numbers out of the ordinary are marked, and left to the processor.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...exact import ExactProduct
from .. import network
from .arithmetic import tensor


class Network:
    """`network.Network`, its arrays on the device."""

    def __init__(self, host: network.Network, device: torch.device) -> None:
        def floats(array: NDArray[Any]) -> Tensor:
            return tensor(array.astype(np.float32), device)

        self._hidden, self._out = floats(host._whole), floats(host._whole_out)
        self._unit, self._scale = floats(host._unit), floats(host._scale)
        # (Q, H), whole numbers below 2**24
        added = host._bias + host._log_step[:, None] * host._quality
        self._added = floats(added)
        self._inverse_grid, self._gain = floats(host._inverse_grid), floats(host._gain)

    def apply(self, estimate: Tensor, which: Tensor) -> None:
        """Change the last coefficients of the estimate (N, n) in place; which (N,): quality - 1."""
        inputs = estimate[:, : len(self._hidden)] * self._inverse_grid
        inputs.round_().clamp_(-network.INPUTS, network.INPUTS)
        units = inputs @ self._hidden
        units.add_(self._added[which]).mul_(self._unit).round_().clamp_(0, network.UNITS)
        change = units @ self._out
        change.mul_(self._scale).mul_(self._gain[which, None])
        estimate[:, estimate.shape[1] - change.shape[1] :] += change


class Transform:
    """A `StagedTransform`, its arrays on the device. The analysis comes with its first use."""

    def __init__(self, host: Any, device: torch.device) -> None:
        self._host, self._device = host, device
        self._predict = [Network(one, device) for one in host.networks.predict]
        restore = host.networks.restore
        self._restore = None if restore is None else Network(restore, device)
        synthesis = host._synthesis
        self._reach, self._unit = 2.0**synthesis.REACH_BITS, 2.0**-synthesis.BITS
        self._fine, self._weights, self._shift = (
            tensor(array, device)
            for array in (synthesis._fine, synthesis._weights, synthesis._center)
        )
        self.dim = self._weights.shape[1]
        self._analysis: Analysis | None = None

    def predict(self, estimate: Tensor, band: int, which: Tensor) -> None:
        if self._predict:
            self._predict[band].apply(estimate, which)

    def restore(self, estimate: Tensor, which: Tensor) -> None:
        if self._restore is not None:
            self._restore.apply(estimate, which)

    def synthesise(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Coefficients (N, n) → embeddings (N, D), not of unit norm; (N,) those that are right.

        The others have coefficients out of reach, or none that are numbers.
        """
        whole = (y * self._fine).round_()
        right = whole.abs().amax(1) < self._reach
        sums = (whole @ self._weights).add_(self._shift)
        return sums.mul_(self._unit).to(torch.float32), right

    def analyse(self, x: Tensor) -> Tensor:
        """Embeddings (N, D) → coefficients (N, n)."""
        if self._analysis is None:
            self._analysis = Analysis(self._host, self._device)
        return self._analysis(x)


class Analysis:
    """`StagedTransform.analyse`."""

    def __init__(self, host: Any, device: torch.device) -> None:
        product: ExactProduct = host._analysis
        self._center, self._fine, self._weights = (
            tensor(array, device) for array in (host._center, product._fine, product._weights)
        )
        self._largest = float(product._largest)

    def __call__(self, x: Tensor) -> Tensor:
        whole = (x - self._center).to(torch.float64) * self._fine
        whole.round_().clamp_(-self._largest, self._largest)
        return (whole @ self._weights).to(torch.float32)


def unit_rows(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Rows (N, D) with unit norm, and (N,) those that have a direction.

    The squares are added as in `embeddings.squared_norms`. The roots are numpy's: torch's on
    processors are not always rounded as IEEE 754 says.
    """
    wide = rows.to(torch.float64)
    squares = wide * wide
    width = squares.shape[1]
    while width > 1:
        half = (width + 1) // 2
        squares[:, : width - half] += squares[:, half:width]
        width = half
    norms = tensor(np.sqrt(squares[:, :1].cpu().numpy()), rows.device)
    right = (norms.isfinite() & (norms > 0))[:, 0]
    return (wide / norms).to(torch.float32), right
