"""An index from its file: the same hits, and damage is noticed."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import zlib
from pathlib import Path

import numpy as np
import pytest

import clipcodec
from clipcodec import SearchIndex
from clipcodec.errors import CorruptError, DecodeError, TruncatedError, UnsupportedError
from clipcodec.profile.file import Profile
from clipcodec.retrieval import blocks

from .stores import DIM, QUERIES, opened, same_hits, stored

pytestmark = pytest.mark.usefixtures("small_parts")


@pytest.mark.parametrize("exact", [False, True])
def test_an_index_from_its_file_finds_the_same(
    photos_path: Path, rates: Profile, tmp_path: Path, exact: bool
) -> None:
    index = SearchIndex(opened(photos_path, rates), exact=exact)
    index.save(tmp_path / "a.clpi")
    again = SearchIndex.open(tmp_path / "a.clpi")
    assert same_hits(index, again)
    assert again.search(QUERIES, 3).scores.tolist() == index.search(QUERIES, 3).scores.tolist()
    assert (len(again), again.dim, again.nbytes, again.exact) == (150, DIM, index.nbytes, exact)
    assert again.ids == opened(photos_path, rates).ids
    assert again.search(QUERIES, 3).ids == index.search(QUERIES, 3).ids
    assert again.profiles == index.profiles == {rates.name: rates.backbone}
    assert again.sources == [os.path.realpath(photos_path)]
    assert again.path == str(tmp_path / "a.clpi")
    again.check(opened(photos_path, rates))


def test_symbols_that_are_wide_stay_exact_in_a_file(tmp_path: Path) -> None:
    """`any/rotation` at the highest quality, whose coefficients are kept as float32."""
    streams = clipcodec.encode_embeddings(np.eye(40) + 0.01, profile="any/rotation", quality=100)
    spike = np.zeros(40, np.float32)
    spike[3] = 1
    peaked = blocks.rotation().engine(40).transform.synthesise(spike[None])[0]
    streams += [clipcodec.encode_embedding(peaked, profile="any/rotation", quality=100)]
    index = SearchIndex(streams, exact=True)
    index.save(tmp_path / "a.clpi")
    rows = clipcodec.decode_batch(streams)
    a, b = index.search(rows, 5), SearchIndex.open(tmp_path / "a.clpi").search(rows, 5)
    assert a.scores.tolist() == b.scores.tolist()
    assert np.allclose(a.scores, np.sort(rows @ rows.T)[:, ::-1][:, :5], atol=1e-5)


def test_opening_reads_head_and_table_alone(
    photos_path: Path, rates: Profile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No check value of rows is computed before they are searched, and then once."""
    SearchIndex(opened(photos_path, rates)).save(tmp_path / "a.clpi")
    checked: list[int] = []
    whole = zlib.crc32

    def spy(data: bytes) -> int:
        checked.append(len(data))
        return whole(data)

    monkeypatch.setattr(zlib, "crc32", spy)
    index = SearchIndex.open(tmp_path / "a.clpi")
    part = 40 * (DIM + 4)
    assert part not in checked
    index.search(QUERIES)
    index.search(QUERIES)
    assert checked.count(part) == 3  # 150 rows: three whole parts and a smaller one


# --- damage ---


def test_any_flipped_byte_is_noticed_or_does_no_harm(
    photos_path: Path, rates: Profile, tmp_path: Path
) -> None:
    """Of a file that has grown: everywhere, the hits are the same, or the error is typed."""
    path = tmp_path / "a.clpi"
    index = SearchIndex(opened(photos_path, rates))
    index.save(path)
    index.add(opened(photos_path, rates))
    index.save()
    whole = path.read_bytes()
    expected, ids = index.search(QUERIES, 5), index.ids
    noticed = 0
    for at in [*range(128), *range(128, len(whole), 61)]:
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x20]) + whole[at + 1 :])
        try:
            again = SearchIndex.open(path)
            found = again.search(QUERIES, 5)
            assert again.ids == ids
        except DecodeError as error:
            noticed += "a.clpi" in str(error)
            continue
        assert found.indices.tolist() == expected.indices.tolist()
        assert found.scores.tolist() == expected.scores.tolist()
    assert noticed > 100  # and each names the file


def test_a_file_that_was_cut_says_so(photos_path: Path, rates: Profile, tmp_path: Path) -> None:
    path = tmp_path / "a.clpi"
    SearchIndex(opened(photos_path, rates)).save(path)
    whole = path.read_bytes()
    for size in (1, 5, 20, 127, 128, 1000, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(TruncatedError, match=r"a\.clpi: "):
            SearchIndex.open(path)
    path.write_bytes(b"")
    with pytest.raises(CorruptError, match="begins with nothing"):
        SearchIndex.open(path)


@pytest.mark.parametrize(
    "use", ["index.search(np.ones(24))", "index.ids", "hits.ids", "index.save(sys.argv[1] + '2')"]
)
def test_a_file_that_is_cut_under_a_reader_ends_no_process(
    rates: Profile, tmp_path: Path, use: str
) -> None:
    """Reading behind the end of a mapped file would be a bus error, of ids as of rows."""
    path = tmp_path / "a.clpi"
    stored(tmp_path / "long.clpc", rates, 150, first=10**200)  # ids take more than a page
    SearchIndex.build(opened(tmp_path / "long.clpc", rates), path)
    code = """
        import os, sys, numpy as np
        from clipcodec import SearchIndex
        index = SearchIndex.open(sys.argv[1])
        hits = index.search(np.ones(24))
        os.truncate(sys.argv[1], 600)
        try:
            {use}
        except Exception as error:
            print(type(error).__name__, error)
    """
    code = textwrap.dedent(code).format(use=use)
    done = subprocess.run([sys.executable, "-c", code, path],
                          capture_output=True, text=True, timeout=60, check=True)  # fmt: skip
    assert done.stdout.startswith("TruncatedError")
    assert "was cut since it was opened" in done.stdout


def test_other_files_and_versions_are_named(
    photos_path: Path, rates: Profile, tmp_path: Path
) -> None:
    with pytest.raises(CorruptError, match=r"photos\.clpc: a container, no search index"):
        SearchIndex.open(photos_path)
    path = tmp_path / "a.clpi"
    SearchIndex(opened(photos_path, rates)).save(path)
    data = bytearray(path.read_bytes())
    data[7] = 9
    path.write_bytes(data)
    with pytest.raises(UnsupportedError, match="index version 9, this release has 1: build it ag"):
        SearchIndex.open(path)
    with pytest.raises(FileNotFoundError):
        SearchIndex.open(tmp_path / "none.clpi")
