"""clipcodec.profile.stored: a profile by URL is the one of its local file, or a typed error."""

from __future__ import annotations

import io
import pickle
from pathlib import Path

import numpy as np
import pytest

import clipcodec
from clipcodec import Codec, CorruptError, OptionError, StoreError, WeightsError
from clipcodec.bulk import Job
from clipcodec.cli import main
from clipcodec.container.profiles import profile_of, to_embed
from clipcodec.errors import ProfileError
from clipcodec.profile import read_profile
from clipcodec.profile.registry import by_name
from tests.helpers.profiles import compact_profile, cone
from tests.helpers.s3_server import Server, put

fsspec = pytest.importorskip("fsspec")
pytest.importorskip("s3fs")
pytest.importorskip("moto.server")

URL, CARRIER = "s3://bucket/own.safetensors", "s3://bucket/own.clpc"
X = cone(12, 24)
pytestmark = pytest.mark.filterwarnings("ignore::clipcodec.BackboneWarning")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compact_profile(tmp_path_factory.mktemp("profile") / "own.safetensors", hidden=3)


@pytest.fixture(scope="module")
def streams(file: Path) -> list[bytes]:
    return Codec(file).encode_embeddings(X, quality=50)


@pytest.fixture(autouse=True)
def _stored(server: Server, file: Path, streams: list[bytes]) -> None:
    """A profile, and a container that carries it."""
    carrier = io.BytesIO()
    with clipcodec.create(carrier, profile=file) as writer:
        writer.extend(streams)
    put(file.read_bytes(), URL)
    put(carrier.getvalue(), CARRIER)
    server.reset()


def test_a_codec_reads_it_once(server: Server, file: Path, streams: list[bytes]) -> None:
    codec = Codec(URL)
    assert [one.method for one in server.requests] == ["HEAD", "GET"]
    assert codec.profile.digest == read_profile(file).digest
    assert codec.profile.path == URL
    assert codec.encode_embeddings(X, quality=50) == streams
    np.testing.assert_array_equal(clipcodec.decode_batch(streams, profile=URL),
                                  Codec(file).decode_batch(streams))  # fmt: skip


def test_a_file_object_of_fsspec_brings_its_credentials(server: Server, file: Path) -> None:
    named = fsspec.open(URL, key="of", secret="its own")
    assert Codec(named).profile.digest == read_profile(file).digest
    assert profile_of(named).digest == read_profile(file).digest


def test_a_registered_one_is_recognized(server: Server) -> None:
    profile = by_name("any/rotation")
    put(Path(profile.path).read_bytes(), URL)
    assert Codec(URL).profile is profile


def test_a_local_url_is_a_path(file: Path) -> None:
    assert Codec(file.as_uri()).profile.path == str(file)
    assert profile_of(file.as_uri()).path == str(file)


def test_a_pickle_needs_no_store(server: Server, streams: list[bytes]) -> None:
    data = pickle.dumps(Codec(URL))
    expected = Codec(URL).decode_batch(streams)
    server.reset()
    np.testing.assert_array_equal(pickle.loads(data).decode_batch(streams), expected)
    assert server.requests == []


def test_containers_take_it_and_one_that_carries_it(server: Server, file: Path) -> None:
    digest = read_profile(file).digest
    for given in (URL, CARRIER):
        assert profile_of(given).digest == digest
        assert to_embed(given).data == file.read_bytes()
        made = io.BytesIO()
        clipcodec.create(made, profile=given).close()
        own = clipcodec.open(io.BytesIO(made.getvalue())).profile
        assert own is not None
        assert own.digest == digest
    with pytest.raises(WeightsError, match=r"own\.clpc is a container.*clipcodec\.open\(URL\)"):
        Codec(CARRIER)  # as of a local one


@pytest.mark.parametrize("given", [URL, CARRIER])
def test_jobs_and_verbs(
    server: Server, streams: list[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    given: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    np.save("rows.npy", X)
    target = clipcodec.Target(quality=50)
    Job("rows.npy", "a.clpc", target, profile=given, embed_profile=True, workers=0).run()
    assert clipcodec.open("a.clpc")[:] == streams
    server.reset()
    verb = ["compress", "rows.npy", "--quality", "50", "--workers", "0", "--profile", given]
    assert main([*verb, "-o", "b.clpc"]) == 0
    assert clipcodec.open("b.clpc")[:] == streams
    assert [one.method for one in server.requests].count("HEAD") == 1  # opened once
    assert main(["decompress", "b.clpc", "--profile", given, "-o", "b.npy"]) == 0
    np.testing.assert_array_equal(np.load("b.npy"), clipcodec.open("a.clpc").decode_all())


def test_what_is_wrong_with_it(server: Server, streams: list[bytes], file: Path) -> None:
    with pytest.raises(WeightsError, match=r"profile 's3://bucket/none.*no such object"):
        Codec("s3://bucket/none.safetensors")
    put(b"text", "s3://bucket/text")
    with pytest.raises(WeightsError, match="profile s3://bucket/text: "):
        profile_of("s3://bucket/text")
    data = bytearray(file.read_bytes())
    put(bytes(data[:-9]), URL)
    with pytest.raises(WeightsError, match=r"profile s3://bucket/own\.safetensors: "):
        Codec(URL)
    plain = io.BytesIO()
    with clipcodec.create(plain) as writer:
        writer.extend(streams)
    put(plain.getvalue(), CARRIER)
    with pytest.raises(ProfileError, match=r"own\.clpc carries no profile"):
        profile_of(CARRIER)
    put(plain.getvalue()[:4] + b"!" + plain.getvalue()[5:], CARRIER)
    with pytest.raises(WeightsError):  # neither
        profile_of(CARRIER)
    with pytest.raises(OptionError, match="expected a path, or a URL that fsspec knows"):
        Codec("nowhere://bucket/own.safetensors")


def test_a_carrier_that_is_damaged(server: Server, file: Path) -> None:
    carrier = io.BytesIO()
    clipcodec.create(carrier, profile=file).close()
    data = bytearray(carrier.getvalue())
    data[400] ^= 1
    put(bytes(data), CARRIER)
    with pytest.raises(CorruptError, match=r"own\.clpc.*is damaged"):
        profile_of(CARRIER)


def test_one_that_is_too_large_is_not_read(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clipcodec.profile.stored.MAX_FILE_BYTES", 100)
    with pytest.raises(WeightsError, match="more than 100 bytes"):
        Codec(URL)
    assert server.reads() == []


def test_requests_that_fail(server: Server) -> None:
    server.fail = lambda method, *_: "403" if method == "HEAD" else None
    with pytest.raises(WeightsError, match="the store refuses it"):
        Codec(URL)
    server.fail = lambda method, *_: "503" if method == "GET" else None
    with pytest.raises(StoreError, match="tried 4 times"):
        Codec(URL)
    left = ["503"]
    server.fail = lambda method, *_: left.pop() if method == "GET" and left else None
    assert Codec(URL).profile.dim == 24  # tried again
