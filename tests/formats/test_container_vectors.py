"""The vectors of formats/container-1.md: every reader makes of them what they say."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import clipcodec
from tests.helpers.paths import REFERENCE, TOOLS
from tests.helpers.profiles import write_tiny_profile
from tests.helpers.scripts import load

reference = load(REFERENCE / "container.py")
checker = load(TOOLS / "check_containers.py")


@pytest.mark.parametrize("reader", ["pipe", "file", "reference"])
def test_all_vectors_are_met(reader: str) -> None:
    kind = {"by_index": reader == "file", "piped": reader == "pipe"}
    assert checker.failures(checker.READERS[reader](), **kind) == []


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
        {"profile": ""},
    ]
    for i, change in enumerate(changes):
        (tmp_path / "accept" / f"{i}.json").write_text(json.dumps(good | change))
    monkeypatch.setattr(checker, "FOLDER", tmp_path)
    lines = checker.failures(checker.READERS["file"]())
    assert [line.split(":")[0] for line in lines] == ["1", "2", "3", "4", "5", "6"]


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


def test_a_stream_is_decoded_by_the_profile_that_its_container_carries(tmp_path: Path) -> None:
    """The two programs of formats/reference, one after the other, give what the package gives."""
    profile = write_tiny_profile(tmp_path / "p.safetensors")
    codec = clipcodec.Codec(profile)
    stream = codec.encode_embedding(np.ones(8))
    path, out = tmp_path / "a.clpc", tmp_path / "carried.safetensors"
    with clipcodec.create(path, profile=profile) as writer:
        writer.append(stream)
    assert reference.main(str(path), str(out)) == 0
    assert out.read_bytes() == profile.read_bytes()
    program = [sys.executable, "-I", "-S", str(REFERENCE / "decoder.py"), stream.hex()]
    done = subprocess.run(
        [*program, "--profile", str(out)], capture_output=True, text=True, check=True
    )
    found = [float(v) for v in done.stdout.splitlines()[-1].split()[1:]]
    assert found == pytest.approx(codec.decode(stream).tolist(), abs=1e-5)


def test_a_container_without_a_profile_is_said_to_have_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.clpc"
    clipcodec.create(path).close()
    assert reference.main(str(path), str(tmp_path / "out")) == 1
    assert "no profile" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
