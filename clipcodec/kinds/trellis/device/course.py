"""How far attempts have come on a device, band after band: what `aim.Course` is in numpy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .arithmetic import tensor

Doubles = NDArray[np.float64]


class Before(NamedTuple):
    """What a band is going to change."""

    estimate: Tensor
    spent: Tensor
    full: Tensor


@dataclass
class DeviceCourse:
    """See `aim.Course`; arrays are tensors, and levels have positions first.

    y        (N, n) float32
    step     (N,) float32
    weight   (N,) float32
    which    (N,) int64, quality - 1
    levels   (n, N) int32
    estimate (N, n) float32
    spent    (N,) float64 bits so far
    full     (N,) whether the group before was full
    wrong    (N,) rows without numbers
    """

    y: Tensor
    step: Tensor
    weight: Tensor
    which: Tensor
    levels: Tensor
    estimate: Tensor
    spent: Tensor
    full: Tensor
    wrong: Tensor

    @classmethod
    def of(cls, y: Tensor, step: Tensor, weight: Tensor, which: Tensor) -> DeviceCourse:
        """Before the first band."""
        none = torch.zeros(len(y), dtype=torch.bool, device=y.device)
        return cls(
            y, step, weight, which, torch.empty(y.T.shape, dtype=torch.int32, device=y.device),
            torch.zeros_like(y), none.to(torch.float64), ~none, none,
        )  # fmt: skip

    @property
    def bits(self) -> Doubles:
        """(N,), here."""
        found: Doubles = self.spent.cpu().numpy()
        return found

    def before(self, band: slice) -> Before:
        # the other two are replaced, not changed
        return Before(self.estimate[:, band].clone(), self.spent, self.full)

    def again(
        self, rows: NDArray[np.int64], before: Before, band: slice, ways: NDArray[np.float32]
    ) -> DeviceCourse:
        at = tensor(rows, self.y.device)
        levels = self.levels.new_empty((len(self.levels), len(rows)))
        some = DeviceCourse(
            self.y[at], self.step[at], self.weight[at] * tensor(ways, at.device), self.which[at],
            levels, self.estimate[at], before.spent[at], before.full[at], self.wrong[at],
        )  # fmt: skip
        some.estimate[:, band] = before.estimate[at]
        return some

    def put(
        self,
        rows: NDArray[np.int64],
        other: DeviceCourse,
        chosen: NDArray[np.int64],
        band: slice,
    ) -> None:
        at, of = (tensor(places, self.y.device) for places in (rows, chosen))
        self.levels[band].index_copy_(1, at, other.levels[band].index_select(1, of))
        self.estimate[:, band].index_copy_(0, at, other.estimate[:, band].index_select(0, of))
        # `before` may still be read
        self.spent = self.spent.index_copy(0, at, other.spent[of])
        self.full = self.full.index_copy(0, at, other.full[of])
