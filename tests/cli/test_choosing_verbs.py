"""`clipcodec filter` and `dedupe`: what is chosen or left out, and what is said of it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

import clipcodec
from tests.helpers.processes import caller, run
from tests.helpers.profiles import drawn

IDS = ["a.jpg", "beach/b.png", None, "3", "we\x1b[31mird\t.jpg"]


@pytest.fixture
def cli(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> Any:
    """Runs a command beside photos.clpc, of five items of which the last two are equal."""
    monkeypatch.chdir(tmp_path)
    streams = clipcodec.encode_embeddings(drawn(4), quality=30)
    with clipcodec.create("photos.clpc", metadata={"made": "here"}) as writer:
        writer.extend([*streams, streams[3]], IDS)
    return caller(capsysbinary)


def ids(name: str) -> list[str | None]:
    with clipcodec.open(name) as container:
        return container.ids


def test_filter_by_patterns_and_a_list(cli: Any) -> None:
    code, out, err = cli("filter", "photos.clpc", "--match", "*.jpg", "b*", "-o", "out.clpc")
    assert (code, out) == (0, "")
    assert err == f"photos.clpc: 5 items → 3 items, {os.path.getsize('out.clpc')} bytes, out.clpc\n"
    assert ids("out.clpc") == [IDS[0], IDS[1], IDS[4]]
    for text in (
        b"3\r\n\r\na.jpg\r\n",
        b"\xef\xbb\xbfa.jpg\n3",
        b"3\0a.jpg\0",
        "3\na.jpg\n".encode("utf-16"),
    ):
        Path("list.txt").write_bytes(text)
        assert (
            cli("filter", "photos.clpc", "--ids", "list.txt", "-o", "out.clpc", "-f", "-q")[0] == 0
        )
        assert ids("out.clpc") == ["a.jpg", "3"]
    command = ("filter", "photos.clpc", "--ids", "list.txt", "--not-match", "?", "-fo", "out.clpc")
    assert cli(*command)[0] == 0
    assert ids("out.clpc") == ["a.jpg"]
    command = ("filter", "photos.clpc", "--index", "-1", "0", "3", "-fo", "out.clpc")
    assert cli(*command)[0] == 0
    assert ids("out.clpc") == [IDS[0], IDS[3], IDS[4]]
    assert cli(*command, "--match", IDS[0])[0] == 0
    assert ids("out.clpc") == [IDS[0]]


def test_filter_says_what_nothing_fits(cli: Any) -> None:
    """And writes nothing."""
    Path("list.txt").write_text("a.jpg\nnone.jpg\n")
    Path("empty.txt").write_text("\n\n")
    for options, code, words in (
        (["--ids", "list.txt"], 1, "photos.clpc: no item has the id 'none.jpg'"),
        (["--ids", "empty.txt"], 1, "empty.txt names no ids"),
        (["--match", "*.gif"], 1, "no id in photos.clpc matches '*.gif'"),
        (["--profile-name", "x"], 1, "there are: openai-vit-b-32/predictive"),
        (["--index", "5"], 1, "photos.clpc: no item 5: there are 5, counted from 0"),
        ([], 2, "nothing to choose by: give --ids, --match"),
    ):
        found = cli("filter", "photos.clpc", "-o", "out.clpc", *options)
        assert found[:2] == (code, "")
        assert words in found[2]
    Path("list.txt").write_bytes(b"\xff\xfe\xff")
    assert "list.txt: " in cli("filter", "photos.clpc", "--ids", "list.txt", "-o", "out.clpc")[2]
    assert cli("filter", "photos.clpc", "--match", "*", "-o", "out.npy")[0] == 2
    assert not Path("out.clpc").exists()


def test_filter_in_pipes(cli: Any) -> None:
    data = Path("photos.clpc").read_bytes()
    done = run("filter", "-", "--match", "*.jpg", "-o", "-", stdin=data)
    assert (done.returncode, done.stderr) == (0, b"")
    Path("out.clpc").write_bytes(done.stdout)
    assert ids("out.clpc") == [IDS[0], IDS[4]]
    done = run("filter", "-", "--ids", "-", "-o", "x.clpc", stdin=data)
    assert (done.returncode, Path("x.clpc").exists()) == (2, False)
    done = run("filter", "photos.clpc", "--ids", "-", "-o", "x.clpc", stdin=b"3\n")
    assert (done.returncode, ids("x.clpc")) == (0, ["3"])


def test_dedupe_of_equal_streams_with_a_report(cli: Any) -> None:
    code, out, err = cli("dedupe", "photos.clpc", "-o", "out.clpc", "--report", "same.tsv")
    assert (code, out) == (0, "")
    assert err.endswith(" bytes, out.clpc (1 left out)\n")
    assert ids("out.clpc") == IDS[:4]
    assert Path("same.tsv").read_text() == (
        "item\tid\tkept_item\tkept_id\tcosine\n4\twe\\x1b[31mird\\t.jpg\t3\t3\t1.0\n"
    )
    assert cli("dedupe", "photos.clpc", "-o", "out.clpc", "--report", "new.tsv")[0] == 1
    assert not Path("new.tsv").exists()
    command = ("dedupe", "photos.clpc", "--keep", "last", "-fo", "out.clpc", "--report")
    assert cli(*command, "same.jsonl")[0] == 0
    assert ids("out.clpc") == [*IDS[:3], IDS[4]]
    assert json.loads(Path("same.jsonl").read_text()) == {
        "item": 3, "id": "3", "kept_item": 4, "kept_id": IDS[4], "cosine": 1.0
    }  # fmt: skip
    code, out, _ = cli(*command, "-")
    assert out.splitlines()[1].split("\t")[:2] == ["3", "3"]


def test_dedupe_of_near_ones(cli: Any) -> None:
    assert cli("dedupe", "photos.clpc", "--cosine", "0.1", "-o", "out.clpc")[0] == 0
    assert ids("out.clpc") == ["a.jpg"]
    for wrong in (
        ["--cosine", "0"],
        ["--cosine", "2"],
        ["--keep", "best"],
        ["--report", "out.clpc"],
    ):
        assert cli("dedupe", "photos.clpc", "-fo", "out.clpc", *wrong)[0] == 2
