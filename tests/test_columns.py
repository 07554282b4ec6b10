"""clipcodec.columns: what parsing one stream after the other gives, for any bytes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import clipcodec
from clipcodec import Codec, columns
from clipcodec.columns import Columns, columns_of, parse_columns
from clipcodec.entropy import Payloads
from clipcodec.errors import ClipcodecError, DecodeError
from clipcodec.profile import Profile
from clipcodec.stream import parse, parse_all, seed_of
from tests.helpers.profiles import cone, write_tiny_predictive

HEADS = ["", "60", "6f", "68", "6832"]


@pytest.fixture(scope="module")
def codec(rates: Profile) -> Codec:
    return Codec(rates)


@pytest.fixture(scope="module")
def pool(codec: Codec) -> list[bytes]:
    """Streams with headers of 1 to 6 bytes: short, registered, private; of one rate and of all."""
    streams: list[bytes] = []
    default = Codec().profile.statistics
    assert default is not None
    rows = default.draw(3, seed=1)
    for quality in (1, 50, 51, 100):
        streams += clipcodec.encode_embeddings(rows, quality=quality)
        streams += codec.encode_embeddings(cone(2, 24, seed=quality), quality=quality)
        for dim in (3, 128, 600):
            x = cone(1, dim, seed=quality)
            streams += Codec("any/rotation").encode_embeddings(x, quality=quality)
    for entropy in ("raw", "huffman", "rans"):
        x = rows[:2]
        streams += clipcodec.encode_embeddings(
            x, profile="openai-vit-b-32/pqvae-400", entropy=entropy
        )
    return streams


@pytest.fixture(autouse=True)
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Columns for few streams, too."""
    monkeypatch.setattr(columns, "_FEW", 0)


def attempt(work: Callable[[], Any]) -> Any:
    """What it gives; or its error with everything that it says, of each type."""
    try:
        return work()
    except ClipcodecError as error:
        return [(type(one), one.rows, one._reasons, str(one)) for one in (error, *error._others)]


def flat(found: list[Columns]) -> dict[int, tuple[Any, ...]]:
    """Each row by its place."""
    return {
        row: (group.profile.name, group.header, group.count, quality, seed, payload)
        for group in found
        for row, quality, seed, payload in zip(
            group.rows.tolist(), group.qualities.tolist(), group.seeds.tolist(), group.payloads,
            strict=True,
        )
    }  # fmt: skip


def expected(codec: Codec, streams: Any) -> Any:
    return {
        row: (s.profile.name, s.header, s.parameters.symbols, s.parameters.quality, seed_of(s),
              s.payload)
        for row, s in enumerate(parse_all(streams, codec._owner))
    }  # fmt: skip


def by_columns(codec: Codec, streams: Any) -> Any:
    return attempt(lambda: flat(parse_columns(streams, codec._owner)))


def one_by_one(codec: Codec, streams: Any) -> Any:
    return attempt(lambda: expected(codec, streams))


@settings(max_examples=200)
@given(st.data())
def test_valid_and_damaged_streams_give_what_each_gives_alone(
    codec: Codec, pool: list[bytes], data: st.DataObject
) -> None:
    """Cut anywhere, with any first bytes, or no stream at all: the same rows, errors and words."""
    good = st.sampled_from(pool)
    wrong = st.one_of(
        st.binary(max_size=12),
        st.tuples(good, st.integers(0, 9)).map(lambda pair: pair[0][: pair[1]]),
        st.tuples(st.binary(min_size=1, max_size=4), good).map(lambda p: p[0] + p[1][len(p[0]) :]),
        st.sampled_from([None, "text", 3, bytearray(pool[0]), memoryview(pool[5])]),
    )
    streams: list[Any] = data.draw(st.lists(good, max_size=30))
    if data.draw(st.booleans()):
        streams = data.draw(st.permutations(streams + data.draw(st.lists(wrong, max_size=8))))
    assert by_columns(codec, streams) == one_by_one(codec, streams)


@settings(max_examples=200)
@given(
    st.lists(st.binary(max_size=8), max_size=20), st.sampled_from(["", "60", "6f", "68", "6832"])
)
def test_any_bytes(codec: Codec, rows: list[bytes], start: str) -> None:
    streams = [bytes.fromhex(start) + row for row in rows]
    assert by_columns(codec, streams) == one_by_one(codec, streams)


def test_all_headers_at_once(codec: Codec, pool: list[bytes]) -> None:
    """Every stream of the pool many times over, in any order, as a list or in one buffer."""
    rng = np.random.default_rng(0)
    streams = [pool[i] for i in rng.integers(0, len(pool), 2000)]
    found = expected(codec, streams)
    assert by_columns(codec, streams) == found
    assert by_columns(codec, Payloads.of(streams)) == found
    assert by_columns(codec, (stream for stream in streams)) == found
    assert attempt(lambda: flat(columns_of(codec.parse_batch(streams)))) == found
    assert all((np.diff(g.rows) > 0).all() for g in parse_columns(streams, codec._owner))


def test_more_qualities_and_widths_than_a_byte_tells_apart(codec: Codec) -> None:
    """Headers that differ in three bytes; their payloads need not be any."""
    rng = np.random.default_rng(0)
    streams = [
        bytes([0x68, rng.integers(1, 101), 0x80 | rng.integers(0, 128), rng.integers(1, 128)])
        + rng.bytes(5)
        for _ in range(3000)
    ]
    assert by_columns(codec, streams) == expected(codec, streams)


def test_few_streams_are_parsed_one_by_one(
    codec: Codec, pool: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(columns, "_FEW", 64)
    monkeypatch.setattr(columns, "_headers", None)  # is not called
    assert by_columns(codec, pool[:20]) == expected(codec, pool[:20])
    assert parse_columns([], codec._owner) == []


@pytest.mark.parametrize("wrong", [b"", "abc", None, 3])
def test_one_stream_is_not_several(codec: Codec, wrong: Any) -> None:
    with pytest.raises(DecodeError, match="expected several streams"):
        parse_columns(wrong, codec._owner)


def test_one_stream_of_each_header_is_parsed(
    codec: Codec, pool: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that a million cost no more than the numbers of them do."""
    parsed = 0

    def counting(*given: Any) -> Any:
        nonlocal parsed
        parsed += 1
        return parse(*given)

    monkeypatch.setattr(columns, "parse", counting)
    parse_columns(pool * 100, codec._owner)
    headers = len({(s.start) for s in codec.parse_batch(pool)})
    assert parsed < 8 * headers


@settings(max_examples=60)
@given(st.data())
def test_a_batch_decodes_as_its_parsed_streams_do(
    codec: Codec, pool: list[bytes], data: st.DataObject
) -> None:
    """The same embeddings, or the same errors: of damage inside payloads, and of two widths."""
    narrow = [s for s in pool if codec.parse(s).dim == 512]
    streams = data.draw(st.lists(st.sampled_from(narrow), min_size=1, max_size=40))
    for i in data.draw(st.lists(st.integers(0, len(streams) - 1), max_size=4)):
        place = data.draw(st.integers(0, 8 * len(streams[i]) - 1))
        flipped = bytearray(streams[i])
        flipped[place // 8] ^= 1 << place % 8
        streams[i] = bytes(flipped)
    streams += data.draw(st.sampled_from([[], [], pool[-8:]]))
    found = attempt(lambda: codec.decode_batch(streams))
    again = attempt(lambda: codec.decode_parsed(codec.parse_batch(streams)))
    if isinstance(found, np.ndarray):
        assert (found == again).all()
        assert np.allclose(found, [codec.decode(s) for s in streams], atol=1e-5)
    else:
        assert found == again


def test_an_unknown_profile_is_named_once_for_each_row(tmp_path: Path, codec: Codec) -> None:
    other = Codec(write_tiny_predictive(tmp_path / "o.safetensors", name="private/other"))
    streams = other.encode_embeddings(cone(5, 24), quality=30)
    mixed = codec.encode_embeddings(cone(80, 24), quality=30) + streams
    with pytest.raises(clipcodec.UnknownProfileError) as caught:
        codec.decode_batch(mixed)
    assert caught.value.rows == tuple(range(80, 85))


@pytest.mark.parametrize("few", [0, 64])
def test_take(codec: Codec, pool: list[bytes], monkeypatch: pytest.MonkeyPatch, few: int) -> None:
    """Some rows are what parsing these streams alone gives, from a list of payloads or a buffer."""
    monkeypatch.setattr(columns, "_FEW", few)
    streams = pool[:3]
    (whole,) = codec._parse_columns(streams)
    taken = whole.take(np.array([0, 2]))
    (expected,) = codec._parse_columns([streams[0], streams[2]])
    assert taken.rows.tolist() == [0, 1]
    assert [*taken.payloads] == [*expected.payloads]
    assert taken.qualities.tolist() == expected.qualities.tolist()
    assert taken.seeds.tolist() == expected.seeds.tolist()
