"""Coefficients → levels of many rows on a device: what `Engine.attempt` does in numpy."""

from __future__ import annotations

from functools import partial
from itertools import accumulate
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .. import quantizer
from ..aim import Aim, steer
from ..tables import LENGTH_BITS, MAX_LEVEL
from .course import DeviceCourse
from .tables import Tables, odd
from .transform import Transform
from .trellis import Trellis

_FARTHEST = 2 * MAX_LEVEL + 8  # steps
_LARGE = 1e30  # a sum of squares that is still far from an overflow


class Attempt(NamedTuple):
    """N embeddings, quantised once; see `engine.Attempt`.

    levels    (n, N) int32
    until     (N, B) float64: bits up to the end of each band
    estimate  (N, n) float32
    wrong     (N,) rows with numbers near an overflow, or none: the others alone are right
    """

    levels: Tensor
    until: Tensor
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
        self._begins = [0, *accumulate(2 * len(groups) for groups in tables.host.groups)]
        self._trellis = Trellis(tables)

    def attempt(self, y: Tensor, which: Tensor, weight: Tensor, aim: Aim | None = None) -> Attempt:
        """Quantise coefficients y (N, n) at qualities which + 1 (N,) with λ weight (N,)."""
        host, until = self._tables.host, list[Tensor]()
        course = DeviceCourse.of(y, self._steps[which], weight, which)
        for band, (a, b) in enumerate(host.bands):
            left = None if aim is None else aim.left(band, b == host.count)
            if left is None or np.isinf(left).all():
                self._quantise(course, band)
            else:
                steer(partial(self._quantise, band=band), course, slice(a, b), left)
            until.append(course.spent)
            if b < host.count:
                self._transform.predict(course.estimate, band, which)
        off = y - course.estimate
        wrong = course.wrong | ~((off * off).sum(1) < _LARGE)
        return Attempt(course.levels, torch.stack(until, 1), course.estimate, wrong)

    def _quantise(self, course: DeviceCourse, band: int) -> None:
        """Take every row through one band."""
        tables, (a, b) = self._tables, self._tables.host.bands[band]
        groups = slice(*self._begins[band : band + 2])
        which, weight, step = course.which, course.weight, course.step[:, None]
        residual = ((course.y[:, a:b] - course.estimate[:, a:b]) / step).T.contiguous()
        course.wrong = course.wrong | residual.isnan().any(0)
        residual.nan_to_num_(0.0).clamp_(-_FARTHEST, _FARTHEST)
        classes = tables.classes[a:b].index_select(1, which)
        flags = tables.flags[groups].index_select(1, which)
        chosen = self._trellis.quantize(residual, classes, self._flag_bits(flags), weight)
        # elsewhere no level but zero pays for its bits, and all stay zero
        pays = 2 * residual.abs() - 1 > weight * self._extra[classes]
        chosen = torch.where(pays.any(0), chosen, 0)
        quantiser = odd(chosen, [(0, b - a)])
        more, course.full = self._information(chosen.abs(), classes + quantiser, flags, course.full)
        course.levels[a:b], course.spent = chosen, course.spent + more
        grid = (2 * chosen - chosen.sign() * quantiser).T.to(torch.float32)
        course.estimate[:, a:b] += grid * step

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
