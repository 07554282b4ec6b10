"""Every release reads what every release wrote: the sets that tests/releases keeps."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

import clipcodec
from tests.helpers.paths import ROOT
from tests.releases import frozen

FOLDER = ROOT / "tests" / "releases"
LOCKED = {
    line.split("  ")[1]: line.split("  ")[0]
    for line in (FOLDER / "SHA256SUMS").read_text().splitlines()
}
# The sums of the sets that were there when this line was written; a set is added, none is changed.
FIRST = {"0.1.0.json": "f717a62bdf2bb1ef6f3884e7576e009bc0bdcab068a1338bc2684b8d15751cf6"}

# The same of the lines that were in frozen.sha256 with release 0.1.0, and how many those were.
FIRST_FROZEN = (342, "96c40342611a1536c327fedb65a2c30f574e87d89b3007b8a9a4aa7120e74f62")


def test_no_set_is_lost_or_changed() -> None:
    assert LOCKED.items() >= FIRST.items()
    assert {path.name for path in FOLDER.glob("*.json")} == set(LOCKED)
    for name, digest in LOCKED.items():
        assert hashlib.sha256((FOLDER / name).read_bytes()).hexdigest() == digest, name


def test_nothing_that_a_release_has_is_changed_or_lost() -> None:
    assert frozen.faults() == []
    with (ROOT / frozen.LIST).open("rb") as file:
        first = b"".join(file.readline() for _ in range(FIRST_FROZEN[0]))
    assert hashlib.sha256(first).hexdigest() == FIRST_FROZEN[1]


def test_a_change_to_what_is_frozen_is_found(tmp_path: Path) -> None:
    for name in (vector := "formats/vectors/1/a.json", "tests/releases/1.0.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("{}")
    assert frozen.freeze(tmp_path) == 2
    assert frozen.freeze(tmp_path) == 0
    assert (frozen.faults(tmp_path), frozen.missing(tmp_path)) == ([], [])
    (tmp_path / vector).with_name("b.json").touch()  # a vector may be added, and is frozen later
    assert frozen.faults(tmp_path) == []
    assert frozen.missing(tmp_path) == ["formats/vectors/1/b.json"]
    (tmp_path / vector).write_text("[]")
    (tmp_path / "tests/releases/1.0.json").unlink()
    assert frozen.faults(tmp_path) == [
        f"{vector}: changed, and a release has it",
        "tests/releases/1.0.json: lost, and a release has it",
    ]


@pytest.mark.parametrize("name", LOCKED)
def test_its_streams_decode_to_what_they_held(name: str) -> None:
    """Symbols exactly, embeddings to 1e-5; one by one and all of a width together."""
    rows = json.loads((FOLDER / name).read_text("utf-8"))
    codec = clipcodec.Codec()
    widths: dict[int, list[tuple[bytes, list[float]]]] = {}
    for row in rows:
        stream = bytes.fromhex(row["stream"])
        assert codec.info(stream).profile == row["profile"]
        symbols = codec.symbols(stream).astype(">i2").tobytes()
        assert hashlib.sha256(symbols).hexdigest() == row["symbols_sha256"]
        embedding = codec.decode(stream)
        assert np.abs(embedding[: len(row["embedding"])] - row["embedding"]).max() < 1e-5
        widths.setdefault(len(embedding), []).append((stream, row["embedding"]))
    for group in widths.values():
        streams, heads = zip(*group, strict=True)
        assert (
            np.abs(codec.decode_batch(streams)[:, : len(heads[0])] - np.array(heads)).max() < 1e-5
        )


def test_the_release_at_hand_reads_streams_of_every_profile_that_it_ships() -> None:
    kept = {row["profile"] for name in LOCKED for row in json.loads((FOLDER / name).read_text())}
    assert kept == {row.name for row in clipcodec.profiles()}
