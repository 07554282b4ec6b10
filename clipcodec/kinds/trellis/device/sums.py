"""Sums along rows in numpy's order, so that they are rounded alike."""

from __future__ import annotations

from torch import Tensor

_BLOCK, _LANES = 128, 8


def row_sums(rows: Tensor) -> Tensor:
    """(N,) what `rows.sum(axis=1)` is in numpy, for contiguous rows (N, n) of floats.

    numpy adds up to 128 numbers in eight lanes, and of more it adds the sums of two halves
    ("pairwise summation").
    """
    width = rows.shape[1]
    if width > _BLOCK:
        half = width // 2 - width // 2 % _LANES
        return row_sums(rows[:, :half]) + row_sums(rows[:, half:])
    whole = width - width % _LANES
    if not whole:
        total = rows.new_zeros(len(rows))
    else:
        lanes = rows[:, :_LANES]
        for at in range(_LANES, whole, _LANES):
            lanes = lanes + rows[:, at : at + _LANES]
        while lanes.shape[1] > 1:
            lanes = lanes[:, ::2] + lanes[:, 1::2]
        total = lanes[:, 0]
    for i in range(whole, width):
        total = total + rows[:, i]
    return total
