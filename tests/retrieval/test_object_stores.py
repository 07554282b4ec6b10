"""An index in an object store: read whole, written whole or not at all, told from another."""

from __future__ import annotations

import io
import json
import pickle
from pathlib import Path

import numpy as np
import pytest

import clipcodec
from clipcodec import Codec, OptionError, OutputExistsError, SearchIndex, StoreError
from clipcodec.cli import main
from clipcodec.errors import CorruptError, DecodeError, MismatchError, TruncatedError
from clipcodec.profile.file import Profile
from clipcodec.retrieval import reading, writing
from tests.helpers.profiles import cone
from tests.helpers.s3_server import Server, get, put

from .stores import DIM, QUERIES, opened, same_hits, stored

fsspec = pytest.importorskip("fsspec")
pytest.importorskip("s3fs")
pytest.importorskip("moto.server")
pytestmark = pytest.mark.usefixtures("small_parts")

URL, PHOTOS = "s3://bucket/photos.clpi", "s3://bucket/photos.clpc"


@pytest.fixture
def made(server: Server, photos_path: Path, rates: Profile) -> SearchIndex:
    """The index of a container, both in the store."""
    put(photos_path.read_bytes(), PHOTOS)
    index = SearchIndex(clipcodec.open(PHOTOS, profile=rates))
    index.save(URL)
    server.reset()
    return index


# --- reading ---


@pytest.mark.parametrize("exact", [False, True])
def test_it_is_the_index_that_a_local_file_is(
    server: Server, photos_path: Path, rates: Profile, tmp_path: Path, exact: bool
) -> None:
    """The same bytes, and the same hits, ids and sources."""
    put(photos_path.read_bytes(), PHOTOS)
    index = SearchIndex(clipcodec.open(PHOTOS, profile=rates), exact=exact)
    index.save(URL)
    index.save(tmp_path / "a.clpi")
    assert get(URL) == (tmp_path / "a.clpi").read_bytes()
    there, here = SearchIndex.open(URL), SearchIndex.open(tmp_path / "a.clpi")
    assert same_hits(there, here)
    assert there.ids == here.ids
    assert (len(there), there.dim, there.nbytes, there.exact) == (150, DIM, here.nbytes, exact)
    assert there.sources == here.sources == [PHOTOS]
    assert there.path == URL
    there.check(clipcodec.open(PHOTOS, profile=rates))


def test_it_is_downloaded_once_and_then_asked_for_nothing(
    server: Server, made: SearchIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clipcodec.system.remote._WHOLE", 0)  # as of a large one
    monkeypatch.setattr("clipcodec.system.remote._FRONT", 100)
    monkeypatch.setattr("clipcodec.system.remote._TAIL", 100)
    monkeypatch.setattr(reading, "_PIECE", 1000)
    size = len(get(URL) or b"")
    server.reset()
    index = SearchIndex.open(URL)
    assert sum(one.bytes for one in server.reads()) < 2 * size
    server.reset()
    assert same_hits(index, made)
    assert index.ids == made.ids
    assert server.requests == []


def test_a_pickle_names_it(server: Server, made: SearchIndex) -> None:
    index = SearchIndex.open(URL)
    data = pickle.dumps(index)
    assert len(data) < 2000
    assert same_hits(pickle.loads(data), index)
    SearchIndex().save(URL)
    with pytest.raises(MismatchError, match=r"photos\.clpi was changed since .* pickled"):
        pickle.loads(data)


def test_a_file_object_of_fsspec_brings_its_credentials(server: Server, made: SearchIndex) -> None:
    named = fsspec.open(URL, key="of", secret="its own")
    index = SearchIndex.open(named)
    assert same_hits(index, made)
    assert same_hits(pickle.loads(pickle.dumps(index)), made)


def test_a_local_url_is_a_path(photos_path: Path, rates: Profile, tmp_path: Path) -> None:
    path = tmp_path / "a.clpi"
    index = SearchIndex(opened(photos_path, rates))
    index.save(path.as_uri())
    assert SearchIndex.open(path.as_uri()).path == str(path)
    with pytest.raises(OutputExistsError):
        index.save(photos_path.as_uri())


def test_what_is_wrong_with_it(server: Server, made: SearchIndex) -> None:
    with pytest.raises(FileNotFoundError):
        SearchIndex.open("s3://bucket/none.clpi")
    with pytest.raises(CorruptError, match=r"photos\.clpc: a container, no search index"):
        SearchIndex.open(PHOTOS)
    data = get(URL) or b""
    put(data[:-40], URL)
    with pytest.raises(TruncatedError, match=r"s3://bucket/photos\.clpi"):
        SearchIndex.open(URL)
    spoilt = bytearray(data)
    spoilt[300] ^= 1
    put(bytes(spoilt), URL)
    index = SearchIndex.open(URL)  # a part is checked when it is first used
    with pytest.raises(CorruptError, match=r"s3://bucket/photos\.clpi.*damaged"):
        index.search(QUERIES)


def test_requests_that_fail(server: Server, made: SearchIndex) -> None:
    server.fail = lambda method, *_: "cut" if method == "GET" else None
    with pytest.raises(StoreError, match=r"photos\.clpi.*tried 4 times"):
        SearchIndex.open(URL)
    left = ["503", "cut"]
    server.fail = lambda method, *_: left.pop() if method == "GET" and left else None
    assert same_hits(SearchIndex.open(URL), made)


# --- writing ---


def test_an_upload_that_fails_leaves_the_index_before(
    server: Server, made: SearchIndex, rates: Profile
) -> None:
    before = get(URL)
    index = SearchIndex.open(URL, profile=rates)
    index.add(Codec(rates).encode_embeddings(cone(60, DIM, 7)))
    server.fail = lambda method, *_: "503" if method in ("PUT", "POST") else None
    with pytest.raises(StoreError, match=r"photos\.clpi"):
        index.save()
    server.reset()
    assert get(URL) == before
    index.save()  # nothing was lost
    assert len(SearchIndex.open(URL)) == 210


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
def test_an_error_while_it_is_written_leaves_nothing(
    server: Server, made: SearchIndex, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(writing, "_write_table", fail)
    with pytest.raises(error):
        made.save("s3://bucket/new.clpi")
    assert get("s3://bucket/new.clpi") is None


def test_it_is_brought_up_to_date_and_written_anew(
    server: Server, made: SearchIndex, photos_path: Path, rates: Profile
) -> None:
    stored(photos_path, rates, 200, seed=5, mode="a")
    put(photos_path.read_bytes(), PHOTOS)
    photos = clipcodec.open(PHOTOS, profile=rates)
    index = SearchIndex.open(URL, profile=rates)
    with pytest.raises(MismatchError, match="has gained 200 items"):
        index.check(photos)
    assert index.update(photos) == (200, 0, False)
    index.save()
    again = SearchIndex.open(URL)
    again.check(photos)
    assert len(again) == 350
    assert same_hits(again, SearchIndex(photos))


def test_saving_what_has_not_changed_writes_nothing(server: Server, made: SearchIndex) -> None:
    made.save()
    made.save(URL)
    assert {one.method for one in server.requests} <= {"HEAD"}


def test_what_another_has_changed_is_not_written_over(
    server: Server, made: SearchIndex, rates: Profile
) -> None:
    streams = Codec(rates).encode_embeddings(cone(40, DIM, 7))
    one, other = (SearchIndex.open(URL, profile=rates) for _ in range(2))
    one.add(streams[:10])
    one.save()
    other.add(streams)
    with pytest.raises(MismatchError, match=r"photos\.clpi was changed by another process"):
        other.save()
    assert len(SearchIndex.open(URL)) == 160
    put(b"something else", URL)
    with pytest.raises(MismatchError, match="was changed by another process"):
        other.save()
    fsspec.filesystem("s3").rm_file(URL)
    with pytest.raises(MismatchError, match=r"photos\.clpi is gone: save the index with a path"):
        other.save()
    other.save(URL)
    assert len(SearchIndex.open(URL)) == 190


def test_another_kind_of_object_is_not_replaced(
    server: Server, made: SearchIndex, rates: Profile
) -> None:
    photos = clipcodec.open(PHOTOS, profile=rates)
    before = get(PHOTOS)
    for save in (made.save, lambda url: SearchIndex.build(photos, url)):
        with pytest.raises(OutputExistsError, match=r"photos\.clpc exists, and is no search index"):
            save(PHOTOS)
    assert get(PHOTOS) == before
    with pytest.raises(OptionError, match="http cannot be written to"):
        made.save("http://localhost/a.clpi")


def test_one_that_is_built_is_read_from_there(
    server: Server, made: SearchIndex, rates: Profile
) -> None:
    photos = clipcodec.open(PHOTOS, profile=rates)
    index = SearchIndex.build(photos, "s3://bucket/new.clpi", background=True).result(timeout=60)
    assert index.path == "s3://bucket/new.clpi"
    assert same_hits(index, made)
    with pytest.raises(DecodeError):
        SearchIndex.build(iter(["no stream"]), "s3://bucket/none.clpi")
    assert get("s3://bucket/none.clpi") is None


# --- on the command line ---


def test_a_search_with_its_index_in_the_store(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """Made, used, brought up to date, searched alone, and built again where it is damaged."""
    monkeypatch.chdir(tmp_path)
    rows = np.random.default_rng(0).normal(size=(30, 512)).astype("f4")
    np.save("row.npy", rows[3])
    streams = clipcodec.encode_embeddings(rows, max_bytes=40, profile="any/rotation")

    def container(count: int) -> None:
        file = io.BytesIO()
        with clipcodec.create(file, block_items=10) as writer:
            writer.extend(streams[:count], ids=[f"{i}.jpg" for i in range(count)])
        put(file.getvalue(), PHOTOS)

    def found(*line: str) -> tuple[int, str, str]:
        code = main(["search", *line, "--query", "row.npy", "-k", "1", "--json"])
        said = capsys.readouterr()
        return code, json.loads(said.out)["hits"][0]["id"], said.err

    container(20)
    assert found(PHOTOS, "--save-index", URL)[:2] == (0, "3.jpg")
    assert len(SearchIndex.open(URL)) == 20
    assert found(URL)[:2] == (0, "3.jpg")
    container(30)
    code, id, said = found(PHOTOS, "--save-index", URL)
    assert (code, id) == (0, "3.jpg")
    assert f"{URL}: 10 items added, 0 dropped" in said
    assert len(SearchIndex.open(URL)) == 30
    data = bytearray(get(URL) or b"")
    data[300] ^= 1
    put(bytes(data), URL)
    code, id, said = found(PHOTOS, "--save-index", URL)
    assert (code, id) == (0, "3.jpg")
    assert "it is built again" in said
    assert get(URL) != bytes(data)
    assert main(["search", PHOTOS, "--query", "row.npy", "--save-index", PHOTOS]) != 0
    assert list(tmp_path.glob("*")) == [tmp_path / "row.npy"]
