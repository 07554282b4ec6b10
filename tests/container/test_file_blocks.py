"""clipcodec.container.file_blocks: blocks are read once, and kept for a while."""

from __future__ import annotations

import io
import threading
from pathlib import Path

import numpy as np
import pytest

import clipcodec
from clipcodec import Container, CorruptError
from clipcodec.container import file_blocks

from .counted import STREAMS, Counted


def test_each_block_is_read_once_for_many_items(opened: Container) -> None:
    before = Counted.reads
    opened[[0, 9, 2, 7, 4, 5, 1, 8, 3, 6]]
    assert Counted.reads - before == 5


@pytest.mark.parametrize(("limit", "again"), [(1 << 20, 0), (0, 1)])
def test_a_few_blocks_are_kept_and_more_if_they_are_small(
    opened: Container, monkeypatch: pytest.MonkeyPatch, limit: int, again: int
) -> None:
    """limit: bytes up to which more than two are kept; again: reads of the block used first."""
    monkeypatch.setattr(file_blocks, "_KEPT", 2)
    monkeypatch.setattr(file_blocks, "_KEPT_BYTES", limit)
    for place in (0, 2, 4):
        opened[place]
    before = Counted.reads
    assert [opened[2], opened[5]] == [STREAMS[2], STREAMS[5]]
    assert Counted.reads == before
    assert opened[1] == STREAMS[1]
    assert Counted.reads - before == again


def test_blocks_are_given_with_the_position_of_their_first_item(tmp_path: Path) -> None:
    """One that is damaged is raised, or passed over if somebody is told."""
    path = tmp_path / "a.clpc"
    with clipcodec.create(path, block_items=3) as writer:
        writer.extend(STREAMS[:8])
    with clipcodec.open(path) as opened:
        assert [(at, len(items)) for at, items in opened.blocks()] == [(0, 3), (3, 3), (6, 2)]
        assert [item for _, items in opened.blocks() for item in items] == list(opened.items())
    data = bytearray(path.read_bytes())
    data[data.index(b"DATA", data.index(b"DATA") + 1) + 20] ^= 1
    path.write_bytes(data)
    faults: list[str] = []
    with clipcodec.open(path) as opened:
        assert [at for at, _ in opened.blocks(lambda error: faults.append(str(error)))] == [0, 6]
        with pytest.raises(CorruptError, match="items 3 to 5"):
            list(opened.blocks())
    assert len(faults) == 1
    assert "items 3 to 5" in faults[0]


def test_threads_read_one_container() -> None:
    streams = [bytes([0x69, i, j]) for i in range(20) for j in range(20)]
    buffer = io.BytesIO()
    with clipcodec.create(buffer, block_items=16) as writer:
        writer.extend(streams)
    container = clipcodec.open(io.BytesIO(buffer.getvalue()))
    found: list[list[bytes]] = []

    def work(seed: int) -> None:
        places = np.random.default_rng(seed).permutation(len(streams)).tolist()
        read = {place: container[place] for place in places}
        found.append([read[i] for i in range(len(streams))])

    threads = [threading.Thread(target=work, args=[i]) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [streams] * 8
