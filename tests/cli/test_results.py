"""What the verbs that write say when an input is done, and where results go."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

import numpy as np
import pytest

import clipcodec
from clipcodec.bulk.steering import counted
from clipcodec.cli import main
from clipcodec.cli.spelling import Spelling
from clipcodec.cli.terminal import size_text
from tests.helpers.processes import exit_code, run
from tests.helpers.profiles import cone

P = ("--profile", "any/rotation")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: three embeddings, one, and one that has no direction."""
    monkeypatch.chdir(tmp_path)
    rows = cone(3, 16)
    np.save("rows.npy", rows)
    np.save("one.npy", rows[:1])
    np.save("zero.npy", np.zeros((1, 16), np.float32))
    return tmp_path


def said(capsys: pytest.CaptureFixture[str], *args: object) -> tuple[object, list[str]]:
    """The exit code of a command, and its lines on stderr. Nothing else is printed."""
    code = exit_code(*args)
    out, err = capsys.readouterr()
    assert out == ""
    return code, err.splitlines()


def size(name: str) -> str:
    return size_text(os.path.getsize(name))


# sizes and spellings


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 bytes"), (1, "1 byte"), (9_999, "9,999 bytes"), (10_000, "10 kB"),
        (12_345, "12.3 kB"), (999_499, "999 kB"), (999_500, "1 MB"), (2_400_000, "2.4 MB"),
        (98_304_128, "98.3 MB"), (1.5e12, "1.5 TB"), (2e18, "2000 PB"),
    ],
)  # fmt: skip
def test_sizes_have_three_digits_and_small_ones_all(count: float, text: str) -> None:
    assert size_text(count) == text


@pytest.mark.parametrize(
    ("message", "typed"),
    [
        ("max_bytes=0 is not positive", "--max-bytes 0 is not positive"),
        ("quality=0.0 is not in 1 … 100", "--quality 0 is not in 1 … 100"),
        ("entropy='rans': profile x has auto", "--entropy rans: profile x has auto"),
        ("give max_bytes or quality", "give --max-bytes or --quality"),
        ("choose a profile, not mean_bytes", "choose a profile, not --mean-bytes"),
        ("a quality and a profile", "a quality and a profile"),
        ("give a file with weights=, --weights or X", "give a file with --weights or X"),
        ("say it, backbone=NAME or --backbone NAME", "say it, --backbone NAME"),
        ("with --weights (weights=), or", "with --weights, or"),
        ("give workers=0 (--workers 0)", "give --workers 0"),
        ("-f (overwrite=) begins anew", "-f begins anew"),
        ('-f begins anew (in Python: mode="replace")', "-f begins anew"),
        ("profile=a/b, not c", "--profile a/b, not c"),
        ("PROFILE@max_bytes=50 is a codec", "PROFILE@max_bytes=50 is a codec"),
        ("photo.jpg#xywh=1 is an id", "photo.jpg#xywh=1 is an id"),
        ("quality=3.npy: quality=0 is low", "quality=3.npy: --quality 0 is low"),
        (
            "to replace it give overwrite=True, or mode='w' of clipcodec.create",
            "to replace it give -f",
        ),
        ("is a part: replace it, overwrite=True, or", "is a part: replace it, -f, or"),
    ],
)
def test_options_in_messages_are_as_they_are_typed(message: str, typed: str) -> None:
    """What the command line itself gave, such as a file called quality=3.npy, stays as it is."""
    names = [
        "quality",
        "max_bytes",
        "mean_bytes",
        "entropy",
        "profile",
        "backbone",
        "weights",
        "workers",
    ]
    flags = {name: f"--{name.replace('_', '-')}" for name in names}
    assert Spelling(flags, ["quality=3.npy"])(message) == typed


# result lines


def test_each_input_has_a_line_and_several_have_totals(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, lines = said(capsys, "compress", "one.npy", "zero.npy", "none.npy", "rows.npy", *P)
    assert code == 1
    assert lines[0] == f"one.npy: {size('one.npy')} → {size('one.npy.clip')}, one.npy.clip"
    assert lines[1] == "clipcodec: zero.npy: all zero, which has no direction"
    assert lines[2] == "clipcodec: none.npy: No such file or directory"
    with clipcodec.open("rows.clpc") as container:
        each = counted(container.survey) / 3
    assert lines[3] == (
        f"rows.npy: 3 embeddings, {size('rows.npy')} → {size('rows.clpc')}, rows.clpc "
        f"({each:.1f} bytes each)"
    )
    before = sum(os.path.getsize(name) for name in ("one.npy", "rows.npy"))
    after = sum(os.path.getsize(name) for name in ("one.npy.clip", "rows.clpc"))
    assert lines[4:] == [f"2 files: {before:,} bytes → {after:,} bytes, 2 failed"]


def test_decompress_says_what_came_out(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("compress", "one.npy", "rows.npy", *P, "-q") == 0
    os.unlink("rows.npy")
    code, lines = said(capsys, "decompress", "one.npy.clip", "-o", "out/")
    assert (code, len(lines)) == (0, 1)
    made = size("out/one.npy.npy")
    assert lines[0] == f"one.npy.clip: {size('one.npy.clip')} → {made}, out/one.npy.npy"
    code, lines = said(capsys, "decompress", "rows.clpc")
    made = f"3 embeddings, {size('rows.npy')}"
    assert (code, lines) == (0, [f"rows.clpc: {size('rows.clpc')} → {made}, rows.npy"])
    code, lines = said(capsys, "decompress", "rows.clpc", "one.npy.clip", "-o", "all.npy")
    assert (code, len(lines)) == (0, 1)
    assert lines[0].startswith("2 inputs: ")
    assert lines[0].endswith(f" → 4 embeddings, {size('all.npy')}, all.npy")


@pytest.mark.parametrize(
    "line",
    [
        "compress one.npy rows.npy --profile any/rotation -q",
        "compress rows.npy -o c.clpc --profile any/rotation -q",
        "decompress a.clip b.clip -q",
        "decompress a.clip b.clip -o all.npy -q",
        "extract a.png -q",
        "attach a.png --stream a.clip -o b.png -q",
    ],
)
def test_quiet_is_quiet(here: Path, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    from PIL import Image

    streams = clipcodec.encode_embeddings(cone(2, 16), profile="any/rotation")
    Image.new("RGB", (8, 8)).save("plain.png")
    Path("a.png").write_bytes(clipcodec.attach("plain.png", streams[0]))
    for name, stream in zip("ab", streams, strict=True):
        Path(f"{name}.clip").write_bytes(stream)
    assert said(capsys, *line.split()) == (0, [])


def test_tables_say_their_rows(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    flat = pa.array(cone(3, 16).astype(np.float32).ravel())
    pq.write_table(pa.table({"e": pa.FixedSizeListArray.from_arrays(flat, 16)}), "t.parquet")
    code, lines = said(capsys, "compress", "t.parquet", "--column", "e", *P)
    change = f"{size('t.parquet')} → {size('t.clip.parquet')}"
    assert (code, lines) == (0, [f"t.parquet: 3 rows, {change}, t.clip.parquet"])


def test_stdout_has_the_result_and_stderr_nothing(here: Path) -> None:
    """A container too, of what came through a pipe; its ids begin with `stdin`."""
    done = run("compress", "-", *P, stdin=Path("rows.npy").read_bytes())
    assert (done.returncode, done.stderr) == (0, b"")
    items = list(clipcodec.read_items(io.BytesIO(done.stdout)))
    expected = clipcodec.encode_embeddings(cone(3, 16), profile="any/rotation")
    assert items == [(stream, f"stdin/{i}") for i, stream in enumerate(expected)]
    done = run("compress", "-", *P, "-o", "c.clpc", "-q", stdin=Path("rows.npy").read_bytes())
    assert (done.returncode, done.stderr) == (0, b"")
    with clipcodec.open("c.clpc") as container:
        assert list(container.items()) == items


def test_the_arrow_is_one_that_stderr_has(here: Path) -> None:
    done = run("compress", "one.npy", *P, PYTHONIOENCODING="ascii")
    assert done.stderr.decode("ascii").endswith(f" -> {size('one.npy.clip')}, one.npy.clip\n")


# where results go


def test_embeddings_become_one_container_that_gives_them_back(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Beside the file, with the ids of -o OUT.clpc; nothing is replaced without -f."""
    assert exit_code("compress", "rows.npy", *P) == 0
    assert sorted(os.listdir()) == ["one.npy", "rows.clpc", "rows.npy", "zero.npy"]
    assert exit_code("compress", "rows.npy", "-o", "same.clpc", *P) == 0
    assert Path("same.clpc").read_bytes() == Path("rows.clpc").read_bytes()
    before = Path("rows.npy").read_bytes()
    for line in (["compress", "rows.npy", *P], ["decompress", "rows.clpc"]):
        capsys.readouterr()
        code, lines = said(capsys, *line)
        assert code == 1
        assert "exists" in lines[0]
        assert "(in Python" not in lines[0]
    assert Path("rows.npy").read_bytes() == before
    assert exit_code("decompress", "rows.clpc", "-f") == 0
    with clipcodec.open("rows.clpc") as container:
        assert (np.load("rows.npy") == container.decode_all()).all()
        assert container.ids == [f"rows.npy/{i}" for i in range(3)]


def test_a_row_that_fails_is_named_and_counted(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = cone(3, 16)
    rows[1] = 0
    np.save("rows.npy", rows)
    code, lines = said(capsys, "compress", "rows.npy", *P)
    assert code == 1
    assert lines[0] == "clipcodec: rows.npy/1: all zero, which has no direction"
    assert lines[1].startswith("rows.npy: 2 embeddings, ")
    assert lines[1].endswith(" bytes each, 1 failed)")


def test_a_container_that_was_begun_is_gone_on_with(here: Path) -> None:
    assert exit_code("compress", "rows.npy", *P, "-q") == 0
    np.save("rows.npy", cone(5, 16))
    assert exit_code("compress", "rows.npy", "--resume", *P, "-q") == 0
    with clipcodec.open("rows.clpc") as container:
        assert len(container) == 5


def test_two_files_never_share_a_container(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Not even with -f."""
    np.savez("rows.npz", embeddings=cone(2, 16))
    code, lines = said(capsys, "compress", "rows.npy", "rows.npz", "-f", *P)
    assert code == 1
    assert "rows.npz: it would become rows.clpc, as rows.npy did" in lines[1]
    with clipcodec.open("rows.clpc") as container:
        assert len(container) == 3


def test_a_directory_has_a_stream_for_each_row(here: Path) -> None:
    os.mkdir("there")
    for output in ("there", "made/"):
        assert exit_code("compress", "rows.npy", "-o", output, *P, "-q") == 0
        assert len(os.listdir(output)) == 3
    assert exit_code("compress", "rows.npy", "one.npy", "-o", "several", *P, "-q") == 0
    assert len(os.listdir("several")) == 4


@pytest.mark.parametrize(
    ("line", "remedies"),
    [
        ("compress rows.npy -o out.bin --profile any/rotation", ("-o out.clpc", "-o out.bin/")),
        ("compress rows.npy -o out --profile any/rotation", ("-o out.clpc", "-o out/")),
        ("compress one.npy rows.npy -o out.bin", ("-o out.clpc", "-o out.bin/")),
        ("compress t.parquet u.parquet --column e -o out.bin", ("-o out.bin/",)),
        ("attach a.jpg b.jpg -o out.bin", ("-o out.bin/",)),
        ("extract a.jpg b.jpg -o out.bin", ("-o out.bin/",)),
        ("locate a.jpg b.jpg --text x -o out.png", ("-o out.png/",)),
        ("compress one.npy rows.npy -o -", ("-o DIRECTORY/",)),
        ("compress one.npy -o zero.npy/", ("give another name",)),
        ("compress rows.npy -o none/c.clpc", ("make it first",)),
        ("decompress a.clip -o none/a.npy", ("make it first",)),
        ("compress one.npy --resume", ("give -o OUT.clpc",)),
    ],
)
def test_a_name_of_a_file_never_becomes_a_directory(
    here: Path, line: str, remedies: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """One line says what to give instead; nothing is written."""
    before = sorted(os.listdir())
    code, lines = said(capsys, *line.split())
    assert (code, len(lines)) == (2, 1)
    for remedy in remedies:
        assert remedy in lines[0]
    assert sorted(os.listdir()) == before


# errors in the reader's words


def test_inputs_are_checked_before_weights_are_asked_for(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLIPCODEC_WEIGHTS", "none.pt")
    code, lines = said(capsys, "compress", "nofolder", "-o", "c.clpc")
    assert code == 1
    assert lines[0] == "clipcodec: nofolder: there is no such file or folder: check the path"
    assert not any("weights" in line for line in lines)
    code, lines = said(capsys, "classify", "x", "--labels", "a", "b", "--templates", "no gap")
    assert code == 2
    assert lines[0].startswith("clipcodec classify: --templates 'no gap': expected imagenet")


def test_what_is_no_stream_is_not_read_as_one(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A text may begin as a stream does."""
    Path("words.txt").write_text("hello\n")
    for line in ("info words.txt", "decompress words.txt -o x.npy", "decompress words.txt"):
        code, (first,) = said(capsys, *line.split())
        assert code == 1
        assert first.startswith("clipcodec: words.txt: no stream, or a damaged one: ")


def test_paths_are_said_as_they_were_typed(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("compress", "rows.npy", *P, "-q") == 0
    code, (line,) = said(capsys, "compress", "rows.npy", "--resume", "--quality", "30", *P)
    assert code in (1, 2)
    assert "rows.clpc was begun without --quality, not with --quality 30: " in line
    assert str(here) not in line


def test_a_container_to_a_terminal_is_refused(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert main(["compress", "rows.npy", "-o", "-", *P]) == 1
    assert "refusing to write bytes to a terminal" in capsys.readouterr().err
