"""clipcodec.container.dedupe: equal streams, and embeddings that are near, exactly."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import clipcodec
from clipcodec import DecodeError, OptionError, OutputExistsError
from clipcodec.container import dedupe, deduping, kept_rows
from tests.helpers.profiles import drawn

META = {"k": 1}


def write(name: str, streams: list[bytes], ids: list[str | None] | None = None) -> None:
    with clipcodec.create(name, "w", metadata=META, block_items=7) as writer:
        writer.extend(streams, ids)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("letters", "keep", "kept"),
    [
        ("abcab", "first", {3: 0, 4: 1}),
        ("abcab", "last", {0: 3, 1: 4}),
        ("aaaa", "first", {1: 0, 2: 0, 3: 0}),
        ("aaaa", "last", {0: 3, 1: 3, 2: 3}),
        ("abc", "first", {}),
        ("", "last", {}),
    ],
)
def test_equal_streams(here: Path, letters: str, keep: Any, kept: dict[int, int]) -> None:
    ids: list[str | None] = [f"{i}" for i in range(len(letters))]
    ids[:1] = [None] * len(ids[:1])
    write("a.clpc", [b"\x69" + letter.encode() + b"\x00" for letter in letters], ids)
    done = dedupe("a.clpc", "out.clpc", keep=keep)
    assert dict(zip(done.left_out.tolist(), done.kept.tolist(), strict=True)) == kept
    assert done.left_out_ids == [ids[i] for i in kept]
    assert done.kept_ids == [ids[i] for i in kept.values()]
    assert (done.cosines == 1).all()
    with clipcodec.open("out.clpc") as out:
        assert out.ids == [id for i, id in enumerate(ids) if i not in kept]
        assert out.metadata == META
    assert done.bytes == os.path.getsize("out.clpc")


def near_ones() -> tuple[list[bytes], Any]:
    """Streams of 300 embeddings, many of them near to others, and what they decode to."""
    rng = np.random.default_rng(5)
    x = drawn(200)
    y = x[rng.integers(0, 200, 100)] + rng.normal(size=(100, 512)) * rng.uniform(0, 0.05, (100, 1))
    rows = np.concatenate([x, y])[rng.permutation(300)]
    streams = clipcodec.encode_embeddings(rows, quality=60)
    return streams, clipcodec.decode_batch(streams).astype(np.float64)


def by_hand(rows: Any, cosine: float, order: range) -> dict[int, int]:
    """What is left out, and for which, one by one."""
    kept: list[int] = []
    found: dict[int, int] = {}
    for i in order:
        near = [k for k in kept if round(float(rows[k] @ rows[i]), 6) >= cosine]
        if near:
            found[i] = near[0]
        else:
            kept.append(i)
    return found


@pytest.mark.parametrize("tile", [16, 8192])
def test_near_ones_are_as_by_hand(here: Path, monkeypatch: pytest.MonkeyPatch, tile: int) -> None:
    """However many are compared at a time, and however much the threshold lets through."""
    monkeypatch.setattr(deduping, "_ROWS", 37)
    monkeypatch.setattr(kept_rows, "_TILE", tile)
    streams, rows = near_ones()
    write("a.clpc", streams)
    for cosine in (1, 0.97, 0.9, 0.6, 0.1):
        for keep, order in (("first", range(300)), ("last", range(299, -1, -1))):
            done = dedupe("a.clpc", "out.clpc", cosine=cosine, keep=keep, overwrite=True)  # type: ignore[arg-type]
            found = dict(zip(done.left_out.tolist(), done.kept.tolist(), strict=True))
            assert found == by_hand(rows, cosine, order)
            assert list(found) == sorted(found)
            exact = (rows[done.left_out] * rows[done.kept]).sum(axis=1)
            np.testing.assert_allclose(done.cosines, exact, atol=1e-6)
            with clipcodec.open("out.clpc") as out:
                assert out[:] == [s for i, s in enumerate(streams) if i not in found]
    assert 0 < len(by_hand(rows, 0.97, range(300))) < 150  # the sets tell something


def test_equal_streams_have_a_cosine_of_one(here: Path) -> None:
    streams = clipcodec.encode_embeddings(drawn(50), quality=20)
    write("a.clpc", streams * 2)
    done = dedupe("a.clpc", "out.clpc", cosine=1)
    assert done.left_out.tolist() == list(range(50, 100))
    assert done.kept.tolist() == list(range(50))


def test_what_is_refused(here: Path) -> None:
    write("a.clpc", clipcodec.encode_embeddings(drawn(2), quality=20))
    for wrong in (0, -0.5, 1.01, float("nan")):
        with pytest.raises(OptionError, match="cosine"):
            dedupe("a.clpc", "out.clpc", cosine=wrong)
    with pytest.raises(OptionError, match="keep='best'"):
        dedupe("a.clpc", "out.clpc", keep="best")  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="is an input"):
        dedupe("a.clpc", "a.clpc", overwrite=True)
    dedupe("a.clpc", "out.clpc")
    with pytest.raises(OutputExistsError):
        dedupe("a.clpc", "out.clpc")


@pytest.mark.parametrize("keep", ["first", "last"])
def test_streams_of_several_widths_cannot_be_near(here: Path, keep: Any) -> None:
    wide = clipcodec.encode_embeddings(drawn(1), quality=20)
    other = clipcodec.encode_embeddings(drawn(1)[:, :64], profile="any/rotation", quality=20)
    write("a.clpc", [*wide, *other, *other])
    assert dedupe("a.clpc", "out.clpc").items == 2  # streams alone are no matter of width
    os.unlink("out.clpc")
    with pytest.raises(DecodeError):
        dedupe("a.clpc", "out.clpc", cosine=0.9, keep=keep)
    assert os.listdir() == ["a.clpc"]
