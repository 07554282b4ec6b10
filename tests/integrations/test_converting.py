"""clipcodec.convert: what goes into another form comes back, or it is said; whole or not at all."""

from __future__ import annotations

import io
import json
import os
import shutil
import sys
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import clipcodec
from clipcodec import (
    DecodeError,
    EmbeddingError,
    InputError,
    Item,
    MissingDependencyError,
    OptionError,
    OutputExistsError,
    Target,
    convert,
)
from clipcodec.bulk import Job
from tests.helpers.profiles import drawn, write_tiny_profile

META = {"made": "here", "n": [1, None]}
IDS = ["a.jpg", "beach/b.png", None, "a_jpg", "../e", "A.JPG", "we\x1b[31mird", "00000002", "ü/ö.x"]
KEEPING = ["out.parquet", "out.lance", "db#photos", "out.tar", "out-{000..}.tar"]


def needs(name: str) -> None:
    """Skip where the package of a form is missing."""
    for part, module in (("lance", "lancedb"), ("#", "lancedb"), ("faiss", "faiss")):
        if part in name:
            pytest.importorskip(module)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: a.clpc, of nine items, and rows.npy."""
    monkeypatch.chdir(tmp_path)
    streams = clipcodec.encode_embeddings(drawn(9), quality=30)
    with clipcodec.create("a.clpc", metadata=META) as writer:
        writer.extend(streams, IDS)
    np.save("rows.npy", drawn(9))
    return tmp_path


def items(name: str) -> list[Item]:
    with clipcodec.open(name) as container:
        return list(container.items())


@pytest.mark.parametrize("name", KEEPING)
def test_streams_and_ids_come_back(here: Path, name: str) -> None:
    """Byte for byte, whatever the ids are; and metadata, where there is room for them."""
    needs(name)
    done = convert("a.clpc", name, shard_items=4 if "{" in name else None)
    assert done.items == 9
    kept = "tar" not in name
    assert done.notes == (() if kept else ("metadata are not kept: made, n",))
    back = convert(name, "back.clpc")
    assert back.notes == ()
    assert items("back.clpc") == items("a.clpc")
    with clipcodec.open("back.clpc") as container:
        assert container.metadata == (META if kept else {})
    if "{" in name:
        assert len(list(here.glob("out-*.tar"))) == 3
    if "#" not in name:
        made = list(here.glob("out*"))
        assert done.bytes == sum(
            one.stat().st_size for path in made for one in [path, *path.rglob("*")] if one.is_file()
        )


@pytest.mark.parametrize("name", KEEPING)
def test_a_profile_that_is_carried_goes_along(here: Path, name: str) -> None:
    needs(name)
    profile = write_tiny_profile(here / "p.safetensors")
    rows = np.random.default_rng(0).normal(size=(5, 8))
    with clipcodec.create("own.clpc", profile=profile) as writer:
        writer.extend(clipcodec.encode_embeddings(rows, profile=profile))
    os.unlink("p.safetensors")
    convert("own.clpc", name)
    convert(name, "back.clpc")
    with clipcodec.open("own.clpc") as own, clipcodec.open("back.clpc") as back:
        assert (back.decode_all() == own.decode_all()).all()
        assert back[:] == own[:]


@pytest.mark.parametrize("name", ["out.npy", "out.faiss"])
def test_ids_of_rows_may_be_a_list(here: Path, name: str) -> None:
    """For a container. Where a container's own are written, only the name of a text fits."""
    needs(name)
    convert("a.clpc", name)
    ids = ["x", None, *map(str, range(7))]
    convert(name, "back.clpc", ids=ids)
    assert [id for _, id in items("back.clpc")] == ids
    with pytest.raises(InputError, match="1 id for 9 rows: give one for each"):
        convert(name, "short.clpc", ids=["x"])
    Path("ids.txt").write_text("x\n")
    with pytest.raises(InputError, match=r"ids\.txt: 1 id for 9 rows"):
        convert(name, "short.clpc", ids="ids.txt")
    with pytest.raises(OptionError, match="ids=FILE says where to"):
        convert("a.clpc", name, ids=ids, overwrite=True)


def test_how_items_were_made_is_not_kept_in_words(here: Path) -> None:
    """It is metadata that no user has written."""
    np.save("rows.npy", drawn(2))
    Job("rows.npy", "made.clpc", Target(quality=30)).run()
    assert convert("made.clpc", "made.npy").notes[0] == (
        "metadata are not kept: clipcodec (how the items were made)"
    )


@pytest.mark.parametrize("name", ["out.npy", "out.faiss"])
def test_decoded_embeddings(here: Path, name: str) -> None:
    """Ids are in a text beside them if one is named, else it is said that they are lost."""
    needs(name)
    done = convert("a.clpc", name)
    assert done.notes == (
        "metadata are not kept: made, n",
        "ids are not kept: ids=FILE writes them to a text, one per line",
    )
    with clipcodec.open("a.clpc") as container:
        rows = container.decode_all()
    if name == "out.npy":
        found = np.load(name)
        assert found.dtype == np.float32
    else:
        import faiss

        found = faiss.read_index(name).reconstruct_n(0, 9)
    np.testing.assert_array_equal(found, rows)
    convert("a.clpc", name, ids="ids.txt", overwrite=True)
    assert Path("ids.txt").read_text("utf-8").splitlines() == [id or "" for id in IDS]
    convert(name, "back.clpc", ids="ids.txt", quality=30)
    assert [item.id for item in items("back.clpc")] == IDS
    assert [item.stream for item in items("back.clpc")] == clipcodec.encode_embeddings(
        rows, quality=30
    )
    convert(name, "named.clpc", mean_bytes=40, overwrite=True)
    assert [item.id for item in items("named.clpc")] == [None] * 9
    assert os.path.getsize("named.clpc") < os.path.getsize("back.clpc")


def test_an_empty_container_in_every_form(here: Path) -> None:
    clipcodec.create("none.clpc").close()
    assert convert("none.clpc", "x.npy").items == 0
    for name in ("x.parquet", "x.tar", "x-{0..}.tar"):
        assert convert("none.clpc", name).items == 0
        assert convert(name, "back.clpc", overwrite=True).items == 0
    assert np.load("x.npy").shape == (0, 512)


@pytest.mark.parametrize("name", ["x.lance", "db#photos"])
def test_an_empty_container_as_a_table_of_lancedb(here: Path, name: str) -> None:
    needs(name)
    clipcodec.create("none.clpc").close()
    assert convert("none.clpc", name).items == 0
    assert convert(name, "back.clpc").items == 0
    convert("a.clpc", name, overwrite=True)
    assert convert("none.clpc", name, overwrite=True).items == 0
    assert convert(name, "back.clpc", overwrite=True).items == 0


@pytest.mark.parametrize("name", ["out.npy", "out.faiss"])
def test_ids_do_not_go_over_the_container(here: Path, name: str) -> None:
    needs(name)
    before = items("a.clpc")
    os.symlink("a.clpc", "link.clpc")
    for source in ("a.clpc", "link.clpc", clipcodec.open("a.clpc")):
        with pytest.raises(OptionError, match="is an input, and would be written over"):
            convert(source, name, ids="a.clpc", overwrite=True)
    assert items("a.clpc") == before
    assert not os.path.exists(name)


def test_shards_of_another_run_are_not_taken_for_those_of_this_one(here: Path) -> None:
    """Also with overwrite, which replaces those of the same names alone."""
    convert("a.clpc", "s-{0..}.tar", shard_items=2)
    with pytest.raises(OutputExistsError, match=r"s-3\.tar is a shard of another run: remove it$"):
        convert("a.clpc", "s-{0..}.tar", shard_items=3, overwrite=True)
    assert len(list(here.glob("s-*"))) == 5
    for name in ("s-3.tar", "s-4.tar"):
        os.unlink(name)
    convert("a.clpc", "s-{0..}.tar", shard_items=3, overwrite=True)
    convert("s-{0..}.tar", "back.clpc")
    assert items("back.clpc") == items("a.clpc")
    profile = write_tiny_profile(here / "p.safetensors")
    clipcodec.create("own.clpc", profile=profile).close()
    convert("own.clpc", "t.tar")
    with pytest.raises(OutputExistsError, match=r"t\.profile\.safetensors is the profile of other"):
        convert("a.clpc", "t.tar", overwrite=True)


def test_ids_of_a_faiss_index(here: Path) -> None:
    faiss = pytest.importorskip("faiss")
    index = faiss.IndexIDMap(faiss.IndexFlatIP(512))
    index.add_with_ids(drawn(3), np.array([7, 1 << 40, 3]))
    faiss.write_index(index, "in.faiss")
    convert("in.faiss", "out.clpc")
    assert [item.id for item in items("out.clpc")] == ["7", str(1 << 40), "3"]
    with pytest.raises(OptionError, match="ids of its own"):
        convert("in.faiss", "x.clpc", ids="ids.txt")


# tables


def test_a_table_of_embeddings_is_encoded(here: Path) -> None:
    """Other columns are named; rows without an embedding are counted; numbers are ids as text."""
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    rows = drawn(4)
    table = pa.table({
        "id": pa.array([5, 6, None, 8]),
        "x": pa.array([*rows[:3].tolist(), None], pa.list_(pa.float32())),
        "label": ["a", "b", "c", "d"],
    })  # fmt: skip
    pq.write_table(table, "t.parquet")
    done = convert("t.parquet", "out.clpc", quality=20)
    assert done.notes == (
        "columns that a container has no room for: label",
        "rows that are null in column 'x', left out: 1",
    )
    streams = clipcodec.encode_embeddings(rows[:3], quality=20)
    assert items("out.clpc") == [*map(Item, streams, ["5", "6", None])]
    convert("t.parquet", "b.clpc", id_column="label")
    assert [item.id for item in items("b.clpc")] == ["a", "b", "c"]
    for how, words in (
        ({"column": "nothing"}, "no column named 'nothing'"),
        ({"column": "label"}, "neither streams nor embeddings"),
        ({"id_column": "nothing"}, "no other column is called 'nothing'"),
        ({"id_column": "x"}, "other column|expected text or whole numbers"),
        ({"ids": "ids.txt"}, "not for a Parquet table"),
    ):
        with pytest.raises(OptionError, match=words):
            convert("t.parquet", "c.clpc", **how)  # type: ignore[arg-type]
    assert not Path("c.clpc").exists()


def test_embeddings_beside_streams(here: Path) -> None:
    pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    convert("a.clpc", "t.parquet", embeddings=True, column="s", id_column="name")
    table = pq.read_table("t.parquet")
    assert table.column_names == ["name", "s", "embedding"]
    with clipcodec.open("a.clpc") as container:
        found = np.array(table["embedding"].to_pylist(), np.float32)
        np.testing.assert_array_equal(found, container.decode_all())
    done = convert("t.parquet", "back.clpc", id_column="name")
    assert items("back.clpc") == items("a.clpc")
    assert done.notes == ("columns that a container has no room for: embedding",)
    with pytest.raises(OptionError, match="columns of one name"):
        convert("a.clpc", "u.parquet", column="id")


def test_streams_of_a_column_that_is_not_marked(here: Path) -> None:
    """Are known by their first bytes; images are no streams."""
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    streams = [item.stream for item in items("a.clpc")]
    pq.write_table(pa.table({"s": streams, "p": [b"\xff\xd8\xff"] * 9}), "t.parquet")
    convert("t.parquet", "out.clpc", column="s")
    assert [item.stream for item in items("out.clpc")] == streams
    with pytest.raises(OptionError, match="neither streams nor embeddings"):
        convert("t.parquet", "x.clpc", column="p")
    with pytest.raises(OptionError, match="name one"):
        convert("t.parquet", "x.clpc")


def test_streams_of_several_profiles(here: Path) -> None:
    pytest.importorskip("pyarrow")
    with clipcodec.create("b.clpc") as writer:
        writer.extend(clipcodec.encode_embeddings(drawn(2)))
        writer.extend(clipcodec.encode_embeddings(drawn(2), profile="any/rotation"))
    done = convert("b.clpc", "b.parquet")
    assert "streams of several profiles" in done.notes[0]
    convert("b.parquet", "back.clpc")
    assert items("back.clpc") == items("b.clpc")


# shards


def test_keys_are_what_webdataset_reads(here: Path) -> None:
    """A key has no dot and is of one sample; KEY.json says the id where it is another."""
    convert("a.clpc", "out.tar")
    with tarfile.open("out.tar") as tar:
        names = tar.getnames()
        clips = [name for name in names if name.endswith(".clip")]
        keys = [name.removesuffix(".clip") for name in clips]
        assert len({key.casefold() for key in keys}) == 9
        assert all("." not in key and not key.startswith("/") for key in keys)
        assert keys[1] == "beach/b_png"
        known = json.loads(tar.extractfile("beach/b_png.json").read())  # type: ignore[union-attr]
        assert known == {"id": "beach/b.png"}
    wds = pytest.importorskip("webdataset")
    found = list(wds.WebDataset(["out.tar"], shardshuffle=False))
    assert [sample["clip"] for sample in found] == [item.stream for item in items("a.clpc")]


def write_tar(name: str, members: dict[str, bytes]) -> None:
    with tarfile.open(name, "w") as tar:
        for path, data in members.items():
            info = tarfile.TarInfo(path)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def test_shards_of_others(here: Path) -> None:
    """Members in any order within a sample; others are counted; streams of `split --streams`."""
    one, two, three = (item.stream for item in items("a.clpc")[:3])
    write_tar("in.tar", {
        "x.json": b'{"id": "first", "caption": "c"}', "x.jpg": b"\xff\xd8", "x.clip": one,
        "./beach/b.jpg.clip": two, "y.clip": three, "y.json": b"[" * 60_000, "z.json": b"{}",
    })  # fmt: skip
    done = convert("in.tar", "out.clpc")
    assert items("out.clpc") == [Item(one, "first"), Item(two, "beach/b.jpg"), Item(three, "y")]
    assert done.notes == ("members that are no streams, left out: 1",)


def test_shards_that_are_not_as_they_should_be(here: Path) -> None:
    write_tar("in.tar", {"a.clip": bytes(200_000)})
    with pytest.raises(DecodeError, match="at most"):
        convert("in.tar", "out.clpc")
    write_tar("in.tar", {"a.clip": b"\xff no stream"})
    with pytest.raises(DecodeError, match=r"in\.tar, stream 0|in\.tar: stream 0"):
        convert("in.tar", "out.clpc")
    convert("a.clpc", "s-{0..}.tar", shard_items=4)
    with pytest.raises(InputError, match="3 of these 4 shards are there"):
        convert("s-{0..3}.tar", "out.clpc")
    convert("s-{0..1}.tar", "two.clpc")
    assert len(items("two.clpc")) == 8
    with pytest.raises(OutputExistsError, match=r"remove it, or give overwrite=True$"):
        convert("a.clpc", "s-{0..}.tar")
    with pytest.raises(OptionError, match="too few shards"):
        convert("a.clpc", "t-{0..1}.tar", shard_items=4)
    data = Path("s-1.tar").read_bytes()
    Path("s-1.tar").write_bytes(data[:700])
    with pytest.raises(InputError, match=r"s-1\.tar is not a readable tar"):
        convert("s-{0..}.tar", "out.clpc")
    assert not list(here.glob("t-*")) + list(here.glob("out*"))


def test_ids_that_are_not_utf8(here: Path) -> None:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    streams = [stream for stream, _ in items("a.clpc")[:2]]
    buffers = [None, pa.py_buffer(np.array([0, 1, 2], np.int32).tobytes()), pa.py_buffer(b"a\xff")]
    ids = pa.Array.from_buffers(pa.string(), 2, buffers)
    pq.write_table(pa.table({"id": ids, "stream": pa.array(streams)}), "in.parquet")
    with pytest.raises(InputError, match=r"in\.parquet: column 'id': an id is not UTF-8"):
        convert("in.parquet", "out.clpc", column="stream")
    with (
        pytest.raises(OptionError, match="stream 1: a text is not UTF-8"),
        clipcodec.create("out.clpc") as writer,
    ):
        writer.extend(streams, ids)
    Path("out.clpc.part").unlink()
    deep = pa.schema([pa.field("stream", pa.binary())],
                     {b"clipcodec.container_metadata": b"[" * 100_000})  # fmt: skip
    pq.write_table(pa.table([pa.array(streams)], schema=deep), "in.parquet")
    with pytest.raises(InputError, match="metadata in this table are damaged"):
        convert("in.parquet", "out.clpc", column="stream")


@pytest.mark.parametrize("id", ["a\nb", "a\rb", "a\0b", "\ufeffa"])
def test_ids_that_a_text_would_change(here: Path, id: str) -> None:
    """Those that a list of ids is cut at, and a mark at its beginning."""
    with clipcodec.create("b.clpc") as writer:
        writer.extend(items("a.clpc")[:2], [id, "b"])
    with pytest.raises(OptionError, match=r"--ids cannot hold it: use --json"):
        convert("b.clpc", "b.npy", ids="ids.txt")
    assert not list(here.glob("b.npy")) + list(here.glob("ids.txt"))


# all or nothing


@pytest.mark.parametrize(
    "name", ["out.parquet", "out.npy", "out.faiss", "out.lance", "out.tar", "out-{0..}.tar"]
)
def test_a_damaged_container_leaves_nothing(here: Path, name: str) -> None:
    needs(name)
    with clipcodec.create("bad.clpc", block_items=2) as writer:
        writer.extend(items("a.clpc"))
    data = bytearray(Path("bad.clpc").read_bytes())
    data[data.rindex(b"DATA") + 20] ^= 1
    Path("bad.clpc").write_bytes(data)
    before = sorted(os.listdir())
    with pytest.raises(DecodeError):
        convert("bad.clpc", name, ids="ids.txt" if name in ("out.npy", "out.faiss") else None)
    assert sorted(os.listdir()) == before


@pytest.mark.parametrize("name", ["out.parquet", "out.npy", "out.faiss", "out.lance", "out.tar"])
def test_what_is_there_is_kept_unless_told(here: Path, name: str) -> None:
    needs(name)
    convert("a.clpc", name)
    with pytest.raises(OutputExistsError):
        convert("a.clpc", name)
    convert("a.clpc", name, overwrite=True)
    convert(name, "back.clpc")
    with pytest.raises(OutputExistsError):
        convert(name, "back.clpc")
    convert(name, "back.clpc", overwrite=True)
    assert len(items("back.clpc")) == 9


@pytest.mark.parametrize("name", ["no.parquet", "no.npy", "no.faiss", "no.lance", "no.tar"])
def test_sources_that_are_not_there_or_something_else(here: Path, name: str) -> None:
    needs(name)
    with pytest.raises((OSError, InputError), match=r"no\."):
        convert(name, "out.clpc")
    Path(name).write_bytes(b"something else")
    with pytest.raises(InputError):
        convert(name, "out.clpc")
    assert not list(here.glob("out*"))


def test_rows_that_cannot_be_encoded(here: Path) -> None:
    rows = drawn(3)
    rows[1] = 0
    np.save("rows.npy", rows)
    with pytest.raises(EmbeddingError, match="row 1"):
        convert("rows.npy", "out.clpc")
    np.save("rows.npy", rows[:, :100])
    with pytest.raises(EmbeddingError):
        convert("rows.npy", "out.clpc")
    Path("ids.txt").write_text("a\nb\n")
    np.save("rows.npy", drawn(3))
    with pytest.raises(InputError, match="2 ids for 3 rows"):
        convert("rows.npy", "out.clpc", ids="ids.txt")
    assert not list(here.glob("out*"))


def test_a_private_profile_is_put_into_the_container(here: Path) -> None:
    profile = write_tiny_profile(here / "p.safetensors")
    np.save("rows.npy", np.random.default_rng(0).normal(size=(3, 8)))
    convert("rows.npy", "out.clpc", profile=profile)
    os.unlink("p.safetensors")
    with clipcodec.open("out.clpc") as container:
        assert container.decode_all().shape == (3, 8)


@pytest.mark.parametrize(
    ("source", "target", "how", "words"),
    [
        ("a.clpc", "out.xyz", {}, "none of those that are known: ….clpc, a container; ….parquet"),
        ("rows", "out.clpc", {}, "none of those that are known"),
        ("a.clpc", "b.clpc", {}, "both are containers"),
        ("rows.npy", "b.parquet", {}, "one of the two must be a container"),
        ("a.clpc", "out.tar", {"quality": 20}, "copied as they are"),
        ("a.clpc", "out.npy", {"column": "x"}, "column='x' is not for a NumPy array"),
        ("a.clpc", "out.tar", {"shard_items": 0}, "at least 1"),
        ("a.clpc", "out.tar", {"shard_items": 4}, "out.tar is one: name them NAME-{000000..}.tar"),
        ("a.clpc", "out.npy", {"shard_items": 4}, "shard_items=4 is not for a NumPy array"),
        ("a.clpc", "out.npy", {"ids": "out.npy"}, "cannot both go to out.npy"),
        ("a.clpc", "#t", {}, "expected URI#TABLE"),
        ("a.clpc", "s3://b/out.npy", {}, "on this machine"),
        ("s3://b/in.tar", "out.clpc", {}, "on this machine"),
        ("rows.npy", "out.clpc", {"quality": 1000}, "quality"),
    ],
)
def test_what_is_refused(
    here: Path, source: str, target: str, how: dict[str, Any], words: str
) -> None:
    before = sorted(os.listdir())
    with pytest.raises(OptionError, match=words):
        convert(source, target, **how)
    assert sorted(os.listdir()) == before


def test_open_containers_and_those_of_another_name(here: Path) -> None:
    """What is a container, its first bytes say, too."""
    with clipcodec.open("a.clpc") as container:
        convert(container, "out.npy")
    shutil.copy("a.clpc", "copied")
    convert("copied", "out2.npy")
    assert Path("out.npy").read_bytes() == Path("out2.npy").read_bytes()


def test_a_package_that_is_missing(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is named, with the command that installs it; nothing is left."""
    pytest.importorskip("pyarrow")
    before = sorted(os.listdir())
    for package, name in (("lancedb", "out.lance"), ("faiss", "out.faiss")):
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(MissingDependencyError, match=f"pip install .*{package}"):
            convert("a.clpc", name)
    assert sorted(os.listdir()) == before
