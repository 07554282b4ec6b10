"""Every release reads what every release wrote: the sets that tests/releases keeps."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest

import clipcodec
from tests.helpers.paths import ROOT

FOLDER = ROOT / "tests" / "releases"
LOCKED = {
    line.split("  ")[1]: line.split("  ")[0]
    for line in (FOLDER / "SHA256SUMS").read_text().splitlines()
}
# The sums of the sets that were there when this line was written; a set is added, none is changed.
FIRST = {"0.1.0.json": "f717a62bdf2bb1ef6f3884e7576e009bc0bdcab068a1338bc2684b8d15751cf6"}


def test_no_set_is_lost_or_changed() -> None:
    assert LOCKED.items() >= FIRST.items()
    assert {path.name for path in FOLDER.glob("*.json")} == set(LOCKED)
    for name, digest in LOCKED.items():
        assert hashlib.sha256((FOLDER / name).read_bytes()).hexdigest() == digest, name


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
