"""clipcodec.kinds.trellis.engine: rows that a profile's numbers cannot hold are named."""

from __future__ import annotations

import numpy as np
import pytest

from clipcodec import EmbeddingError
from clipcodec.kinds.trellis.aim import Aim
from clipcodec.profile import registry
from tests.helpers.kinds import trellis

DIM = 24


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),  # no level at all
        1e30,  # a level that the coder refuses, but whose error is beyond float32
    ],
)
def test_rows_that_overflow_are_named(value: float) -> None:
    engine = trellis(registry.by_name("any/rotation")).engine(DIM)
    y = np.random.default_rng(0).normal(size=(6, DIM)).astype(np.float32)
    y[[1, 4], 3] = value
    with np.errstate(all="ignore"), pytest.raises(EmbeddingError, match="overflow") as caught:
        engine.attempt(y, np.full(6, 50))
    assert caught.value.rows == (1, 4)


def test_an_attempt_is_what_is_decoded() -> None:
    """Its latent is that of its levels, and its bits are their ideal code length."""
    engine = trellis(registry.by_name("any/rotation")).engine(DIM)
    y = np.random.default_rng(1).normal(size=(5, DIM)).astype(np.float32)
    qualities = np.array([1, 30, 60, 90, 100])
    attempt = engine.attempt(y, qualities)
    assert np.allclose(engine.latent(attempt.levels, qualities), attempt.latent, atol=1e-6)
    assert np.allclose(engine.tables.information(attempt.levels, qualities), attempt.bits)
    assert np.allclose(((y - attempt.latent) ** 2).sum(axis=1), attempt.error, rtol=1e-4)
    assert (np.diff(attempt.error) < 0).all()


def test_an_aimed_attempt_comes_nearer_to_its_room() -> None:
    """λ is changed until the bits are right; rows of infinite room are as without an aim."""
    engine = trellis(registry.by_name("any/rotation")).engine(DIM)
    y = np.random.default_rng(2).normal(size=(60, DIM)).astype(np.float32)
    qualities = np.full(60, 50)
    free = engine.attempt(y, qualities)
    for factor in (0.93, 1.07):
        room = factor * free.bits
        room[30:] = np.inf
        aimed = engine.attempt(y, qualities, 1.0, Aim(room, np.zeros((60, 2))))
        assert (aimed.levels[30:] == free.levels[30:]).all()
        miss, before = (np.abs(a.bits - room)[:30] for a in (aimed, free))
        assert miss.mean() < 0.85 * before.mean()
        assert (aimed.bits <= room).mean() >= (free.bits <= room).mean()
        assert np.allclose(engine.tables.information(aimed.levels, qualities), aimed.bits)


def test_a_part_of_an_attempt_is_the_same_as_in_the_whole() -> None:
    engine = trellis(registry.by_name("any/rotation")).engine(DIM)
    y = np.random.default_rng(3).normal(size=(6, DIM)).astype(np.float32)
    attempt = engine.attempt(y, np.full(6, 40))
    part = attempt.part(np.array([4, 1]))
    assert (part.latent == attempt.latent[[4, 1]]).all()
    assert (part.error == attempt.error[[4, 1]]).all()
