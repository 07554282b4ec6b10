"""Matrix products that come out the same in whatever order they are summed.

BLAS sums in an order that changes with the number of rows, the threads and the machine, and with
the order the rounding changes. One different bit may give an encoder another symbol. Here both
factors are rounded to multiples of powers of two, so coarse that float64 holds every partial sum
exactly.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

_SUM_BITS = 53  # integers up to 2**53 are float64
_WEIGHT_BITS = 19  # below a column's largest: weights of half precision keep theirs

Doubles = NDArray[np.float64]


class ExactProduct:
    """x (N, k) ↦ x · weights (k, m), float64: each row gives the same result in any batch.

    limit  scalar or (k,): largest magnitude in x; larger values are clipped
    """

    def __init__(self, weights: NDArray[Any], limit: ArrayLike) -> None:
        rows = len(weights)
        limit = np.broadcast_to(_power_above(limit), rows)[:, None]
        scaled = weights * limit  # for x in -1 … 1
        unit = _power_above(np.abs(scaled).max(axis=0, initial=0)) * 2.0**-_WEIGHT_BITS
        whole = np.rint(scaled / unit)
        largest_sum = float(np.abs(whole).sum(axis=0).max(initial=1))
        bits = _SUM_BITS - int(np.frexp(largest_sum)[1])
        self._largest = 2.0**bits
        self._fine = (self._largest / limit).T
        self._weights = whole * (unit / self._largest)

    def __call__(self, x: NDArray[Any]) -> Doubles:
        whole = np.multiply(x, self._fine, dtype=np.float64)
        np.rint(whole, out=whole)
        np.clip(whole, -self._largest, self._largest, out=whole)
        product: Doubles = whole @ self._weights
        return product


def _power_above(values: ArrayLike) -> Doubles:
    """The power of two above each value; one for zeros."""
    values = np.asarray(values, np.float64)
    power: Doubles = np.ldexp(1.0, np.where(values > 0, np.frexp(values)[1], 0))
    return power
