"""clipcodec.kinds.trellis.device.trellis: the paths of ../quantizer.py, also among equals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from clipcodec.kinds.trellis import quantizer
from clipcodec.kinds.trellis.device.tables import Tables
from clipcodec.kinds.trellis.device.trellis import Trellis
from tests.kinds.trellis.test_coder import random_tables


def both(values: np.ndarray, seed: int, weight: float) -> tuple[np.ndarray, np.ndarray]:
    """Levels (N, n) by numpy and on the device, of values (N, n) as one band."""
    count, n = values.shape
    tables = random_tables(seed, [0, n], 20, False)
    rng = np.random.default_rng(seed)
    rows = tables.class_of[rng.integers(0, 3, count)]
    flags = tables.bits[rng.integers(4, 6, (count, -(-n // 16), 2)), :2]
    bits = tables.bits.copy()
    bits[:, 1:] += 1
    weights = np.asarray(weight * rng.uniform(0.5, 2, count), np.float32)
    levels, _ = quantizer.quantize(values, rows, bits, flags, weights)

    def tensor(array: Any) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(array))

    found = Trellis(Tables(tables, torch.device("cpu"))).quantize(
        tensor(values.T), tensor(rows.T), tensor(flags.transpose(1, 2, 3, 0)), tensor(weights)
    )
    return levels, found.numpy().T


@pytest.mark.parametrize("n", [1, 15, 16, 17, 50])
@pytest.mark.parametrize("weight", [0.01, 0.3, 3])
def test_the_levels_are_numpys(n: int, weight: float) -> None:
    """Small and large values, and whole groups that are left out."""
    rng = np.random.default_rng(n)
    values = rng.normal(size=(200, n)) * 4 ** rng.uniform(-2, 3, (200, 1))
    levels, found = both(values.astype(np.float32), n, weight)
    assert (levels == found).all()
    assert np.abs(levels).max() > 20


def test_of_two_paths_that_cost_alike_the_same_is_taken() -> None:
    """Values in the middle between two levels, and zeros of both signs."""
    rng = np.random.default_rng(3)
    values = rng.choice(np.array([-1, -0.5, -0.0, 0, 0.5, 1, 2, 3], np.float32), (400, 40))
    levels, found = both(values, 5, 1e-9)
    assert (levels == found).all()


def test_no_level_is_too_high() -> None:
    """Up to those that only the coder refuses."""
    values = np.array([[65542, -65542, 65535, -2.5]], np.float32)
    levels, found = both(values, 1, 0.1)
    assert (levels == found).all()
    assert np.abs(levels).max() > 32000
