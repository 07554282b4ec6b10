"""clipcodec.container.split and split_streams: whole items, all parts or none."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import clipcodec
from clipcodec import CorruptError, Item, OptionError, OutputExistsError
from clipcodec.container import merge, split, split_streams

STREAMS = [bytes([0x69, i, 0]) for i in range(7)]
IDS = ["a", "b/c", None, "b/c", "../e", "F", "f"]
META = {"clipcodec": {"q": 1}, "k": [2]}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: a.clpc, of seven items in blocks of two."""
    monkeypatch.chdir(tmp_path)
    with clipcodec.create("a.clpc", metadata=META, block_items=2) as writer:
        writer.extend(STREAMS, IDS)
    return tmp_path


def lengths(parts: list[Path]) -> list[int]:
    return [len(clipcodec.open(part)) for part in parts]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"items": 3}, [3, 3, 1]),
        ({"items": 7}, [7]),
        ({"items": 100}, [7]),
        ({"items": 1}, [1] * 7),
        ({"parts": 1}, [7]),
        ({"parts": 3}, [3, 2, 2]),
        ({"parts": 7}, [1] * 7),
    ],
)
def test_parts_have_these_numbers_of_items(
    here: Path, options: dict[str, int], expected: list[int]
) -> None:
    parts = split("a.clpc", "out", **options)  # type: ignore[arg-type]
    assert parts == [Path("out") / f"a.{i:04d}.clpc" for i in range(len(expected))]
    assert sorted(os.listdir("out")) == [part.name for part in parts]
    assert lengths(parts) == expected
    assert all(clipcodec.open(part).metadata == META for part in parts)


ITEMS = st.lists(
    st.tuples(
        st.binary(max_size=5).map(b"\x69\1".__add__),
        st.none() | st.text(min_size=1, max_size=6) | st.sampled_from(["x", "y/1", "y/2"]),
    ),
    max_size=12,
)


@given(ITEMS, st.dictionaries(st.text(max_size=9), st.integers(), max_size=3), st.integers(1, 5))
@settings(max_examples=25, deadline=None)
def test_merging_the_parts_gives_the_same_again(
    items: list[tuple[bytes, str | None]], metadata: dict[str, int], size: int
) -> None:
    """Items, ids (also none, and those used twice) and metadata; by either way of splitting."""
    with tempfile.TemporaryDirectory() as folder:
        whole, again = Path(folder, "a.clpc"), Path(folder, "b.clpc")
        with clipcodec.create(whole, metadata=metadata or None, block_items=3) as writer:
            writer.extend([Item(*item) for item in items])
        for i, options in enumerate(({"items": size}, {"parts": min(size, len(items) or 1)})):
            parts = split(whole, Path(folder, f"parts{i}"), **options)  # type: ignore[arg-type]
            merge(parts, again, overwrite=True, block_items=3)
            assert again.read_bytes() == whole.read_bytes()


def test_the_name_may_be_given(here: Path) -> None:
    assert split("a.clpc", "out", parts=1, name="shard") == [Path("out/shard.0000.clpc")]
    with open("a.clpc", "rb") as file, clipcodec.open(file) as container:
        assert split(container, "out", parts=1) == [Path("out/a.0000.clpc")]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "give either items or parts"),
        ({"items": 1, "parts": 1}, "give either items or parts"),
        ({"items": 0}, "items=0: at least 1"),
        ({"parts": -1}, "parts=-1: at least 1"),
        ({"parts": 8}, "8 parts of 7 items: some would be empty"),
    ],
)
def test_numbers_that_cannot_be_are_refused(
    here: Path, options: dict[str, int], words: str
) -> None:
    with pytest.raises(OptionError, match=words):
        split("a.clpc", "out", **options)  # type: ignore[arg-type]
    assert os.listdir() == ["a.clpc"]


def test_parts_of_another_run_are_never_among_the_new_ones(here: Path) -> None:
    split("a.clpc", "out", parts=3)
    for options in ({"parts": 3}, {"parts": 4}, {"parts": 2, "overwrite": True}):
        with pytest.raises(OutputExistsError, match="is a part of another run"):
            split("a.clpc", "out", **options)  # type: ignore[arg-type]
    Path("out/a.0001.clpc").write_bytes(b"")
    assert lengths(split("a.clpc", "out", parts=4, overwrite=True)) == [2, 2, 2, 1]
    Path("out/mine.txt").write_text("stays")
    split("a.clpc", "out", parts=4, name="b")
    assert Path("out/mine.txt").read_text() == "stays"


def damage(path: str) -> None:
    data = bytearray(Path(path).read_bytes())
    data[data.rindex(b"DATA") + 20] ^= 1  # the block of the last item
    Path(path).write_bytes(data)


@pytest.mark.parametrize("way", [lambda *a, **k: split(*a, items=2, **k), split_streams])
def test_a_damaged_source_leaves_nothing_or_what_is_good(here: Path, way: Any) -> None:
    damage("a.clpc")
    with pytest.raises(CorruptError, match=r"a\.clpc: items 6 to 6"):
        way("a.clpc", "deep/out")
    assert os.listdir() == ["a.clpc"]
    with pytest.warns(UserWarning, match=r"left out: a\.clpc: items 6 to 6"):
        made = way("a.clpc", "deep/out", partial=True)
    assert len(made) in (4, 6)


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize("call", ["split('a.clpc', 'out', parts=2)",
                                  "split_streams('a.clpc', 'out')"])  # fmt: skip
def test_a_full_disk_leaves_nothing(here: Path, call: str, there: bool) -> None:
    pytest.importorskip("resource")
    if there:
        os.mkdir("out")
    code = (
        "import resource, signal\n"
        "from clipcodec.container import split, split_streams\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2, resource.RLIM_INFINITY))\n" + call
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "OSError" in done.stderr
    assert sorted(os.listdir()) == (["a.clpc", "out"] if there else ["a.clpc"])
    assert not there or os.listdir("out") == []


# a file for each stream


def test_each_stream_has_a_file_named_by_its_id(here: Path) -> None:
    """In the order of the items; what is the same but for capital letters gets its position."""
    made = split_streams("a.clpc", "out")
    names = ["a", "b/c", "0002", "b/c.0003", "__/e", "F", "f.0006"]
    assert made == [Path("out", f"{name}.clip") for name in names]
    assert [path.read_bytes() for path in made] == STREAMS
    assert {path for path in Path("out").rglob("*") if path.is_file()} == {*made}


def test_merging_the_files_gives_the_ids_again(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where names of files can hold them."""
    streams = clipcodec.encode_embeddings([[1.0] * 512, [1.0, -1.0] * 256])
    with clipcodec.create("b.clpc") as writer:
        writer.extend(streams, ["beach/a b.jpg", "ü.png"])
    made = split_streams("b.clpc", "out")
    monkeypatch.chdir("out")
    merge([path.relative_to("out") for path in made], "../again.clpc")
    assert clipcodec.open("../again.clpc").ids == ["beach/a b.jpg", "ü.png"]


def test_files_that_are_there_are_kept_unless_they_may_be_replaced(here: Path) -> None:
    Path("out").mkdir()
    Path("out/F.clip").write_bytes(b"mine")
    with pytest.raises(OutputExistsError, match=r"F\.clip exists"):
        split_streams("a.clpc", "out")
    assert os.listdir("out") == ["F.clip"]
    split_streams("a.clpc", "out", overwrite=True)
    assert Path("out/F.clip").read_bytes() == STREAMS[5]
    with pytest.raises(OutputExistsError, match="is a file: name a directory"):
        split_streams("a.clpc", "a.clpc", overwrite=True)
