"""clipcodec.container.ids: names of files come back, and take next to nothing if they are alike."""

from __future__ import annotations

import io
import random
import uuid
import zlib
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import clipcodec
from clipcodec import CorruptError, Item
from clipcodec.container.ids import MAX_ID, pack_ids, unpack_ids
from formats.reference import container as reference


def inflated(packed: bytes) -> bytes:
    return zlib.decompress(packed, -15)


def deflated(plain: bytes) -> bytes:
    deflate = zlib.compressobj(6, zlib.DEFLATED, -15)
    return deflate.compress(plain) + deflate.flush()


def test_the_bytes_are_those_of_the_text() -> None:
    """The examples of formats/container-1.md, section 4."""
    assert inflated(pack_ids(["a"])) == bytes.fromhex("0161 01 00 00")
    example = bytes.fromhex("042e6a7067 010004 00 03 662f39")
    assert inflated(pack_ids(["f/9.jpg", None, "f/12.jpg"])) == example
    assert unpack_ids(deflated(example), 3) == ["f/9.jpg", None, "f/12.jpg"]


ROWS = [f"rows.npy/{i}" for i in range(5000)]
PHOTOS = [f"2024/IMG_{i:04d}.JPG" for i in range(1, 5001)]
R = random.Random(0)
GAPS = [f"val2017/{i:012d}.jpg" for i in sorted(R.sample(range(581_929), 5000))]
MIXED = [f"shots/{i:06d}.{'jpg' if i % 3 else 'png'}" for i in range(5000)]
MOVIES = [f"clip{i // 100:03d}.mp4/{i % 100}" for i in range(5000)]
RANDOM = [str(uuid.UUID(int=R.getrandbits(128))) for _ in range(5000)]


@pytest.mark.parametrize(
    ("ids", "most"),
    [(ROWS, 0.05), (PHOTOS, 0.05), (GAPS, 1.3), (MIXED, 0.7), (MOVIES, 0.1), (RANDOM, 21.5)],
)
def test_what_an_id_costs_in_a_container(ids: list[str], most: float) -> None:
    """In bytes. Each of GAPS says 8.3 bits that could not be known, of RANDOM 16 bytes."""
    sizes = []
    for names in (ids, None):
        buffer = io.BytesIO()
        with clipcodec.create(buffer) as writer:
            writer.extend([b"\x69" + bytes(20)] * len(ids), names)
        sizes.append(len(buffer.getvalue()))
    assert sizes[0] - sizes[1] < most * len(ids)


names = st.one_of(
    st.none(),
    st.builds(
        lambda folder, number, width, end: f"{folder}{number:0{width}d}{end}",
        st.sampled_from(["", "a", "a/b", "ü", "9", "x" * 40]),
        st.integers(0, 120) | st.integers(0, 10**17),
        st.integers(1, 18),
        st.sampled_from(["", ".jpg", "7", "½", ".mp4"]),
    ),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12),
)


@given(st.lists(names, min_size=1, max_size=30))
@example(["9", "10", "011", "12", "99", "100"])
@example(["9" * 15, "1" + "0" * 15, "9" * 16, "1" + "0" * 16])
@example(["ü1", "ý1", "1", "½", "2"])
@example(["a", "a", None, "a2", "a3", None, "a4"])
@example(["a²", "a³", "a٣", "a٤"])  # digits, but not of ASCII
def test_ids_come_back(ids: list[str | None]) -> None:
    """Through the reference reader, too."""
    packed = pack_ids(ids)
    assert unpack_ids(packed, len(ids)) == reference.ids(packed, len(ids)) == ids


@given(st.lists(st.integers(0, 300), min_size=1, max_size=40), st.integers(1, 4))
def test_numbers_that_rise_come_back(numbers: list[int], width: int) -> None:
    ids: list[str | None] = [f"f/{n:0{width}d}.png" for n in sorted(numbers)]
    packed = pack_ids(ids)
    assert unpack_ids(packed, len(ids)) == reference.ids(packed, len(ids)) == ids


@given(st.binary(max_size=40), st.integers(1, 6))
@settings(max_examples=400)
def test_any_bytes_give_ids_or_corrupt(plain: bytes, count: int) -> None:
    """Both readers say the same; what they accept has the right count."""
    for packed in (plain, deflated(plain)):
        found = there = None
        with suppress(CorruptError):
            found = unpack_ids(packed, count)
            assert len(found) == count
            assert all(id is None or 0 < len(id.encode()) <= MAX_ID for id in found)
        with suppress(reference.Rejected):
            there = reference.ids(packed, count)
        assert found == there


def test_few_bytes_cannot_become_many_ids() -> None:
    """65,536 ids of 4,096 bytes would take 256 MB: refused at 16 MB."""
    count = 1 << 16
    end = b"\xfb\x1f" + b"a" * 4091
    packed = deflated(end + b"\1" + b"\2" * (count - 1) + b"\0\5" + b"00000")
    assert len(packed) < 500
    with pytest.raises(CorruptError, match="an id of 4096 bytes, 16781312 with those before it"):
        unpack_ids(packed, count)


def test_every_reader_follows() -> None:
    """By the index, from a pipe, of what is left after damage, and with more appended."""
    items = [Item(bytes([0x69, i]), f"rows.npy/{i}") for i in range(200)]
    buffer = io.BytesIO()
    with clipcodec.create(buffer, block_items=50) as writer:
        writer.extend(items)
    data = buffer.getvalue()
    assert list(clipcodec.read_items(io.BytesIO(data))) == items
    with clipcodec.open(io.BytesIO(data)) as whole:
        assert whole.index("rows.npy/149") == 149
        size = int(whole.survey.entries[0, 0])
    spoilt = bytearray(data[:-9])  # its index is lost, too
    spoilt[8 + size + 30] ^= 1
    with clipcodec.open(io.BytesIO(spoilt), partial=True) as partial:
        assert list(partial.items()) == [*items[:50], *items[100:]]


def test_an_append_begins_anew(tmp_path: Path) -> None:
    """A block knows nothing of the ids in the block before."""
    path = tmp_path / "a.clpc"
    with clipcodec.create(path) as writer:
        writer.append(b"\x69\1", "rows.npy/0")
    for i in range(1, 4):
        with clipcodec.create(path, mode="a") as writer:
            writer.append(b"\x69\1", f"rows.npy/{i}")
    with clipcodec.open(path) as container:
        assert container.ids == [f"rows.npy/{i}" for i in range(4)]
        assert container.index("rows.npy/2") == 2
