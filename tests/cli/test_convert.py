"""`clipcodec convert`: what is said, refused and written; the forms are in tests/container."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import clipcodec
from tests.helpers.processes import caller, run
from tests.helpers.profiles import drawn, write_tiny_profile


@pytest.fixture
def cli(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> Any:
    """Runs a command beside photos.clpc, of three items, and rows.npy."""
    monkeypatch.chdir(tmp_path)
    with clipcodec.create("photos.clpc", metadata={"made": "here"}) as writer:
        writer.extend(clipcodec.encode_embeddings(drawn(3), quality=30), ["a", "b", "ü"])
    np.save("rows.npy", drawn(3))
    return caller(capsysbinary)


def test_a_container_to_an_array_and_back(cli: Any) -> None:
    """What is lost is said, with the option that keeps it."""
    before = os.path.getsize("photos.clpc")
    code, out, err = cli("convert", "photos.clpc", "-o", "x.npy")
    assert (code, out) == (0, "")
    assert err == (
        "photos.clpc: metadata are not kept: made\n"
        "photos.clpc: ids are not kept: --ids FILE writes them to a text, one per line\n"
        f"photos.clpc: 3 items, {before} bytes → 6,272 bytes, x.npy\n"
    )
    assert cli("convert", "photos.clpc", "-o", "x.npy", "--ids", "ids.txt")[0] == 1
    assert not Path("ids.txt").exists()
    command = ("convert", "photos.clpc", "-fo", "x.npy", "--ids", "ids.txt")
    assert "ids are not kept" not in cli(*command)[2]
    assert cli("convert", "x.npy", "-o", "y.clpc", "--ids", "ids.txt", "--quality", "30", "-q") == (
        0, "", ""
    )  # fmt: skip
    with clipcodec.open("y.clpc") as container:
        assert container.ids == ["a", "b", "ü"]


def test_a_container_to_a_table_and_back(cli: Any) -> None:
    pytest.importorskip("pyarrow")
    assert cli("convert", "photos.clpc", "-o", "x.parquet", "--embeddings")[0] == 0
    code, _, err = cli("convert", "x.parquet", "-o", "y.clpc")
    assert code == 0
    assert err.startswith("x.parquet: columns that a container has no room for: embedding\n")
    assert Path("y.clpc").stat().st_size == Path("photos.clpc").stat().st_size
    code, _, err = cli("convert", "x.parquet", "-o", "z.clpc", "--max-bytes", "20")
    assert (code, "copied as they are" in err) == (2, True)


def test_shards_in_a_pattern(cli: Any) -> None:
    command = ("convert", "photos.clpc", "-o", "s-{000..}.tar", "--shard-items", "2")
    assert cli(*command)[0] == 0
    assert sorted(path.name for path in Path().glob("s-*")) == ["s-000.tar", "s-001.tar"]
    assert cli("convert", "s-{000..}.tar", "-o", "y.clpc")[0] == 0
    with clipcodec.open("y.clpc") as container:
        assert container.ids == ["a", "b", "ü"]


def test_a_container_from_a_pipe(cli: Any) -> None:
    data = Path("photos.clpc").read_bytes()
    done = run("convert", "-", "-o", "x.npy", "-q", stdin=data)
    assert (done.returncode, done.stderr, np.load("x.npy").shape) == (0, b"", (3, 512))
    done = run("convert", "-", "-o", "y.clpc", stdin=Path("rows.npy").read_bytes())
    assert done.returncode == 2
    assert b"stdin is no container, and files of other forms are not read in pipes" in done.stderr


def test_private_profiles(cli: Any) -> None:
    """To encode, it goes into the container; to decode, it is asked for."""
    profile = write_tiny_profile(Path("p.safetensors").absolute())
    np.save("small.npy", np.random.default_rng(0).normal(size=(3, 8)))
    assert cli("convert", "small.npy", "-o", "own.clpc", "--profile", profile)[0] == 0
    assert cli("convert", "own.clpc", "-o", "x.npy")[0] == 0
    with clipcodec.open("own.clpc") as own, clipcodec.create("bare.clpc") as bare:
        bare.extend(own.items())
    assert cli("convert", "bare.clpc", "-o", "y.npy")[0] == 1
    assert cli("convert", "bare.clpc", "-o", "y.npy", "--profile", profile)[0] == 0
    assert Path("x.npy").read_bytes() == Path("y.npy").read_bytes()


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (["photos.clpc", "-o", "x.xyz"], 2, "none of those that are known: ….clpc"),
        (["photos.clpc", "-o", "x.clpc"], 2, "both are containers"),
        (["photos.clpc", "-o", "-"], 2, "-o -: the form of a file is known by its name"),
        (["photos.clpc", "-o", "none/x.npy"], 2, "there is no folder none"),
        (["photos.clpc", "-o", "x.npy", "--column", "c"], 2, "--column c is not for a NumPy array"),
        (["rows.npy", "-o", "x.clpc", "--quality", "0"], 2, "--quality"),
        (["none.npy", "-o", "x.clpc"], 1, "none.npy: No such file"),
        (["photos.clpc"], 2, "-o"),
    ],
)
def test_what_is_refused(cli: Any, args: list[str], code: int, words: str) -> None:
    found = cli("convert", *args)
    assert (found[0], words in found[2]) == (code, True), found
    assert sorted(os.listdir()) == ["photos.clpc", "rows.npy"]
