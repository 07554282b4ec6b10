"""clipcodec.training.whole: what was trained in floats, as whole numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from clipcodec.kinds.trellis.network import DTYPES, Networks, check, shapes
from clipcodec.training.refiner import Refiner
from clipcodec.training.whole import in_whole_numbers

SCALE = np.array([0.4, 0.3, 0.2, 0.1, 0.05, 0.02], np.float32)
LOG_STEPS, CENTER = np.log(np.array([0.2, 0.1, 0.05])), -2.3


def trained(bands: list[int], units: tuple[int, int]) -> Refiner:
    """A refiner with weights of all kinds, and peaks from rows that it has seen."""
    refiner = Refiner(bands, units, 0.0, seed=1)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for group in (refiner.out, refiner.bias, refiner.quality):
            for weights in group:
                weights.copy_(0.3 * torch.randn(weights.shape, generator=generator))
        for band in range(len(bands) - 1):
            for log_step in LOG_STEPS - CENTER:
                rows = torch.randn(4000, bands[-1], generator=generator)
                refiner.refine(rows, band, torch.full((4000, 1), float(log_step)))
    return refiner.eval()


@pytest.mark.parametrize("bands", [[0, 1, 3, 6], [0, 2, 6], [0, 6]])
@pytest.mark.parametrize("units", [(5, 9), (0, 4), (5, 0), (0, 0)])
def test_tensors_are_those_of_the_format(bands: list[int], units: tuple[int, int]) -> None:
    """Names, shapes, types and ranges, also of one band alone, and without networks."""
    found = in_whole_numbers(trained(bands, units), SCALE, LOG_STEPS, CENTER)
    expected = shapes(bands, *units, 3)
    gains = {name: np.ones(expected.pop(name)) for name in ("predict.gain", "restore.gain")}
    assert {name: tensor.shape for name, tensor in found.items()} == expected
    for name, tensor in found.items():
        assert tensor.dtype == DTYPES.get(name, "float32"), name
    check(found | gains)


def test_they_compute_what_was_trained() -> None:
    """Each network's change, within a few hundredths of its size."""
    bands = [0, 1, 3, 6]
    refiner = trained(bands, (5, 9))
    tensors = in_whole_numbers(refiner, SCALE, LOG_STEPS, CENTER)
    tensors |= {"predict.gain": np.ones((3, 2)), "restore.gain": np.ones(3)}
    networks = Networks(tensors, bands, SCALE)
    assert networks.restore is not None
    y = np.random.default_rng(3).standard_normal((500, 6), np.float32) * SCALE
    qualities = np.arange(500) % 3 + 1
    log_steps = (LOG_STEPS[qualities - 1] - CENTER)[:, None].astype(np.float32)
    for band, network in enumerate([*networks.predict, networks.restore]):
        estimate = y.copy()
        estimate[:, bands[band + 1] :] = 0 if band == 0 else estimate[:, bands[band + 1] :]
        with torch.no_grad():
            wanted = refiner.refine(
                torch.from_numpy(estimate / SCALE), band, torch.from_numpy(log_steps)
            )
        wanted_change = (wanted.numpy() * SCALE - estimate)[:, -network.width :]
        change = network.change(estimate, qualities)
        error = np.sqrt(((change - wanted_change) ** 2).mean())
        assert error < 0.03 * np.sqrt((wanted_change**2).mean())


def test_wide_networks_stay_exact() -> None:
    """Weights all alike have the largest sums: of thousands, too, they stay below 2**24."""
    bands, units = [0, 6, 4096], (8, 600)
    refiner = Refiner(bands, units, 0.0, seed=1)
    with torch.no_grad():
        for group in (refiner.hidden, refiner.out):
            for weights in group:
                weights.fill_(-0.7)
        for bias in (*refiner.bias, *refiner.quality):
            bias.fill_(90.0)
    found = in_whole_numbers(refiner, np.full(4096, 0.3, np.float32), LOG_STEPS, CENTER)
    check(found | {"predict.gain": np.ones((3, 1)), "restore.gain": np.ones(3)})
    assert found["restore.hidden"].max() < 0  # not rounded to nothing
