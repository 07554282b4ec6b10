"""clipcodec.kinds.trellis: levels to payloads and back; literal bytes, one spelling, errors."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clipcodec.errors import CorruptError, DecodeError, EmbeddingError, TruncatedError, WeightsError
from clipcodec.kinds.trellis.coder import LevelCoder
from clipcodec.kinds.trellis.quantizer import NEXT
from clipcodec.kinds.trellis.tables import MAX_LEVEL, LevelTables

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
    bands = draw(st.sampled_from([[0, 1], [0, 5], [0, 16, 17], [0, 3, 20, 40], [0, 33, 66]]))
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


Entry = tuple[int, int]  # (left, width)


def plain(value: int, bits: int) -> Entry:
    return value << 24 - bits, 1 << 24 - bits


def entries(tables: LevelTables, levels: list[int], quality: int) -> tuple[list[Entry], list[int]]:
    """What a payload holds, in order of decoding; the seed's signs: section 4.2 of the text."""
    k, n, rows = tables.alphabet, len(levels), tables.frequencies.tolist()
    class_of, flag_of = tables.class_of[quality - 1], tables.flag_of[quality - 1]

    def symbol(t: int, s: int) -> Entry:
        left = (sum(rows[t][:s]) * (2**24 - k) >> 16) + s
        end = (sum(rows[t][: s + 1]) * (2**24 - k) >> 16) + s + 1 if s < k - 1 else 2**24
        return left, end - left

    found, full, group = [], 1, 0
    for start, end in tables.bands:
        state = 0
        for a in range(start, end, 16):
            b = min(a + 16, end)
            e, full = full, int(any(levels[a:b]))
            found.append(symbol(flag_of[2 * group + e], full))
            group += 1
            for i in range(a, b):
                m = min(abs(levels[i]), k - 1)
                if full:
                    found.append(symbol(class_of[i] + state % 2, m))
                if m == k - 1:
                    z = abs(levels[i]) - (k - 1) + 1
                    length = int(math.log2(z))
                    found += [plain(length, 4), plain(z - 2**length, length)]
                state = int(NEXT[state, levels[i] % 2])
    signs = [int(levels[i] < 0) for i in range(n) if levels[i]]
    for at in range(8, len(signs), 16):
        chunk = signs[at : at + 16]
        found.append(plain(sum(bit << j for j, bit in enumerate(chunk)), len(chunk)))
    return found, signs[:8]


def seed_of(check: int, signs: list[int]) -> int:
    return 256 * check + sum(bit << j for j, bit in enumerate(signs)) + 1


def written(found: list[Entry], x: int) -> bytes:
    """The payload of these entries, whatever they are: section 4.3 of the text."""
    words = []
    for left, width in reversed(found):
        if x >> 40 >= width:
            words.append(x & 0xFFFFFFFF)
            x >>= 32
        x = (x // width) * 2**24 + x % width + left
    words += [x & 0xFFFFFFFF, x >> 32]
    return b"".join(word.to_bytes(4, "little") for word in words).rstrip(b"\0")


@pytest.mark.parametrize(
    ("levels", "check", "payload"),
    [
        ([1, 0, -2, 5, 0, 0], 0x1234, "b07c92f948"),
        ([0] * 6, 0xFFFF, "04ff7f02"),
        ([0, 0, 0, 0, -1, 3], 0, "1500200f"),
    ],
)
def test_literal_payloads(levels: list[int], check: int, payload: str) -> None:
    coder = LevelCoder(EXAMPLE)
    assert coder.encode(np.array([levels]), ONE, [check])[0].hex() == payload
    decoded, checks = coder.decode([bytes.fromhex(payload)], ONE)
    assert decoded.tolist() == [levels]
    assert checks == [check]


@settings(max_examples=150)
@given(messages())
def test_round_trip_and_batch_equals_single(
    message: tuple[LevelCoder, np.ndarray, np.ndarray, list[int]],
) -> None:
    """Levels and check values come back; one at a time or many, the bytes are the same."""
    coder, levels, qualities, checks = message
    payloads = coder.encode(levels, qualities, checks)
    one = [slice(i, i + 1) for i in range(len(levels))]
    assert payloads == [coder.encode(levels[i], qualities[i], checks[i])[0] for i in one]
    decoded, got = coder.decode(payloads, qualities)
    assert (decoded == levels).all()
    assert got == checks
    for i in one:
        decoded, got = coder.decode(payloads[i], qualities[i])
        assert (decoded == levels[i]).all()
        assert got == checks[i]


@settings(max_examples=50)
@given(messages())
def test_bodies_are_what_the_text_says(
    message: tuple[LevelCoder, np.ndarray, np.ndarray, list[int]],
) -> None:
    coder, levels, qualities, checks = message
    for payload, row, quality, check in zip(
        coder.encode(levels, qualities, checks), levels.tolist(), qualities, checks, strict=True
    ):
        found, signs = entries(coder.tables, row, quality)
        assert payload == written(found, seed_of(check, signs))


def together(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on any number of messages is a batch, and none can go alone."""
    monkeypatch.setattr("clipcodec.kinds.trellis.coder._ENCODED", 1)
    monkeypatch.setattr("clipcodec.kinds.trellis.coder._DECODED", 1)
    monkeypatch.delattr(LevelCoder, "_encode_one")
    monkeypatch.delattr(LevelCoder, "_decode_one")


@pytest.mark.parametrize("nonzero", [0, 1, 7, 8, 9, 24, 25, 40, 41])
def test_many_without_escapes_go_together(monkeypatch: pytest.MonkeyPatch, nonzero: int) -> None:
    """All of them, both ways, whatever fills their seeds and chunks of signs; zeros are skipped."""
    coder = LevelCoder(random_tables(5, [0, 20, 41, 90], 5, False))
    rng = np.random.default_rng(nonzero)
    places = np.setdiff1d(np.arange(90), np.arange(20, 36))[: max(nonzero, 1)]  # a group for nobody
    levels = np.zeros((30, 90), np.int64)
    levels[:, places[:nonzero]] = rng.choice([-3, -2, -1, 1, 2, 3], (30, nonzero))
    levels[:2] = 0  # and two messages of zeros
    qualities, checks = rng.integers(1, 4, 30), [0, 0xFFFF, *rng.integers(0, 1 << 16, 28).tolist()]
    singles = [coder.encode(levels[[i]], qualities[[i]], [checks[i]])[0] for i in range(30)]
    together(monkeypatch)
    assert coder.encode(levels, qualities, checks) == singles
    decoded, found = coder.decode(singles, qualities)
    assert (decoded == levels).all()
    assert found == checks


def test_symbols_of_one_quantile(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the tables call impossible takes 24 bits, and drives the state to its very edges.

    A seed of 2^16 … 2^17 is 2^40 … 2^41 after one of them: just enough to put out a word.
    """
    tables = LevelTables([[32768, 32768, 0, 0]] * 3, [[0]], [[2, 2]], [0, 4, 6])
    coder = LevelCoder(tables)
    rows = [[0, 0, 0, 0, 2, 2], [1, -2, 2, 0, 0, 0], [0, 0, 0, 1, 0, -2], [2, 2, -2, 2, 2, 2]]
    levels, checks = np.array(rows * 10), [0x100 + 6 * i for i in range(40)]
    many = np.ones(40, int)
    payloads = []
    for row, check in zip(levels.tolist(), checks, strict=True):
        found, signs = entries(tables, row, 1)
        payloads.append(written(found, seed_of(check, signs)))
    one = [coder.encode(levels[[i]], ONE, [checks[i]])[0] for i in range(40)]
    assert one == payloads
    assert [coder.decode([payload], ONE)[0].tolist() for payload in payloads] == [
        [r] for r in rows * 10
    ]
    together(monkeypatch)
    assert coder.encode(levels, many, checks) == payloads
    assert coder.decode(payloads, many)[0].tolist() == rows * 10


def test_no_messages_are_no_bodies() -> None:
    coder, none = LevelCoder(EXAMPLE), np.zeros((0, 6), np.int64)
    assert coder.encode(none, ONE[:0], []) == []
    levels, checks = coder.decode([], ONE[:0])
    assert (levels.shape, checks) == ((0, 6), [])
    assert levels.dtype == np.int64
    assert EXAMPLE.information(none, ONE[:0]).tolist() == []


def test_tables_of_small_integers_are_the_same_tables() -> None:
    """Profile files hold 16-bit words; none of the arithmetic may stay in them."""
    small = [np.array(a, np.uint16) for a in (FREQUENCIES, [[0]], [[2, 2]])]
    tables = LevelTables(small[0], small[1], small[2], [0, 4, 6])
    for array in (tables.frequencies, tables.class_of, tables.flag_of):
        assert array.dtype == np.int64
    assert LevelCoder(tables).encode(LEVELS, ONE, [0x1234])[0].hex() == "b07c92f948"
    assert tables.information(LEVELS, ONE) == EXAMPLE.information(LEVELS, ONE)


@settings(max_examples=100)
@given(messages())
def test_information_is_the_length(
    message: tuple[LevelCoder, np.ndarray, np.ndarray, list[int]],
) -> None:
    """Within a bit beyond the seed of 24, eight signs among them; escapes and signs included."""
    coder, levels, qualities, _ = message
    payloads = coder.encode(levels, qualities, [0xFFFF] * len(levels))
    bits = np.array([math.log2(int.from_bytes(payload, "little")) for payload in payloads])
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
def test_any_payload_has_one_spelling(payload: bytes, batch: bool) -> None:
    """Bytes that decode are exactly the bytes that encoding gives; others raise DecodeError."""
    coder, count = LevelCoder(EXAMPLE), 30 if batch else 1
    try:
        levels, checks = coder.decode([payload] * count, np.ones(count, int))
    except DecodeError:
        return
    assert coder.encode(levels, np.ones(count, int), checks) == [payload] * count


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
    for payload in [good[:n] for n in range(len(good))] + flipped:
        try:
            levels, checks = coder.decode([good] * (batch - 1) + [payload], many)
        except DecodeError:
            refused += 1
        else:
            assert (levels[-1].tolist(), checks[-1]) != (LEVELS[0].tolist(), 0xABCD)
            assert (levels[:-1] == LEVELS).all()
    assert refused > len(good)


NO_CHECK = "rANS state does not end in a check value: damaged"
OUT_OF_RANGE = "a level or its sign is out of range: damaged"


@pytest.mark.parametrize("batch", [1, 40])
@pytest.mark.parametrize(
    ("payload", "error", "message"),
    [
        ("", TruncatedError, "ends after its header"),
        ("aabb00", CorruptError, "rANS payload ends with a zero byte, which is never written"),
        ("ffff7f", CorruptError, "a group is said to hold levels but has only zeros: damaged"),
        ("ff" * 9, CorruptError, "a flag is neither 0 nor 1: damaged"),
        ("01" * 56, CorruptError, NO_CHECK),
        ("01" * 57, CorruptError, "rANS payload of 57 bytes: at most 56 exist"),
    ],
)
def test_damaged_payloads(payload: str, error: type[DecodeError], message: str, batch: int) -> None:
    coder = LevelCoder(EXAMPLE)
    good = coder.encode(LEVELS, ONE, [1])
    with pytest.raises(error) as caught:
        coder.decode(good * (batch - 1) + [bytes.fromhex(payload)], np.ones(batch, int))
    assert (caught.value.reason, caught.value.rows) == (message, (batch - 1,))


@pytest.mark.parametrize("batch", [1, 40])
def test_what_no_encoder_writes(batch: int) -> None:
    """Each rule of section 5 of the text, broken alone, by one message and by one among many."""
    coder = LevelCoder(EXAMPLE)
    found, _ = entries(EXAMPLE, [1, 0, -2, 1, 0, 0], 1)
    flag, second = found[0], found[-1]
    nothing, _ = entries(EXAMPLE, [0] * 6, 1)
    third = (int(EXAMPLE.left[2, 2]), int(EXAMPLE.width[2, 2]))
    zeros = [(int(EXAMPLE.left[0, 0]), int(EXAMPLE.width[0, 0]))] * 4
    huge = [*entries(EXAMPLE, [MAX_LEVEL, 0, 0, 0, 0, 0], 1)[0]]
    assert huge[2:4] == [plain(14, 4), plain(MAX_LEVEL - 2 - (1 << 14), 14)]
    over = [*huge[:3], plain(MAX_LEVEL - 1 - (1 << 14), 14), *huge[4:]]
    cases = [
        ([third, *found[1:]], 1, "a flag is neither 0 nor 1: damaged"),
        ([*found[:-1], third], 1, "a flag is neither 0 nor 1: damaged"),
        ([flag, *zeros, second], 1, "a group is said to hold levels but has only zeros: damaged"),
        (over, 1, OUT_OF_RANGE),
        (over, 2, OUT_OF_RANGE),
        (found, 1 + (1 << 3), OUT_OF_RANGE),  # a sign for a fourth level of three
        (nothing, 2, OUT_OF_RANGE),
        (found, 1 + (1 << 24), NO_CHECK),
        (nothing, 1 + (1 << 24), NO_CHECK),
        (found, 0, NO_CHECK),
        (found, 1 << 33, NO_CHECK),  # a word left over
    ]
    good = coder.encode(np.array([[1, 0, -2, 1, 0, 0]]), ONE, [7])
    many = np.ones(batch, int)
    for fine, seed in ((found, 0xFFFF08), (huge, 1), (huge, 2), (nothing, 1), (nothing, 0xFFFF01)):
        coder.decode(good * (batch - 1) + [written(fine, seed)], many)
    for wrong, seed, message in cases:
        with pytest.raises(CorruptError) as caught:
            coder.decode(good * (batch - 1) + [written(wrong, seed)], many)
        assert (caught.value.reason, caught.value.rows) == (message, (batch - 1,))


@pytest.mark.parametrize("sign", [0, 1])
def test_magnitudes_end_where_packing_does(sign: int) -> None:
    """±32767 for a level whose sign is outside the seed, too."""
    tables = LevelTables(FREQUENCIES, [[0]], [[2, 2]], [0, 9])
    levels = [1] * 8 + [MAX_LEVEL * (1 - 2 * sign)]
    found, signs = entries(tables, levels, 1)
    assert found[-3:] == [plain(14, 4), plain(MAX_LEVEL - 2 - (1 << 14), 14), plain(sign, 1)]
    coder = LevelCoder(tables)
    assert coder.decode([written(found, seed_of(7, signs))], ONE)[0].tolist() == [levels]
    found[-2] = plain(MAX_LEVEL - 1 - (1 << 14), 14)
    with pytest.raises(CorruptError, match=OUT_OF_RANGE):
        coder.decode([written(found, seed_of(7, signs))], ONE)


def test_long_signs_of_others_hide_no_damage() -> None:
    """A message without signs, its state out of range, among messages with four chunks of them."""
    tables = LevelTables(FREQUENCIES, [[0]], [[2, 2]], [0, 60])
    coder, many = LevelCoder(tables), np.ones(30, int)
    good = coder.encode(np.ones((29, 60), int), many[:29], [7] * 29)
    zeros, _ = entries(tables, [0] * 60, 1)
    assert coder.decode([*good, written(zeros, seed_of(5, []))], many)[1][-1] == 5
    with pytest.raises(CorruptError, match=NO_CHECK):
        coder.decode([*good, written(zeros, (1 << 24) + seed_of(5, []))], many)


def test_levels_beyond_sixteen_bits_are_refused() -> None:
    coder = LevelCoder(EXAMPLE)
    edge = np.array([[MAX_LEVEL, -MAX_LEVEL, 0, 0, 0, 0]])
    assert (coder.decode(coder.encode(edge, ONE, [7]), ONE)[0] == edge).all()
    with pytest.raises(EmbeddingError, match="a level above 32767"):
        coder.encode(edge + 1, ONE, [7])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"frequencies": [[65536, 0, 0]] * 3},
            r"^frequencies of levels: expected \(R, K\) with K >= 4",
        ),
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
    given: dict[str, Any] = {
        "frequencies": FREQUENCIES, "class_of": [[0]], "flag_of": [[2, 2]], "bands": [0, 4, 6]
    }  # fmt: skip
    LevelTables(**given)
    LevelTables(**given | {"class_of": [[1]]})  # the last row but one
    with pytest.raises(WeightsError, match=message):
        LevelTables(**given | change)
