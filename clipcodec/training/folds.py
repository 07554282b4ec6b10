"""Rows held out: each group of them whole, since neighbours in one video are no test."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]


def folds(groups: NDArray[Any], count: int, share: float, seed: int = 0) -> list[Rows]:
    """Indices of `count` sets of rows to hold out in turn; no group is in two of them.

    groups  (N,) what must stay together
    share   of the rows in each set, about; at most 1 / count

    With fewer groups than sets there are as many sets as groups, but one at least: of one group
    alone, rows are held out as if each were its own.
    """
    _, number, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    if len(sizes) == 1:
        number, sizes = np.arange(len(number)), np.ones(len(number), np.int64)
    rng = np.random.default_rng(seed)
    count = min(count, len(sizes))
    wanted = max(share * len(number), 1.0)
    place = np.full(len(sizes), -1)
    filled = np.zeros(count)
    order = rng.permutation(len(sizes))
    if sizes.max() == 1:  # the usual case, without a loop
        some = order[: round(count * wanted)]
        place[some] = np.arange(len(some)) % count
    else:
        for group in order.tolist():
            at = int(filled.argmin())
            # a large group may overfill a set, but not by more than what it lacks without it
            if filled[at] == 0 or filled[at] + sizes[group] / 2 <= wanted:
                place[group] = at
                filled[at] += sizes[group]
    of_row = place[number]
    return [np.flatnonzero(of_row == at) for at in range(count) if (of_row == at).any()]
