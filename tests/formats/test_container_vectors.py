"""The vectors of formats/container-1.md: every reader makes of them what they say."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import clipcodec
from tests.helpers.paths import REFERENCE, TOOLS
from tests.helpers.scripts import load

reference = load(REFERENCE / "container.py")
checker = load(TOOLS / "check_containers.py")


@pytest.mark.parametrize("reader", ["pipe", "file", "reference"])
def test_all_vectors_are_met(reader: str) -> None:
    assert checker.failures(checker.READERS[reader]()) == []


def test_the_check_can_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Vectors with other items, ids, metadata or class are reported, one line each."""
    good = json.loads((checker.FOLDER / "accept" / "metadata.json").read_text("utf-8"))
    (tmp_path / "accept").mkdir()
    changes = [
        {},
        {"items": [["4101", None]]},
        {"items": [["4100", "a"]]},
        {"metadata": {}},
        {"expect": "corrupt"},
        {"container": good["container"][:-2]},
    ]
    for i, change in enumerate(changes):
        (tmp_path / "accept" / f"{i}.json").write_text(json.dumps(good | change))
    monkeypatch.setattr(checker, "FOLDER", tmp_path)
    lines = checker.failures(checker.READERS["file"]())
    assert [line.split(":")[0] for line in lines] == ["1", "2", "3", "4", "5"]


streams = st.binary(max_size=30).map(lambda rest: b"\x69" + rest)
ids = st.none() | st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=9)


@given(st.lists(st.tuples(streams, ids)), st.integers(1, 7))
def test_the_reference_reader_reads_what_the_package_writes(
    pairs: list[tuple[bytes, str | None]], block_items: int
) -> None:
    buffer = io.BytesIO()
    with clipcodec.create(buffer, block_items=block_items, metadata={"n": 1}) as writer:
        for stream, id in pairs:
            writer.append(stream, id)
    assert reference.read(io.BytesIO(buffer.getvalue())) == ({"n": 1}, pairs)


@given(st.binary(max_size=60), st.integers(1, 5))
def test_block_bodies_are_read_alike(body: bytes, count: int) -> None:
    """Any body under right check values: both readers find the same, or both say corrupt."""
    vectors = load(TOOLS / "make_container_vectors.py")
    data = vectors.data(body, count)
    found = [read()(data) for read in checker.READERS.values()]
    assert found[0][:2] == found[1][:2] == found[2][:2]


def test_the_reference_reader_imports_the_standard_library_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.clpc"
    with clipcodec.create(path) as writer:
        writer.append(b"\x69\1", id="one")
    program = str(REFERENCE / "container.py")
    command = [sys.executable, "-I", "-S", program, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "6901 one\n"
