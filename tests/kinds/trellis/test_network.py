"""clipcodec.kinds.trellis.network: whole numbers, so the same result everywhere."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipcodec import WeightsError
from clipcodec.kinds.trellis import network
from clipcodec.kinds.trellis.network import (
    Network,
    Networks,
    check,
    grid,
    quantised,
    shapes,
    widths,
)

BANDS = [0, 2, 5, 12]
Tensors = dict[str, np.ndarray]


def drawn(hidden: int = 7, restore: int = 9, seed: int = 0, qualities: int = 3) -> Tensors:
    """Random networks for the bands above."""
    rng = np.random.default_rng(seed)
    tensors: Tensors = {}
    for name, shape in shapes(BANDS, hidden, restore, qualities).items():
        if network.DTYPES.get(name) == "int8":
            tensors[name] = rng.integers(-127, 128, shape, np.int8)
        elif name in network.DTYPES:
            tensors[name] = rng.integers(-40, 41, shape, np.int32)
        else:
            tensors[name] = rng.uniform(0, 0.01, shape).astype(np.float32)
    return tensors


def by_hand(part: dict[str, Any], y: list[float], g: list[float], log_step: int) -> list[float]:
    """Section 4 of predictive.md for one network at a gain of one: what is added, before float32
    addition. Whole numbers are Python's; products are rounded to float32.
    """
    a = [max(-255, min(255, round(v / u))) for v, u in zip(y, g, strict=True)]
    columns = np.asarray(part["hidden"]).T.tolist()
    t = [sum(map(int.__mul__, a[: len(c)], c)) for c in columns]
    t = [v + b + log_step * q for v, b, q in
         zip(t, part["bias"].tolist(), part["quality"].tolist(), strict=True)]  # fmt: skip
    single = np.float32
    u = [max(0, min(255, round(float(single(v) * single(m)))))
         for v, m in zip(t, part["unit"], strict=True)]  # fmt: skip
    c = [sum(map(int.__mul__, u, column)) for column in np.asarray(part["out"]).T.tolist()]
    return [float(single(v) * single(s)) for v, s in zip(c, part["scale"], strict=True)]


@given(st.integers(0, 1 << 30))
def test_the_change_is_that_of_whole_numbers(seed: int) -> None:
    """Bit for bit, for any estimate: the text's arithmetic in Python's integers."""
    rng = np.random.default_rng(seed)
    tensors = drawn(seed=seed)
    scale = np.exp(rng.normal(size=12)).astype(np.float32)
    y = (rng.standard_normal((1, 12)) * scale * rng.choice([0.1, 1, 20])).astype(np.float32)
    restore = Networks(tensors, BANDS, scale).restore
    assert restore is not None
    part = {key.split(".")[1]: v for key, v in tensors.items() if key.startswith("restore.")}
    expected = by_hand(part, y[0].tolist(), grid(scale).tolist(), int(tensors["log_step"][1]))
    assert restore.change(y, np.array([2]))[0].tolist() == expected


def test_a_row_comes_out_the_same_in_any_batch() -> None:
    """One row, or a row among many; qualities all the same, or each its own."""
    rng = np.random.default_rng(1)
    scale = np.ones(12, np.float32)
    networks = Networks(drawn(), BANDS, scale)
    y, qualities = rng.standard_normal((300, 12), np.float32), rng.integers(1, 4, 300)
    assert networks.restore is not None
    for net in [*networks.predict, networks.restore]:
        together = y.copy()
        net.apply(together, qualities)
        for i in (0, 7, 299):
            alone = y[i : i + 1].copy()
            net.apply(alone, qualities[i : i + 1])
            assert (alone[0] == together[i]).all()


def test_predictions_change_only_what_is_still_to_come() -> None:
    """Network b leaves the coefficients of bands 0 … b as they are; the restoration none."""
    networks = Networks(drawn(), BANDS, np.ones(12, np.float32))
    assert [net.width for net in networks.predict] == widths(BANDS) == [10, 7]
    for net, end in zip(networks.predict, BANDS[1:], strict=False):
        y = np.random.default_rng(2).standard_normal((5, 12), np.float32)
        before = y.copy()
        net.apply(y, np.ones(5, np.int64))
        assert (y[:, :end] == before[:, :end]).all()
        assert (y[:, end:] != before[:, end:]).any()
    assert networks.restore is not None
    assert networks.restore.width == 12


def test_no_units_no_networks() -> None:
    """With 0 hidden units nothing is predicted, and nothing restored."""
    tensors = drawn(0, 0)
    check(tensors)
    networks = Networks(tensors, BANDS, np.ones(12, np.float32))
    assert networks.predict == []
    assert networks.restore is None


@pytest.mark.parametrize("dim", [512, 700])
def test_sums_that_float32_cannot_hold_are_refused(dim: int) -> None:
    """255 · Σ|weights| + |bias| below 2**24: 512 inputs always fit, 700 if their weights do."""
    tensors = {
        name: np.zeros(shape, network.DTYPES.get(name, np.float32))
        for name, shape in shapes([0, 1, dim], 3, 3, 2).items()
    }
    tensors["predict.hidden"][:] = 127
    if dim == 512:
        check(tensors)
        tensors["predict.bias"][0, 1] = -(1 << 24) + 255 * 127 * dim
    with pytest.raises(WeightsError, match="predict may reach"):
        check(tensors)
    tensors["predict.hidden"][:] = 20
    check(tensors)
    tensors["restore.bias"][:], tensors["restore.quality"][:] = -20, 1 << 20
    tensors["log_step"][:] = -16
    with pytest.raises(WeightsError, match="restore may reach"):
        check(tensors)


def test_gains_have_a_range() -> None:
    """0 … 4: a negative or a huge one is no share of a change."""
    tensors = drawn()
    check(tensors)
    for value in (-0.1, 4.1, np.nan):
        tensors["restore.gain"][1] = value
        with pytest.raises(WeightsError, match=r"restore.gain is not in 0 … 4"):
            check(tensors)


def test_the_grid_is_a_power_of_two_between_a_64th_and_a_32nd() -> None:
    """Of the standard deviation, whatever its size."""
    scale = np.array([1, 0.999, 2, 1e-18, 1e18, 0.3], np.float32)
    unit = grid(scale)
    assert unit.dtype == np.float32
    assert unit[:3].tolist() == [1 / 32, 1 / 64, 1 / 16]
    assert (np.frexp(unit)[0] == 0.5).all()
    assert ((scale / 64 < unit) & (unit <= scale / 32)).all()


def test_whole_weights_are_near_the_real_ones() -> None:
    """Within half a unit of each column; zeros stay zeros, a least unit is kept to."""
    real = np.random.default_rng(3).normal(size=(50, 4)) * [1, 1e-6, 0, 1]
    whole, scale = quantised(real, np.array([0, 0, 0, 1.0]))
    assert whole.dtype == np.int8
    assert np.abs(whole[:, :2]).max() == 127
    assert (np.abs(whole * scale - real) <= scale / 2 * 1.001).all()
    assert not whole[:, 2].any()
    assert scale[3] == 1.0


def test_a_network_reads_only_its_first_coefficients() -> None:
    """The first prediction has as many inputs as the first band; later coefficients are zero."""
    tensors = drawn()
    net = Networks(tensors, BANDS, np.ones(12, np.float32)).predict[0]
    assert isinstance(net, Network)
    y = np.zeros((1, 12), np.float32)
    y[0, :2] = 0.7, -0.3
    other = y.copy()
    other[0, 5] = 3.0
    one = np.ones(1, np.int64)
    assert (net.change(y, one) == net.change(other, one)).all()
