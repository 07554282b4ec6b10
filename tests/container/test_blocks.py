"""clipcodec.container.blocks: any number of items at a time; ids only where they are asked for."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import clipcodec
from clipcodec import Codec, Container, CorruptError
from clipcodec.container import layout
from clipcodec.container.blocks import Block, ids_of, pieces, streams_of
from clipcodec.container.fields import pack_bits, varint
from clipcodec.container.ids import pack_ids, unpack_ids
from clipcodec.entropy import Payloads
from tests.helpers.profiles import cone

STREAMS = Codec("any/rotation").encode_embeddings(cone(7, 16, seed=3))


def forged(bad: bytes) -> bytes:
    """Three blocks, the second of two items with these ids, whatever they are; all check values
    are right."""
    sound = layout.pack_items(STREAMS[:3], ["a", "b", "c"])
    whole = layout.pack_items(STREAMS[3:5], ["d", "e"])
    body = layout.parse_block(whole)[1]
    body = body[: len(body) - len(pack_ids(["d", "e"]))] + bad
    made = [sound, layout.block(layout.DATA, body, 2), layout.pack_items(STREAMS[5:])]
    entries = np.array([[len(one), n] for one, n in zip(made, (3, 2, 2), strict=True)])
    return layout.OPENING + b"".join(made) + layout.pack_index(entries)


@given(
    st.lists(st.binary(max_size=5), min_size=1, max_size=4),
    st.lists(st.tuples(st.integers(0, 3), st.binary(max_size=6)), min_size=4, max_size=12),
)
def test_streams_are_put_together(starts: list[bytes], items: list[tuple[int, bytes]]) -> None:
    """Starts of any lengths, some of no item, some of no bytes; rests of any lengths."""
    items = [(i % len(starts), rest) for i, rest in items]
    parts = [b"\0", varint(len(starts))]
    parts += [varint(len(start)) + start + b"\0" for start in starts]
    parts += [pack_bits(np.array([i for i, _ in items]), (len(starts) - 1).bit_length()), b"\3"]
    parts += [pack_bits(np.array([len(rest) for _, rest in items]), 3), *(r for _, r in items)]
    body, expected = b"".join(parts), [starts[i] + rest for i, rest in items]
    if b"" in expected:
        with pytest.raises(CorruptError, match="streams of 0 to"):
            layout.unpack_items(body, len(items))
    else:
        assert [*layout.unpack_items(body, len(items))[0]] == expected


@given(st.lists(st.integers(1, 5), max_size=6), st.integers(1, 9))
def test_pieces_have_all_items_in_order(sizes: list[int], rows: int) -> None:
    """All pieces but the last have so many items."""
    made, count = [], 0
    for size in sizes:
        names: list[str | None] = [str(i) for i in range(count, count + size)]
        own = Payloads.of([f"stream {name}".encode() for name in names])
        made.append(Block(own, pack_ids(names), "a.clpc"))
        count += size
    found = [*pieces(made, rows)]
    assert [len(streams_of(piece)) for piece in found][:-1] == [rows] * (len(found) - 1)
    assert [stream for piece in found for stream in streams_of(piece)] == [
        f"stream {i}".encode() for i in range(count)
    ]
    assert [id for piece in found for id in ids_of(piece)] == [str(i) for i in range(count)]


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 7, 100])
def test_any_number_of_rows_decodes_alike(rows: int) -> None:
    """Whatever the blocks; with ids and without."""
    buffer = io.BytesIO()
    with clipcodec.create(buffer, block_items=3) as writer:
        writer.extend(STREAMS, ids=[f"{i}.jpg" for i in range(7)])
    with clipcodec.open(buffer) as opened:
        expected = Codec().decode_batch(STREAMS)
        assert np.array_equal(np.concatenate([*opened.decode_blocks(rows)]), expected)
        found = [*opened.decode_items(rows)]
        assert np.array_equal(np.concatenate([part for part, _ in found]), expected)
        assert [id for _, ids in found for id in ids] == opened.ids


def test_no_id_is_unpacked_where_streams_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """Decoding, search, and streams by position."""
    asked: list[int] = []

    def spy(packed: bytes, count: int) -> list[str | None]:
        asked.append(count)
        return unpack_ids(packed, count)

    monkeypatch.setattr("clipcodec.container.blocks.unpack_ids", spy)
    with clipcodec.open(io.BytesIO(forged(pack_ids(["d", "e"])))) as opened:
        rows = opened.decode_all()
        clipcodec.search(opened, rows[:2], k=3)
        assert (opened[-1], opened[:2], [*opened]) == (STREAMS[-1], STREAMS[:2], STREAMS)
        assert not asked
        assert opened.index("e") == 4
        assert asked == [3, 2]  # the third block has none


NEED_IDS: list[Callable[[Container], Any]] = [
    lambda opened: [*opened.items()],
    lambda opened: [*opened.blocks()],
    lambda opened: [*opened.decode_items()],
    lambda opened: opened.ids,
    lambda opened: opened.index("a"),
    lambda opened: opened["a"],
    lambda opened: "a" in opened,
    lambda opened: opened.item(3),
]


@pytest.mark.parametrize("read", NEED_IDS)
def test_wrong_ids_with_a_right_check_value_are_an_error_where_ids_are_read(
    read: Callable[[Container], Any],
) -> None:
    """Streams and embeddings are read all the same."""
    data = forged(b"\xff\xff")
    with clipcodec.open(io.BytesIO(data)) as opened:
        assert [*opened] == STREAMS
        assert len(opened.decode_all()) == 7
        with pytest.raises(CorruptError, match=r"items 3 to 4: ids of a block"):
            read(opened)
        assert opened.item(0).id == "a"


def test_a_pipe_and_repair_check_ids_too() -> None:
    data = forged(b"\xff\xff")
    with pytest.raises(CorruptError, match="after 3 items: ids of a block"):
        [*clipcodec.read_items(io.BytesIO(data))]
    with clipcodec.open(io.BytesIO(data[:-9]), partial=True) as opened:  # without its index
        assert [*opened] == [*STREAMS[:3], *STREAMS[5:]]
