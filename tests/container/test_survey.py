"""clipcodec.container.survey: what is good of a file is found, whatever lies between."""

from __future__ import annotations

import io
import os
import struct
import time
import zlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import clipcodec
from clipcodec import CorruptError, Item, TruncatedError, UnsupportedError
from clipcodec.container import layout, survey
from formats.reference import container as reference


def named(first: int, count: int) -> list[Item]:
    return [Item(bytes([0x69, i]) * 9, f"{i}.jpg") for i in range(first, first + count)]


def container(items: list[Item], block_items: int = 4, **options: object) -> bytes:
    buffer = io.BytesIO()
    with clipcodec.create(buffer, block_items=block_items, **options) as writer:  # type: ignore[arg-type]
        writer.extend(items)
    return buffer.getvalue()


def blocks(data: bytes) -> list[tuple[int, int]]:
    """Where the blocks of a whole container begin and end."""
    found, at = [], len(layout.OPENING)
    while at < len(data):
        end = at + layout.parse_head(data[at:]).whole
        found.append((at, end))
        at = end
    return found


ITEMS = named(0, 20)
WHOLE = container(ITEMS)  # five blocks of four items, and the index


def without(first: int, last: int) -> list[Item]:
    return ITEMS[:first] + ITEMS[last:]


AT = blocks(WHOLE)
DAMAGED = {
    "two containers, one after the other": (WHOLE + container(named(20, 8)), ITEMS + named(20, 8)),
    "the second one has metadata": (
        WHOLE + container(named(20, 8), metadata={"a": 1}),
        ITEMS + named(20, 8),
    ),
    "a hole in a block": (WHOLE[: AT[1][0] + 30] + WHOLE[AT[1][0] + 60 :], without(4, 8)),
    "a hole across two blocks": (WHOLE[: AT[1][0] + 30] + WHOLE[AT[2][0] + 5 :], without(4, 12)),
    "a whole block is missing": (WHOLE[: AT[1][0]] + WHOLE[AT[2][0] :], without(4, 8)),
    "bytes come in between within a block": (
        WHOLE[: AT[2][0] + 40] + bytes(9) + WHOLE[AT[2][0] + 40 :],
        without(8, 12),
    ),
    "many bytes come in between two blocks": (
        WHOLE[: AT[3][0]] + b"DATA" * 2000 + WHOLE[AT[3][0] :],
        ITEMS,
    ),
    "the first block's head is damaged": (WHOLE[:8] + b"?" + WHOLE[9:-1], without(0, 4)),
    "a body is damaged, and the index is gone": (
        WHOLE[: AT[1][0] + 30] + b"???" + WHOLE[AT[1][0] + 33 : -40],
        without(4, 8),
    ),
    "an old index is damaged, and more follows": (
        WHOLE[: AT[5][0] + 20] + b"?" + WHOLE[AT[5][0] + 21 :] + container(named(20, 8))[8:],
        ITEMS + named(20, 8),
    ),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_all_good_items_are_read_and_appending_goes_on(case: str, tmp_path: Path) -> None:
    """By `partial`; mode "a" keeps them all, and the file is then whole for every reader."""
    data, good = DAMAGED[case]
    path = tmp_path / "a.clpc"
    path.write_bytes(data)
    with pytest.raises((CorruptError, TruncatedError), match="partial=True"):
        clipcodec.open(path)
    with clipcodec.open(path, partial=True) as opened:
        assert list(opened.items()) == good
        assert not opened.complete
        assert opened[f"{19}.jpg"] == ITEMS[19].stream
    with clipcodec.create(path, "a") as writer:
        assert len(writer) == len(good)
        writer.append(Item(b"\x69new", "new"))
    expected = [*good, Item(b"\x69new", "new")]
    with clipcodec.open(path) as opened:
        assert list(opened.items()) == expected
    with path.open("rb") as file:
        assert list(clipcodec.read_items(file)) == expected
    with path.open("rb") as file:
        assert reference.read(file)[1] == expected


def test_a_few_bytes_in_between_are_read_over_but_not_appended_after(tmp_path: Path) -> None:
    """Too few for a block around them. The file stays as it is, and the remedy works."""
    path = tmp_path / "a.clpc"
    data = WHOLE[: AT[2][0]] + b"???" + WHOLE[AT[2][0] :]
    path.write_bytes(data)
    with pytest.raises(CorruptError, match=rf"3 bytes at {AT[2][0]}.*partial=True"):
        clipcodec.create(path, "a")
    assert path.read_bytes() == data
    with clipcodec.create(tmp_path / "b.clpc") as writer:
        writer.extend(clipcodec.open(path, partial=True))
    assert list(clipcodec.open(tmp_path / "b.clpc").items()) == ITEMS


def test_a_large_hole_of_many_blocks(tmp_path: Path) -> None:
    """Damage of megabytes is passed over in blocks that stay within the limits."""
    path = tmp_path / "a.clpc"
    for size in ((5 << 20) + 7, (1 << 20) + 3, 1 << 20):
        path.write_bytes(WHOLE[: AT[2][0]] + b"\xff" * size + WHOLE[AT[2][0] :])
        with clipcodec.create(path, "a"):
            pass
        assert list(clipcodec.open(path).items()) == ITEMS
        with path.open("rb") as file:
            assert reference.read(file)[1] == ITEMS


def test_metadata_of_a_damaged_container() -> None:
    data = container(ITEMS, metadata={"a": 1})
    cut = data[: AT[1][0]] + data[AT[1][0] + 40 :]
    assert clipcodec.open(io.BytesIO(cut), partial=True).metadata == {"a": 1}
    spoilt = data.replace(b'{"a":1}', b'{"b":1}')[:-1]
    opened = clipcodec.open(io.BytesIO(spoilt), partial=True)
    assert (opened.metadata, list(opened.items())) == ({}, ITEMS)


def test_what_a_later_release_wrote_is_not_cut_off(tmp_path: Path) -> None:
    """A block that this release must refuse ends partial reading, and nothing is appended."""
    path = tmp_path / "a.clpc"
    data = WHOLE[: AT[2][0]] + layout.block(b"NEXT", b"") + WHOLE[AT[2][0] :]
    for damaged in (data, data[: AT[0][0] + 30] + b"?" + data[AT[0][0] + 31 :]):
        path.write_bytes(damaged)
        assert clipcodec.open(path, partial=True)[:][-1] == ITEMS[7].stream
        with pytest.raises(UnsupportedError, match=r"a\.clpc: .*NEXT"):
            clipcodec.create(path, "a")
        assert path.read_bytes() == damaged


class Counted(io.BytesIO):
    """A file that knows how many bytes were read of it."""

    read_bytes = 0

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self.read_bytes += len(data)
        return data

    def readinto(self, buffer: Any, /) -> int:
        count = super().readinto(buffer)
        self.read_bytes += count
        return count


def test_forged_heads_do_not_cost_time_without_bound() -> None:
    """Each claims a block of the whole file, of which none is good."""
    fields = struct.pack(">4sII", b"DATA", 1 << 19, 1)
    forged = fields + zlib.crc32(fields).to_bytes(4, "big")
    data = layout.OPENING + forged * (1 << 16)
    file = Counted(data)
    assert len(clipcodec.open(file, partial=True)) == 0
    assert file.read_bytes < 8 * len(data)  # checking every claim would read 16 GB


def test_an_index_of_more_items_than_blocks_have_is_damaged(tmp_path: Path) -> None:
    """Else what is made for each item, such as a mask, would take any memory."""
    path, body = tmp_path / "a.clpc", WHOLE[: AT[-1][0]]
    entries = np.array([[end - start, 4] for start, end in AT[:-1]])
    entries[1, 1] = 1 << 31
    path.write_bytes(body + layout.pack_index(entries))
    with pytest.raises(
        CorruptError, match="its index is damaged; partial=True reads its first 20 items"
    ):
        clipcodec.open(path)
    assert list(clipcodec.open(path, partial=True).items()) == ITEMS


def test_a_write_that_is_half_done_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A system may show the size of a file that a write has reached so far."""
    path = tmp_path / "a.clpc"
    path.write_bytes(WHOLE[:-30])
    pauses = 0

    def go_on(_: float) -> None:
        nonlocal pauses
        pauses += 1
        if pauses == 3:
            with path.open("ab") as file:
                file.write(WHOLE[-30:])

    monkeypatch.setattr(survey, "time", SimpleNamespace(sleep=go_on, time_ns=time.time_ns))
    with clipcodec.open(path) as opened:
        assert list(opened.items()) == ITEMS
    assert pauses == 3
    path.write_bytes(WHOLE[:-30])
    os.utime(path, (0, 0))  # nobody is writing it
    with pytest.raises(TruncatedError):
        clipcodec.open(path)
    assert pauses == 3
