"""A container carries the private profile of its streams: written, found, used, kept, refused."""

from __future__ import annotations

import copy
import hashlib
import io
import json
import pickle
import subprocess
import sys
import threading
import tracemalloc
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save

import clipcodec
from clipcodec import (
    Codec,
    Container,
    CorruptError,
    DecodeError,
    OptionError,
    TruncatedError,
    UnknownProfileError,
    UnsupportedError,
    WeightsError,
)
from clipcodec.container import layout, merge, split
from clipcodec.container.embedded import MAX_PROFILE, Embedded
from clipcodec.container.profiles import carried_profile, profile_of, to_embed
from clipcodec.errors import InputError, ProfileError
from clipcodec.profile import registry
from clipcodec.profile.file import METADATA_KEY, Profile, parse_profile, read_profile
from tests.helpers.profiles import compact_profile, cone, write_tiny_profile

COUNT = 12


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two profiles of kind compact, D = 24."""
    folder = tmp_path_factory.mktemp("profiles")
    one = compact_profile(folder / "one.safetensors", hidden=3, name="private/rates")
    (folder / "two.safetensors").write_bytes(repacked(one.read_bytes(), name="private/other"))
    return one, folder / "two.safetensors"


@pytest.fixture(scope="module")
def file(files: tuple[Path, Path]) -> Path:
    return files[0]


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    return cone(COUNT, 24)


@pytest.fixture(scope="module")
def streams(file: Path, rows: np.ndarray) -> list[bytes]:
    return Codec(file).encode_embeddings(rows, quality=40)


@pytest.fixture(scope="module")
def expected(file: Path, streams: list[bytes]) -> np.ndarray:
    return Codec(file).decode_batch(streams)


@pytest.fixture
def path(tmp_path: Path, file: Path, streams: list[bytes]) -> Path:
    """A container that carries the profile of its streams, after metadata."""
    return made(tmp_path / "a.clpc", streams, file)


def made(path: Path, streams: list[bytes], profile: Any, **options: Any) -> Path:
    with clipcodec.create(path, "w", metadata={"a": 1}, profile=profile, **options) as writer:
        writer.extend(streams, [f"{path.stem}{i}" for i in range(len(streams))])
    return path


def built(*blocks: bytes, closed: bool = True) -> bytes:
    """A container of these blocks."""
    entries = np.array([(len(one), int.from_bytes(one[8:12], "big")) for one in blocks], np.int64)
    index = layout.pack_index(entries.reshape(-1, 2))
    return layout.OPENING + b"".join(blocks) + (index if closed else b"")


def prof(data: bytes) -> bytes:
    return layout.block(layout.PROFILE, deflated(data))


def deflated(data: bytes) -> bytes:
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    return deflate.compress(data) + deflate.flush()


def naming(data: bytes, streams: list[bytes]) -> list[bytes]:
    """The streams, as if the profile of these bytes had made them."""
    return [stream[:1] + hashlib.sha256(data).digest()[:4] + stream[5:] for stream in streams]


# --- written and read ---


def test_streams_are_decoded_without_another_file(path: Path, expected: np.ndarray) -> None:
    with clipcodec.open(path) as container:
        assert np.array_equal(container.decode_all(), expected)
        assert np.array_equal(container.decode(3), expected[3])
        assert np.array_equal(container.codec.decode(container[2]), expected[2])
        assert container.codec.info(container[0]).profile == "private/rates"
        assert container.metadata == {"a": 1}
        assert container.profile is container.profile
        assert container.profile is not None
        assert container.profile.path == str(path)


@pytest.mark.parametrize("metadata", [None, {"a": 1}])
def test_it_is_the_first_block_or_the_second(
    tmp_path: Path, file: Path, metadata: dict[str, Any] | None
) -> None:
    with clipcodec.create(tmp_path / "a.clpc", metadata=metadata, profile=file):
        pass
    data = (tmp_path / "a.clpc").read_bytes()
    at = 8 + (0 if metadata is None else layout.parse_head(bytes(data[8:24])).whole)
    head, body = layout.parse_block(data[at:])
    assert (head.kind, head.items) == (b"prof", 0)
    assert zlib.decompress(body, -15) == file.read_bytes()
    assert len(body) <= len(deflated(file.read_bytes()))


def test_what_there_was_before_profiles_carries_none(tmp_path: Path, streams: list[bytes]) -> None:
    """Without `profile`, a container has the bytes that it always had."""
    path = tmp_path / "old.clpc"
    with clipcodec.create(path) as writer:
        writer.extend(streams)
    assert path.read_bytes() == built(layout.pack_items(streams))
    with clipcodec.open(path) as container:
        assert container.profile is None
        assert container.embedded() is None
        with pytest.raises(UnknownProfileError, match=r"give the file .* container that carries"):
            container.decode_all()
    assert carried_profile(path) is None


def test_a_profile_is_given_in_four_ways(tmp_path: Path, file: Path, path: Path) -> None:
    parsed = parse_profile(file.read_bytes(), path=None)
    with clipcodec.open(io.BytesIO(path.read_bytes())) as opened:
        assert opened.profile is not None
        ways: list[Any] = [file, str(file), read_profile(file), parsed, path, opened.profile]
    ways += [carried_profile(path), opened.codec.with_profile(file).profile]
    for i, way in enumerate(ways):
        target = tmp_path / f"{i}.clpc"
        clipcodec.create(target, profile=way).close()
        found = carried_profile(target)
        assert found is not None
        assert found.digest == parsed.digest, way


def test_a_profile_without_a_file_is_pickled_whole(file: Path, streams: list[bytes]) -> None:
    parsed = parse_profile(file.read_bytes(), path=None)
    assert (parsed.path, parsed.data) == ("", file.read_bytes())
    again = pickle.loads(pickle.dumps(Codec(parsed)))
    assert again.profile.digest == parsed.digest
    assert again.decode(streams[0]).shape == (24,)
    assert copy.deepcopy(parsed) is parsed


def test_registered_profiles_are_not_embedded(tmp_path: Path) -> None:
    for way in ("any/rotation", registry.by_name("any/rotation")):
        with pytest.raises(OptionError, match="registered, so every installation has it"):
            clipcodec.create(tmp_path / "a.clpc", profile=way)
    with pytest.raises(OptionError, match="registered"):
        clipcodec.create(tmp_path / "a.clpc", profile=registry.by_name("any/rotation").path)
    assert not [*tmp_path.iterdir()]


def test_what_cannot_be_embedded_leaves_nothing(tmp_path: Path, streams: list[bytes]) -> None:
    old = made(tmp_path / "old.clpc", streams, None)
    (tmp_path / "bad.safetensors").write_bytes(b"nothing")
    for way, kind in (
        (tmp_path / "none.safetensors", WeightsError), ("nobody/knows", ProfileError),
        (old, ProfileError), (tmp_path / "bad.safetensors", WeightsError), (3, ProfileError),
    ):  # fmt: skip
        with pytest.raises(kind):
            clipcodec.create(tmp_path / "a.clpc", profile=way)  # type: ignore[arg-type]
    assert {path.name for path in tmp_path.iterdir()} == {"old.clpc", "bad.safetensors"}


def test_a_profile_that_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert MAX_PROFILE == 1 << 25
    monkeypatch.setattr("clipcodec.container.embedded.MAX_PROFILE", 99)
    with pytest.raises(OptionError, match="more than 99 bytes is not carried"):
        Embedded.of(bytes(100))


def test_a_file_that_changed_meanwhile_is_not_embedded(
    tmp_path: Path, files: tuple[Path, Path], path: Path
) -> None:
    file = tmp_path / "p.safetensors"
    file.write_bytes(files[0].read_bytes())
    profile = read_profile(file)
    file.write_bytes(files[1].read_bytes())
    with pytest.raises(WeightsError, match="changed since"):
        clipcodec.create(tmp_path / "b.clpc", profile=profile)
    inside = carried_profile(path)
    clipcodec.create(path, "w", profile=files[1]).close()
    with pytest.raises(WeightsError, match="changed since"):
        clipcodec.create(tmp_path / "b.clpc", profile=inside)


def test_profiles_are_found_by_name_file_and_container(path: Path, file: Path) -> None:
    assert profile_of("any/rotation").id is not None
    assert profile_of(file).digest == profile_of(path).digest == profile_of(str(path)).digest
    profile = profile_of(path)
    assert profile_of(profile) is profile
    with pytest.raises(WeightsError, match=r"is a container: .*clipcodec\.open\(FILE\)\.profile"):
        Codec(path)


def test_the_profile_given_comes_first_and_the_other_still_serves(
    tmp_path: Path, files: tuple[Path, Path], streams: list[bytes], rows: np.ndarray
) -> None:
    """Streams of three profiles in one container: given, registered, carried."""
    other = Codec(files[1]).encode_embeddings(rows[:2], quality=40)
    known = Codec("any/rotation").encode_embeddings(rows[:2], quality=40)
    path = made(tmp_path / "a.clpc", [*streams[:2], *other, *known], files[0])
    with clipcodec.open(path) as container:
        with pytest.raises(
            UnknownProfileError, match=r"not with the one .* private/rates"
        ) as error:
            container.decode_all()
        assert error.value.rows == (2, 3)
    for way in (files[1], str(files[1]), made(tmp_path / "b.clpc", other, files[1])):
        with clipcodec.open(path, profile=way) as container:
            assert container.decode_all().shape == (6, 24)
            assert [container.codec.info(s).profile for s in container][::2] == [
                "private/rates", "private/other", "any/rotation"
            ]  # fmt: skip


def test_no_items_have_the_width_of_the_profile(tmp_path: Path, file: Path) -> None:
    with clipcodec.open(made(tmp_path / "a.clpc", [], file)) as container:
        assert container.decode_all().shape == (0, 24)


# --- lazily, by threads, in pickles, through pipes ---


def test_the_profile_is_read_when_it_is_needed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = list[int]()
    parse = Embedded.parse

    def counted(body: bytes) -> Embedded:
        calls.append(len(body))
        return parse(body)

    monkeypatch.setattr(Embedded, "parse", counted)
    with clipcodec.open(path) as container:
        assert len(container.ids) == COUNT
        assert container[0]
        container.codec.decode(clipcodec.encode_embedding(np.ones(512)))
        assert not calls
        container.decode_all()
        container.decode(0)
        assert container.profile is not None
        assert len(calls) == 1


def test_threads_get_one_profile(path: Path) -> None:
    with clipcodec.open(path) as container:
        found: list[Profile | None] = []
        threads = [
            threading.Thread(target=lambda: found.append(container.profile)) for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len({id(one) for one in found}) == 1
        assert found[0] is not None


def test_a_codec_outlives_its_container(path: Path, expected: np.ndarray) -> None:
    with clipcodec.open(path) as container:
        codec, streams = container.codec, [*container]
    assert np.array_equal(codec.decode_batch(streams), expected)


@pytest.mark.parametrize("loaded", [False, True])
def test_containers_codecs_and_profiles_are_pickled_by_path(
    path: Path, expected: np.ndarray, loaded: bool, tmp_path: Path
) -> None:
    with clipcodec.open(path) as container:
        if loaded:
            assert container.profile is not None
        kept = pickle.dumps((container, container.codec))
        profile = pickle.dumps(container.profile)
    assert len(kept) < 4000
    assert len(profile) < 1000
    again, codec = pickle.loads(kept)
    assert np.array_equal(again.decode_all(), expected)
    assert np.array_equal(codec.decode_batch([*again]), expected)
    assert pickle.loads(profile).digest == again.profile.digest
    code = (
        "import pickle, sys\n"
        "container, codec = pickle.load(open(sys.argv[1], 'rb'))\n"
        "print(codec.decode_batch([*container]).shape, container.profile.name)\n"
    )
    (tmp_path / "kept").write_bytes(kept)
    command = [sys.executable, "-c", code, str(tmp_path / "kept")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["(12,", "24)", "private/rates"]


def test_a_container_that_grew_keeps_its_profile(path: Path, streams: list[bytes]) -> None:
    with clipcodec.open(path) as container:
        kept = pickle.dumps((container, container.profile))
    with clipcodec.create(path, "a") as writer:
        writer.extend(streams)
    again, profile = pickle.loads(kept)
    assert again.decode_all().shape == (COUNT, 24)  # the items that it had
    assert profile.digest == again.profile.digest


def test_a_pickled_profile_of_a_changed_container_says_so(
    path: Path, files: tuple[Path, Path]
) -> None:
    kept = pickle.dumps(carried_profile(path))
    clipcodec.create(path, "w", profile=files[1]).close()
    with pytest.raises(WeightsError, match=r"a\.clpc carries one of SHA-256 .*was changed"):
        pickle.loads(kept)
    clipcodec.create(path, "w").close()
    with pytest.raises(WeightsError, match="carries no profile"):
        pickle.loads(kept)
    path.write_bytes(b"no container")
    with pytest.raises(WeightsError, match="not a clipcodec container"):
        pickle.loads(kept)
    path.unlink()
    with pytest.raises(WeightsError, match="cannot be read"):
        pickle.loads(kept)


def test_a_container_in_memory_gives_a_profile_that_can_be_pickled(
    path: Path, streams: list[bytes]
) -> None:
    with clipcodec.open(io.BytesIO(path.read_bytes())) as container:
        codec = pickle.loads(pickle.dumps(container.codec))
        profile = pickle.loads(pickle.dumps(container.profile))
    assert codec.decode(streams[0]).shape == (24,)
    assert profile.name == "private/rates"


class Pipe(io.RawIOBase):
    """Gives a few bytes at a time, and cannot seek."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return self._data.read(min(size, 777))


@pytest.mark.parametrize("asked_first", [False, True])
def test_a_pipe_brings_its_profile(path: Path, expected: np.ndarray, asked_first: bool) -> None:
    reading = clipcodec.read_items(Pipe(path.read_bytes()))
    if asked_first:
        assert reading.profile is not None
    items = [*reading]
    assert [item.id for item in items] == [f"a{i}" for i in range(COUNT)]
    assert np.array_equal(reading.codec.decode_batch([s for s, _ in items]), expected)
    assert reading.profile is not None
    assert reading.profile.name == "private/rates"


def test_a_pipe_that_is_no_container_says_so_when_it_is_read() -> None:
    reading = clipcodec.read_items(Pipe(b"x" * 99))
    with pytest.raises(CorruptError):
        next(reading)
    assert [*reading] == []
    reading = clipcodec.read_items(Pipe(b"x" * 99))
    assert reading.profile is None
    with pytest.raises(CorruptError):
        next(reading)


# --- mode "a" ---


def test_appending_keeps_the_profile(
    path: Path, file: Path, files: tuple[Path, Path], streams: list[bytes]
) -> None:
    before = path.read_bytes()
    for profile in (None, file, path, read_profile(file)):
        with clipcodec.create(path, "a", profile=profile) as writer:
            writer.extend(streams[:1])
    with clipcodec.open(path) as container:
        assert container.decode_all().shape == (COUNT + 4, 24)
    path.write_bytes(before)
    with pytest.raises(OptionError, match=r"a\.clpc carries another profile"):
        clipcodec.create(path, "a", profile=files[1])
    assert path.read_bytes() == before


def test_a_container_that_has_items_gets_no_profile_later(
    tmp_path: Path, file: Path, streams: list[bytes]
) -> None:
    path = made(tmp_path / "a.clpc", streams, None)
    before = path.read_bytes()
    with pytest.raises(OptionError, match="begun without a profile"):
        clipcodec.create(path, "a", profile=file)
    assert path.read_bytes() == before


@pytest.mark.parametrize("metadata", [None, {"a": 1}])
def test_a_container_without_items_gets_one(
    tmp_path: Path, file: Path, streams: list[bytes], metadata: dict[str, Any] | None
) -> None:
    path = tmp_path / "a.clpc"
    clipcodec.create(path, metadata=metadata).close()
    with clipcodec.create(path, "a", profile=file) as writer:
        writer.extend(streams)
    with clipcodec.open(path) as container:
        assert container.decode_all().shape == (COUNT, 24)
        assert container.metadata == (metadata or {})
    assert len([*clipcodec.read_items(io.BytesIO(path.read_bytes()))]) == COUNT


def test_no_profile_is_put_after_another_block(tmp_path: Path, file: Path) -> None:
    path = tmp_path / "a.clpc"
    path.write_bytes(built(layout.block(b"note", b"x")))
    with pytest.raises(OptionError, match="begun without"):
        clipcodec.create(path, "a", profile=file)


def test_an_unfinished_container_shows_and_keeps_its_profile(
    tmp_path: Path, file: Path, streams: list[bytes]
) -> None:
    writer = clipcodec.create(tmp_path / "a.clpc", metadata={"a": 1}, profile=file)
    writer.append(streams[0])
    writer.flush()
    part = tmp_path / "a.clpc.part"
    found = carried_profile(part)
    assert found is not None
    assert found.name == "private/rates"
    writer.abandon()
    with clipcodec.create(tmp_path / "a.clpc", "a") as writer:
        writer.append(streams[1])
    with clipcodec.open(tmp_path / "a.clpc") as container:
        assert container.decode_all().shape == (2, 24)


@pytest.mark.parametrize("left", [2, 10, 100])
@pytest.mark.parametrize("metadata", [None, {"a": 1}])
def test_a_container_cut_inside_of_its_profile(
    tmp_path: Path, file: Path, left: int, metadata: dict[str, Any] | None
) -> None:
    """Going on needs the profile again: it must not be lost without a word."""
    path, part = tmp_path / "a.clpc", tmp_path / "a.clpc.part"
    clipcodec.create(path, metadata=metadata, profile=file).abandon()
    front = 8 if metadata is None else 8 + layout.parse_head(part.read_bytes()[8:24]).whole
    cut = part.read_bytes()[: front + left]
    part.write_bytes(cut)
    with pytest.raises(TruncatedError, match=r"a\.clpc\.part: "):
        carried_profile(part)
    with pytest.raises(OptionError, match="give that again"):
        clipcodec.create(path, "a", metadata=metadata)
    assert part.read_bytes() == cut
    with clipcodec.create(path, "a", metadata=metadata, profile=file):
        pass
    with clipcodec.open(path) as container:
        assert container.profile is not None
        assert container.metadata == (metadata or {})


def test_damage_between_items_does_not_cost_the_profile(
    tmp_path: Path, file: Path, streams: list[bytes], expected: np.ndarray
) -> None:
    path = made(tmp_path / "a.clpc", streams, file, block_items=4)
    data = bytearray(path.read_bytes())
    with clipcodec.open(path) as container:
        at = int(container.survey.offsets[3]) + 30
    data[at] ^= 1
    path.write_bytes(data[:-20])
    with clipcodec.create(path, "a") as writer:
        writer.extend(streams[4:8])
    with clipcodec.open(path) as container:
        assert container.complete
        assert np.array_equal(
            container.decode_all(), expected[[0, 1, 2, 3, 8, 9, 10, 11, 4, 5, 6, 7]]
        )


@pytest.mark.parametrize("where", ["head", "body", "metadata", "head of metadata"])
def test_a_damaged_front_is_not_appended_to(
    path: Path, file: Path, streams: list[bytes], where: str
) -> None:
    """What is left of the profile would be lost; the items can be copied."""
    data = bytearray(path.read_bytes())
    front = 8 + layout.parse_head(bytes(data[8:24])).whole
    at = {"head": front + 5, "body": front + 99, "metadata": 26, "head of metadata": 13}[where]
    data[at] ^= 1
    path.write_bytes(data[:-5])
    before = path.read_bytes()
    with pytest.raises(CorruptError, match="appending would lose it: copy what is good"):
        clipcodec.create(path, "a")
    assert path.read_bytes() == before
    with clipcodec.open(path, partial=True) as container:
        assert [*container] == streams
        if where == "metadata":
            assert container.decode_all().shape == (COUNT, 24)
            return
        with pytest.raises(CorruptError, match=r"give (its file|the file of the profile)"):
            container.decode_all()
    with clipcodec.open(path, partial=True, profile=file) as container:
        assert container.decode_all().shape == (COUNT, 24)


def test_items_that_leave_their_profile_behind_are_warned_of(
    tmp_path: Path, path: Path, file: Path, recwarn: pytest.WarningsRecorder
) -> None:
    with clipcodec.open(path) as photos:
        with clipcodec.create(tmp_path / "same.clpc", profile=photos.profile) as writer:
            writer.extend(photos)
        with clipcodec.create(tmp_path / "same.clpc", "a") as writer:
            writer.extend(photos)
        assert not recwarn.list
        with clipcodec.create(tmp_path / "bare.clpc") as writer:
            with pytest.warns(UserWarning, match=r"a\.clpc carries a profile.*profile="):
                writer.extend(photos)
            with pytest.warns(UserWarning, match="carries a profile"):
                writer.extend(clipcodec.read_items(io.BytesIO(path.read_bytes())))
        assert len(writer) == 2 * COUNT


# --- damaged and hostile ---


def test_a_damaged_profile_costs_no_item(path: Path, file: Path, streams: list[bytes]) -> None:
    """The index is good, so the container opens; what needs the profile says what is wrong."""
    data = bytearray(path.read_bytes())
    front = 8 + layout.parse_head(bytes(data[8:24])).whole
    data[front + 99] ^= 1
    path.write_bytes(data)
    for partial in (False, True):
        with clipcodec.open(path, partial=partial) as container:
            assert [*container] == streams
            assert len(container.ids) == COUNT
            with pytest.raises(CorruptError, match=r"a\.clpc: the profile .* is damaged"):
                container.profile  # noqa: B018
            with pytest.raises(CorruptError, match="check value") as error:
                container.decode_all()
            assert error.value.rows == tuple(range(COUNT))
            with pytest.raises(CorruptError):
                container.codec.decode(streams[0])
    with clipcodec.open(path, profile=file) as container:
        assert container.decode_all().shape == (COUNT, 24)
    with pytest.raises(CorruptError):
        [*clipcodec.read_items(io.BytesIO(data))]


def parts(data: bytes) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return load(data), json.loads(header["__metadata__"][METADATA_KEY])


def repacked(data: bytes, tensors: dict[str, Any] | None = None, **meta: Any) -> bytes:
    """The profile file with other tensors (None: without it) and metadata."""
    old, about = parts(data)
    new = {name: one for name, one in (old | (tensors or {})).items() if one is not None}
    return save(new, metadata={METADATA_KEY: json.dumps(about | meta)})


def hostile(data: bytes) -> Iterator[tuple[str, bytes, type[DecodeError]]]:
    """Profile files that are none, and what decoding says."""
    nothing = np.full(24, np.nan, np.float32)
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    header["center"] |= {"shape": [0, (1 << 63) - 1], "data_offsets": [0, 0]}
    text = json.dumps(header).encode()
    shapes = len(text).to_bytes(8, "little") + text + data[8:]
    yield "nothing", b"", CorruptError
    yield "cut", data[:-9], CorruptError
    yield "a pickle", pickle.dumps(Path()), CorruptError
    yield "a long header", (1 << 62).to_bytes(8, "little") + b"{}", CorruptError
    yield "another width", repacked(data, dim=25), CorruptError
    yield "a wide width", repacked(data, dim=1 << 40), CorruptError
    yield "version 2", repacked(data, version=2), UnsupportedError
    yield "version 0", repacked(data, version=0), CorruptError
    yield "version true", repacked(data, version=True), CorruptError
    yield "another kind", repacked(data, kind="later"), UnsupportedError
    yield "NaN", repacked(data, {"center": nothing}), CorruptError
    yield "infinite", repacked(data, {"center": nothing + np.inf}), CorruptError
    yield "enormous", repacked(data, {"center": np.full(24, 1e300)}), CorruptError
    yield "another shape", repacked(data, {"center": np.zeros((24, 2), np.float32)}), CorruptError
    yield "a tensor less", repacked(data, {"center": None}), CorruptError
    yield "a tensor more", repacked(data, {"more": np.zeros(3)}), CorruptError
    yield "a name that is none", repacked(data, name="a\x1b[31m"), CorruptError
    yield "shapes", shapes, CorruptError
    yield "a container", built(), CorruptError
    yield "zeros", bytes(1 << 24), CorruptError


def test_hostile_profiles_are_typed_errors_when_streams_need_them(
    file: Path, streams: list[bytes]
) -> None:
    """By every way in; items are given all the same, and streams of other profiles decoded."""
    other = Codec("any/rotation").encode_embedding(np.ones(24))
    for name, data, kind in hostile(file.read_bytes()):
        named = naming(data, streams)
        whole = built(prof(data), layout.pack_items([*named, other]))
        with clipcodec.open(io.BytesIO(whole)) as container:
            assert [*container] == [*named, other], name
            assert container.decode(-1).shape == (24,), name
            for work in (
                lambda: container.profile,
                container.decode_all,
                lambda: container.decode(0),
            ):
                with pytest.raises(kind, match="the profile that the container carries") as error:
                    work()
                assert type(error.value) is kind, name
            assert container.embedded() == Embedded.of(data)
        reading = clipcodec.read_items(io.BytesIO(whole))
        assert len([*reading]) == len(named) + 1
        with pytest.raises(kind):
            reading.codec.decode_batch(named)


def test_a_damaged_profile_is_read_once_for_all_streams(
    file: Path, streams: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = file.read_bytes()[:-1]
    calls = list[int]()

    def counted(data: bytes, **options: Any) -> Profile:
        calls.append(len(data))
        return parse_profile(data, **options)

    monkeypatch.setattr("clipcodec.container.profiles.parse_profile", counted)
    whole = built(prof(data), layout.pack_items(naming(data, streams * 50)))
    with clipcodec.open(io.BytesIO(whole)) as container:
        for _ in range(3):
            with pytest.raises(CorruptError):
                container.decode_all()
    assert len(calls) == 1


def test_a_profile_with_another_digest_than_the_streams_name(
    files: tuple[Path, Path], streams: list[bytes]
) -> None:
    """Honest, but not theirs: unknown. Changed bytes under the name of another: never asked."""
    one, two = (path.read_bytes() for path in files)
    whole = built(prof(two), layout.pack_items(streams))
    with clipcodec.open(io.BytesIO(whole)) as container:
        with pytest.raises(
            UnknownProfileError, match="not with the one that the container carries"
        ):
            container.decode_all()
        assert container.profile is not None
        assert container.profile.digest == hashlib.sha256(two).digest()
    tensors, _ = parts(one)
    changed = repacked(one, {"center": tensors["center"] + np.float32(0.5)})
    whole = built(prof(changed), layout.pack_items(streams))
    with (
        clipcodec.open(io.BytesIO(whole)) as container,
        pytest.raises(UnknownProfileError, match="not with the one"),
    ):
        container.decode_all()


def test_a_registered_profile_with_changed_bytes_serves_no_registered_id(tmp_path: Path) -> None:
    """Streams that name the id, or the digest of the registered file, are decoded by that."""
    shipped = registry.by_name("any/rotation")
    data = Path(shipped.path).read_bytes()
    _, about = parts(data)
    changed = repacked(data, config=about["config"] | {"seed": 1})
    x = np.random.default_rng(0).normal(size=(3, 24))
    streams = Codec("any/rotation").encode_embeddings(x, quality=40)
    private = Codec(parse_profile(data, path=None)).encode_embeddings(x, quality=40)
    assert private[0][1:5] == shipped.digest[:4]
    for carried in (changed, data):
        whole = built(prof(carried), layout.pack_items([*streams, *private]))
        with clipcodec.open(io.BytesIO(whole)) as container:
            found = container.decode_all()
            assert np.array_equal(found[:3], clipcodec.decode_batch(streams))
            assert np.array_equal(found[3:], found[:3])
            profile = container.profile
            assert profile is not None
            assert (profile is shipped) == (carried == data)
            assert profile.id == (shipped.id if carried == data else None)


def test_a_digest_that_begins_alike_does_not_take_the_place_of_what_was_given(
    file: Path, streams: list[bytes], expected: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four bytes can be forged: what the user gave comes first, then what is registered."""
    forged = repacked(file.read_bytes(), name="private/forged")
    same = hashlib.sha256(file.read_bytes()).digest()[:4] + bytes(28)
    parse = Embedded.parse
    monkeypatch.setattr(Embedded, "parse", lambda body: Embedded(body, parse(body).size, same))
    whole = io.BytesIO(built(prof(forged), layout.pack_items(streams)))
    with clipcodec.open(whole, profile=file) as container:
        assert np.array_equal(container.decode_all(), expected)
        assert container.codec.info(streams[0]).profile == "private/rates"


def test_a_folder_that_a_carried_profile_names_is_not_opened(
    tmp_path: Path, file: Path, streams: list[bytes]
) -> None:
    """`local-dir:` is a folder of whoever made it: whose embeddings they are, the user must say."""
    data = repacked(file.read_bytes(), backbone=f"local-dir:{tmp_path}")
    whole = built(prof(data), layout.pack_items(naming(data, streams)))
    with clipcodec.open(io.BytesIO(whole)) as container:
        profile = container.codec.parse(container[0]).profile
        assert profile.backbone == "any"
        with pytest.raises(OptionError, match="say which one"):
            Codec(profile).text_tower()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "cut"),
        (b"\7", "inflated"),
        (deflated(b"abc")[:-1], "cut"),
        (deflated(b"abc") + b"\0", "followed by 1 bytes"),
        (zlib.compress(b"abc"), "inflated"),
    ],
)
def test_what_does_not_inflate_is_corrupt(body: bytes, message: str, streams: list[bytes]) -> None:
    whole = built(layout.block(b"prof", body), layout.pack_items(streams))
    with clipcodec.open(io.BytesIO(whole)) as container:
        assert [*container] == streams
        with pytest.raises(CorruptError, match=message):
            container.decode_all()
        with pytest.raises(CorruptError, match=message):
            container.embedded()
    with pytest.raises(CorruptError, match=message):
        [*clipcodec.read_items(io.BytesIO(whole))]
    with clipcodec.open(io.BytesIO(whole[:-5]), partial=True) as container:
        assert [*container] == streams
        with pytest.raises(CorruptError, match=message):
            container.decode_all()


def test_a_bomb_takes_neither_memory_nor_time(streams: list[bytes]) -> None:
    """Few bytes that would become 2^28: more than 2^25 of them are never made."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    body = b"".join(deflate.compress(bytes(1 << 26)) for _ in range(4)) + deflate.flush()
    whole = io.BytesIO(built(layout.block(b"prof", body), layout.pack_items(streams)))
    with clipcodec.open(whole) as container:
        tracemalloc.start()
        try:
            with pytest.raises(CorruptError, match="above 33554432 bytes"):
                container.decode_all()
            assert tracemalloc.get_traced_memory()[1] < 12 << 20
        finally:
            tracemalloc.stop()


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_damage_anywhere_at_the_front_is_a_typed_error(
    files: tuple[Path, Path], streams: list[bytes], data: st.DataObject
) -> None:
    """Cut or overwritten, with or without right check values: DecodeError, or the embeddings."""
    content = bytearray(files[0].read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, 4000))] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    named = naming(bytes(content), streams)
    whole = bytearray(built(prof(bytes(content)), layout.pack_items(named)))
    if data.draw(st.booleans()):
        whole[data.draw(st.integers(8, len(whole) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    for partial in (False, True):
        try:
            with clipcodec.open(io.BytesIO(whole), partial=partial) as container:
                container.decode_all()
        except DecodeError:
            pass


def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path, file: Path) -> None:
    """Where there is room for a part of the profile only."""
    old = made(tmp_path / "old.clpc", [], None)
    before = old.read_bytes()
    code = (
        "import resource, signal, sys, clipcodec\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (500, resource.RLIM_INFINITY))\n"
        "for mode in ('w', 'a'):\n"
        "    try:\n"
        "        clipcodec.create(sys.argv[2 if mode == 'a' else 1], mode, profile=sys.argv[3])\n"
        "    except OSError as error:\n"
        "        print(error.filename)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "a.clpc"), str(old), str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(tmp_path / "a.clpc.part"), str(old)]
    assert old.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["old.clpc"]


# --- merge and split ---


def test_merge_carries_the_one_profile_of_its_sources(
    tmp_path: Path, file: Path, streams: list[bytes], expected: np.ndarray
) -> None:
    sources = [
        made(tmp_path / "plain.clpc", streams, None), made(tmp_path / "one.clpc", streams, file),
        made(tmp_path / "two.clpc", streams, file),
    ]  # fmt: skip
    found = merge(sources, tmp_path / "all.clpc")
    assert found.carries == hashlib.sha256(file.read_bytes()).hexdigest()
    with clipcodec.open(tmp_path / "all.clpc") as container:
        assert np.array_equal(container.decode_all(), np.tile(expected, (3, 1)))
    assert merge(sources[:1], tmp_path / "none.clpc").carries is None


def test_merge_refuses_two_profiles(
    tmp_path: Path, files: tuple[Path, Path], streams: list[bytes], rows: np.ndarray
) -> None:
    one = made(tmp_path / "one.clpc", streams, files[0])
    two = made(tmp_path / "two.clpc", Codec(files[1]).encode_embeddings(rows), files[1])
    with pytest.raises(InputError, match=r"one\.clpc and .*two\.clpc carry different .*apart"):
        merge([one, two], tmp_path / "all.clpc")
    assert not (tmp_path / "all.clpc").exists()


def test_a_profile_of_a_later_release_travels_on(
    tmp_path: Path, file: Path, streams: list[bytes]
) -> None:
    """merge and split take its bytes, and need not know what it is."""
    data = repacked(file.read_bytes(), kind="later")
    path = tmp_path / "a.clpc"
    path.write_bytes(built(prof(data), layout.pack_items(naming(data, streams))))
    merge([path], tmp_path / "b.clpc")
    for part in (tmp_path / "b.clpc", *split(path, tmp_path / "parts", parts=2)):
        with clipcodec.open(part) as container:
            embedded = container.embedded()
            assert embedded is not None
            assert embedded.data == data
            with pytest.raises(UnsupportedError, match="upgrade"):
                container.decode_all()
    assert to_embed(path) == Embedded.of(data)


def test_a_damaged_profile_stops_merge_and_split_unless_they_take_what_is_good(
    tmp_path: Path, path: Path, streams: list[bytes]
) -> None:
    data = bytearray(path.read_bytes())
    front = 8 + layout.parse_head(bytes(data[8:24])).whole
    data[front + 99] ^= 1
    path.write_bytes(data)
    with pytest.raises(CorruptError, match=r"a\.clpc"):
        merge([path], tmp_path / "b.clpc")
    with pytest.raises(CorruptError, match=r"a\.clpc"):
        split(path, tmp_path / "parts", parts=2)
    assert not (tmp_path / "b.clpc").exists()
    assert not (tmp_path / "parts").exists()
    found = merge([path], tmp_path / "b.clpc", partial=True)
    assert (found.items, found.carries) == (COUNT, None)
    assert [fault for fault in found.damaged if "the profile" in fault]
    with pytest.warns(UserWarning, match="left out: .*the profile"):
        made_parts = split(path, tmp_path / "parts", parts=2, partial=True)
    assert [stream for part in made_parts for stream in Container(part)] == streams


def test_split_and_merge_again_give_the_same(tmp_path: Path, path: Path) -> None:
    made_parts = split(path, tmp_path / "parts", items=5)
    assert len(made_parts) == 3
    merge(made_parts, tmp_path / "again.clpc")
    assert (tmp_path / "again.clpc").read_bytes() == path.read_bytes()


def test_every_kind_of_private_profile_travels(tmp_path: Path) -> None:
    file = write_tiny_profile(tmp_path / "p.safetensors")
    codec = Codec(file)
    path = made(tmp_path / "a.clpc", codec.encode_embeddings(cone(4, 8)), file)
    with clipcodec.open(path) as container:
        assert container.decode_all().shape == (4, 8)
