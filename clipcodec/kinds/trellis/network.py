"""The networks of a staged kind, in exact integers (formats/predictive.md, section 4).

Weights are whole numbers of eight bits, inputs and hidden units whole numbers too, so small that no
partial sum reaches 2**24. Float32 holds every such sum: the products come out the same in any
order, on any machine, in any batch, as fast as BLAS is. All else is done one float32 operation at a
time, which IEEE 754 rounds alike everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...entropy import Symbols
from ...errors import WeightsError
from ...system.forks import cached_property
from . import compiled

Floats = NDArray[np.float32]
Tensors = Mapping[str, NDArray[Any]]
INPUTS = 255  # inputs are -INPUTS … INPUTS
UNITS = 255  # hidden units are 0 … UNITS
WEIGHTS = 127  # weights are -WEIGHTS … WEIGHTS
MOST_GAIN = 4.0
_GRID_BITS = 6  # an input's unit is between a 64th and a 32nd of the standard deviation
_MOST = 1 << 24  # float32 holds every whole number up to here
_FEW = 4  # rows
_SECONDS = 2e-12  # that numpy takes around the products, for each weight and row
DTYPES = {"log_step": "int32"} | {
    f"{part}.{name}": dtype
    for part in ("predict", "restore")
    for name, dtype in {
        "hidden": "int8", "out": "int8", "bias": "int32", "quality": "int32",
    }.items()
}  # fmt: skip


def grid(scale: Floats) -> Floats:
    """(D,) the unit of each coefficient as an input: a power of two, by its standard deviation."""
    unit: Floats = np.ldexp(1.0, np.frexp(scale)[1] - _GRID_BITS).astype(np.float32)
    return unit


def widths(bands: Sequence[int]) -> list[int]:
    """How many coefficients each prediction changes: those still to come after each band."""
    return [bands[-1] - end for end in bands[1:-1]]


def shapes(
    bands: Sequence[int], hidden: int, restore: int, qualities: int
) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor: bands with these bounds, hidden units of the networks."""
    stages, dim, changed = len(bands) - 2, bands[-1], sum(widths(bands))
    return {
        "log_step": (qualities,),
        "predict.hidden": (stages, dim, hidden),
        "predict.bias": (stages, hidden),
        "predict.quality": (stages, hidden),
        "predict.unit": (stages, hidden),
        "predict.out": (hidden, changed),
        "predict.scale": (changed,),
        "predict.gain": (qualities, stages),
        "restore.hidden": (dim, restore),
        "restore.bias": (restore,),
        "restore.quality": (restore,),
        "restore.unit": (restore,),
        "restore.out": (restore, dim),
        "restore.scale": (dim,),
        "restore.gain": (qualities,),
    }


def check(tensors: Tensors) -> None:
    """Raise WeightsError if a partial sum could reach _MOST, or a gain is out of range."""
    most = int(np.abs(tensors["log_step"].astype(np.int64)).max())
    for part in ("predict", "restore"):
        hidden, out, bias, quality, gain = (
            tensors[f"{part}.{name}"] for name in ("hidden", "out", "bias", "quality", "gain")
        )
        if not ((gain >= 0) & (gain <= MOST_GAIN)).all():
            raise WeightsError(f"{part}.gain is not in 0 … {MOST_GAIN:g}")
        added = np.abs(bias.astype(np.int64)) + np.abs(quality.astype(np.int64)) * most
        into = _MOST - int(added.max(initial=0))
        if _reaches(hidden, into, INPUTS) or _reaches(out, _MOST, UNITS):
            raise WeightsError(f"the sums of {part} may reach 2**24")


def _reaches(weights: NDArray[np.int8], limit: int, factor: int) -> bool:
    """Whether a column's sum of magnitudes, times a factor, reaches the limit; (…, k, m)."""
    most = factor * 128 * weights.shape[-2]
    if most < limit or not weights.size:  # it cannot, whatever the weights
        return False
    matrices = weights.reshape(-1, *weights.shape[-2:])
    sums = (np.abs(w.astype(np.int16)).sum(axis=0, dtype=np.int64) for w in matrices)
    return any(factor * int(s.max(initial=0)) >= limit for s in sums)


class Network:
    """One network: from the estimate's first coefficients to a change of its last ones.

    hidden          (k, H) int8: it reads k coefficients
    bias, quality   (H,) int32
    unit            (H,) turns a sum into a hidden unit
    out, scale      (H, w) int8 and (w,): what turns units into a change of w coefficients
    gain, log_step  (Q,) by quality: the share of the change to apply, and the step's logarithm

    The hidden units for inputs a, the estimate on its grid, are
    min(UNITS, max(0, round((a · hidden + bias + log_step · quality) · unit))).
    """

    def __init__(
        self, tensors: Tensors, inverse_grid: Floats, gain: Floats, log_step: NDArray[np.int32]
    ) -> None:
        self.width = tensors["out"].shape[1]
        self._whole, self._whole_out, self._bias, self._quality = (
            np.ascontiguousarray(tensors[name]) for name in ("hidden", "out", "bias", "quality")
        )
        self._unit, self._scale = (
            np.ascontiguousarray(tensors[name], np.float32) for name in ("unit", "scale")
        )
        self._inverse_grid = inverse_grid[: len(tensors["hidden"])]
        self._gain, self._log_step = gain, log_step

    def apply(self, estimate: Floats, qualities: Symbols) -> None:
        """Change the last w coefficients of the estimate (N, D) in place."""
        fast = compiled.loops(_SECONDS * len(estimate) * (self._whole.size + self._whole_out.size))
        if fast is None:
            change = self.change(estimate, qualities)
            change *= self._gain[_once(qualities) - 1, None]
            estimate[:, estimate.shape[1] - self.width :] += change
        elif len(estimate) <= _FEW:
            fast.network(
                self._inverse_grid, INPUTS, self._whole, self._bias, self._quality,
                self._unit, UNITS, self._whole_out, self._scale, self._log_step[qualities - 1],
                self._gain[qualities - 1], estimate,
            )  # fmt: skip
        else:
            once = _once(qualities)
            inputs = np.empty((len(estimate), len(self._inverse_grid)), np.float32)
            fast.inputs(estimate, self._inverse_grid, INPUTS, inputs)
            units = inputs @ self._hidden
            fast.units(self._added(once), self._unit, UNITS, units)
            fast.change(units @ self._out, self._scale, self._gain[once - 1], estimate)

    def change(self, estimate: Floats, qualities: Symbols) -> Floats:
        """(N, w): what the last coefficients of the estimate (N, D) change by, at a gain of one."""
        inputs: Floats = estimate[:, : len(self._inverse_grid)] * self._inverse_grid
        np.rint(inputs, out=inputs)
        np.clip(inputs, -INPUTS, INPUTS, out=inputs)
        units = inputs @ self._hidden
        units += self._added(_once(qualities))
        units *= self._unit
        np.rint(units, out=units)
        np.clip(units, 0, UNITS, out=units)
        change = np.asarray(units @ self._out, np.float32)
        change *= self._scale
        return change

    def narrow(self, reach: int, count: int) -> tuple[Floats, Floats]:
        """For sketches: of `count` coefficients only the first `reach` are read and changed.

        Returns (k + 2, H), from 1, the step's logarithm and coefficients to hidden units, and
        (H, w), from units to the change of the last w of these coefficients at a gain of one.
        Nothing is rounded.
        """
        read = self._whole[:reach] * self._inverse_grid[:reach, None]
        hidden = np.concatenate([self._bias[None], self._quality[None], read]) * self._unit
        return (
            np.ascontiguousarray(hidden, np.float32),
            np.ascontiguousarray(self.outputs[:, : max(reach + self.width - count, 0)]),
        )

    @cached_property
    def outputs(self) -> Floats:
        """(H, w) the change at a gain of one that each hidden unit makes."""
        outputs: Floats = self._whole_out * self._scale
        return outputs

    def log_steps(self, qualities: Symbols) -> Floats:
        """(N,) the logarithms of the steps, or (1,) for all rows."""
        logs: Floats = self._log_step[_once(qualities) - 1].astype(np.float32)
        return logs

    def gains(self, qualities: Symbols) -> Floats:
        """(N, 1), or (1, 1) for all rows."""
        gains: Floats = self._gain[_once(qualities) - 1, None]
        return gains

    def _added(self, qualities: Symbols) -> Floats:
        added = self._bias + self._log_step[qualities - 1, None] * self._quality
        return np.asarray(added, np.float32)

    @cached_property
    def _hidden(self) -> Floats:
        return self._whole.astype(np.float32)

    @cached_property
    def _out(self) -> Floats:
        return self._whole_out.astype(np.float32)


class Networks:
    """All networks of a profile, made from its tensors on first use.

    predict  by band: what the later ones become when it is decoded; empty without prediction
    restore  what all become at the end; None without restoration
    """

    def __init__(self, tensors: Tensors, bands: Sequence[int], scale: Floats) -> None:
        self._tensors, self._bands, self._scale = tensors, list(bands), scale

    def _network(self, part: str, gain: NDArray[Any], **tensors: NDArray[Any]) -> Network:
        named = {
            name: tensors.get(name, self._tensors[f"{part}.{name}"])
            for name in ("hidden", "bias", "quality", "unit", "out", "scale")
        }
        inverse = (1 / grid(self._scale)).astype(np.float32)
        return Network(named, inverse, gain.astype(np.float32), self._tensors["log_step"])

    @cached_property
    def predict(self) -> list[Network]:
        t = {name: self._tensors[f"predict.{name}"] for name in _BY_STAGE | {"out", "scale"}}
        if not t["hidden"].size:
            return []
        ends = np.cumsum(widths(self._bands))[:-1]
        outs, scales = (np.split(t[name], ends, axis=-1) for name in ("out", "scale"))
        reads = [self._bands[1], *[self._bands[-1]] * len(ends)]  # the rest is zero at first
        return [
            self._network(
                "predict", self._tensors["predict.gain"][:, i], out=outs[i], scale=scales[i],
                **{name: t[name][i] for name in _BY_STAGE} | {"hidden": t["hidden"][i, : reads[i]]},
            )
            for i in range(len(outs))
        ]  # fmt: skip

    @cached_property
    def restore(self) -> Network | None:
        if not self._tensors["restore.hidden"].size:
            return None
        return self._network("restore", self._tensors["restore.gain"])


_BY_STAGE = {"hidden", "bias", "quality", "unit"}


def _once(qualities: Symbols) -> Symbols:
    """Qualities (N,) as (1,) if they are all the same, as they mostly are."""
    return qualities[:1] if (qualities == qualities[0]).all() else qualities


def quantised(
    weights: NDArray[Any], least: NDArray[Any] | float = 0.0
) -> tuple[NDArray[np.int8], NDArray[np.float64]]:
    """Real weights (k, m) as whole numbers and the scale of each column: weights ≈ whole · scale.

    least  (m,) smallest scales
    """
    scale = np.maximum(np.abs(weights).max(axis=0, initial=0) / WEIGHTS, least)
    scale = np.where(scale > 0, scale, 1.0)
    return np.rint(weights / scale).astype(np.int8), scale
