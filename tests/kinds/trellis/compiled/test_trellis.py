"""The compiled trellis: the paths, reconstructions and code lengths of the plain one."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clipcodec import EmbeddingError
from clipcodec.kinds.trellis import quantizer
from clipcodec.kinds.trellis.engine import Engine, Transform
from clipcodec.kinds.trellis.tables import LevelTables
from clipcodec.profile import registry
from tests.helpers.kinds import trellis
from tests.helpers.paths_of_loops import both, needs_numba, same

pytestmark = needs_numba

REGISTERED = [row for row in registry.registered() if row.kind != "pqvae"]
RESULTS = ("levels", "bits", "estimate", "latent", "error")


class Nothing:
    """A transform that neither predicts nor restores."""

    def predict(self, estimate: np.ndarray, band: int, qualities: np.ndarray) -> None: ...
    def restore(self, estimate: np.ndarray, qualities: np.ndarray) -> None: ...


def tables(rng: np.random.Generator, bands: list[int], alphabet: int, ties: bool) -> LevelTables:
    """Random ones for two qualities; ties: all levels cost the same."""
    share = rng.gamma(0.4, size=(6, alphabet)) + (1e9 if ties else 1e-3)
    rows = np.floor(65535 * share / share.sum(axis=1, keepdims=True)).astype(int)
    rows[:, 0] += 65536 - rows.sum(axis=1)
    groups = sum(len(quantizer.groups(a, b)) for a, b in pairwise(bands))
    return LevelTables(
        rows, rng.integers(0, 5, (2, bands[-1])), rng.integers(0, 6, (2, 2 * groups)), bands
    )


@st.composite
def attempts(draw: st.DrawFn) -> tuple[Engine, np.ndarray, np.ndarray, float]:
    """Ties, zeros, escapes, values beyond every level, bits that cost nothing or too much."""
    rng = np.random.default_rng(draw(st.integers(0, 9999)))
    bands = draw(
        st.sampled_from(
            [[0, 1], [0, 3, 4], [0, 15], [0, 16], [0, 17, 34], [0, 32], [0, 33], [0, 70, 86, 90]]
        )
    )
    made = tables(rng, bands, draw(st.sampled_from([4, 5, 20])), draw(st.booleans()))
    steps = draw(st.sampled_from([[1.0, 0.5], [0.3, 1e-3]]))
    weights = [draw(st.sampled_from([1e-9, 0.125, 1, 20, 3e38])) for _ in steps]
    engine = Engine(
        cast(Transform, Nothing()), made, np.array(steps, np.float32), np.array(weights, np.float32)
    )
    count = draw(st.sampled_from([1, 2, 9]))
    y = rng.standard_normal((count, bands[-1])) * draw(st.sampled_from([0, 0.3, 1, 4, 50, 1e5]))
    y = np.rint(y * 2) / 2 if draw(st.booleans()) else y
    y *= rng.random(y.shape) < draw(st.sampled_from([0.05, 0.3, 1]))
    factor = draw(st.sampled_from([0.0, 0.25, 1.0]))
    return engine, y.astype(np.float32), rng.integers(1, 3, count), factor


@given(attempts())
@settings(max_examples=400)
def test_the_same_attempts_to_the_bit(drawn: tuple[Engine, np.ndarray, np.ndarray, float]) -> None:
    """Ties are broken alike, costs may be infinite, and a zero keeps the sign of its value."""
    with np.errstate(all="ignore"):
        plain, quick = both(lambda: drawn[0].attempt(*drawn[1:]))
    for what in RESULTS:
        same(getattr(plain, what), getattr(quick, what))


@pytest.mark.parametrize("value", [np.nan, 1e30])
def test_the_same_rows_are_refused(value: float) -> None:
    """A coefficient that is no number, or whose error is beyond float32."""
    engine = trellis(registry.by_name("any/rotation")).engine(24)
    y = np.random.default_rng(0).normal(size=(6, 24)).astype(np.float32)
    y[[1, 4], 3] = value

    def refused() -> tuple[int, ...]:
        with np.errstate(all="ignore"), pytest.raises(EmbeddingError, match="overflow") as caught:
            engine.attempt(y, np.full(6, 50))
        return caught.value.rows

    assert both(refused) == ((1, 4), (1, 4))


def test_a_price_that_is_no_number_is_left_to_the_plain_path() -> None:
    """An infinite λ times no bits is NaN, of which comparisons make what they like."""
    engine = trellis(registry.by_name("any/rotation")).engine(24)
    y = np.random.default_rng(0).normal(size=(2, 24)).astype(np.float32)
    with np.errstate(all="ignore"):
        plain, quick = both(lambda: engine.attempt(y, np.full(2, 50), math.inf))
    same(plain.levels, quick.levels)


@pytest.mark.parametrize("name", [row.name for row in REGISTERED])
def test_the_same_attempts_with_every_shipped_profile(name: str) -> None:
    """Random coefficients of the profile's own scale, at all sorts of qualities and λ."""
    kind = trellis(registry.by_name(name))
    engine = kind.engine(registry.by_name(name).dim or 200)
    rng = np.random.default_rng(5)
    for count in (1, 23):
        y = rng.standard_normal((count, engine.tables.count), np.float32) * engine.transform.scale
        qualities = rng.integers(1, kind.qualities + 1, count)
        factors = np.exp(rng.standard_normal(count)).astype(np.float32)
        plain, quick = both(lambda: engine.attempt(y, qualities, factors))  # noqa: B023
        for what in RESULTS:
            same(getattr(plain, what), getattr(quick, what))
