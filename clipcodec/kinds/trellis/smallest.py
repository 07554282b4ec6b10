"""Which size to try next for each embedding, where the smallest of a fidelity is wanted.

An attempt can fill a size that is given, but what error it then has scatters by several percent. So
attempts at a size below the best so far are worth their time: now and then one is close enough.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...entropy import Symbols
from .curve import exp, log

Doubles = NDArray[np.float64]
_SCATTER = 0.05  # of attempts, as a logarithm
_MORE, _FAILED = 1.1, 0.04  # of the bits foreseen: at first, and more after each failure


class Smallest:
    """Sizes of N messages.

    ratio   how fast the logarithm of the bits grows with that of the fidelity
    header  bits of a payload's size that its ideal code length does not count
    """

    def __init__(self, count: int, ratio: float, header: float) -> None:
        self._ratio, self._header = ratio, header
        self._sizes = np.full(count, np.inf)  # the smallest payload close enough so far
        self._failed = np.zeros(count)  # attempts in a row
        self._sum, self._weight = np.zeros(count), np.zeros(count)

    def next(self, rows: Symbols) -> Doubles:
        """(n,) bytes of the payload to try: below the smallest so far, or what is foreseen."""
        foreseen = exp(self._sum[rows] / self._weight[rows]) - self._header
        bits = foreseen * (_MORE + _FAILED * self._failed[rows])
        sizes: Doubles = np.minimum(np.rint(bits / 8), self._sizes[rows] - 1)
        return np.maximum(sizes, 1.0)

    def learn(
        self, rows: Symbols, bits: Doubles, sizes: Symbols, excess: Doubles, aimed: bool
    ) -> None:
        """What attempts at rows, each there once, say: `excess` ≥ 0 was close enough."""
        good = excess >= 0
        weight = 1 / (_SCATTER**2 + excess * excess)  # the farther, the less it says
        self._sum[rows] += weight * (log(np.maximum(bits, 1.0)) - excess * self._ratio)
        self._weight[rows] += weight
        self._sizes[rows] = np.minimum(self._sizes[rows], np.where(good, sizes, np.inf))
        if aimed:
            self._failed[rows] = np.where(good, 0, self._failed[rows] + 1)
