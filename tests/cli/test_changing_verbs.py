"""`clipcodec delete`, `update` and `compact`: a container is changed as asked, or not at all."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import clipcodec
from clipcodec import Item
from clipcodec.cli import describe_containers
from tests.helpers.processes import caller, run
from tests.helpers.profiles import drawn, write_tiny_profile

IDS = ["a.jpg", "beach/b.png", None, "a.jpg", "c.jpg", "3"]


@pytest.fixture(scope="module")
def streams() -> list[bytes]:
    return clipcodec.encode_embeddings(drawn(9), quality=30)


@pytest.fixture
def cli(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsysbinary: pytest.CaptureFixture[bytes],
    streams: list[bytes],
) -> Any:
    """Runs a command beside photos.clpc, of six items; new.jpg.clip; more.clpc, of two."""
    monkeypatch.chdir(tmp_path)
    with clipcodec.create("photos.clpc", metadata={"made": "here"}) as writer:
        writer.extend(streams[:6], IDS)
    Path("new.jpg.clip").write_bytes(streams[6])
    with clipcodec.create("more.clpc") as writer:
        writer.extend(streams[7:], ["c.jpg", "d.jpg"])
    return caller(capsysbinary)


def items(name: str = "photos.clpc") -> list[Item]:
    with clipcodec.open(name) as container:
        return list(container.items())


def ids() -> list[str | None]:
    return [item.id for item in items()]


@pytest.mark.parametrize(
    ("options", "left"),
    [
        (["c.jpg", "3"], [0, 1, 2, 3]),
        (["a.jpg"], [1, 2, 4, 5]),
        (["--index", "2", "-1"], [0, 1, 3, 4]),
        (["--match", "*.png", "?.jpg"], [2, 5]),
        (["3", "--match", "be*", "--index", "0", "0"], [2, 3, 4]),
        (["--ids", "list.txt"], [0, 1, 2, 3]),
        (["--match", "*", "--index", "2"], []),
    ],
)
def test_delete(cli: Any, streams: list[bytes], options: list[str], left: list[int]) -> None:
    """First the plan, which changes nothing."""
    Path("list.txt").write_text("c.jpg\n\n3\n")
    before = Path("photos.clpc").read_bytes()
    code, out, err = cli("delete", "photos.clpc", *options, "--dry-run")
    gone = [i for i in range(6) if i not in left]
    assert (code, out.splitlines()) == (0, [IDS[i] or f"item {i}" for i in gone])
    what = "1 item" if len(gone) == 1 else f"{len(gone)} items"
    assert err == f"clipcodec: photos.clpc: {what} of 6 would be deleted\n"
    assert Path("photos.clpc").read_bytes() == before
    code, out, err = cli("delete", "photos.clpc", *options)
    assert (code, out) == (0, "")
    assert err.startswith(f"photos.clpc: {what} deleted, {len(left)} left")
    assert items() == [Item(streams[i], IDS[i]) for i in left]
    assert sorted(os.listdir()) == ["list.txt", "more.clpc", "new.jpg.clip", "photos.clpc"]


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        ([], 2, "no items: name them by id, --ids FILE"),
        (["a.jpg", "a.jp", "x"], 1, "no item has the id 'a.jp': did you mean"),
        (["--match", "*.gif"], 1, "no id in photos.clpc matches '*.gif'"),
        (["--index", "6"], 1, "no item 6: 6 items, from 0"),
        (["--ids", "none.txt"], 1, "none.txt: No such file"),
    ],
)
def test_delete_of_what_is_not_there(cli: Any, options: list[str], code: int, words: str) -> None:
    found = cli("delete", "photos.clpc", *options)
    assert (found[0], words in found[2]) == (code, True)
    assert ids() == IDS


def test_update_with_a_stream(cli: Any, streams: list[bytes]) -> None:
    """Its id is its path; or what --id says. What had the id is gone, all of it."""
    assert cli("update", "photos.clpc", "new.jpg.clip")[2] == (
        "photos.clpc: 0 items replaced, 1 added\n"
    )
    assert items()[-1] == Item(streams[6], "new.jpg")
    code, out, err = cli("update", "photos.clpc", "new.jpg.clip", "--id", "a.jpg")
    assert (code, out, err) == (0, "", "photos.clpc: 1 item replaced, 0 added\n")
    assert ids() == ["beach/b.png", None, "c.jpg", "3", "new.jpg", "a.jpg"]
    with clipcodec.open("photos.clpc") as container:
        assert container["a.jpg"] == streams[6]


def test_update_from_another_container(cli: Any, streams: list[bytes]) -> None:
    code, out, err = cli("update", "photos.clpc", "more.clpc", "new.jpg.clip", "--dry-run")
    assert (code, out) == (0, "replaced\tc.jpg\nadded\td.jpg\nadded\tnew.jpg\n")
    assert err == "clipcodec: photos.clpc: 1 item would be replaced, 2 added\n"
    assert ids() == IDS
    assert cli("update", "photos.clpc", "more.clpc", "new.jpg.clip", "-q")[2] == ""
    assert ids() == [*IDS[:4], "3", "c.jpg", "d.jpg", "new.jpg"]
    with clipcodec.open("photos.clpc") as container:
        assert container["c.jpg"] == streams[7]
        assert container.metadata == {"made": "here"}


def test_update_is_whole_or_nothing(cli: Any, streams: list[bytes]) -> None:
    """Every input is read before anything is changed."""
    with clipcodec.create("unnamed.clpc") as writer:
        writer.extend(streams[:2], ["x", None])
    Path("bad.clip").write_bytes(streams[0][:-1])
    profile = write_tiny_profile(Path("p.safetensors").absolute())
    rows = np.random.default_rng(0).normal(size=(1, 8))
    with clipcodec.create("own.clpc", profile=profile) as writer:
        writer.extend(clipcodec.encode_embeddings(rows, profile=profile), ["x"])
    before = Path("photos.clpc").read_bytes()
    for inputs, code, words in (
        (["more.clpc", "unnamed.clpc"], 1, "unnamed.clpc: item 1 has no id"),
        (["more.clpc", "bad.clip"], 1, "bad.clip: "),
        (["more.clpc", "none.clip"], 1, "none.clip: No such file"),
        (["more.clpc", "own.clpc"], 1, "carries a profile that photos.clpc does not carry"),
        (["more.clpc", "--id", "x"], 1, "--id is for one stream"),
        (["new.jpg.clip", "more.clpc", "--id", "x"], 2, "--id is for one stream"),
        (["more.clpc", "photos.clpc"], 2, "photos.clpc is the container that is changed"),
        (["-", "-"], 2, "stdin can be only one input"),
    ):
        found = cli("update", "photos.clpc", *inputs)
        assert (found[0], words in found[2]) == (code, True), found
        assert Path("photos.clpc").read_bytes() == before


def test_update_from_a_pipe(cli: Any, streams: list[bytes]) -> None:
    done = run("update", "photos.clpc", "-", "--id", "3", stdin=streams[6])
    assert (done.returncode, items()[-1]) == (0, Item(streams[6], "3"))
    done = run("update", "photos.clpc", "-", stdin=streams[6])
    assert (done.returncode, b"give --id" in done.stderr) == (1, True)
    done = run("update", "photos.clpc", "-", stdin=Path("more.clpc").read_bytes())
    assert (done.returncode, items()[-1].id) == (0, "d.jpg")


def test_compact_and_what_info_says(cli: Any) -> None:
    assert "deleted" not in cli("info", "photos.clpc")[1]
    assert cli("delete", "photos.clpc", "a.jpg", "-q") == (0, "", "")
    known = json.loads(cli("info", "photos.clpc", "--json")[1])
    assert (known["items"], known["deleted"]) == (4, 2)
    line = f"  deleted    2; `clipcodec compact` saves about {known['compact_saves']} bytes\n"
    assert line in cli("info", "photos.clpc")[1]
    before, kept = os.path.getsize("photos.clpc"), items()
    code, out, err = cli("compact", "photos.clpc", "--dry-run")
    assert (code, out, os.path.getsize("photos.clpc")) == (0, "", before)
    code, _, done = cli("compact", "photos.clpc", "more.clpc")
    after = os.path.getsize("photos.clpc")
    assert err == (
        f"clipcodec: photos.clpc: 2 deleted items; {before} bytes, of which {before - after} "
        "bytes would be saved\n"
    )
    assert code == 0
    assert done.startswith(
        f"photos.clpc: {before} bytes → {after} bytes (without 2 deleted items)\nmore.clpc: "
    )
    assert items() == kept
    assert abs(before - after - known["compact_saves"]) < 100


def test_compact_goes_on_after_one_that_fails(cli: Any) -> None:
    cli("delete", "photos.clpc", "a.jpg")
    code, _, err = cli("compact", "new.jpg.clip", "none.clpc", "photos.clpc")
    assert code == 1
    assert "new.jpg.clip: a stream, expected a container" in err
    assert "none.clpc: No such file" in err
    with clipcodec.open("photos.clpc") as container:
        assert container.deleted == 0


@pytest.mark.parametrize("verb", ["delete", "update", "compact"])
def test_only_files_are_changed_and_by_one_writer(cli: Any, verb: str) -> None:
    more = {"delete": ["a.jpg"], "update": ["new.jpg.clip"], "compact": []}[verb]
    for name, words in (("-", "changed in its file"), ("s3://b/x.clpc", "change a copy of it")):
        code, _, err = cli(verb, name, *more)
        assert (code, words in err) == (2, True)
    before = Path("photos.clpc").read_bytes()
    with clipcodec.create("photos.clpc", "a"):
        code, _, err = cli(verb, "photos.clpc", *more)
        assert code == 1
        assert f"is being written by another process, {os.getpid()}, since" in err
    assert Path("photos.clpc").read_bytes() == before


def test_the_estimate_of_an_empty_container(cli: Any) -> None:
    clipcodec.create("none.clpc").close()
    with clipcodec.open("none.clpc") as container:
        assert describe_containers._saved(container) == 0
