"""clipcodec.kinds.trellis.quantizer: the best path, found and followed back."""

from __future__ import annotations

from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clipcodec.kinds.trellis import quantizer as trellis

NEXT = [[0, 1], [3, 2], [5, 4], [6, 7], [1, 0], [2, 3], [4, 5], [7, 6]]
BAND = [(0, 6)]


def prices(seed: int, alphabet: int, rows: int = 6) -> np.ndarray:
    """Code lengths (R, K) that rise along each row."""
    rng = np.random.default_rng(seed)
    lengths = rng.uniform(0.3, 1.5, (rows, 1)) + rng.uniform(0.4, 2.0, (rows, 1)) * np.arange(
        alphabet
    )
    return lengths.astype(np.float32)


def cost(
    levels: np.ndarray,
    values: np.ndarray,
    rows: np.ndarray,
    bits: np.ndarray,
    flags: np.ndarray,
    weight: float,
) -> np.ndarray:
    """(S,) what S sequences of levels (S, n) cost one message, by the definition."""
    count, n = levels.shape
    state, full = np.zeros(count, int), np.ones(count, int)
    total = np.zeros(count)
    for group, start in enumerate(range(0, n, 16)):
        end = min(start + 16, n)
        now = levels[:, start:end].any(axis=1).astype(int)
        total += weight * flags[group, full, now]
        full = now
        for i in range(start, end):
            level, odd = levels[:, i], state & 1
            grid = 2 * level - np.sign(level) * odd
            total += (values[i] - grid) ** 2
            total += weight * np.where(full, bits[rows[i] + odd, np.abs(level)], 0)
            state = np.array(NEXT)[state, level & 1]
    return total


def test_the_trellis_is_the_formats() -> None:
    """Two ways out of each state, two into it; four zeros lead from any state back to it."""
    assert trellis.NEXT.tolist() == NEXT
    assert sorted(t for pair in NEXT for t in pair) == sorted([*range(8), *range(8)])
    for start in range(8):
        state = start
        for _ in range(4):
            state = NEXT[state][0]
        assert state == start


def test_literal_paths() -> None:
    """Even levels keep to Q0, odd ones go round; a new band begins with Q0."""
    levels = np.array([[2, -4, 0, 6, 0, 8], [1, 1, -1, 2, 0, -3], [1, 0, 0, 0, 0, 0]])
    assert trellis.odd(levels, BAND).tolist() == [
        [0, 0, 0, 0, 0, 0],
        [0, 1, 0, 0, 1, 1],
        [0, 1, 1, 0, 0, 1],
    ]
    assert trellis.dequantize(levels, BAND).tolist() == [
        [4, -8, 0, 12, 0, 16],
        [2, 1, -2, 4, 0, -5],
        [2, 0, 0, 0, 0, 0],
    ]
    assert trellis.odd(levels[1:2], [(0, 2), (2, 6)]).tolist() == [[0, 1, 0, 1, 1, 0]]
    assert trellis.dequantize(levels[1:2], [(0, 2), (2, 6)]).tolist() == [[2, 1, -2, 3, 0, -6]]


@given(st.lists(st.integers(-(2**15) + 1, 2**15 - 1), min_size=1, max_size=70), st.integers(0, 69))
def test_the_quantiser_is_the_lowest_bit_of_the_state(row: list[int], cut: int) -> None:
    """Running sums of parities find what walking through NEXT finds, in every band."""
    bands = [(0, cut), (cut, len(row))] if 0 < cut < len(row) else [(0, len(row))]
    expected = []
    for start, end in bands:
        state = 0
        for level in row[start:end]:
            expected.append(state & 1)
            state = NEXT[state][level & 1]
    assert trellis.odd(np.array([row, row]), bands).tolist() == [expected, expected]


def test_groups_are_of_sixteen_and_never_cross_a_band() -> None:
    assert trellis.groups(3, 40) == [(3, 19), (19, 35), (35, 40)]
    assert trellis.groups(0, 16) == [(0, 16)]
    assert trellis.groups(7, 8) == [(7, 8)]


@pytest.mark.parametrize("seed", range(30))
def test_the_path_is_the_cheapest_of_all(seed: int) -> None:
    """Against every sequence of levels of up to five values, magnitudes up to 4."""
    rng = np.random.default_rng(seed)
    n, bits = 1 + seed % 5, prices(seed, alphabet=5)
    values = rng.normal(scale=rng.choice([0.7, 2, 4]), size=(3, n)).clip(-6, 6).astype(np.float32)
    rows = rng.integers(0, 5, (3, n))
    flags = np.stack([rng.uniform(0.2, 1.5, (3, 1, 2)), rng.uniform(1, 3, (3, 1, 2))], axis=3)
    weight = rng.uniform(0.1, 0.8, 3).astype(np.float32)
    levels, _ = trellis.quantize(values, rows, bits, flags.astype(np.float32), weight)
    every = np.array(list(product(range(5), repeat=n)))
    for i in range(3):
        given = values[i], rows[i], bits, flags[i], weight[i]
        best = cost(every * np.where(values[i] < 0, -1, 1), *given).min()
        assert cost(levels[i : i + 1], *given)[0] == pytest.approx(best, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize(
    ("first", "second", "full"), [(0.2, 0.2, "00"), (1.4, 0.2, "10"), (0.2, 1.9, "01"),
                                  (1.4, 1.9, "11")],
)  # fmt: skip
def test_groups_are_left_out_where_that_is_cheapest(first: float, second: float, full: str) -> None:
    """Against every sequence of zeros and ones of 18 values, so of two groups."""
    rng = np.random.default_rng(5)
    values = (rng.choice([-1, 1], 18) * rng.uniform(0.8, 1, 18)).astype(np.float32)
    values *= np.repeat([first, second], [16, 2]).astype(np.float32)
    bits = np.array([[0.7, 2, 999, 999], [0.5, 2.5, 999, 999]], np.float32)
    flags = np.tile(np.array([0.5, 1.8], np.float32), (2, 2, 1))
    levels, _ = trellis.quantize(
        values[None], np.zeros((1, 18), int), bits, flags[None], np.array([0.4], np.float32)
    )
    every = (np.arange(1 << 18)[:, None] >> np.arange(18) & 1).astype(np.int8).astype(int)
    given = values, np.zeros(18, int), bits, flags, 0.4
    best = cost(every * np.where(values < 0, -1, 1), *given).min()
    assert cost(levels, *given)[0] == pytest.approx(best, rel=1e-5)
    assert [bool(levels[0, :16].any()), bool(levels[0, 16:].any())] == [c == "1" for c in full]


@settings(max_examples=60)
@given(st.integers(0, 9999), st.sampled_from([1, 4, 16, 17, 50]), st.sampled_from([0.3, 3, 1e4]))
def test_never_worse_than_zeros_or_plain_rounding_towards_them(
    seed: int, n: int, scale: float
) -> None:
    """Many messages with rows of their own; what is returned is what decoding gives."""
    rng = np.random.default_rng(seed)
    values = (scale * rng.normal(size=(5, n))).astype(np.float32)
    rows, bits = rng.integers(0, 5, (5, n)), prices(seed, alphabet=8)
    groups = len(trellis.groups(0, n))
    flags = np.broadcast_to(np.array([0.4, 2.0], np.float32), (5, groups, 2, 2))
    weight = rng.uniform(0, 1, 5).astype(np.float32)
    levels, grid = trellis.quantize(values, rows, bits, flags, weight)
    assert (grid == trellis.dequantize(levels, [(0, n)])).all()
    # beyond the table every magnitude has the price of the last
    wide = np.pad(bits, ((0, 0), (0, max(np.abs(levels).max(), 8))), mode="edge")
    towards = 2 * np.trunc(values / 4).astype(int)  # even levels: the state is 0 throughout
    wide = np.pad(wide, ((0, 0), (0, np.abs(towards).max())), mode="edge")
    for i in range(5):
        given = values[i].astype(np.float64), rows[i], wide, flags[i], weight[i]
        chosen, *others = cost(np.stack([levels[i], np.zeros(n, int), towards[i]]), *given)
        assert all(chosen <= other * (1 + 1e-5) + 1e-3 for other in others)


def test_shared_rows_and_bands_of_their_own() -> None:
    """Rows (1, n) serve all messages; bands quantised apart are decoded apart."""
    rng = np.random.default_rng(1)
    values, bits = rng.normal(scale=3, size=(4, 37)).astype(np.float32), prices(0, alphabet=8)
    rows, bounds = rng.integers(0, 5, (1, 37)), [0, 5, 37]
    parts = [
        trellis.quantize(
            values[:, a:b], rows[:, a:b], bits,
            np.ones((4, len(trellis.groups(a, b)), 2, 2), np.float32), np.ones(4, np.float32),
        )
        for a, b in pairwise(bounds)
    ]  # fmt: skip
    levels, grid = (np.concatenate(part, axis=1) for part in zip(*parts, strict=True))
    assert (trellis.dequantize(levels, list(pairwise(bounds))) == grid).all()
    assert np.abs(levels).max() > 1
    alike = trellis.quantize(
        values[:, 5:], np.tile(rows[:, 5:], (4, 1)), bits, np.ones((4, 2, 2, 2), np.float32),
        np.ones(4, np.float32),
    )  # fmt: skip
    assert (alike[0] == parts[1][0]).all()
