"""Pipes, devices and open files in place of files, for every input and output that can be one."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import clipcodec
from tests.helpers.profiles import cone

pytestmark = pytest.mark.skipif(
    sys.platform == "win32" or not os.path.exists("/dev/fd"), reason="needs /dev/fd and bash"
)
PIPE_BUFFER = 1 << 16  # bytes


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory. Its container is larger than a pipe's buffer."""
    monkeypatch.chdir(tmp_path)
    rows = cone(8000, 16)
    streams = clipcodec.encode_embeddings(rows, profile="any/rotation")
    np.save("q.npy", rows[:1])
    Path("a.clip").write_bytes(streams[0])
    with clipcodec.create("c.clpc") as writer:
        writer.extend(streams, ids=map(str, range(len(streams))))
    Image.new("RGB", (8, 8)).save("a.jpg")
    Path("b.jpg").write_bytes(clipcodec.attach("a.jpg", streams[0]))
    assert Path("c.clpc").stat().st_size > PIPE_BUFFER
    return tmp_path


def bash(line: str) -> bytes:
    """stdout of a line of bash, in which `cc` is the command; nothing may fail."""
    start = f'set -e -o pipefail; cc() {{ "{sys.executable}" -m clipcodec "$@"; }}; '
    done = subprocess.run(
        ["bash", "-c", start + line], capture_output=True, timeout=120, check=False
    )
    assert (done.returncode, done.stderr) == (0, b""), done.stderr
    return done.stdout


def npy(data: bytes) -> np.ndarray:
    rows: np.ndarray = np.load(io.BytesIO(data))
    return rows


P = "--profile any/rotation"


@pytest.mark.parametrize(
    "line",
    [
        f"cc compress q.npy -o /dev/stdout {P} | cat",
        f"cc compress q.npy -o /dev/fd/1 {P} | cat",
        f"cc compress q.npy -o /proc/self/fd/1 {P} | cat",
        f"cc compress q.npy -o /dev/stdout {P} > out; cat out",
        f"cc compress q.npy -o >(cat > out) {P}; sleep 0.3; cat out",
        f"mkfifo p; cat p > out & cc compress q.npy -o p {P}; wait; cat out",
        f"ln -s /dev/stdout link; cc compress q.npy -o link {P} | cat",
        f"cc compress <(cat q.npy) {P}",
        f"cc compress /dev/stdin {P} < <(cat q.npy)",
        "cc extract b.jpg -o /dev/stdout | cat",
        "cc extract <(cat b.jpg)",
    ],
)
def test_a_stream_through_pipes(here: Path, line: str) -> None:
    assert bash(line) == Path("a.clip").read_bytes()


def test_an_open_file_is_written_from_where_it_stands(here: Path) -> None:
    """Opened again by its name it would be emptied."""
    bash(f"(echo before; cc compress q.npy -o /dev/stdout {P}; echo after) > out")
    stream = Path("a.clip").read_bytes()
    assert Path("out").read_bytes() == b"before\n" + stream + b"after\n"


@pytest.mark.parametrize(
    "line",
    [
        "cc decompress c.clpc -o /dev/stdout --ids >(cat > ids) | cat",
        "cc decompress <(cat c.clpc) -o - --ids ids | cat",
        "cc decompress <(cat c.clpc) --ids ids",
        "cc decompress - --ids ids < c.clpc",
        "cat c.clpc | cc decompress /dev/stdin -o >(cat > out) --ids ids; sleep 0.3; cat out",
        "mkfifo p; cat c.clpc > p & cc decompress p -q -o out.npy --ids ids; cat out.npy",
    ],
)
def test_a_container_through_pipes(here: Path, line: str) -> None:
    with clipcodec.open("c.clpc") as container:
        expected = container.decode_all()
    assert (npy(bash(line)) == expected).all()
    assert Path("ids").read_text().split() == [str(i) for i in range(8000)]


def test_pipes_of_several_kinds_together(here: Path) -> None:
    out = bash("cc decompress <(cat a.clip) <(cat c.clpc) a.clip -o -")
    assert npy(out).shape == (8002, 16)


def test_info_and_search(here: Path) -> None:
    for line in ("info --json", "search --json -k 2 --query q.npy"):
        expected = json.loads(bash(f"cc {_placed(line, 'c.clpc')}"))
        for source in ("<(cat c.clpc)", "- < c.clpc", "/dev/stdin < c.clpc"):
            found = json.loads(bash(f"cc {_placed(line, source)}"))
            assert found.pop("file", None) != "c.clpc"
            assert found == {k: v for k, v in expected.items() if k != "file"}
    hits = json.loads(bash("cc search c.clpc --query <(cat q.npy) --json -k 1"))["hits"]
    assert hits[0]["index"] == 0
    assert json.loads(bash("cc info <(cat a.clip) --json"))["size"] > 0


def _placed(line: str, source: str) -> str:
    """`info --json` of a source; `search SOURCE --json …`, as a shell takes it."""
    verb, rest = line.split(" ", 1)
    name, _, redirect = source.partition(" <")
    if source.startswith("<("):
        name, redirect = source, ""
    return f"{verb} {name} {rest}" + (f" < {redirect}" if redirect else "")


def test_a_slow_pipe_is_known_too(here: Path) -> None:
    """Its first bytes come one at a time."""
    slow = "(head -c 1 c.clpc; sleep 0.2; tail -c +2 c.clpc)"
    assert json.loads(bash(f"{slow} | cc info - --json"))["items"] == 8000
    assert json.loads(bash(f"cc info <{slow} --json"))["items"] == 8000


def test_pipes_into_a_container(here: Path) -> None:
    """Embeddings with workers; a stream of them, two pipes, and an open file."""
    bash(f"cc compress q.npy -o a.clpc -q {P}")
    for line in (
        f"cc compress <(cat q.npy) -o b.clpc -f -q --workers 2 {P}",
        f"mkfifo p; cat q.npy > p & cc compress p -o b.clpc -f -q {P}; wait",
        f"cc compress /dev/stdin -o b.clpc -f -q {P} < q.npy",
        f"cat q.npy | cc compress /dev/stdin -o b.clpc -f -q {P}",
    ):
        bash(line)
        with clipcodec.open("a.clpc") as one, clipcodec.open("b.clpc") as other:
            assert [*one] == [*other]


@pytest.mark.parametrize("name", ["/dev/zero", "link.png"])
@pytest.mark.parametrize(
    "line",
    ["compress", "compress -o x.clpc --workers 1", "extract", "info", "decompress",
     "attach --stream a.clip -o x.jpg", "search --query q.npy", "ids", "head", "cat --index 0",
     "merge -o x.clpc", "split -o x.d/ --parts 1"],
)  # fmt: skip
def test_a_device_is_refused(here: Path, name: str, line: str) -> None:
    """Every verb, in bounded memory: each once read zeros until the machine had no more."""
    Path("link.png").symlink_to("/dev/zero")
    verb, *options = line.split()
    done = subprocess.run(
        [sys.executable, "-m", "clipcodec", verb, name, *options],
        capture_output=True, text=True, timeout=60, check=False, preexec_fn=_little_memory,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert "it is a device, expected a file or a pipe" in done.stderr
    assert "Traceback" not in done.stderr
    assert not [*here.glob("x.*")]


def _little_memory() -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))


def test_attach(here: Path) -> None:
    expected = Path("b.jpg").read_bytes()
    assert bash("cc attach <(cat a.jpg) --stream <(cat a.clip) -o /dev/stdout | cat") == expected
    assert bash("cc attach <(cat a.jpg) --stream a.clip") == expected


def test_what_cannot_be_a_pipe_says_so(here: Path) -> None:
    for line in ("compress <(cat a.clip) --column e -o x.parquet", "search - --query - < c.clpc"):
        done = subprocess.run(
            ["bash", "-c", f"{sys.executable} -m clipcodec {line}"],
            capture_output=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 2
        assert b"pipe" in done.stderr or b"stdin can be only one input" in done.stderr
