"""clipcodec.entropy: literal bytes, round trips, one spelling, typed errors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clipcodec.entropy import FrequencyTables, RansCoder, RawCoder, coders
from clipcodec.entropy.tables import MAX_CODE_LENGTH
from clipcodec.errors import CorruptError, DecodeError, TruncatedError, WeightsError

# the made-up profile of formats/clipcodec-1.md
EXAMPLE = FrequencyTables([[32768, 16384, 16384]], [[1, 2, 2]], [0] * 7)
SYMBOLS = np.array([[0, 2, 1, 0, 0, 1, 2]])


def random_tables(seed: int, size: int, alphabet: int, tables: int) -> FrequencyTables:
    rng = np.random.default_rng(seed)
    counts = rng.gamma(0.3, size=(tables, alphabet)) * 1000
    return FrequencyTables.from_counts(counts, rng.integers(0, tables, size))


@st.composite
def messages(draw: st.DrawFn) -> tuple[FrequencyTables, np.ndarray, list[int]]:
    tables = random_tables(
        draw(st.integers(0, 999)),
        draw(st.integers(1, 40)),
        draw(st.sampled_from([2, 3, 4, 7, 64])),
        draw(st.integers(1, 3)),
    )
    count = draw(st.sampled_from([1, 2, 40]))
    seed = draw(st.integers(0, 999))
    rng = np.random.default_rng(seed)
    symbols = rng.integers(0, tables.alphabet, (count, tables.size))
    edge = st.sampled_from([0, 1, 0xFFFE, 0xFFFF])
    first = draw(st.one_of(edge, st.integers(0, 0xFFFF)))
    return tables, symbols, [first, *rng.integers(0, 1 << 16, count - 1).tolist()]


@pytest.mark.parametrize(
    ("name", "check", "body"),
    [("raw", 0x932B, "2418932b"), ("huffman", 0xD048, "7160d048"), ("rans", 0x15ED, "4ed05401")],
)
def test_literal_bodies(name: str, check: int, body: str) -> None:
    """The worked examples of the format's text."""
    coder = coders(EXAMPLE)[name]
    assert coder.encode(SYMBOLS, [check])[0].hex() == body
    symbols, checks = coder.decode([bytes.fromhex(body)])
    assert symbols.tolist() == SYMBOLS.tolist()
    assert checks == [check]


@settings(max_examples=150, deadline=None)
@given(messages())
def test_round_trip_and_batch_equals_single(
    message: tuple[FrequencyTables, np.ndarray, list[int]],
) -> None:
    """Symbols and check values come back; one at a time or many, the bytes are the same."""
    tables, symbols, checks = message
    for coder in coders(tables).values():
        bodies = coder.encode(symbols, checks)
        singles = [
            coder.encode(symbols[i : i + 1], checks[i : i + 1])[0] for i in range(len(checks))
        ]
        assert bodies == singles
        for got, got_checks in (coder.decode(bodies), _decode_singly(coder, bodies)):
            assert (got == symbols).all()
            assert got_checks == checks


def _decode_singly(coder, bodies):  # type: ignore[no-untyped-def]
    parts = [coder.decode([body]) for body in bodies]
    return np.concatenate([s for s, _ in parts]), [c for _, cs in parts for c in cs]


@settings(max_examples=300, deadline=None)
@given(st.data(), st.sampled_from(["raw", "huffman", "rans"]), st.booleans())
def test_any_body_has_one_spelling(data: st.DataObject, name: str, batch: bool) -> None:
    """Bytes that decode are exactly the bytes that encoding gives; others raise DecodeError."""
    coder = coders(EXAMPLE)[name]
    body = data.draw(st.binary(max_size=14 if name == "rans" else 6))
    try:
        symbols, checks = coder.decode([body] * (20 if batch else 1))
    except DecodeError:
        return
    assert coder.encode(symbols, checks)[0] == body


def test_rans_never_exceeds_its_promise() -> None:
    """Half a byte beyond information and check value on average, about one at most."""
    rng = np.random.default_rng(2)
    tables = FrequencyTables.from_counts(rng.gamma(50, size=(200, 4)), np.arange(200))
    share = tables.frequencies / 65536
    symbols = np.stack([rng.choice(4, 500, p=share[t]) for t in tables.table_of], axis=1)
    bodies = RansCoder(tables).encode(symbols, [0xFFFF] * 500)
    excess = np.array([len(b) for b in bodies]) - tables.information(symbols) / 8 - 2
    assert excess.max() < 1.1
    assert 0.4 < excess.mean() < 0.55


def test_rans_models_are_the_integers_of_the_format() -> None:
    """constriction's quantisation of our tables is the formula that the format states."""
    import constriction

    tables = random_tables(3, 2, 64, 1)
    coder = RansCoder(tables)
    for symbol in range(64):
        # from a state of exactly `width`, one symbol leads to 2**24 + left
        width, left = int(coder.width[0, symbol]), int(coder.left[0, symbol])
        ans = constriction.stream.stack.AnsCoder(np.array([width], np.uint32))
        ans.encode_reverse(symbol, coder._models[0])
        assert ans.get_compressed().tolist() == [(1 << 24) + left]


@pytest.mark.parametrize("batch", [1, 20])
@pytest.mark.parametrize(
    ("name", "body", "error"),
    [
        ("raw", "", TruncatedError),
        ("raw", "24932b", TruncatedError),
        ("raw", "241800932b", CorruptError),
        ("raw", "2419932b", CorruptError),  # padding
        ("raw", "3418932b", CorruptError),  # symbol 3 of 3
        ("huffman", "d0", TruncatedError),
        ("huffman", "d048", TruncatedError),
        ("huffman", "ffd048", TruncatedError),
        ("huffman", "7161d048", CorruptError),  # padding
        ("huffman", "716000d048", CorruptError),
        ("huffman", "00" * 40 + "d048", CorruptError),
        ("rans", "", TruncatedError),
        ("rans", "4ed0540100", CorruptError),  # zero byte at the end
        ("rans", "ffffffff", CorruptError),  # no check value
        ("rans", "01" * 50, CorruptError),
        ("rans", "0000000001", CorruptError),  # words left over
    ],
)
def test_damaged_bodies(name: str, body: str, error: type[DecodeError], batch: int) -> None:
    """Each kind of damage raises its class, alone or among many."""
    coder = coders(EXAMPLE)[name]
    good = coder.encode(SYMBOLS, [1])
    with pytest.raises(error):
        coder.decode(good * (batch - 1) + [bytes.fromhex(body)])


def test_lengths_are_optimal_and_limited() -> None:
    """Huffman lengths cost at most the entropy plus one bit; the steepest tables stay decodable."""
    fibonacci = [1, 1]
    while len(fibonacci) < 30:
        fibonacci.append(fibonacci[-1] + fibonacci[-2])
    tables = FrequencyTables.from_counts([fibonacci, [1] * 30], [0, 1])
    assert tables.lengths.max() <= MAX_CODE_LENGTH
    share = tables.frequencies / 65536
    entropy = -(share * np.log2(share)).sum(axis=1)
    cost = (share * tables.lengths).sum(axis=1)
    assert (entropy <= cost).all()
    assert (cost < entropy + 1).all()
    assert sorted(tables.lengths[1]) == [4, 4] + [5] * 28


@pytest.mark.parametrize(
    ("frequencies", "lengths", "table_of", "message"),
    [
        ([[65536]], [[1]], [0], "K in 2"),
        ([[32768, 32768]], [[1, 1]], [1], "outside"),
        ([[32768, 32768]], [[1, 1]], [], "outside"),
        ([[32768, 32767]], [[1, 1]], [0], "sum to"),
        ([[65536, 0]], [[1, 1]], [0], "sum to"),
        ([[32768, 32768]], [[1, 2]], [0], "complete"),
        ([[32768, 32768]], [[1, 0]], [0], "lie in"),
        ([[32768, 32768]], [[1, 1, 1]], [0], "expected two equal"),
    ],
)
def test_tables_that_code_nothing_are_refused(
    frequencies: list[list[int]], lengths: list[list[int]], table_of: list[int], message: str
) -> None:
    with pytest.raises(WeightsError, match=message):
        FrequencyTables(frequencies, lengths, table_of)


def test_equal_counts_give_equal_frequencies() -> None:
    tables = FrequencyTables.from_counts(np.ones((1, 4)), np.zeros(7))
    assert tables.frequencies.tolist() == [[16384] * 4]
    assert RawCoder(tables).packed_bytes == 2


def test_the_flattest_tables_are_the_ones_in_the_seed() -> None:
    """Smallest greatest frequency first; among equals the last position."""
    steep, flat = [50000, 15536 - 2, 1, 1], [16384] * 4
    tables = FrequencyTables.from_counts([steep, flat], [1, 0, 1, 0, 1, 1, 0, 1])
    coder = RansCoder(tables)
    assert coder.folded.tolist() == [2, 4, 5, 7]
    assert coder.coded.tolist() == [0, 1, 3, 6]


def test_tables_have_a_limit() -> None:
    with pytest.raises(WeightsError, match="more than"):
        FrequencyTables(np.ones((1 << 10, 1 << 12)), np.ones((1 << 10, 1 << 12)), [0])
