"""clipcodec.entropy: literal bytes, round trips, one spelling, typed errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clipcodec.entropy import FrequencyTables, RansCoder, RawCoder, coders
from clipcodec.entropy.tables import MAX_ALPHABET, MAX_CODE_LENGTH, MAX_ENTRIES
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
    symbols = rng.integers(0, tables.alphabet, (count, tables.count))
    edge = st.sampled_from([0, 1, 0xFFFE, 0xFFFF])
    first = draw(st.one_of(edge, st.integers(0, 0xFFFF)))
    return tables, symbols, [first, *rng.integers(0, 1 << 16, count - 1).tolist()]


@pytest.mark.parametrize(
    ("name", "check", "payload"),
    [("raw", 0x932B, "2418932b"), ("huffman", 0xD048, "7160d048"), ("rans", 0x15ED, "4ed05401")],
)
def test_literal_payloads(name: str, check: int, payload: str) -> None:
    """The worked examples of the format's text."""
    coder = coders(EXAMPLE)[name]
    assert coder.encode(SYMBOLS, [check])[0].hex() == payload
    symbols, checks = coder.decode([bytes.fromhex(payload)])
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
        payloads = coder.encode(symbols, checks)
        singles = [
            coder.encode(symbols[i : i + 1], checks[i : i + 1])[0] for i in range(len(checks))
        ]
        assert payloads == singles
        for got, got_checks in (coder.decode(payloads), _decode_singly(coder, payloads)):
            assert (got == symbols).all()
            assert got_checks == checks


def _decode_singly(coder: Any, payloads: list[bytes]) -> tuple[np.ndarray, list[int]]:
    parts = [coder.decode([payload]) for payload in payloads]
    return np.concatenate([s for s, _ in parts]), [c for _, cs in parts for c in cs]


@settings(max_examples=300, deadline=None)
@given(st.data(), st.sampled_from(["raw", "huffman", "rans"]), st.booleans())
def test_any_payload_has_one_spelling(data: st.DataObject, name: str, batch: bool) -> None:
    """Bytes that decode are exactly the bytes that encoding gives; others raise DecodeError."""
    coder = coders(EXAMPLE)[name]
    payload = data.draw(st.binary(max_size=14 if name == "rans" else 6))
    try:
        symbols, checks = coder.decode([payload] * (20 if batch else 1))
    except DecodeError:
        return
    assert coder.encode(symbols, checks)[0] == payload


def test_rans_never_exceeds_its_promise() -> None:
    """Half a byte beyond information and check value on average, about one at most."""
    rng = np.random.default_rng(2)
    tables = FrequencyTables.from_counts(rng.gamma(50, size=(200, 4)), np.arange(200))
    share = tables.frequencies / 65536
    symbols = np.stack([rng.choice(4, 500, p=share[t]) for t in tables.table_of], axis=1)
    payloads = RansCoder(tables).encode(symbols, [0xFFFF] * 500)
    excess = np.array([len(b) for b in payloads]) - tables.information(symbols) / 8 - 2
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


def by_the_text(tables: FrequencyTables, symbols: list[int], check: int) -> bytes:
    """The rANS payload as section 4.3 of the format's text says, one sentence after the other."""
    k, n, rows = tables.alphabet, tables.count, tables.frequencies.tolist()
    used = tables.table_of.tolist()
    m = max(m for m in range(n + 1) if k**m <= 256)
    seeded = sorted(sorted(range(n), key=lambda i: (max(rows[used[i]]), -i))[:m])

    def left(row: list[int], s: int) -> int:
        return (sum(row[:s]) * (2**24 - k) >> 16) + s if s < k else 2**24

    v = check
    for i in seeded:
        v = v * k + symbols[i]
    x, words = v + 1, []
    for i in reversed([i for i in range(n) if i not in seeded]):
        row, s = rows[used[i]], symbols[i]
        w = left(row, s + 1) - left(row, s)
        if x >> 40 >= w:
            words.append(x & 0xFFFFFFFF)
            x >>= 32
        x = (x // w) * 2**24 + x % w + left(row, s)
    words += [x & 0xFFFFFFFF, x >> 32]
    return b"".join(word.to_bytes(4, "little") for word in words).rstrip(b"\0")


@pytest.mark.parametrize("alphabet", [2, 3, 15, 16, 17, 256, 257, 400])
@pytest.mark.parametrize("size", [1, 3, 30])
def test_rans_is_what_the_text_says(alphabet: int, size: int) -> None:
    """One symbol of 256 fits the seed, none of 257; alone and among many."""
    tables = random_tables(alphabet, size, alphabet, 3)
    rng = np.random.default_rng(size)
    symbols = rng.integers(0, alphabet, (20, size))
    checks = [0, 0xFFFF, *rng.integers(0, 1 << 16, 18).tolist()]
    coder = RansCoder(tables)
    expected = [by_the_text(tables, s, c) for s, c in zip(symbols.tolist(), checks, strict=True)]
    for count in (2, 20):
        payloads = coder.encode(symbols[:count], checks[:count])
        assert payloads == expected[:count]
        decoded, found = coder.decode(payloads)
        assert (decoded == symbols[:count]).all()
        assert found == checks[:count]


def test_huffman_codes_are_canonical() -> None:
    """By increasing length, then increasing symbol, though neighbours differ in length."""
    lengths = np.tile([5, 7, 7, 6], 16)  # 16 of 5, 16 of 6, 32 of 7 bits: 1/2 + 1/4 + 1/4
    code, previous, codes = 0, 0, {}
    for length, symbol in sorted(zip(lengths.tolist(), range(64), strict=True)):
        code <<= length - previous
        codes[symbol] = f"{code:0{length}b}"
        code, previous = code + 1, length
    tables = FrequencyTables([[1024] * 64], [lengths], [0] * 64)
    order = np.random.default_rng(0).permutation(64)
    bits = "".join(codes[s] for s in order.tolist())
    bits += "0" * (-len(bits) % 8)
    payload = int(bits, 2).to_bytes(len(bits) // 8, "big") + b"\x12\x34"
    coder = coders(tables)["huffman"]
    for count in (1, 20):
        assert (
            coder.encode(order[None].repeat(count, axis=0), [0x1234] * count) == [payload] * count
        )
        assert coder.decode([payload] * count)[0].tolist() == [order.tolist()] * count


@pytest.mark.parametrize("name", ["raw", "huffman", "rans"])
def test_no_messages_are_no_bodies(name: str) -> None:
    coder = coders(EXAMPLE)[name]
    assert coder.encode(np.zeros((0, 7), np.int64), []) == []
    symbols, checks = coder.decode([])
    assert (symbols.shape, checks) == ((0, 7), [])
    assert symbols.dtype == np.int64


@pytest.mark.parametrize("name", ["raw", "huffman", "rans"])
def test_every_message_needs_its_check_value(name: str) -> None:
    """Too few are the caller's mistake, and no reason to leave messages out."""
    with pytest.raises(ValueError, match=r"shorter|longer|broadcast"):
        coders(EXAMPLE)[name].encode(SYMBOLS.repeat(3, axis=0), [1, 2])


TOO_LONG = "Huffman payload of 25 bytes: at most 24 exist"
PADDING = "padding bits after the last symbol are not zero"
ZERO_END = "rANS payload ends with a zero byte, which is never written"
NO_CHECK = "rANS state does not end in a check value: damaged"


@pytest.mark.parametrize("batch", [1, 20])
@pytest.mark.parametrize(
    ("name", "payload", "error", "message"),
    [
        ("raw", "", TruncatedError, "raw payload of 0 bytes: expected 4"),
        ("raw", "24932b", TruncatedError, "raw payload of 3 bytes: expected 4"),
        ("raw", "241800932b", CorruptError, "1 bytes after the last symbol"),
        ("raw", "2419932b", CorruptError, PADDING),
        ("raw", "3418932b", CorruptError, "a symbol is not below the alphabet size 3"),
        ("huffman", "d0", TruncatedError, "Huffman payload of 1 bytes has no check value"),
        ("huffman", "d048", TruncatedError, "ends 7 bits before its last symbol"),
        ("huffman", "ffd048", TruncatedError, "ends 3 bits before its last symbol"),
        ("huffman", "7161d048", CorruptError, PADDING),
        ("huffman", "716000d048", CorruptError, "1 bytes after the last symbol"),
        ("huffman", "71600000d048", CorruptError, "2 bytes after the last symbol"),
        ("huffman", "0200d048", CorruptError, "1 bytes after the last symbol"),  # after 8 bits
        ("huffman", "00" * 22 + "d048", CorruptError, "21 bytes after the last symbol"),
        ("huffman", "00" * 23 + "d048", CorruptError, TOO_LONG),
        ("rans", "", TruncatedError, "ends after its header"),
        ("rans", "4ed0540100", CorruptError, ZERO_END),
        ("rans", "ffffffff", CorruptError, NO_CHECK),
        ("rans", "01" * 29, CorruptError, NO_CHECK),
        ("rans", "01" * 30, CorruptError, "rANS payload of 30 bytes: at most 29 exist"),
        ("rans", "0000000001", CorruptError, NO_CHECK),  # words left over
        ("rans", "ffff7f", CorruptError, NO_CHECK),  # the state becomes zero
    ],
)  # fmt: skip
def test_damaged_payloads(
    name: str, payload: str, error: type[DecodeError], message: str, batch: int
) -> None:
    """Each kind of damage raises its class and says what is wrong, alone or among many."""
    coder = coders(EXAMPLE)[name]
    good = coder.encode(SYMBOLS, [1])
    with pytest.raises(error) as caught:
        coder.decode(good * (batch - 1) + [bytes.fromhex(payload)])
    assert (caught.value.reason, caught.value.rows) == (message, (batch - 1,))


@pytest.mark.parametrize("count", [1, 20])
def test_every_way_to_miss_the_check_value(count: int) -> None:
    """One symbol of three, all of it in the seed: the payload is the state, 1 … 3·2^16."""
    coder = RansCoder(FrequencyTables([[32768, 16384, 16384]], [[1, 2, 2]], [0]))
    assert coder.decode([b"\0\0\x03"] * count)[1] == [0xFFFF] * count
    assert coder.decode([b"\x01"] * count)[0].tolist() == [[0]] * count
    for payload in (b"\x01\0\x03", b"\xff\xff\xff\xff", b"\x07\0\0\0\x01"):
        with pytest.raises(CorruptError, match=NO_CHECK):
            coder.decode([payload] * count)


@pytest.mark.parametrize("count", [1, 20])
def test_a_cut_by_many_symbols_is_truncated(count: int) -> None:
    """Where the symbols that are missing would fill bytes."""
    coder = coders(FrequencyTables([[32768, 16384, 16384]], [[1, 2, 2]], [0] * 40))["huffman"]
    for payload, bits in ((b"\x12\x34", 40), (b"\xff\x12\x34", 36)):
        with pytest.raises(TruncatedError, match=f"ends {bits} bits before"):
            coder.decode([payload] * count)


@pytest.mark.parametrize("count", [1, 20])
def test_the_longest_codes(count: int) -> None:
    """24 bits per symbol, at every offset within a byte."""
    lengths = [*range(1, 24), 24, 24]
    frequencies = [65536 - 24, *[1] * 24]
    coder = coders(FrequencyTables([frequencies], [lengths], [0] * 33))["huffman"]
    symbols = np.array([[s for length in range(8) for s in (24, 23, length, 24)] + [22]])
    payloads = coder.encode(symbols.repeat(count, axis=0), [7] * count)
    assert (coder.decode(payloads)[0] == symbols).all()
    longest = coder.encode(np.full((count, 33), 24), [7] * count)
    assert longest == [b"\xff" * 99 + b"\0\x07"] * count
    assert (coder.decode(longest)[0] == 24).all()


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
        ([[65536]], [[1]], [0], "K in 2 … 32768"),
        ([[1] * 32769], [[1] * 32769], [0], "K in 2 … 32768"),
        ([65536, 0], [1, 1], [0], r"shape \(2,\) .* expected two equal \(T, K\)"),
        ([[32768, 32768]], [[1, 1]], [1], "table outside 0 … 0$"),
        ([[32768, 32768]], [[1, 1]], [-1], "table outside 0 … 0$"),
        ([[32768, 32768]], [[1, 1]], [], "table outside 0 … 0$"),
        ([[32768, 32768]], [[1, 1]], [[0]], "table outside 0 … 0$"),
        ([[32768, 32767]], [[1, 1]], [0], r"^frequencies must be >= 1 and sum to 2\*\*16$"),
        ([[65536, 0]], [[1, 1]], [0], "must be >= 1"),
        ([[32768, 32768]], [[1, 2]], [0], "^Huffman code lengths are not .* complete prefix code$"),
        ([[32768, 32768]], [[1, 0]], [0], "^Huffman code lengths must lie in 1 … 24$"),
        ([[32768, 32768]], [[1, 25]], [0], "^Huffman code lengths must lie in 1 … 24$"),
        ([[32768, 32768]], [[1, 1, 1]], [0], r"shape \(1, 2\) .* shape \(1, 3\): expected two"),
    ],
)  # fmt: skip
def test_tables_that_code_nothing_are_refused(
    frequencies: list[list[int]], lengths: list[list[int]], table_of: list[int], message: str
) -> None:
    with pytest.raises(WeightsError, match=message):
        FrequencyTables(frequencies, lengths, table_of)


def test_equal_remainders_go_to_the_first() -> None:
    """However many there are: the frequencies of one count fall once, by one."""
    row = FrequencyTables.from_counts([[1, 2, 3] * 100], [0]).frequencies[0]
    assert row.sum() == 65536
    falls = [np.diff(row[count::3]).tolist() for count in range(3)]
    assert all(set(fall) <= {0, -1} and fall.count(-1) <= 1 for fall in falls)
    assert any(-1 in fall for fall in falls)


def test_counts_of_any_type_give_the_same_frequencies() -> None:
    counts = np.random.default_rng(0).gamma(0.3, size=(2000, 4)).astype(np.float32)
    exact = FrequencyTables.from_counts(counts.astype(np.float64), [0])
    assert (FrequencyTables.from_counts(counts, [0]).frequencies == exact.frequencies).all()


@pytest.mark.parametrize("name", ["raw", "huffman", "rans"])
def test_tables_of_small_integers_are_the_same_tables(name: str) -> None:
    """Profile files hold bytes and 16-bit words; none of the arithmetic may stay in them."""
    tables = FrequencyTables(
        EXAMPLE.frequencies.astype(np.uint16),
        EXAMPLE.lengths.astype(np.uint8),
        EXAMPLE.table_of.astype(np.uint8),
    )
    for array in (tables.frequencies, tables.lengths, tables.table_of):
        assert array.dtype == np.int64
    assert coders(tables)[name].encode(SYMBOLS, [7]) == coders(EXAMPLE)[name].encode(SYMBOLS, [7])


def test_the_largest_tables_are_accepted() -> None:
    """2^21 entries, 2^15 symbols: both limits may be reached."""
    shape = (MAX_ENTRIES // MAX_ALPHABET, MAX_ALPHABET)
    tables = FrequencyTables(np.full(shape, 2), np.full(shape, 15), [63])
    assert (tables.bits, tables.count) == (15, 1)
    assert RawCoder(tables).pack(np.array([[0x7FFF]])) == [b"\xff\xfe"]


@pytest.mark.parametrize(
    ("counts", "frequencies"),
    [
        ([0, 0, 0, 0], [16384] * 4),  # nothing seen: nothing is likelier
        ([1, 0], [65535, 1]),
        ([0.75, 0.25], [49152, 16384]),  # shares are counts, too; of equal remainders the first
        ([3, 7], [19661, 45875]),  # 19660.2 + 1 and 45873.8 + 1
        ([1] * 48, [1366] * 16 + [1365] * 32),
    ],
)
def test_counts_become_frequencies_by_largest_remainder(
    counts: list[float], frequencies: list[int]
) -> None:
    tables = FrequencyTables.from_counts([counts], [0])
    assert tables.frequencies.tolist() == [frequencies]


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
