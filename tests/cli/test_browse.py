"""`clipcodec browse` as a real command."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

import clipcodec
from tests.helpers.processes import exit_code
from tests.helpers.profiles import drawn

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """photos.clpc and an empty folder photos/."""
    (tmp_path / "photos").mkdir()
    with clipcodec.create(tmp_path / "photos.clpc") as writer:
        writer.extend(clipcodec.encode_embeddings(drawn(3)), ["a.jpg", "b.jpg", "c.jpg"])
    return tmp_path


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, 143)])
def test_it_says_its_address_and_ends_with_ctrl_c(
    folder: Path, number: signal.Signals, code: int
) -> None:
    """Words on stderr, nothing on stdout."""
    command = [sys.executable, "-m", "clipcodec", "browse", "photos.clpc", "--images", "photos"]
    process = subprocess.Popen(
        [*command, "--port", "0", "--cache", "cache"], cwd=folder, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(clipcodec.__file__).parents[1])},
    )  # fmt: skip
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        found = re.search(r"3 pictures at (http://127\.0\.0\.1:\d+/)$", line)
        assert found is not None, line
        with urllib.request.urlopen(found[1], timeout=60) as answer:
            assert b"clipcodec" in answer.read()
        process.send_signal(number)
        out, words = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == code
    assert out == ""
    assert "Traceback" not in words


def test_it_listens_on_this_machine_only(folder: Path) -> None:
    from clipcodec.web.server import listen

    with listen(0) as bound:
        assert bound.getsockname()[0] == "127.0.0.1"


def test_what_cannot_be_is_said(
    folder: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong command line: exit code 2. A file that is not what it should be: 1."""
    monkeypatch.setattr("clipcodec.web.server.serve", lambda *_: pytest.fail("it serves"))
    clpc = folder / "photos.clpc"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert exit_code("browse", clpc, "--port", port) == 2
        assert "another with --port" in capfd.readouterr().err
    (folder / "labels.bin").write_bytes(b"\xff\1")
    (folder / "words.safetensors").write_bytes(b"no")
    for arguments, code, words in (
        ([clpc, "--images", folder / "none"], 2, "not a folder"),
        ([clpc, "--images", clpc], 2, "not a folder"),
        ([clpc, "--port", "99999"], 2, "from 0 to 65535"),
        ([clpc, "--labels", folder / "labels.bin"], 2, "one per line"),
        ([clpc, "--templates", "none {", "--labels", "dog"], 2, "templates"),
        ([clpc, "--text-embeddings", folder / "words.safetensors"], 1, "text embeddings"),
        ([folder / "none.clpc"], 1, "No such file"),
        ([folder / "labels.bin"], 1, ""),
    ):
        found = exit_code("browse", *arguments)
        said = capfd.readouterr().err
        assert (found, words in said) == (code, True), said
