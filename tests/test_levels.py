"""clipcodec.entropy.levels: literal bytes, round trips, one spelling, typed errors."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clipcodec.entropy.levels import MAX_LEVEL, LevelCoder, LevelTables
from clipcodec.errors import CorruptError, DecodeError, EmbeddingError, TruncatedError, WeightsError

# two rows for magnitudes 0, 1, 2 and the escape, one for flags; two bands
FREQUENCIES = [[32768, 16384, 8192, 8192], [16384, 32768, 8192, 8192], [32768, 32768, 0, 0]]
EXAMPLE = LevelTables(FREQUENCIES, [[0]], [[2, 2]], [0, 4, 6])
LEVELS = np.array([[1, 0, -2, 5, 0, 0]])
ONE = np.array([1])


def random_tables(seed: int, bands: list[int], alphabet: int, shared: bool) -> LevelTables:
    rng = np.random.default_rng(seed)
    share = rng.gamma(0.4, size=(6, alphabet)) + 1e-3
    share[4:, 2:] = 0  # flags
    rows = np.floor(65535 * share / share.sum(axis=1, keepdims=True)).astype(int)
    rows[:, 0] += 65536 - rows.sum(axis=1)
    groups = sum(-(-(b - a) // 16) for a, b in pairwise(bands))
    return LevelTables(
        rows,
        rng.integers(0, 3, (3, 1 if shared else bands[-1])),
        rng.integers(4, 6, (3, 2 if shared else 2 * groups)),
        bands,
    )


@st.composite
def messages(draw: st.DrawFn) -> tuple[LevelCoder, np.ndarray, np.ndarray, list[int]]:
    """Levels zero, sparse, dense or huge; one message, few, or enough for the batch path."""
    bands = draw(st.sampled_from([[0, 1], [0, 5], [0, 16, 17], [0, 3, 40], [0, 33, 66]]))
    tables = random_tables(
        draw(st.integers(0, 999)), bands, draw(st.sampled_from([4, 5, 20])), draw(st.booleans())
    )
    rng = np.random.default_rng(draw(st.integers(0, 9999)))
    count, scale = draw(st.sampled_from([1, 3, 60])), draw(st.sampled_from([0, 0.4, 1, 3, 1e4]))
    levels = np.rint(rng.normal(size=(count, bands[-1])) * scale).astype(np.int64)
    levels *= rng.random(levels.shape) < rng.random((count, 1))
    levels = levels.clip(-MAX_LEVEL, MAX_LEVEL)
    edge = draw(st.sampled_from([0, 1, 0xFFFF]))
    checks = [edge, *rng.integers(0, 1 << 16, count - 1).tolist()]
    return LevelCoder(tables), levels, rng.integers(1, 4, count), checks


@pytest.mark.parametrize(
    ("levels", "check", "body"),
    [
        ([1, 0, -2, 5, 0, 0], 0x1234, "b07c92f948"),
        ([0] * 6, 0xFFFF, "04ff7f02"),
        ([0, 0, 0, 0, -1, 3], 0, "1500200f"),
    ],
)
def test_literal_bodies(levels: list[int], check: int, body: str) -> None:
    coder = LevelCoder(EXAMPLE)
    assert coder.encode(np.array([levels]), ONE, [check])[0].hex() == body
    decoded, checks = coder.decode([bytes.fromhex(body)], ONE)
    assert decoded.tolist() == [levels]
    assert checks == [check]


@settings(max_examples=150)
@given(messages())
def test_round_trip_and_batch_equals_single(
    message: tuple[LevelCoder, np.ndarray, np.ndarray, list[int]],
) -> None:
    """Levels and check values come back; one at a time or many, the bytes are the same."""
    coder, levels, qualities, checks = message
    bodies = coder.encode(levels, qualities, checks)
    one = [slice(i, i + 1) for i in range(len(levels))]
    assert bodies == [coder.encode(levels[i], qualities[i], checks[i])[0] for i in one]
    decoded, got = coder.decode(bodies, qualities)
    assert (decoded == levels).all()
    assert got == checks
    for i in one:
        decoded, got = coder.decode(bodies[i], qualities[i])
        assert (decoded == levels[i]).all()
        assert got == checks[i]


@settings(max_examples=100)
@given(messages())
def test_information_is_the_length(
    message: tuple[LevelCoder, np.ndarray, np.ndarray, list[int]],
) -> None:
    """Within a bit beyond the seed of 24, eight signs among them; escapes and signs included."""
    coder, levels, qualities, _ = message
    bodies = coder.encode(levels, qualities, [0xFFFF] * len(levels))
    bits = np.array([math.log2(int.from_bytes(body, "little")) for body in bodies])
    signs = np.minimum((levels != 0).sum(axis=1), 8)
    assert np.abs(bits - 24 + signs - coder.tables.information(levels, qualities)).max() < 1


def test_zeros_cost_their_flags_alone() -> None:
    """However wide the groups are: two of them here, at a bit each."""
    nothing = np.zeros((1, 6), int)
    assert EXAMPLE.information(nothing, ONE).tolist() == pytest.approx([2], abs=1e-5)
    assert EXAMPLE.information(LEVELS, ONE)[0] == pytest.approx(
        2 + (2 + 1) + 2 + (3 + 1) + (3 + 1 + 4 + 1), abs=1e-4
    )


@settings(max_examples=400)
@given(st.binary(max_size=24), st.booleans())
def test_any_body_has_one_spelling(body: bytes, batch: bool) -> None:
    """Bytes that decode are exactly the bytes that encoding gives; others raise DecodeError."""
    coder, count = LevelCoder(EXAMPLE), 30 if batch else 1
    try:
        levels, checks = coder.decode([body] * count, np.ones(count, int))
    except DecodeError:
        return
    assert coder.encode(levels, np.ones(count, int), checks) == [body] * count


@pytest.mark.parametrize("batch", [1, 40])
def test_damage_is_refused_alone_and_among_many(batch: int) -> None:
    """Each cut, and each bit flipped, gives DecodeError, another message or another check."""
    coder, many = LevelCoder(EXAMPLE), np.ones(batch, int)
    good = coder.encode(LEVELS, ONE, [0xABCD])[0]
    flipped = [
        (int.from_bytes(good, "little") ^ 1 << i).to_bytes(len(good), "little")
        for i in range(8 * len(good))
    ]
    refused = 0
    for body in [good[:n] for n in range(len(good))] + flipped:
        try:
            levels, checks = coder.decode([good] * (batch - 1) + [body], many)
        except DecodeError:
            refused += 1
        else:
            assert (levels[-1].tolist(), checks[-1]) != (LEVELS[0].tolist(), 0xABCD)
            assert (levels[:-1] == LEVELS).all()
    assert refused > len(good)


@pytest.mark.parametrize("batch", [1, 40])
@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("", TruncatedError),
        ("aabb00", CorruptError),  # zero byte at the end
        ("ffff7f", CorruptError),  # the state becomes zero
        ("ff" * 9, CorruptError),
        ("01" * 60, CorruptError),  # longer than any
    ],
)
def test_damaged_bodies(body: str, error: type[DecodeError], batch: int) -> None:
    coder = LevelCoder(EXAMPLE)
    good = coder.encode(LEVELS, ONE, [1])
    with pytest.raises(error):
        coder.decode(good * (batch - 1) + [bytes.fromhex(body)], np.ones(batch, int))


def test_a_full_group_of_zeros_and_a_third_flag_are_damage() -> None:
    """What no encoder writes: built with tables that give those symbols nearly everything."""
    zeros = LevelTables([[65533, 1, 1, 1], [65533, 1, 1, 1], [1, 65535, 0, 0]], [[0]], [[2, 2]],
                        [0, 4])  # fmt: skip
    third = LevelTables([[65533, 1, 1, 1], [65533, 1, 1, 1], [0, 0, 65536, 0]], [[0]], [[2, 2]],
                        [0, 4])  # fmt: skip
    for tables, message in ((zeros, "holds only zeros"), (third, "neither 0 nor 1")):
        for count in (1, 30):
            with pytest.raises(CorruptError, match=message):
                LevelCoder(tables).decode([b"\x34\x12\x56"] * count, np.ones(count, int))


def test_levels_beyond_sixteen_bits_are_refused() -> None:
    coder = LevelCoder(EXAMPLE)
    edge = np.array([[MAX_LEVEL, -MAX_LEVEL, 0, 0, 0, 0]])
    assert (coder.decode(coder.encode(edge, ONE, [7]), ONE)[0] == edge).all()
    with pytest.raises(EmbeddingError, match="above 32767"):
        coder.encode(edge + 1, ONE, [7])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"frequencies": [[65536, 0, 0]] * 3}, "K >= 4"),
        ({"frequencies": [65536, 0, 0, 0]}, "K >= 4"),
        ({"frequencies": [[65537, -1, 0, 0]] * 3}, "K >= 4"),
        ({"frequencies": [[65535, 0, 0, 0]] * 3}, "sum to"),
        ({"class_of": [[0] * 5]}, "class_of has shape"),
        ({"class_of": [0]}, "class_of has shape"),
        ({"class_of": [[2]]}, "lies outside 0 … 2"),  # the row for Q1 would be the fourth
        ({"class_of": [[-1]]}, "lies outside"),
        ({"flag_of": [[2, 2, 2]]}, "flag_of has shape"),
        ({"flag_of": [[2, 2], [2, 2]]}, "flag_of has shape"),
        ({"flag_of": [[2, 3]]}, "lies outside"),
    ],
)
def test_tables_that_do_not_fit_are_refused(change: dict[str, Any], message: str) -> None:
    given = {"frequencies": FREQUENCIES, "class_of": [[0]], "flag_of": [[2, 2]], "bands": [0, 4, 6]}
    LevelTables(**given)
    with pytest.raises(WeightsError, match=message):
        LevelTables(**given | change)
