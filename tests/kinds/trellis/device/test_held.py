"""clipcodec.kinds.trellis.device.held: the numbers that the search sees are those of ../held.py."""

from __future__ import annotations

import numpy as np
import pytest

from clipcodec.kinds.trellis.device import held as module
from clipcodec.kinds.trellis.device.held import DeviceHeld
from clipcodec.kinds.trellis.held import Held
from tests.kinds.trellis.device.conftest import Pair


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attempts at few rows run on the device, too."""
    monkeypatch.setattr(module, "_FEWEST", 0)


def both(pair: Pair, count: int = 60) -> tuple[Held, DeviceHeld]:
    x = pair.rows(count)
    return Held(pair.host, x), DeviceHeld(pair.device, x)


def test_an_attempt_comes_to_the_same(pair: Pair) -> None:
    """At some rows, some of them twice, each at its quality and λ."""
    rng = np.random.default_rng(0)
    rows = rng.integers(0, 60, 80)
    qualities, factor = rng.integers(1, 101, 80), rng.uniform(0.1, 9, 80)
    wanted = rng.random(80) < 0.7
    here, there = both(pair)
    expected, found = here.attempt(rows, qualities, factor), there.attempt(rows, qualities, factor)
    assert (found.bits == expected.bits).all()
    assert (there.sizes(found) == here.sizes(expected)).all()
    assert (there.cosines(found, rows) == here.cosines(expected, rows)).all()
    assert (there.without_direction(found) == here.without_direction(expected)).all()
    for some in (wanted, np.ones(80, bool), np.zeros(80, bool)):
        assert (there.lost(found, rows, some) == here.lost(expected, rows, some)).all()
    assert not there.undone.any()


@pytest.mark.parametrize("room", [60.0, 160.0, 700.0])
def test_an_aimed_attempt_comes_to_the_same(pair: Pair, room: float) -> None:
    """By what free attempts at some of the rows have said, at others none; some rows twice."""
    rng = np.random.default_rng(0)
    here, there = both(pair)
    for held in (here, there):
        held.attempt(np.arange(50), np.arange(50) + 20, 1.0)
    rows = rng.permutation(np.arange(100) % 60)
    qualities, factor = rng.integers(10, 90, 100), rng.uniform(0.5, 2, 100)
    free = pair.host.attempt(here.latent[rows], qualities, factor.astype(np.float32))
    for held in (here, there):
        held.attempt(rows[:40], qualities[:40], factor[:40])
    expected = here.attempt(rows, qualities, factor, room)
    found = there.attempt(rows, qualities, factor, room)
    assert (expected.bits != free.bits).mean() > 0.2
    assert found.found is not None
    assert (expected.levels == found.found.levels.numpy().T).all()
    assert (found.found.estimate.numpy() == expected.estimate).all()
    assert (found.bits == expected.bits).all()


def test_all_rows_in_order_are_as_any_others(usual: Pair) -> None:
    rows, qualities = np.arange(60), np.full(60, 40)
    here, there = both(usual)
    expected, found = here.attempt(rows, qualities, 1.0), there.attempt(rows, qualities, 1.0)
    every = np.ones(60, bool)
    for _ in range(2):  # nothing that is held has changed
        assert (there.lost(found, rows, every) == here.lost(expected, rows, every)).all()
        assert (there.cosines(found, rows) == here.cosines(expected, rows)).all()


def test_the_best_is_kept(usual: Pair) -> None:
    here, there = both(usual)
    for quality, where, rows in ((20, [0, 1, 2], [5, 6, 7]), (60, [1], [6])):
        at, kept = np.array([5, 6, 7]), (np.array(where), np.array(rows))
        here.keep(here.attempt(at, np.full(3, quality), 1.0), *kept)
        there.keep(there.attempt(at, np.full(3, quality), 1.0), *kept)
    assert (here.levels == there.levels.numpy().T).all()
    assert there.quality.tolist() == here.quality.tolist()


def test_few_rows_are_left_to_the_processor(usual: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """An attempt at them is not made; what it says keeps nothing."""
    monkeypatch.setattr(module, "_FEWEST", 10)
    _, there = both(usual)
    rows = np.arange(9)
    attempt = there.attempt(rows, np.full(9, 40), 1.0)
    assert np.isinf(there.lost(attempt, rows, np.ones(9, bool))).all()
    assert (there.cosines(attempt, rows) == -1).all()
    assert (there.sizes(attempt) > 0).all()
    there.keep(attempt, rows, rows)
    assert not there.levels.any()
    assert there.undone.tolist() == [True] * 9 + [False] * 51


def test_rows_that_overflow_are_left_to_the_processor(usual: Pair) -> None:
    x = usual.rows(6)
    x[2] = np.nan
    there = DeviceHeld(usual.device, x)
    attempt = there.attempt(np.arange(6), np.full(6, 40), 1.0)
    assert there.undone.tolist() == [False, False, True, False, False, False]
    lost = there.lost(attempt, np.arange(6), np.ones(6, bool))
    assert np.isfinite(np.delete(lost, 2)).all()
