"""`clipcodec ids`, `head`, `cat`, `merge` and `split`: items as they are, nothing lost unsaid."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import clipcodec
from clipcodec.container import merge
from tests.helpers.processes import caller, run
from tests.helpers.profiles import drawn, write_tiny_profile

ESCAPE = "we\x1b[31mird\n.jpg"
IDS = ["a.jpg", "beach/b.png", None, "3", ESCAPE]
META = {"clipcodec": {"quality": 50}, "made": "here"}


@pytest.fixture(scope="module")
def streams() -> list[bytes]:
    return clipcodec.encode_embeddings(drawn(8), quality=30)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, streams: list[bytes]) -> Path:
    """The working directory: photos.clpc of five items, more.clpc of two, one.jpg.clip."""
    monkeypatch.chdir(tmp_path)
    for name, rows, ids in (("photos", streams[:5], IDS), ("more", streams[5:7], ["a.jpg", "z"])):
        with clipcodec.create(f"{name}.clpc", metadata=META, block_items=2) as writer:
            writer.extend(rows, ids)
    Path("one.jpg.clip").write_bytes(streams[7])
    return tmp_path


@pytest.fixture
def cli(here: Path, capsysbinary: pytest.CaptureFixture[bytes]) -> Any:
    """Runs a command: its exit code, stdout and stderr."""
    return caller(capsysbinary)


def damage(name: str, block: int = 1) -> None:
    data = bytearray(Path(name).read_bytes())
    at = -1
    for _ in range(block + 1):
        at = data.index(b"DATA", at + 1)
    data[at + 20] ^= 1
    Path(name).write_bytes(data)


def items(name: str) -> list[tuple[bytes, str | None]]:
    with clipcodec.open(name) as container:
        return list(container.items())


# ids


def test_ids_are_lines_in_order(cli: Any) -> None:
    """Line i is item i: an item without an id is an empty line. Escaped ones are said."""
    code, out, err = cli("ids", "photos.clpc", "more.clpc")
    assert (code, out) == (
        0, "a.jpg\nbeach/b.png\n\n3\nwe\\x1b[31mird\\n.jpg\na.jpg\nz\n"
    )  # fmt: skip
    assert err == (
        "clipcodec: photos.clpc: 1 id has characters that are shown escaped: --json or --null "
        "gives them as they are\n"
    )
    assert cli("ids", "photos.clpc", "-q")[2] == ""


def test_ids_as_they_are(cli: Any) -> None:
    code, out, err = cli("ids", "photos.clpc", "--json")
    assert (code, err) == (0, "")
    assert [json.loads(line) for line in out.splitlines()] == [
        {"file": "photos.clpc", "item": i, "id": id} for i, id in enumerate(IDS)
    ]
    code, out, err = cli("ids", "photos.clpc", "--null")
    assert (code, err) == (0, "")
    assert out.split("\0") == [*(id or "" for id in IDS), ""]


def test_an_id_with_a_nul_is_refused_where_it_would_be_two(cli: Any, streams: list[bytes]) -> None:
    with clipcodec.create("nul.clpc") as writer:
        writer.append(streams[0], "a\0b")
    code, out, err = cli("ids", "-z", "nul.clpc")
    assert (code, out) == (1, "")
    assert "nul.clpc: the id of item 0 has a NUL" in err


def test_ids_up_to_the_damage_and_of_the_other_files(cli: Any) -> None:
    """The input at fault is named, the rest are done."""
    damage("photos.clpc")
    code, out, err = cli("ids", "photos.clpc", "one.jpg.clip", "none.clpc", "more.clpc")
    assert (code, out) == (1, "a.jpg\nbeach/b.png\na.jpg\nz\n")
    first, second, third = err.splitlines()
    assert first.startswith("clipcodec: photos.clpc: items 2 to 3: check value")
    assert second.startswith("clipcodec: one.jpg.clip: a stream, expected a container")
    assert third == "clipcodec: none.clpc: No such file or directory"


def test_ids_of_a_pipe_and_of_a_container_that_is_not_finished(here: Path) -> None:
    done = run("ids", "-", stdin=Path("more.clpc").read_bytes())
    assert (done.returncode, done.stdout, done.stderr) == (0, b"a.jpg\nz\n", b"")
    cut = Path("photos.clpc").read_bytes()[:-200]
    assert run("ids", "-", stdin=cut).returncode == 1
    done = run("ids", "-", "--partial", stdin=cut)
    assert (done.returncode, done.stdout) == (0, b"a.jpg\nbeach/b.png\n")
    assert b"stdin: not complete: 2 good items are read" in done.stderr


# head


def test_head_shows_items_in_aligned_columns(cli: Any, streams: list[bytes]) -> None:
    code, out, err = cli("head", "photos.clpc", "-n", "3")
    assert (code, err) == (0, "")
    sizes = [len(stream) for stream in streams]
    assert out.splitlines() == [
        "item  id           profile                     quality  bytes",
        f"   0  a.jpg        openai-vit-b-32/predictive       30  {sizes[0]:>5}",
        f"   1  beach/b.png  openai-vit-b-32/predictive       30  {sizes[1]:>5}",
        f"   2  -            openai-vit-b-32/predictive       30  {sizes[2]:>5}",
    ]
    assert "we\\x1b[31mird\\n.jpg" in cli("head", "photos.clpc")[1]


def test_head_as_json(cli: Any, streams: list[bytes]) -> None:
    code, out, _ = cli("head", "photos.clpc", "--json", "-n", "99")
    rows = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert rows == [
        {"file": "photos.clpc", "item": i, "id": id, "profile": "openai-vit-b-32/predictive",
         "quality": 30, "bytes": len(streams[i])}
        for i, id in enumerate(IDS)
    ]  # fmt: skip


def test_head_of_private_streams(cli: Any, here: Path) -> None:
    """Without the profile the header says the digest; with it, everything."""
    profile = write_tiny_profile(here / "p.safetensors")
    rows = np.random.default_rng(0).normal(size=(1, 8))
    with clipcodec.create("private.clpc") as writer:
        writer.extend(clipcodec.encode_embeddings(rows, profile=profile), ["x"])
    assert "private, " in cli("head", "private.clpc")[1]
    out = cli("head", "private.clpc", "--profile", profile, "--json")[1]
    assert json.loads(out)["profile"] == "private/tiny"
    assert json.loads(out)["quality"] is None


def test_head_names_an_item_that_is_no_stream_and_goes_on(cli: Any, streams: list[bytes]) -> None:
    with clipcodec.create("odd.clpc") as writer:
        writer.extend([streams[0], b"\x69", streams[1]], ["x", "y", "z"])
    code, out, err = cli("head", "odd.clpc")
    assert code == 1
    assert [line.split()[1] for line in out.splitlines()[1:]] == ["x", "y", "z"]
    assert out.splitlines()[2].split() == ["1", "y", "-", "-", "1"]
    assert err.startswith("clipcodec: odd.clpc: item 1: ")


@pytest.mark.parametrize("number", ["0", "-3", "x"])
def test_head_of_no_items_is_a_usage_error(cli: Any, number: str) -> None:
    code, out, err = cli("head", "photos.clpc", "-n", number)
    assert (code, out) == (2, "")
    assert number in err


# cat


def test_one_stream_goes_to_stdout(cli: Any, here: Path, streams: list[bytes]) -> None:
    """By id or by position, also from the end; an id of digits is an id."""
    for args, i in ((["a.jpg"], 0), (["3"], 3), (["--index", "2"], 2), (["--index", "-1"], 4)):
        done = run("cat", "photos.clpc", *args)
        assert (done.returncode, done.stdout, done.stderr) == (0, streams[i], b"")
    done = run("cat", "-", "z", stdin=Path("more.clpc").read_bytes())
    assert done.stdout == streams[6]


def test_of_items_with_the_same_id_the_last_is_meant(here: Path, streams: list[bytes]) -> None:
    merge(["photos.clpc", "more.clpc"], "all.clpc")
    assert run("cat", "all.clpc", "a.jpg").stdout == streams[5]


def test_one_stream_goes_to_a_file_or_a_folder(cli: Any, streams: list[bytes]) -> None:
    assert cli("cat", "photos.clpc", "a.jpg", "-o", "x.clip")[0] == 0
    assert Path("x.clip").read_bytes() == streams[0]
    code, out, err = cli("cat", "photos.clpc", "beach/b.png", "-o", "dir/")
    assert (code, out) == (0, "")
    assert err == f"photos.clpc: 1 item → {len(streams[1])} bytes, dir/\n"
    assert Path("dir/beach/b.png.clip").read_bytes() == streams[1]
    assert cli("cat", "photos.clpc", "a.jpg", "-o", "y.clip", "-q")[2] == ""


def test_several_go_to_a_container_or_a_folder(cli: Any, streams: list[bytes]) -> None:
    """In the order of the command line, those by position last; metadata are kept."""
    chosen = ["3", "a.jpg", "--index", "2", "0"]
    assert cli("cat", "photos.clpc", *chosen, "-o", "x.clpc")[0] == 0
    assert items("x.clpc") == [(streams[i], IDS[i]) for i in (3, 0, 2, 0)]
    assert clipcodec.open("x.clpc").metadata == META
    assert cli("cat", "photos.clpc", *chosen, "-o", "dir")[0] == 0
    assert {path.name for path in Path("dir").iterdir()} == {
        "3.clip", "a.jpg.clip", "0002.clip", "a.jpg.0000.clip",
    }  # fmt: skip


@pytest.mark.parametrize(
    "args",
    [
        ["a.jpg", "3"],
        ["a.jpg", "3", "-o", "-"],
        ["a.jpg", "3", "-o", "x.clip"],
        ["a.jpg", "3", "-o", "one.jpg.clip"],
        ["a.jpg", "-o", "x.npy"],
        ["--index", "x"],
    ],
)
def test_cat_refuses_what_has_no_place(cli: Any, args: list[str]) -> None:
    before = sorted(os.listdir())
    code, out, err = cli("cat", "photos.clpc", *args)
    assert (code, out) == (2, "")
    assert err
    assert sorted(os.listdir()) == before


def test_cat_of_no_items_says_what_is_missing(cli: Any) -> None:
    assert cli("cat", "photos.clpc") == (
        2, "", "clipcodec cat: no items: name them by id, or by position with --index N\n"
    )  # fmt: skip
    assert cli("cat")[2].startswith("clipcodec cat: FILE is missing\n")


def test_cat_keeps_existing_outputs(cli: Any, streams: list[bytes]) -> None:
    for output in ("one.jpg.clip", "more.clpc", "dir/"):
        Path("dir").mkdir(exist_ok=True)
        Path("dir/a.jpg.clip").write_bytes(b"mine")
        code, _, err = cli("cat", "photos.clpc", "a.jpg", "-o", output)
        assert code == 1
        assert "exists" in err
        assert cli("cat", "photos.clpc", "a.jpg", "-o", output, "-f")[0] == 0
    assert Path("dir/a.jpg.clip").read_bytes() == streams[0]
    assert items("more.clpc") == [(streams[0], "a.jpg")]


def test_unknown_items_are_named_with_what_may_be_meant(cli: Any) -> None:
    """All of them; nothing is written."""
    code, out, err = cli(
        "cat", "photos.clpc", "b.png", "a.jgp", "3", "4", "--index", "5", "-o", "x/"
    )
    assert (code, out) == (1, "")
    assert err.splitlines() == [
        "clipcodec: photos.clpc: no item has the id 'b.png': did you mean 'beach/b.png'?",
        "clipcodec: photos.clpc: no item has the id 'a.jgp': did you mean 'a.jpg'?",
        "clipcodec: photos.clpc: no item has the id '4': for the item at this position give "
        "--index 4",
        "clipcodec: photos.clpc: no item 5: there are 5, counted from 0",
    ]
    assert not os.path.exists("x")


def test_hostile_ids_stay_below_the_folder(cli: Any, here: Path, streams: list[bytes]) -> None:
    ids = ["../../x", "/tmp/y", "..", "a/../b", ESCAPE, "A", "a"]
    with clipcodec.create("evil.clpc") as writer:
        writer.extend(streams[:7], ids)
    for way in (["split", "evil.clpc", "--streams"], ["cat", "evil.clpc", *ids]):
        assert cli(*way, "-o", "in/out")[0] == 0
        files = [path for path in here.rglob("*.clip") if path.name != "one.jpg.clip"]
        assert len(files) == 7
        assert all(path.is_relative_to(here / "in/out") for path in files)
        for path in files:
            path.unlink()


# merge


def test_merge_says_what_it_did(cli: Any, streams: list[bytes]) -> None:
    code, out, err = cli("merge", "photos.clpc", "more.clpc", "one.jpg.clip", "-o", "all.clpc")
    assert (code, out) == (0, "")
    assert items("all.clpc") == list(zip(streams, [*IDS, "a.jpg", "z", "one.jpg"], strict=True))
    assert clipcodec.open("all.clpc").metadata == {"made": "here"}
    size = os.path.getsize("all.clpc")
    before = sum(map(os.path.getsize, ("photos.clpc", "more.clpc", "one.jpg.clip")))
    assert err.splitlines() == [
        "clipcodec: the id 'a.jpg' is used more than once, for different streams: all are kept, "
        "and the id finds the last (--same-id first, last or refuse)",
        "clipcodec: metadata that the inputs do not share are left out: clipcodec (how the items "
        "were made)",
        f"3 inputs: 8 items, {before} bytes → {size} bytes, all.clpc",
    ]
    assert cli("merge", "photos.clpc", "-o", "b.clpc", "-q")[2] == ""


@pytest.mark.parametrize(("rule", "count"), [("first", 6), ("last", 6), ("keep", 7)])
def test_merge_by_a_rule_for_the_same_id(cli: Any, rule: str, count: int) -> None:
    code, _, err = cli("merge", "photos.clpc", "more.clpc", "--same-id", rule, "-o", "all.clpc")
    assert code == 0
    assert len(items("all.clpc")) == count
    assert count == 7 or f"the {rule} is kept, 1 item left out" in err


def test_merge_may_refuse_the_same_id(cli: Any) -> None:
    code, _, err = cli("merge", "photos.clpc", "more.clpc", "--same-id", "refuse", "-o", "a.clpc")
    assert (code, os.path.exists("a.clpc")) == (1, False)
    assert "'a.jpg'" in err


def test_merge_to_and_from_pipes(here: Path) -> None:
    done = run("merge", "photos.clpc", "-", "-o", "-", stdin=Path("more.clpc").read_bytes())
    assert done.returncode == 0
    assert b"bytes" not in done.stderr
    assert len(clipcodec.open(io.BytesIO(done.stdout))) == 7
    stdin = Path("one.jpg.clip").read_bytes()
    assert run("merge", "photos.clpc", "-", "-o", "x.clpc", stdin=stdin).returncode == 0
    assert items("x.clpc")[-1] == (stdin, None)


def test_several_profiles_are_merged_and_said(cli: Any) -> None:
    rows = np.random.default_rng(0).normal(size=(2, 16))
    with clipcodec.create("other.clpc") as writer:
        writer.extend(clipcodec.encode_embeddings(rows, profile="any/rotation"))
    code, _, err = cli("merge", "more.clpc", "other.clpc", "-o", "all.clpc")
    assert code == 0
    assert "several profiles: openai-vit-b-32/predictive (2), any/rotation (2): only" in err


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (["photos.clpc", "none.clpc", "-o", "x.clpc"], 1, "none.clpc: No such file"),
        (["photos.clpc", "dir", "-o", "x.clpc"], 1, "dir: a directory, expected a container or"),
        (["photos.clpc", "text", "-o", "x.clpc"], 1, "text"),
        (["photos.clpc", "-o", "photos.clpc", "-f"], 2, "is an input"),
        (["photos.clpc", "-o", "more.clpc"], 1, "more.clpc exists"),
        (["photos.clpc", "-o", "x.npy"], 2, "its name says a NumPy array"),
        (["-", "-", "-o", "x.clpc"], 2, "stdin can be only one"),
        (["photos.clpc"], 2, "-o"),
        ([], 2, "FILE"),
    ],
)
def test_merge_writes_nothing_if_something_is_wrong(
    cli: Any, args: list[str], code: int, words: str
) -> None:
    Path("dir").mkdir()
    Path("text").write_text("Photos of mine\n")
    before = {name: os.path.getsize(name) for name in os.listdir()}
    done = cli("merge", *args)
    assert done[0] == code
    assert words in done[2]
    assert {name: os.path.getsize(name) for name in os.listdir()} == before


def test_merge_of_a_damaged_container(cli: Any) -> None:
    """Nothing; or, if asked for, every good block, and what is left out is said."""
    damage("photos.clpc")
    code, _, err = cli("merge", "photos.clpc", "more.clpc", "-o", "all.clpc")
    assert (code, os.path.exists("all.clpc")) == (1, False)
    assert "photos.clpc: items 2 to 3" in err
    code, _, err = cli("merge", "photos.clpc", "more.clpc", "-o", "all.clpc", "--partial")
    assert (code, len(items("all.clpc"))) == (0, 5)
    assert "clipcodec: left out: photos.clpc: items 2 to 3" in err


# split


def test_the_parts_of_a_split_merge_to_the_same(cli: Any) -> None:
    code, out, err = cli("split", "photos.clpc", "-o", "parts", "--items", "2")
    assert (code, out) == (0, "")
    names = [f"parts/photos.{i:04d}.clpc" for i in range(3)]
    size = sum(map(os.path.getsize, names))
    assert err == f"photos.clpc: 5 items → 3 containers, {size} bytes, parts/\n"
    code, _, err = cli("merge", *names, "-o", "again.clpc")
    assert (code, items("again.clpc")) == (0, items("photos.clpc"))
    assert clipcodec.open("again.clpc").metadata == META
    assert len(err.splitlines()) == 1


def test_split_into_so_many_parts_or_streams(cli: Any) -> None:
    assert cli("split", "photos.clpc", "-o", "parts/", "--parts", "2", "-q") == (0, "", "")
    assert [len(items(f"parts/photos.000{i}.clpc")) for i in range(2)] == [3, 2]
    code, _, err = cli("split", "photos.clpc", "-o", "streams", "--streams")
    assert code == 0
    assert "5 items → 5 streams" in err
    assert Path("streams/beach/b.png.clip").read_bytes() == items("photos.clpc")[1][0]


def test_split_of_a_pipe(here: Path) -> None:
    stdin = Path("photos.clpc").read_bytes()
    assert run("split", "-", "-o", "parts", "--parts", "1", stdin=stdin).returncode == 0
    assert os.listdir("parts") == ["stdin.0000.clpc"]


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (["photos.clpc", "-o", "parts"], 2, "--items"),
        (["photos.clpc", "--items", "2"], 2, "-o"),
        (["photos.clpc", "-o", "parts", "--items", "2", "--streams"], 2, "contradict"),
        (["photos.clpc", "-o", "parts", "--items", "0"], 2, "--items 0: expected a whole number"),
        (["photos.clpc", "-o", "parts", "--parts", "9"], 2, "9 parts of 5 items"),
        (["photos.clpc", "-o", "x.clpc", "--parts", "2"], 2, "x.clpc/"),
        (["photos.clpc", "-o", "more.clpc", "--parts", "2"], 2, "more.clpc"),
        (["photos.clpc", "-o", "-", "--parts", "2"], 2, "name a directory"),
        (["one.jpg.clip", "-o", "parts", "--parts", "1"], 1, "one.jpg.clip: a stream, expected"),
    ],
)
def test_split_writes_nothing_if_something_is_wrong(
    cli: Any, args: list[str], code: int, words: str
) -> None:
    before = sorted(os.listdir())
    done = cli("split", *args)
    assert done[0] == code
    assert words in done[2]
    assert sorted(os.listdir()) == before


def test_split_of_a_damaged_container(cli: Any) -> None:
    damage("photos.clpc")
    code, _, err = cli("split", "photos.clpc", "-o", "parts", "--items", "2")
    assert (code, os.path.exists("parts")) == (1, False)
    assert "items 2 to 3" in err
    code, _, err = cli("split", "photos.clpc", "-o", "parts", "--items", "2", "--partial")
    assert (code, len(os.listdir("parts"))) == (0, 3)
    assert "warning: left out: photos.clpc: items 2 to 3" in err
