"""The compiled trellis: the paths, reconstructions and code lengths of the plain one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clipcodec.kinds.trellis import quantizer
from clipcodec.profile import registry
from tests.helpers.kinds import trellis
from tests.helpers.paths_of_loops import both, needs_numba, same

pytestmark = needs_numba

FARTHEST = 65542.0  # steps, beyond every level
REGISTERED = [row for row in registry.registered() if row.kind != "pqvae"]


@st.composite
def bands(draw: st.DrawFn) -> tuple[np.ndarray, ...]:
    """Arguments of `quantize`: ties, zeros, large values, free and priceless bits."""
    rng = np.random.default_rng(draw(st.integers(0, 9999)))
    n = draw(st.sampled_from([1, 3, 15, 16, 17, 32, 33, 70]))
    count, alphabet = draw(st.sampled_from([1, 2, 9])), draw(st.sampled_from([4, 5, 20]))
    values = rng.standard_normal((count, n)) * draw(st.sampled_from([0, 0.3, 1, 4, 50, 1e5]))
    values = np.rint(values * 2) / 2 if draw(st.booleans()) else values  # ties
    values *= rng.random(values.shape) < draw(st.sampled_from([0.1, 1]))
    rows = rng.integers(0, 5, (draw(st.sampled_from([1, count])), n))
    lengths = rng.integers(0, 24 << 12, (6, alphabet)) / 4096
    if draw(st.booleans()):  # as of real tables
        lengths = np.sort(np.rint(lengths), axis=1)
    flags = rng.integers(0, 12 << 12, (count, len(quantizer.groups(0, n)), 2, 2)) / 4096
    weight = rng.random(count) * draw(st.sampled_from([0, 0.1, 1, 20, 3.4e38]))
    return (
        values.clip(-FARTHEST, FARTHEST).astype(np.float32), rows, lengths.astype(np.float32),
        flags.astype(np.float32), weight.astype(np.float32),
    )  # fmt: skip


@given(bands())
@settings(max_examples=300)
def test_the_same_path_to_the_bit(band: tuple[np.ndarray, ...]) -> None:
    """Ties are broken alike, costs may be infinite, and a zero keeps the sign of its value."""
    with np.errstate(over="ignore"):
        (levels, grid), (found, reconstruction) = both(lambda: quantizer.quantize(*band))
    same(levels, found)
    same(grid, reconstruction)


def test_a_price_that_is_no_number_is_left_to_the_plain_path() -> None:
    """An infinite λ times no bits is NaN, which comparisons of the two paths treat differently."""
    values, bits = np.ones((1, 20), np.float32), np.zeros((2, 4), np.float32)
    flags, weight = np.zeros((1, 2, 2, 2), np.float32), np.full(1, np.inf, np.float32)
    rows = np.zeros((1, 20), np.int64)
    with np.errstate(invalid="ignore"):
        plain, quick = both(lambda: quantizer.quantize(values, rows, bits, flags, weight))
    same(plain[0], quick[0])


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
        for what in ("levels", "bits", "estimate", "latent", "error"):
            same(getattr(plain, what), getattr(quick, what))


@pytest.mark.skipif("NUMBA_BOUNDSCHECK" in os.environ, reason="this is the inner run")
def test_no_loop_of_the_encoder_reads_or_writes_outside_its_arrays(tmp_path: Path) -> None:
    """The tests of this room once more, compiled with checks of every index."""
    room = Path(__file__).parent
    files = [room / "test_trellis.py", room / "test_encoding.py"]
    checked = {"NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *map(str, files)],
        env={**os.environ, **checked}, cwd=room.parents[1], capture_output=True, text=True,
        timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:]
