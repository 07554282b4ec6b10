"""clipcodec.kinds.trellis.device.attempts: what `Engine.attempt` finds, to the bit."""

from __future__ import annotations

import numpy as np
import torch

from clipcodec.kinds.trellis.device.attempts import Attempt, Quantizer
from clipcodec.kinds.trellis.device.tables import Tables
from clipcodec.kinds.trellis.device.transform import Transform
from clipcodec.kinds.trellis.staged import StagedTransform
from tests.kinds.trellis.device.conftest import CPU, Pair


def on_device(pair: Pair, y: np.ndarray, qualities: np.ndarray, factor: np.ndarray) -> Attempt:
    host = pair.host
    assert isinstance(host.transform, StagedTransform)
    quantizer = Quantizer(
        Tables(host.tables, CPU), Transform(host.transform, CPU), torch.from_numpy(host.steps),
        torch.from_numpy(host._extra),
    )  # fmt: skip
    weight = (host.weights[qualities - 1] * factor).astype(np.float32)
    with torch.inference_mode():
        return quantizer.attempt(
            torch.from_numpy(y), torch.from_numpy(qualities - 1), torch.from_numpy(weight)
        )


def test_levels_bits_and_estimate_are_numpys(pair: Pair) -> None:
    """Each row at its own quality and λ, some with levels that are escapes."""
    rng = np.random.default_rng(0)
    x = pair.rows(150)
    y = pair.host.transform.analyse(x)
    y[::7] *= 5
    qualities, factor = rng.integers(1, 101, len(x)), rng.uniform(0.1, 4, len(x)).astype("f4")
    expected, found = pair.host.attempt(y, qualities, factor), on_device(pair, y, qualities, factor)
    assert not found.wrong.any()
    assert (expected.levels == found.levels.numpy().T).all()
    assert (found.until.numpy() == expected.until).all()
    assert (found.estimate.numpy() == expected.estimate).all()
    assert np.abs(expected.levels).max() > pair.host.tables.escape


def test_rows_without_numbers_are_named(usual: Pair) -> None:
    y = usual.host.transform.analyse(usual.rows(5))
    good = usual.host.attempt(y, np.full(5, 40))
    y[1, 3], y[2], y[4, 500] = np.nan, 1e30, -np.inf
    found = on_device(usual, y, np.full(5, 40), np.ones(5, np.float32))
    assert found.wrong.tolist() == [False, True, True, False, True]
    assert (found.levels.numpy().T[[0, 3]] == good.levels[[0, 3]]).all()
