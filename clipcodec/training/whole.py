"""Trained networks as whole numbers (kinds/trellis/network.py, formats/predictive.md)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ..kinds.trellis.network import INPUTS, UNITS, grid, quantised
from ..profile.file import Tensors
from .refiner import Refiner

_MOST_BIAS = 50_000  # as a whole number
_MOST_SUM = (1 << 24) - 60_000  # of products: with a bias and its rounding it stays below 2**24
_HEADROOM = 2.0  # a unit's largest value, in peaks seen in training
_LOG_STEPS = 16  # the logarithm of a step is in units of 1 / _LOG_STEPS


def in_whole_numbers(
    refiner: Refiner, scale: NDArray[np.float32], log_steps: NDArray[np.float32], center: float
) -> Tensors:
    """The networks in whole numbers (kinds/trellis/network.py), but for their gains.

    scale      (D,) standard deviation of each coefficient
    log_steps  (Q,) logarithm of the step at each quality
    center     see `Loop`
    """
    widest = float(np.abs(log_steps - center).max())
    parts = (refiner.hidden, refiner.out, refiner.bias, refiner.quality, refiner.peak)
    *predict, restore = (
        _exact(*(_array(part[i]) for part in parts), scale=scale, widest=widest)
        for i in range(len(refiner.bands))
    )
    units = refiner.units[0]
    none = {"hidden": (0, len(scale), units), "out": (units, 0), "scale": (0,)}  # of one band alone
    joined = {"log_step": np.rint((log_steps - center) * _LOG_STEPS).astype(np.int32)}
    for name, last in restore.items():
        joined[f"restore.{name}"] = last
        found = [network[name] for network in predict]
        if not found:
            joined[f"predict.{name}"] = np.zeros(none.get(name, (0, units)), last.dtype)
        elif name in ("out", "scale"):  # side by side
            joined[f"predict.{name}"] = np.concatenate(found, axis=-1)
        else:
            joined[f"predict.{name}"] = np.stack(found)
    return joined


def _array(tensor: Tensor) -> NDArray[np.float32]:
    array: NDArray[np.float32] = tensor.detach().cpu().numpy()
    return array


def _exact(
    hidden: NDArray[np.float32],
    out: NDArray[np.float32],
    bias: NDArray[np.float32],
    quality: NDArray[np.float32],
    peak: NDArray[np.float32],
    *,
    scale: NDArray[np.float32],
    widest: float,
) -> Tensors:
    """One network in whole numbers.

    A unit's largest value is a multiple of its peak in training: what is cut off there costs up to
    3 % of the bits, a coarser unit nothing that can be measured.
    """
    # neither a column's weights nor its bias become too large
    least = (np.abs(bias) + widest * np.abs(quality)) / _MOST_BIAS
    weights = hidden * (grid(scale) / scale)[:, None]
    into, unit = quantised(weights, np.maximum(least, _coarse_enough(weights, INPUTS)))
    top = np.maximum(_HEADROOM * peak, 1e-6) / UNITS
    shares, change = quantised(out * top[:, None], _coarse_enough(out * top[:, None], UNITS))
    return {
        "hidden": into,
        "bias": np.rint(bias / unit).astype(np.int32),
        "quality": np.rint(quality / unit / _LOG_STEPS).astype(np.int32),
        "unit": (unit / top).astype(np.float32),
        "out": shares,
        "scale": (change * scale[len(scale) - out.shape[1] :]).astype(np.float32),
    }


def _coarse_enough(weights: NDArray[Any], factor: int) -> NDArray[np.float64]:
    """(m,) scales of weights (k, m) at which no sum of products with 0 … factor is too large.

    It matters from about a thousand weights on.
    """
    rounding = len(weights) / 2  # of each by half at most
    total = np.abs(weights).sum(axis=0, dtype=np.float64)
    least: NDArray[np.float64] = total / (_MOST_SUM / factor - rounding)
    return least
