"""URLs of an object store on the command line: as inputs, and as outputs of -o."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import clipcodec
from clipcodec.cli import main
from clipcodec.container import compact

fsspec = pytest.importorskip("fsspec")

BOX = "memory://box"
X = np.random.default_rng(0).normal(size=(40, 512)).astype("f4")
pytestmark = pytest.mark.filterwarnings("ignore::clipcodec.BackboneWarning")


@pytest.fixture(autouse=True)
def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """memory:// with a container, a stream, an array and a table in it."""
    monkeypatch.chdir(tmp_path)
    streams = clipcodec.encode_embeddings(X, max_bytes=48)
    with clipcodec.create(f"{BOX}/photos.clpc") as writer:
        writer.extend(streams, ids=[f"{i}.jpg" for i in range(len(X))])
    array = io.BytesIO()
    np.save(array, X)
    put("rows.npy", array.getvalue())
    put("one.clip", streams[0])
    yield
    fsspec.filesystem("memory").rm("/box", recursive=True)


def put(name: str, data: bytes) -> None:
    fsspec.filesystem("memory").pipe_file(f"/box/{name}", data)


def get(name: str) -> bytes:
    return bytes(fsspec.filesystem("memory").cat_file(f"/box/{name}"))


def names() -> list[str]:
    return sorted(name.split("/")[-1] for name in fsspec.filesystem("memory").ls("/box", False))


def test_info_and_search(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "--json", f"{BOX}/photos.clpc", f"{BOX}/one.clip"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert json.loads(shown[0])["items"] == 40
    assert json.loads(shown[1])["file"] == f"{BOX}/one.clip"
    assert main(["search", f"{BOX}/photos.clpc", "--query", f"{BOX}/one.clip", "-k", "1"]) == 0
    assert "0.jpg" in capsys.readouterr().out
    assert main(["info", f"{BOX}/rows.npy"]) == 0
    assert "40" in capsys.readouterr().out


def test_decompress(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["decompress", f"{BOX}/photos.clpc", "-o", "here.npy"]) == 0
    assert main(["decompress", f"{BOX}/photos.clpc", "-o", f"{BOX}/there.npy"]) == 0
    assert get("there.npy") == Path("here.npy").read_bytes()
    assert main(["decompress", f"{BOX}/photos.clpc", "-o", f"{BOX}/there.npy"]) == 1
    assert "there.npy exists" in capsys.readouterr().err
    assert main(["decompress", f"{BOX}/photos.clpc", "-f", "-o", f"{BOX}/there.npy"]) == 0
    assert main(["decompress", f"{BOX}/one.clip", "-o", f"{BOX}/folder/"]) == 0
    assert np.load(io.BytesIO(get("folder/one.npy"))).shape[-1] == 512


def test_compress(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compress", f"{BOX}/rows.npy", "-o", f"{BOX}/new.clpc"]) == 0
    assert f"{BOX}/rows.npy: 40 embeddings" in capsys.readouterr().err  # not the copy's name
    np.save("rows.npy", X)
    assert main(["compress", "rows.npy", "-o", "here.clpc"]) == 0
    assert get("new.clpc") == Path("here.clpc").read_bytes()
    assert main(["compress", "rows.npy", "-o", f"{BOX}/new.clpc"]) == 1
    assert get("new.clpc") == Path("here.clpc").read_bytes()
    np.save("rows.npy", X[:1])
    assert main(["compress", "rows.npy", "-o", f"{BOX}/row.clip"]) == 0
    assert clipcodec.decode(get("row.clip")).shape == (512,)


def test_what_cannot_be_read_leaves_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    before = names()
    put("bad.npy", b"\x93NUMPY damaged")
    assert main(["compress", f"{BOX}/bad.npy", "-o", f"{BOX}/new.clpc"]) == 1
    assert f"{BOX}/bad.npy" in capsys.readouterr().err
    assert names() == sorted([*before, "bad.npy"])
    for verb in ("info", "decompress"):
        assert main([verb, f"{BOX}/none.clpc", *(["-o", "x.npy"] if verb != "info" else [])]) == 1
        error = capsys.readouterr().err
        assert f"{BOX}/none.clpc" in error
        assert "no such object" in error
    assert not Path("x.npy").exists()


@pytest.mark.parametrize("verb", ["compress", "decompress"])
def test_nothing_is_written_beside_an_input_of_a_store(
    verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = names()
    name = "rows.npy" if verb == "compress" else "photos.clpc"
    assert main([verb, f"{BOX}/{name}"]) == 2
    assert "-o" in capsys.readouterr().err
    assert names() == before


@pytest.mark.parametrize("table", [False, True])
def test_search_makes_its_container_there_and_uses_it_again(
    table: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """From then on as it is: nothing can be appended to it."""
    line, source = ["--query", f"{BOX}/one.clip", "-k", "1", "--index", f"{BOX}/new.clpc"], "x.npy"
    if table:
        pa = pytest.importorskip("pyarrow")
        parquet = pytest.importorskip("pyarrow.parquet")
        source = "x.parquet"
        column = pa.FixedSizeListArray.from_arrays(pa.array(X.reshape(-1)), 512)
        parquet.write_table(pa.table({"x": column}), source)
        line += ["--column", "x"]
    else:
        np.save(source, X)
    assert main(["search", source, *line, "--json"]) == 0
    first = capsys.readouterr()
    made = get("new.clpc")
    assert len(clipcodec.open(f"{BOX}/new.clpc")) == 40
    assert main(["search", source, *line, "--json"]) == 0
    again = capsys.readouterr()
    assert again.out == first.out
    assert f"{BOX}/new.clpc: used as it is" in again.err
    assert get("new.clpc") == made
    assert [path.name for path in Path().iterdir()] == [source]


def test_merge(capsys: pytest.CaptureFixture[str]) -> None:
    with clipcodec.create("more.clpc") as writer:
        writer.append(clipcodec.encode_embedding(X[0], max_bytes=48), id="more.jpg")
    sources = [f"{BOX}/photos.clpc", "more.clpc", f"{BOX}/one.clip"]
    assert main(["merge", *sources, "-o", "all.clpc"]) == 0
    assert main(["merge", *sources, "-o", f"{BOX}/all.clpc"]) == 0
    assert get("all.clpc") == Path("all.clpc").read_bytes()
    assert len(clipcodec.open("all.clpc")) == 42
    assert main(["merge", f"{BOX}/none.clpc", "-o", f"{BOX}/new.clpc"]) == 1
    assert "no such object" in capsys.readouterr().err
    assert "new.clpc" not in names()


def test_tables(capsys: pytest.CaptureFixture[str]) -> None:
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    table = pa.table({"id": range(40), "clip": [*X]})
    pq.write_table(table, "a.parquet")
    put("a.parquet", Path("a.parquet").read_bytes())
    command = ["compress", "--column", "clip", "--max-bytes", "48"]
    assert main([*command, "a.parquet", "-o", "b.parquet"]) == 0
    assert main([*command, f"{BOX}/a.parquet", "-o", f"{BOX}/b.parquet"]) == 0
    assert get("b.parquet") == Path("b.parquet").read_bytes()
    assert main(["decompress", f"{BOX}/b.parquet", "-o", "c.parquet"]) == 0
    assert pq.read_table("c.parquet").num_rows == 40
    capsys.readouterr()
    assert main(["info", f"{BOX}/b.parquet"]) == 0
    assert "40 in 1 row group" in capsys.readouterr().out


def test_file_urls_are_paths() -> None:
    np.save("a b.npy", X)
    url = Path("a b.npy").absolute().as_uri()
    assert "%20" in url
    assert main(["compress", url, "-o", Path("out.clpc").absolute().as_uri()]) == 0
    assert len(clipcodec.open(Path("out.clpc").absolute().as_uri())) == 40


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (f"split {BOX}/photos.clpc --parts 2 -o {BOX}/parts/", "name a folder on this machine"),
        (f"split {BOX}/photos.clpc --streams -o {BOX}/parts/", "name a folder on this machine"),
    ],
)  # fmt: skip
def test_what_is_not_written_to_a_store_is_refused(
    line: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is written there, nor into a folder that has the URL's name."""
    before = names()
    assert main(line.split()) == 2
    assert says in capsys.readouterr().err
    assert (names(), list(Path().iterdir())) == (before, [])


def test_what_needs_a_file_names_the_url(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(clipcodec.OptionError, match=r"memory://box/photos\.clpc: a"):
        compact(f"{BOX}/photos.clpc")
    assert main(["info", f"{BOX}/none.clpc"]) == 1
    assert capsys.readouterr().err.count("none.clpc") == 1
