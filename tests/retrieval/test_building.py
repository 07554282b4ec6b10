"""Building an index: progress, in the background, cancelled."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError
from pathlib import Path

import pytest

import clipcodec
from clipcodec import Codec, SearchIndex
from clipcodec.errors import DecodeError, OutputExistsError
from clipcodec.profile.file import Profile
from clipcodec.retrieval import sources
from tests.helpers.profiles import cone

from .stores import DIM, stored

QUERIES = cone(4, DIM, 99)


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "BLOCK", 40)


class Held:
    """Streams that are given only up to `allowed`, until `go` is set."""

    def __init__(self, streams: list[bytes], allowed: int) -> None:
        self._streams, self._allowed = streams, allowed
        self.waits, self.go = threading.Event(), threading.Event()

    def __len__(self) -> int:
        return len(self._streams)

    def __iter__(self) -> Iterator[bytes]:
        for number, stream in enumerate(self._streams):
            if number == self._allowed:
                self.waits.set()
                assert self.go.wait(30)
            yield stream


@pytest.fixture
def streams(rates: Profile) -> list[bytes]:
    return Codec(rates).encode_embeddings(cone(150, DIM))


def test_progress_counts_up_to_all(rates: Profile, tmp_path: Path) -> None:
    for seed in (0, 1):
        stored(tmp_path / f"{seed}.clpc", rates, 60, seed=seed)
    both = [clipcodec.open(tmp_path / f"{seed}.clpc", profile=rates) for seed in (0, 1)]
    seen: list[tuple[int, int | None]] = []
    index = SearchIndex.build(both, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(0, 120), (40, 120), (60, 120), (100, 120), (120, 120)]
    assert index.path is None
    seen.clear()
    SearchIndex.build(iter(both[0]), profile=rates,
                      progress=lambda done, total: seen.append((done, total)))  # fmt: skip
    assert seen[-1] == (60, None)


def test_what_is_there_so_far_can_be_searched(
    rates: Profile, streams: list[bytes], tmp_path: Path
) -> None:
    source = Held(streams, 100)
    building = SearchIndex.build(source, tmp_path / "a.clpi", background=True, profile=rates)
    assert source.waits.wait(30)
    assert (building.progress, building.done) == ((80, 150), False)
    some = building.index.search(QUERIES, 5)
    assert some.indices.tolist() == SearchIndex(streams[:80], profile=rates).search(
        QUERIES, 5
    ).indices.tolist()  # fmt: skip
    with pytest.raises(TimeoutError, match="not built yet: 80 items of 150"):
        building.result(timeout=0.01)
    assert not (tmp_path / "a.clpi").exists()
    source.go.set()
    index = building.result(timeout=30)
    assert (building.progress, building.done) == ((150, 150), True)
    assert index.path == str(tmp_path / "a.clpi")
    assert index.search(QUERIES, 5).indices.tolist() == SearchIndex(
        streams, profile=rates
    ).search(QUERIES, 5).indices.tolist()  # fmt: skip


def test_cancelling_leaves_no_file(rates: Profile, streams: list[bytes], tmp_path: Path) -> None:
    source = Held(streams, 100)
    building = SearchIndex.build(source, tmp_path / "a.clpi", background=True, profile=rates)
    assert source.waits.wait(30)
    building.cancel()
    source.go.set()
    with pytest.raises(CancelledError):
        building.result(timeout=30)
    assert [*tmp_path.iterdir()] == []


def test_errors_come_with_the_result(rates: Profile, streams: list[bytes], tmp_path: Path) -> None:
    """Also one of the function that is told the progress; nothing is written."""
    damaged = [*streams[:99], streams[99][:-1]]
    building = SearchIndex.build(damaged, tmp_path / "a.clpi", background=True, profile=rates)
    with pytest.raises(DecodeError, match=r"^stream 99: "):
        building.result(timeout=30)

    def fails(done: int, total: int | None) -> None:
        if done:
            raise RuntimeError("of the caller")

    building = SearchIndex.build(
        streams, tmp_path / "a.clpi", background=True, profile=rates, progress=fails
    )
    with pytest.raises(RuntimeError, match="of the caller"):
        building.result(timeout=30)
    assert [*tmp_path.iterdir()] == []
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(OutputExistsError, match=r"notes\.txt exists, and is no search index"):
        SearchIndex.build(streams, tmp_path / "notes.txt", background=True, profile=rates)
