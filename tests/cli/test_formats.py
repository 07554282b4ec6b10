"""Files keep what their names promise."""

from __future__ import annotations

import io
import json
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

import clipcodec
from clipcodec.cli import formats
from tests.helpers.processes import exit_code, run
from tests.helpers.profiles import cone, write_tiny_profile

PROFILE = ("--profile", "any/rotation")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: a file of every format."""
    monkeypatch.chdir(tmp_path)
    rows = cone(3, 16)
    streams = clipcodec.encode_embeddings(rows, profile="any/rotation")
    np.save("row.npy", rows[0])
    np.save("rows.npy", rows)
    Path("a.clip").write_bytes(streams[0])
    with clipcodec.create("a.clpc") as writer:
        writer.extend(streams, ids=["x", "y", "z"])
    for name in ("a.jpg", "a.png"):
        Image.new("RGB", (8, 8)).save(name)
    return tmp_path


def listing() -> set[str]:
    return set(os.listdir())


@pytest.mark.parametrize(
    "line",
    [
        "compress row.npy -o x.npy",
        "compress row.npy -o x.JPG",
        "compress row.npy -o x.parquet",
        "compress row.npy a.npy -o x.clip",  # would be a directory
        "compress t.parquet --column e -o x.clpc",
        "compress t.parquet --column e -o x.CLPC",
        "compress t.parquet u.parquet --column e -o x.parquet",
        "decompress a.clip -o x.clip",
        "decompress a.clip -o x.jpg",
        "decompress a.clip -o x.json",
        "decompress a.clip -o x.npy --json",
        "decompress a.clpc -o x.parquet",
        "decompress a.clpc -o x.csv",
        "decompress a.clpc -o x.clip",
        "decompress a.clpc -o x.pt",
        "decompress a.clpc -o x.npz",
        "decompress a.clpc -o x.npy --ids y.npy",
        "decompress t.clip.parquet -o x.npy",
        "extract a.jpg -o x.jpg",
        "train --embeddings rows.npy -o x.npy",
        "train --embeddings rows.npy -o x.clpc",
    ],
)
def test_a_name_of_another_format_is_refused(
    here: Path, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = listing()
    assert exit_code(*line.split()) == 2
    said = capsys.readouterr().err
    assert "name says" in said or "this is the name of a file" in said
    assert "Traceback" not in said
    assert listing() == before


def test_several_rows_are_not_put_into_a_directory_called_as_a_file(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code("compress", "rows.npy", "-o", "x.clip", *PROFILE) == 2
    assert "give -o x.clpc, or -o x.clip/" in capsys.readouterr().err
    assert not Path("x.clip").exists()
    assert exit_code("compress", "rows.npy", "-o", "x.clip/", *PROFILE) == 0
    assert len(os.listdir("x.clip")) == 3


def test_an_image_keeps_its_format(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("attach", "a.jpg", "--stream", "a.clip", "-o", "x.png") == 1
    assert "name says a PNG image, and a JPEG image would be written" in capsys.readouterr().err
    assert not Path("x.png").exists()
    assert exit_code("attach", "a.jpg", "--stream", "a.clip", "-o", "x.jpeg") == 0
    assert clipcodec.extract("x.jpeg") == [Path("a.clip").read_bytes()]


def test_names_that_promise_what_is_written_or_nothing_are_taken(here: Path) -> None:
    """And a container's suffix in capitals makes a container."""
    expected = clipcodec.decode(Path("a.clip").read_bytes())
    for name in ("x.npy", "x.NPY", "x.bin", "x", "v1.2"):
        assert exit_code("decompress", "a.clip", "-o", name) == 0
        assert (np.load(io.BytesIO(Path(name).read_bytes())) == expected).all()
    for name in ("x.json", "x.jsonl", "y.txt"):
        assert exit_code("decompress", "a.clip", "--json", "-o", name) == 0
        assert np.allclose(json.loads(Path(name).read_text())["embedding"], expected)
    assert exit_code("compress", "row.npy", "-o", "B.CLPC", "--workers", "0", *PROFILE) == 0
    with clipcodec.open("B.CLPC") as container:
        assert len(container) == 1


def test_no_two_formats_claim_a_suffix() -> None:
    """But lists of text, which are the same to anyone who opens them."""
    claimed = [suffix for fmt in formats._ALL for suffix in fmt.suffixes if suffix != ".txt"]
    assert sorted(set(claimed)) == sorted(claimed)


# inputs

VERBS = {  # what is said of each file, where its verb is not the one that takes it
    "a.clip": "a stream, expected",
    "a.clpc": "a container, expected",
    "row.npy": "a NumPy array, expected",
    "t.pq": "a Parquet table, expected",
    "a.jpg": "a JPEG image, expected",
    "a.gif": "an image, expected",
    "p.safetensors": "a safetensors file, expected",
    "e.npz": "NumPy arrays, expected",
    "e.safetensors": "a safetensors file of tensors, expected",
    "e.pt": "a PyTorch file, expected",
    "e.csv": "a table of text, expected",
    "t.tar": "an archive, expected",
    "t.tar.gz": "a compressed file, expected",
    "folder": "a directory, expected",
}
ROWS = {"row.npy", "e.npz", "e.safetensors", "e.pt", "e.csv"}
TAKES = {
    "info {}": ROWS | {"a.clip", "a.clpc", "a.jpg", "a.gif", "t.pq"},
    "decompress {} -o x": {"a.clip", "a.clpc"},
    "attach {} --stream a.clip -o x": {"a.jpg", "a.gif"},
    "attach a.jpg --stream {} -o x": {"a.clip"},
    "extract {} -o x": {"a.jpg", "a.gif"},
    "search {} --query row.npy": {"a.clpc"},
    "search a.clpc --query {}": ROWS | {"a.clip", "a.jpg", "a.gif"},
    "compress {} -o x": ROWS | {"a.jpg", "a.gif", "folder", "t.tar", "t.tar.gz"},
    "compress {} -o x.clpc --dry-run --profile any/rotation":
        ROWS | {"a.jpg", "a.gif", "folder", "t.tar", "t.tar.gz"},
    "compress {} --column e -o x.parquet": {"t.pq"},
    "decompress {} --column e -o x.parquet": {"t.pq"},
}  # fmt: skip


def write_rows() -> None:
    torch = pytest.importorskip("torch")
    rows = cone(3, 16)
    np.savez("e.npz", rows)
    save_file({"embeddings": rows}, "e.safetensors")
    np.savetxt("e.csv", rows, delimiter=",")
    torch.save(torch.from_numpy(rows), "e.pt")


@pytest.fixture
def all_kinds(here: Path) -> Path:
    Path("t.pq").write_bytes(b"PAR1" + bytes(20) + b"PAR1")
    Image.new("RGB", (8, 8)).save("a.gif")
    with tarfile.open("t.tar", "w") as plain, tarfile.open("t.tar.gz", "w:gz") as packed:
        plain.add("a.jpg")
        packed.add("a.jpg")
    write_tiny_profile(Path("p.safetensors"))
    write_rows()
    Path("folder").mkdir()
    return here


@pytest.mark.parametrize("line", TAKES)
def test_verbs_know_the_files_of_the_others(
    all_kinds: Path, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in VERBS.keys() - TAKES[line]:
        before = listing()
        assert exit_code(*line.format(name).split()) != 0
        said = capsys.readouterr().err
        assert f"{name}: {VERBS[name]}" in said, line
        assert "clipcodec" in said.split("expected")[1] or "--profile" in said
        assert listing() == before
    for name in TAKES[line]:
        exit_code(*line.format(name).split(), *(["-f"] if " -o " in line else []))
        assert VERBS[name] not in capsys.readouterr().err


def test_a_pipe_is_known_by_its_bytes_too(here: Path) -> None:
    done = run("decompress", "-", stdin=Path("row.npy").read_bytes())
    assert done.returncode == 1
    assert b"stdin: a NumPy array, expected a stream" in done.stderr
    done = run("search", "-", "--query", "row.npy", stdin=b"PAR1" + bytes(50))
    assert b"a Parquet table, expected a container" in done.stderr


def test_every_file_of_embeddings_gives_the_same_streams(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_rows()
    streams = clipcodec.encode_embeddings(cone(3, 16), profile="any/rotation")
    for name in sorted(ROWS - {"row.npy"}):
        assert exit_code("compress", name, "-o", "out/", *PROFILE) == 0
        made = [Path(f"out/{name}.{i:04d}.clip").read_bytes() for i in range(3)]
        assert made == streams, name
        assert exit_code("compress", name, "-o", f"{name}.clpc", "--workers", "0", *PROFILE) == 0
        with clipcodec.open(f"{name}.clpc") as container:
            assert [bytes(stream) for stream in container] == streams
            assert list(container.ids) == [f"{name}/{i}" for i in range(3)]
        capsys.readouterr()
        assert exit_code("search", "a.clpc", "--query", name, "-k", "1", "--json") == 0
        hits = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert [hit["hits"][0]["id"] for hit in hits] == ["x", "y", "z"]
        if name != "e.pt":
            done = run("compress", "-", "-o", "piped/", *PROFILE, stdin=Path(name).read_bytes())
            assert done.returncode == 0, done.stderr
            assert Path("piped/stdin.0002.clip").read_bytes() == streams[2]
            for path in Path("piped").iterdir():
                path.unlink()


def test_an_unreadable_file_of_embeddings_is_named(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez("several.npz", a=cone(3, 16), b=cone(3, 16))
    for name in ("cut.npz", "cut.safetensors", "cut.pt"):
        Path(name).write_bytes(b"cut")
    Path("words.csv").write_text("one,two\nthree,four\n")
    for name in ("several.npz", "cut.npz", "cut.safetensors", "cut.pt", "words.csv"):
        for out in ("x.clip", "x.clpc"):
            assert exit_code("compress", name, "-o", out, "-f", *PROFILE) == 1
            said = capsys.readouterr().err
            assert f"{name}: " in said
            assert "expected" in said
            assert "Traceback" not in said


def test_a_stream_is_a_query(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("search", "a.clpc", "--query", "a.clip", "-k", "1", "--json") == 0
    assert json.loads(capsys.readouterr().out)["hits"][0]["id"] == "x"


def test_a_stream_that_begins_as_another_format_stays_a_stream(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    head = Path("a.clip").read_bytes()[:3]
    monkeypatch.setattr(formats, "_BEGINNINGS", ((0, head, formats.TABLE),))
    assert exit_code("decompress", "a.clip", "-o", "x.npy") == 0
    assert exit_code("info", "a.clip") == 0
    assert exit_code("search", "a.clpc", "--query", "a.clip") == 0
    Path("b").write_bytes(head + bytes(20))
    capsys.readouterr()
    assert exit_code("decompress", "b") == 1
    assert "a Parquet table, expected a stream" in capsys.readouterr().err


def test_text_is_no_stream(here: Path) -> None:
    """The first byte of a stream is often a letter."""
    Path("list").write_text("a.jpg\n" * 9)
    assert formats.known("list") is None
