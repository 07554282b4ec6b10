"""clipcodec.kinds.trellis.engine: rows that a profile's numbers cannot hold are named."""

from __future__ import annotations

import numpy as np
import pytest

from clipcodec import EmbeddingError
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
