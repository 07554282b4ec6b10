"""Containers on S3: how many requests, what goes wrong, and that nothing half-written is left."""

from __future__ import annotations

import io
import multiprocessing
import os
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import clipcodec
from clipcodec import OptionError, OutputExistsError, ReplacedError, StoreError, TruncatedError
from clipcodec.container import dedupe, filter_items, merge
from clipcodec.container.files import SeekableFile
from tests.helpers import s3_server
from tests.helpers.s3_server import Server, uploads

fsspec = pytest.importorskip("fsspec")
pytest.importorskip("s3fs")
pytest.importorskip("moto.server")

N, BLOCK = 20_000, 64
URL = "s3://bucket/photos.clpc"


@cache
def some() -> list[bytes]:
    """Streams of random embeddings."""
    rows = np.random.default_rng(0).normal(size=(100, 512))
    return clipcodec.encode_embeddings(rows, max_bytes=48)


def made(count: int, step: int = 1, **options: Any) -> bytes:
    """A container of these streams, again and again. step: another order, in the same bytes."""
    streams = some()[::step]
    file = io.BytesIO()
    with clipcodec.create(file, **options) as writer:
        writer.extend(streams[i % len(streams)] for i in range(count))
    return file.getvalue()


@pytest.fixture(scope="module")
def large() -> bytes:
    return made(N, block_items=BLOCK)


def put(data: bytes, url: str = URL) -> None:
    s3_server.put(data, url)


def get(url: str = URL) -> bytes | None:
    return s3_server.get(url)


@pytest.fixture
def photos(server: Server, large: bytes) -> Server:
    put(large)
    server.reset()
    return server


# how many requests


def test_opening_takes_three_requests_and_an_item_one(photos: Server, large: bytes) -> None:
    there = clipcodec.open(io.BytesIO(large))
    container = clipcodec.open(URL)
    assert [one.method for one in photos.requests] == ["HEAD", "GET", "GET"]
    assert sum(one.bytes for one in photos.reads()) < 100_000
    assert len(container) == N
    photos.reset()
    assert container[10_000] == there[10_000]
    assert len(photos.requests) == 1
    assert photos.requests[0].bytes < 10_000  # its block
    photos.reset()
    assert container.decode(-1).shape == (512,)  # the end was read already
    assert photos.requests == []


def test_a_small_container_takes_two(server: Server) -> None:
    data = made(100)
    put(data)
    server.reset()
    container = clipcodec.open(URL)
    assert container[:] == clipcodec.open(io.BytesIO(data))[:]
    assert [(one.method, one.bytes) for one in server.requests] == [("HEAD", 0), ("GET", len(data))]


def test_many_random_items_take_few_requests(photos: Server, large: bytes) -> None:
    """One by one they took 161 requests, and 11 MB through a file object of fsspec."""
    places = np.random.default_rng(3).integers(0, N, 200)
    container = clipcodec.open(URL)
    photos.reset()
    taken = container.take(places)
    assert [one.stream for one in taken] == clipcodec.open(io.BytesIO(large))[places]
    assert len(photos.requests) <= 4
    assert sum(one.bytes for one in photos.requests) <= len(large)
    photos.reset()
    assert container.decode_many(places[:5]).shape == (5, 512)
    assert len(photos.requests) <= 5


def test_reading_in_order_takes_few_requests(photos: Server, large: bytes) -> None:
    container = clipcodec.open(URL)
    photos.reset()
    assert [item.stream for item in container.items()] == clipcodec.open(io.BytesIO(large))[:]
    assert len(photos.requests) <= 4
    assert sum(one.bytes for one in photos.requests) <= len(large)
    assert next(iter(clipcodec.open(URL).decode_blocks(rows=10))).shape == (10, 512)


def test_near_ranges_are_read_together(photos: Server, large: bytes) -> None:
    file = SeekableFile(URL)
    file.read_at(0, 8)
    photos.reset()
    assert [*file.read_many([(20_000, 10), (20_500, 30), (400_000, 5)])] == [
        large[20_000:20_010], large[20_500:20_530], large[400_000:400_005]
    ]  # fmt: skip
    assert sorted(str(one.range) for one in photos.requests) == ["20000-20529", "400000-400004"]
    photos.reset()
    assert [*file.read_many([(0, 100), (500_000, 7), (len(large) - 9, 99), (7, 0)])] == [
        large[:100], large[500_000:500_007], large[-9:], b""
    ]  # fmt: skip
    assert [one.range for one in photos.requests] == ["500000-500006"]  # the rest was there


def test_all_is_read_in_few_requests_and_not_before_it_is_needed(
    photos: Server, large: bytes
) -> None:
    file = SeekableFile(URL)
    ranges = [(at, min(1000, len(large) - at)) for at in range(0, len(large), 1000)]
    file.read_at(0, 8)
    photos.reset()
    parts = file.read_many(ranges)
    assert photos.requests == []
    assert next(parts) == large[:1000]
    assert len(photos.requests) <= 2  # one, and one ahead
    assert b"".join(parts) == large[1000:]
    assert len(photos.requests) <= 4
    assert sum(one.bytes for one in photos.requests) < 1.01 * len(large)


def test_reading_that_is_given_up_stops(server: Server) -> None:
    put(bytes(40_000_000))
    file = SeekableFile(URL)
    file.read_at(0, 8)
    server.reset()
    parts = file.read_many([(at, 1 << 20) for at in range(0, 40_000_000, 1 << 20)])
    next(parts)
    parts.close()  # type: ignore[attr-defined]
    assert sum(one.bytes for one in server.requests) < 8_000_000


def test_local_files_and_other_file_objects_are_read_the_same(tmp_path: Path, large: bytes) -> None:
    ranges = [(5, 10), (400, 0), (30_000, 99), (len(large) - 5, 50)]
    parts = [large[at : at + size] for at, size in ranges]
    path = tmp_path / "a b.clpc"
    path.write_bytes(large)
    for source in (path, io.BytesIO(large), path.as_uri()):
        file = SeekableFile(source)
        assert not file.remote
        assert [*file.read_many(ranges)] == parts
        file.check_unchanged()


def test_heads_of_blocks_are_not_a_request_each(photos: Server, large: bytes) -> None:
    """A container that was cut is read to its end in pieces."""
    cut = large[:-100]
    put(cut)
    photos.reset()
    container = clipcodec.open(URL, partial=True)
    assert len(container) == clipcodec.open(io.BytesIO(cut), partial=True).__len__()
    assert len(photos.requests) < 40
    with pytest.raises(TruncatedError, match=URL):
        clipcodec.open(URL)


# ways to open it


def test_it_is_opened_by_whatever_names_it(
    photos: Server, large: bytes, s3: Server, tmp_path: Path
) -> None:
    stream = clipcodec.open(io.BytesIO(large))[12_345]
    with fsspec.open(URL) as file:
        assert clipcodec.open(file)[12_345] == stream  # past its cache of 50 MB
        assert sum(one.bytes for one in photos.reads()) < 200_000
    assert clipcodec.open(fsspec.open(URL))[12_345] == stream
    assert clipcodec.open(f"{s3.url}/bucket/photos.clpc")[12_345] == stream
    assert clipcodec.open(os.fsencode(URL))[12_345] == stream
    fsspec.filesystem("memory").pipe_file("/a.clpc", large)
    assert clipcodec.open("memory://a.clpc")[12_345] == stream
    assert clipcodec.open(f"simplecache::{URL}")[12_345] == stream
    with pytest.raises(OptionError, match="compression"):
        clipcodec.open(fsspec.open(URL, compression="gzip"))


def test_pyarrow_files_are_read_by_ranges(photos: Server, large: bytes, s3: Server) -> None:
    fs = pytest.importorskip("pyarrow.fs")
    store = fs.S3FileSystem(endpoint_override=s3.url, scheme="http")
    there = clipcodec.open(io.BytesIO(large))
    with store.open_input_file("bucket/photos.clpc") as file:
        container = clipcodec.open(file)
        assert container[12_345] == there[12_345]
        photos.reset()
        assert [item.stream for item in container.take([*range(0, N, 100)])] == there[::100]
        assert len(photos.requests) <= 4


def test_a_container_is_pickled_by_its_url(photos: Server, large: bytes) -> None:
    for source in (URL, fsspec.open(URL)):
        container = clipcodec.open(source)
        data = pickle.dumps(container)
        photos.reset()
        again = pickle.loads(data)
        assert again[10_000] == container[10_000]
        assert [one.method for one in photos.requests[:2]] == ["HEAD", "GET"]
        assert photos.requests[1].bytes < 10_000  # the index came with the pickle
        assert len(data) < 50_000
    put(large[:-1])
    with pytest.raises(ReplacedError, match=URL):
        pickle.loads(data)


def _sum(container: Any) -> float:
    return float(sum(container.decode(i).sum() for i in range(0, N, 5000)))


@pytest.mark.parametrize("way", ["fork", "spawn"])
def test_workers_read_it(photos: Server, way: str) -> None:
    """Also a forked process, which has the threads and connections of none."""
    container = clipcodec.open(URL)
    expected = _sum(container)
    context: Any = multiprocessing.get_context(way)
    with context.Pool(1) as pool:
        assert pool.apply(_sum, (container,)) == expected
    if way == "fork":
        ours, theirs = context.Pipe()
        process = context.Process(target=lambda: theirs.send(_sum(container)))
        process.start()
        assert ours.poll(20)
        assert ours.recv() == expected
        process.join()


def test_threads_read_it(photos: Server, large: bytes) -> None:
    container = clipcodec.open(URL)
    there = clipcodec.open(io.BytesIO(large))
    places = [*range(0, N, 700)]
    with ThreadPoolExecutor(8) as pool:
        assert [*pool.map(container.__getitem__, places)] == there[places]


# what goes wrong


@pytest.mark.parametrize("url", ["s3://bucket/none.clpc", "s3://no-such-bucket/none.clpc"])
def test_what_is_not_there(server: Server, url: str) -> None:
    with pytest.raises(FileNotFoundError, match="no such object") as caught:
        clipcodec.open(url)
    assert caught.value.filename == url


def test_a_folder_is_none(photos: Server) -> None:
    put(b"", "s3://bucket/folder/a")
    with pytest.raises(IsADirectoryError):
        clipcodec.open("s3://bucket/folder")


def test_credentials_that_are_refused(photos: Server) -> None:
    photos.fail = lambda *_: "403"
    with pytest.raises(PermissionError, match="credentials") as caught:
        clipcodec.open(URL)
    assert caught.value.filename == URL
    with pytest.raises(PermissionError, match="credentials"):
        clipcodec.create(URL, "w")


def test_credentials_that_are_missing(photos: Server) -> None:
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    code = f"import clipcodec; clipcodec.open({URL!r})"
    environ = {name: value for name, value in os.environ.items() if name not in names}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=False
    )
    assert "PermissionError: [Errno 13] the store refuses it: no credentials" in done.stderr
    assert URL in done.stderr.splitlines()[-1]


@pytest.mark.parametrize("fault", ["503", "cut"])
def test_a_request_that_fails_is_tried_again(photos: Server, large: bytes, fault: str) -> None:
    container = clipcodec.open(URL)
    faults = [fault, fault]
    photos.fail = lambda *_: faults.pop() if faults else None
    assert container[10_000] == clipcodec.open(io.BytesIO(large))[10_000]
    assert faults == []


@pytest.mark.parametrize("fault", ["503", "cut"])
def test_one_that_goes_on_failing_is_named_and_nothing_is_lost(
    photos: Server, large: bytes, fault: str
) -> None:
    container = clipcodec.open(URL)
    photos.fail = lambda method, path, range: fault if range else None
    with pytest.raises(StoreError, match=rf"{URL}: bytes \d+ to \d+ cannot be read") as caught:
        container[10_000]
    assert isinstance(caught.value, OSError)
    with pytest.raises(StoreError, match=URL):
        next(container.decode_blocks(rows=1000))
    with pytest.raises(StoreError, match=URL):
        container.take([5000, 7000])
    photos.reset()
    assert container[10_000] == clipcodec.open(io.BytesIO(large))[10_000]
    assert container[:] == clipcodec.open(io.BytesIO(large))[:]


def test_a_range_that_fails_in_the_middle(photos: Server, large: bytes) -> None:
    """What came before it is given; after it the file goes on."""
    file = SeekableFile(URL)
    ranges = [(at, 1000) for at in range(20_000, 820_000, 200_000)]
    photos.fail = lambda method, path, range: "503" if range == "420000-420999" else None
    parts = file.read_many(ranges)
    assert [next(parts), next(parts)] == [large[at : at + 1000] for at in (20_000, 220_000)]
    with pytest.raises(StoreError, match="bytes 420000 to 420999"):
        next(parts)
    photos.reset()
    assert [*file.read_many(ranges[2:])] == [large[at : at + 1000] for at, _ in ranges[2:]]


def test_an_object_that_is_replaced_is_not_mixed_with_the_new_one(
    photos: Server, large: bytes
) -> None:
    """Though every block of both is good, and at the same place."""
    other = made(N, step=-1, block_items=BLOCK)
    container = clipcodec.open(URL)
    first = container[0]
    reading = container._file.read_many([(20_000, 99), (400_000, 99)])
    put(other)
    with pytest.raises(ReplacedError, match=f"{URL} was replaced"):
        container[10_000]
    with pytest.raises(ReplacedError, match="replaced"):
        next(reading)
    with pytest.raises(ReplacedError):
        container._file.check_unchanged()
    fsspec.filesystem("s3").rm_file(URL)
    with pytest.raises(ReplacedError, match="deleted"):
        container[10_000]
    assert container[0] == first  # which is in memory
    put(large)
    assert container[10_000] == clipcodec.open(io.BytesIO(large))[10_000]


def test_http_refuses_a_replaced_object_and_a_store_that_ignores_ranges(
    photos: Server, large: bytes, s3: Server
) -> None:
    url = f"{s3.url}/bucket/photos.clpc"
    container = clipcodec.open(url)
    photos.fail = lambda *_: "ignore range"
    with pytest.raises(StoreError, match="ignores ranges"):
        container[10_000]
    photos.reset()
    assert container[10_000] == clipcodec.open(io.BytesIO(large))[10_000]
    put(large[:-1])
    with pytest.raises(ReplacedError, match=url):
        container[5000]


def test_other_stores_are_asked_now_and_then_whether_it_is_the_same(
    large: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """memory:// cannot refuse to read another object."""
    memory = fsspec.filesystem("memory")
    memory.pipe_file("/a.clpc", large)
    container = clipcodec.open("memory://a.clpc")
    memory.pipe_file("/a.clpc", made(N, step=-1, block_items=BLOCK))
    monkeypatch.setattr("clipcodec.system.remote._TRUST", 0.0)
    with pytest.raises(ReplacedError):
        container[10_000]
    memory.rm_file("/a.clpc")
    with pytest.raises(ReplacedError, match="deleted"):
        container[10_000]


def test_a_secret_of_the_url_is_not_shown(s3: Server, server: Server) -> None:
    url = s3.url.replace("//", "//me:word@") + "/bucket/none.clpc?signature=12"
    with pytest.raises(OSError, match="none") as caught:
        clipcodec.open(url)
    assert "word" not in str(caught.value)
    assert "signature" not in str(caught.value)


def test_what_is_not_installed_is_named() -> None:
    for scheme, package in (("gs", "gcsfs"), ("az", "adlfs")):
        try:
            __import__(package)
        except ImportError:
            with pytest.raises(clipcodec.MissingDependencyError, match=f"pip install {package}"):
                clipcodec.open(f"{scheme}://bucket/a.clpc")
    code = (
        "import sys; sys.modules['fsspec'] = None\n"
        "import clipcodec\n"
        "try: clipcodec.open('s3://bucket/a')\n"
        "except clipcodec.MissingDependencyError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 'pip install "clipcodec[cloud]"' in done.stdout
    with pytest.raises(OptionError, match="Protocol not known"):
        clipcodec.open("nothing://bucket/a")


# writing


def test_a_container_is_written_and_replaced(server: Server) -> None:
    streams = clipcodec.open(io.BytesIO(made(3000)))[:]
    with clipcodec.create(URL, metadata={"a": 1}, block_items=100) as writer:
        writer.extend(streams)
        assert get() is None  # not before it is whole
    with clipcodec.open(URL) as container:
        assert (container[:], container.metadata) == (streams, {"a": 1})
    with pytest.raises(OutputExistsError, match=URL):
        clipcodec.create(URL)
    with clipcodec.create(fsspec.open(URL, "wb"), "w") as writer:
        writer.extend(streams[:5])
    assert clipcodec.open(URL)[:] == streams[:5]
    with pytest.raises(OptionError, match="cannot be appended to"):
        clipcodec.create(URL, "a")


def test_a_large_one_is_sent_in_parts(server: Server) -> None:
    data = np.random.default_rng(0).bytes(40_000_000)
    from clipcodec.system.uploads import replacing

    with replacing(URL, overwrite=False) as file:
        for at in range(0, len(data), 3_000_000):
            file.write(data[at : at + 3_000_000])
    parts = [one for one in server.requests if "partNumber" in one.query]
    assert len(parts) > 1
    assert get() == data


@pytest.mark.parametrize("size", [10, 20_000_000])
@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
def test_an_error_leaves_nothing(server: Server, size: int, error: type[BaseException]) -> None:
    put(b"before")
    from clipcodec.system.uploads import replacing

    def fail() -> None:
        with replacing(URL, overwrite=True) as file:
            file.write(bytes(size))
            raise error

    def fail_in_a_container() -> None:
        with clipcodec.create(URL, "w") as writer:
            writer.extend([b"\x69\x00\x00" * 20] * 10)
            raise error

    for one in (fail, fail_in_a_container):
        with pytest.raises(error):
            one()
        assert get() == b"before"
        assert uploads() == []


def test_a_writer_that_is_forgotten_is_given_up(server: Server) -> None:
    writer = clipcodec.create(URL)
    writer.append(b"\x69\x00\x00" * 20)
    assert len(uploads()) == 1
    del writer
    assert uploads() == []
    assert get() is None


def test_a_program_that_ends_without_closing_its_writer_ends(server: Server) -> None:
    code = f"import clipcodec; w = clipcodec.create({URL!r}); w.append(bytes([105, 0, 0]) * 20)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, check=True)
    assert done.stderr == b""
    assert get() is None
    assert uploads() == []


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_an_upload_that_fails_leaves_nothing(server: Server, method: str) -> None:
    """PUT: a part; POST: what makes the object of the parts."""
    put(b"before")
    writer = clipcodec.create(URL, "w")
    writer.append(b"\x69\x00\x00" * 20)
    server.fail = lambda asked, path, range: "503" if asked == method else None
    with pytest.raises(StoreError, match=URL), writer:
        pass
    server.reset()
    assert get() == b"before"
    assert uploads() == []


def test_no_object_is_written_over_by_what_is_made_of_it(server: Server) -> None:
    """Under whatever name, open or not; as with files."""
    data = made(20)
    s3_server.put(data, URL)
    again = ("s3a://bucket/photos.clpc", fsspec.open(URL, "wb"))
    for source in (URL, *again[:1], fsspec.open(URL, "rb"), clipcodec.open(URL)):
        for out in (URL, *again):
            with pytest.raises(OptionError, match=r"photos.clpc.* is an input, and would be writ"):
                merge([source], out, overwrite=True)
            with pytest.raises(OptionError, match="is an input"):
                filter_items(source, out, where=[0], overwrite=True)
            with pytest.raises(OptionError, match="is an input"):
                dedupe(source, out, overwrite=True)
    assert s3_server.get(URL) == data


def test_another_that_made_it_first_is_not_replaced(server: Server) -> None:
    writer = clipcodec.create(URL)
    writer.append(b"\x69\x00\x00" * 20)
    put(b"theirs")
    with pytest.raises(OutputExistsError, match=URL):
        writer.close()
    writer.abandon()
    assert get() == b"theirs"
    assert uploads() == []


def test_the_store_itself_refuses_one_that_was_made_meanwhile(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the last look and the upload's end."""
    from clipcodec.system import uploads as module

    writer = clipcodec.create(URL)
    writer.append(b"\x69\x00\x00" * 20)
    put(b"theirs")
    monkeypatch.setattr(module, "_refuse_existing", lambda *_: None)
    with pytest.raises(OutputExistsError, match="made by another"):
        writer.close()
    assert get() == b"theirs"


def test_stores_that_cannot_take_back_an_upload_get_it_at_the_end() -> None:
    """memory:// shows an object while it is written."""
    memory = fsspec.filesystem("memory")
    memory.pipe_file("/box/a", b"before")
    from clipcodec.system.uploads import replacing

    def fail() -> None:
        with replacing("memory://box/a", overwrite=True) as file:
            file.write(b"new")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert memory.cat_file("/box/a") == b"before"
    with replacing("memory://box/a", overwrite=True) as file:
        file.write(b"new")
    assert memory.cat_file("/box/a") == b"new"
    assert [os.path.basename(name) for name in memory.ls("/box", detail=False)] == ["a"]


def test_http_cannot_be_written() -> None:
    with pytest.raises(OptionError, match="http cannot be written"):
        clipcodec.create("https://host/a.clpc")


def test_nothing_is_left_where_there_is_no_bucket(server: Server) -> None:
    """It is said before any work."""
    with pytest.raises(FileNotFoundError, match="no such bucket"):
        clipcodec.create("s3://no-such-bucket/a.clpc")
