"""clipcodec.kinds.trellis.device.sums: numpy's sums, to the last bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from clipcodec.kinds.trellis.device.sums import row_sums


@pytest.mark.parametrize("width", [1, 5, 8, 16, 100, 128, 129, 200, 257, 512, 768, 1000, 1535])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_the_order_is_numpys(width: int, dtype: str) -> None:
    """Of many rows and of one; another order would give other last bits, as that of torch does."""
    rows = np.random.default_rng(width).normal(size=(300, width)).astype(dtype)
    found = row_sums(torch.from_numpy(rows)).numpy()
    assert (found == rows.sum(axis=1)).all()
    assert (found[:1] == rows[:1].sum(axis=1)).all()
    if width >= 100:
        assert (found != rows[:, ::-1].sum(axis=1)).any()
