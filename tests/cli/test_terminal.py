"""Names from outside on stdout and stderr; standard streams that are closed or full."""

from __future__ import annotations

import ast
import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest

import clipcodec
from clipcodec.cli.terminal import as_json, shown
from tests.helpers.paths import ROOT
from tests.helpers.processes import run
from tests.helpers.profiles import cone

ESC = "\x1b[31mred\x1b]0;title\x07"
PROFILE = ("--profile", "any/rotation")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    np.save("q.npy", cone(1, 16))
    streams = clipcodec.encode_embeddings(cone(4, 16), profile="any/rotation")
    Path("a.clip").write_bytes(streams[0])
    with clipcodec.create("c.clpc", metadata={f"k{ESC}": f"v{ESC}\x7f"}) as writer:
        writer.extend(streams, ids=["plain", "猫", f"a{ESC}\nb\tc", "\u202egpj.exe"])
    return tmp_path


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a b.jpg", "a b.jpg"),
        ("猫\u3000é.jpg", "猫\u3000é.jpg"),
        (f"{ESC}.jpg", r"\x1b[31mred\x1b]0;title\x07.jpg"),
        ("a\nb\tc\r", r"a\nb\tc\r"),
        ("\x9b31m", r"\x9b31m"),
        ("\u202egpj.exe", r"\u202egpj.exe"),
        ("bad\udcff.clip", r"bad\xff.clip"),
        ("\ud800", r"\ud800"),
        ("\u2028", r"\u2028"),
    ],
)
def test_shown(name: str, expected: str) -> None:
    assert shown(name) == expected


def test_json_is_printable_and_stays_what_it_was() -> None:
    value = {f"a{ESC}\x7f\x9b猫": ["\udcff", 1.5]}
    assert as_json(value).isprintable()
    assert as_json(value).isascii()
    assert json.loads(as_json(value)) == value


def test_only_one_module_prints() -> None:
    """So no name can reach a terminal past `shown`."""
    for path in (ROOT / "clipcodec" / "cli").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and path.name != "terminal.py":
                called = ast.unparse(node.func)
                assert called != "print", path
                assert called not in ("sys.stdout.write", "sys.stderr.write", "tqdm.write"), path


def said(*args: str, encoding: str = "utf-8") -> tuple[int, list[str], list[str]]:
    """Exit code, and lines of stdout and of stderr; every character is printable."""
    done = run(*args, PYTHONIOENCODING=encoding, LC_ALL="C.UTF-8")
    out, err = done.stdout.decode(encoding), done.stderr.decode(encoding)
    assert "Traceback" not in err
    assert all(line.replace("\t", "").isprintable() for line in (out + err).splitlines())
    return done.returncode, out.splitlines(), err.splitlines()


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "ascii"])
def test_listings_are_whole_in_any_encoding(here: Path, encoding: str) -> None:
    code, out, _ = said("search", "c.clpc", "--query", "q.npy", "--tsv", encoding=encoding)
    assert code == 0
    cat = "猫" if encoding == "utf-8" else r"\u732b"
    ids = {line.split("\t")[4] for line in out[1:]}
    assert ids == {"plain", cat, r"a\x1b[31mred\x1b]0;title\x07\nb\tc", r"\u202egpj.exe"}

    (here / "d").mkdir()
    for name in ("a.jpg", f"b{ESC}.jpg", "猫.jpg", "z.jpg"):
        (here / "d" / name).write_bytes(b"x")
    code, out, _ = said("compress", "d", "-o", "x.clpc", "--dry-run", *PROFILE, encoding=encoding)
    assert code == 0
    assert out == ["a.jpg", r"b\x1b[31mred\x1b]0;title\x07.jpg", "z.jpg", f"{cat}.jpg"]

    for verb, number in (("ids", 4), ("head", 5)):
        code, out, _ = said(verb, "c.clpc", encoding=encoding)
        assert (code, len(out)) == (0, number)
        assert any(cat in line for line in out)

    assert said("info", "c.clpc", encoding=encoding)[1][-1].startswith(r"  metadata   k\x1b[31m")
    assert said("--help", encoding=encoding)[0] == 0
    assert said("train", "--help", encoding=encoding)[0] == 0


def test_names_on_stderr(here: Path) -> None:
    """Of a tar's members, of inputs, outputs, wrong arguments, and of files that are not UTF-8."""
    with tarfile.open("t.tar", "w") as archive:
        archive.addfile(tarfile.TarInfo(ESC + 5000 * "a" + ".jpg"), io.BytesIO())
    red = r"\x1b[31mred\x1b]0;title\x07"
    for line in (
        ("compress", "t.tar", "-o", "x.clpc", "--dry-run", *PROFILE),
        ("info", f"none{ESC}.clip"),
        ("decompress", f"none{ESC}\n.clip", "-o", "y.npy"),
        ("compress", "q.npy", "-o", f"{ESC}.npy"),
        ("info", "a.clip", f"--{ESC}"),
        (f"{ESC}",),
        ("search", f"none{ESC}.clpc", "--query", "q.npy"),
        ("compress", "q.npy", "--profile", f"{ESC}"),
    ):
        code, _, err = said(*line)
        assert code != 0
        assert red in "".join(err), line
    name = os.fsdecode(b"bad\xff.clip")
    Path(name).write_bytes(Path("a.clip").read_bytes())
    assert said("info", name)[1][0].startswith(r"bad\xff.clip: clipcodec stream")
    assert json.loads(said("info", name, "--json")[1][0])["file"] == name
    assert said("compress", "q.npy", "-o", f"w{ESC}.clip", *PROFILE)[0] == 0


# closed and full streams


def shell(line: str) -> subprocess.CompletedProcess[str]:
    command = f"{sys.executable} -m clipcodec {line}"
    return subprocess.run(
        ["sh", "-c", command], capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&-", "<&- 2>&-", "<&- >&- 2>&-"])
def test_a_closed_stream_that_is_not_needed_is_not_missed(here: Path, closed: str) -> None:
    expected = clipcodec.encode_embedding(np.load("q.npy")[0], profile="any/rotation")
    done = shell(f"compress q.npy -o x.clip --profile any/rotation -q {closed}")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert Path("x.clip").read_bytes() == expected
    done = shell(f"compress q.npy -o x.clpc --profile any/rotation -q {closed}")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    with clipcodec.open("x.clpc") as container:
        assert list(container) == [expected]


@pytest.mark.parametrize(
    "line",
    [
        "info a.clip",
        "info c.clpc --json",
        "decompress a.clip -o -",
        "decompress a.clip --json",
        "decompress c.clpc -o -",
        "profiles",
        "search c.clpc --query q.npy",
        "ids c.clpc",
        "ids c.clpc --null",
        "head c.clpc",
        "cat c.clpc plain",
        "merge c.clpc -o -",
        "extract - -o - < a.clip",
    ],
)
def test_a_closed_stdout_that_is_needed_is_named(here: Path, line: str) -> None:
    done = shell(f"{line} >&-")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    if "extract" not in line:
        assert "stdout: is closed" in done.stderr


def test_a_closed_stdin_that_is_needed_is_named(here: Path) -> None:
    for line in (
        "info -", "decompress - -o y.npy", "compress -", "search c.clpc --query -",
        "attach - -o - --stream a.clip", "extract -", "compress - -o y.clpc --dry-run",
    ):  # fmt: skip
        done = shell(f"{line} <&-")
        assert done.returncode == 1
        assert "stdin" in done.stderr, line
        assert "closed" in done.stderr, line
        assert "Traceback" not in done.stderr


def test_a_closed_stderr_puts_no_message_on_stdout(here: Path) -> None:
    done = shell("info none.clip 2>&-")
    assert (done.returncode, done.stdout) == (1, "")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize(
    "line", ["info a.clip", "profiles", "decompress a.clip -o -", "ids c.clpc"]
)
def test_a_full_stdout_is_named_once(here: Path, line: str) -> None:
    done = shell(f"{line} > /dev/full")
    assert done.returncode == 1
    assert "No space left" in done.stderr
    assert done.stderr.count("No space left") == 1
    assert "Exception ignored" not in done.stderr
    if "decompress" not in line:
        assert "stdout: No space left" in done.stderr
    assert shell("info none.clip 2> /dev/full").returncode == 1
