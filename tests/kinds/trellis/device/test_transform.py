"""clipcodec.kinds.trellis.device.transform: the numbers of staged.py and network.py, to the bit."""

from __future__ import annotations

import numpy as np
import torch

from clipcodec.embeddings import squared_norms
from clipcodec.kinds.trellis.device.transform import Transform, unit_rows
from clipcodec.kinds.trellis.staged import StagedTransform
from tests.kinds.trellis.device.conftest import CPU, Pair


def both(pair: Pair) -> tuple[StagedTransform, Transform]:
    host = pair.host.transform
    assert isinstance(host, StagedTransform)
    return host, Transform(host, CPU)


def test_analysis_and_synthesis(pair: Pair) -> None:
    host, device = both(pair)
    x = pair.rows(70)
    y = host.analyse(x)
    assert (device.analyse(torch.from_numpy(x)).numpy() == y).all()
    found, right = device.synthesise(torch.from_numpy(y))
    assert right.all()
    assert (found.numpy() == host.synthesise(y)).all()


def test_prediction_and_restoration(pair: Pair) -> None:
    """With all qualities in one batch, and estimates beyond what an input may be."""
    host, device = both(pair)
    qualities = np.arange(100) + 1
    y = host.analyse(pair.rows(100)) * np.float32(3)
    moved = torch.from_numpy(y.copy())
    which = torch.from_numpy(qualities - 1)
    for band in range(len(pair.host.tables.bands) - 1):
        host.predict(y, band, qualities)
        device.predict(moved, band, which)
    assert (moved.numpy() == y).all()
    host.restore(y, qualities)
    device.restore(moved, which)
    assert (moved.numpy() == y).all()


def test_rows_out_of_reach_are_named(usual: Pair) -> None:
    host, device = both(usual)
    y = host.analyse(usual.rows(6))
    y[1] *= 1e6
    y[2, 0], y[4, 7] = np.nan, np.inf
    found, right = device.synthesise(torch.from_numpy(y))
    assert right.tolist() == [True, False, False, True, False, True]
    assert (found.numpy()[[0, 3, 5]] == host.synthesise(y[[0, 3, 5]])).all()


def test_unit_norm_is_numpys() -> None:
    """Of odd widths, too; a row without direction is named."""
    rng = np.random.default_rng(0)
    for width in (1, 7, 24, 513):
        rows = rng.normal(size=(9, width)).astype(np.float32)
        rows[3], rows[5, 0] = 0, np.nan
        unit, right = unit_rows(torch.from_numpy(rows))
        good = [0, 1, 2, 4, 6, 7, 8]
        assert np.flatnonzero(right.numpy()).tolist() == good
        wide = rows[good].astype(np.float64)
        assert (unit.numpy()[good] == (wide / np.sqrt(squared_norms(wide))).astype("f4")).all()
