"""Containers: items come back as they went in, from whatever is left of a file."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import clipcodec
from clipcodec import (
    CorruptError,
    DecodeError,
    LockedError,
    OptionError,
    OutputExistsError,
    TruncatedError,
    UnsupportedError,
)
from clipcodec.container import layout
from clipcodec.container.growing import PART
from tests.helpers.paths import FORMATS
from tests.helpers.profiles import drawn

STREAMS = [bytes.fromhex(s) for s in ("6e01aabb", "6e01cc", "6e02ddeeff", "4100")]


def packed(items: Sequence[bytes], **options: Any) -> bytes:
    buffer = io.BytesIO()
    with clipcodec.create(buffer, **options) as writer:
        writer.extend(items)
    return buffer.getvalue()


def collect(data: bytes, into: list[bytes]) -> None:
    """The streams that come out of a pipe, up to the error."""
    for item in clipcodec.read_items(io.BytesIO(data)):
        into.append(item.stream)


def samples(count: int, **options: Any) -> list[bytes]:
    return clipcodec.encode_embeddings(drawn(count, seed=3), **options)


# the format


def test_the_bytes_of_a_container_are_these() -> None:
    """The examples of formats/container-1.md: opening, block, index."""
    expected = (
        "89434c50430d0a01"
        "44415441 00000010 00000003 df897b81"
        "00 01016e02 02 48 01aabb 01cc 02ddeeff fedd4844"
        "696e6478 0000000c 00000000 9a0b050e"
        "00000024 00000003 0000000c e1679542"
    )
    assert packed(STREAMS[:3]) == bytes.fromhex(expected)


@pytest.mark.slow
def test_items_are_smaller_than_their_streams() -> None:
    """At one quality: the header is said once, lengths take less than a byte each."""
    for options in ({}, {"quality": 20}):
        streams = samples(600, **options)
        assert len(packed(streams)) < sum(map(len, streams))


@pytest.mark.slow
def test_overhead_is_about_a_byte_an_item() -> None:
    """Beyond the payload: a stream without its header. Many qualities take some bits more."""
    fine, coarse = samples(500), samples(500, quality=20)
    mixed = [stream for pair in zip(fine, coarse, strict=True) for stream in pair]
    fitted = samples(500, max_bytes=50), samples(500, min_cosine=0.95)
    for streams, most in ((mixed, 1.0), (fitted[0], 1.25), (fitted[1], 1.5)):
        payload = sum(len(stream) - 1 for stream in streams)
        assert len(packed(streams, block_items=1024)) - payload < most * len(streams)


# round trips


items = st.lists(
    st.tuples(
        st.binary(max_size=40).map(lambda b: b"\x69" + b),
        st.none() | st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20),
    )
)


@given(items, st.integers(1, 9))
def test_items_come_back(pairs: list[tuple[bytes, str | None]], block_items: int) -> None:
    """Streams and ids, by position, by iteration and from a pipe; the reference reader agrees."""
    buffer = io.BytesIO()
    with clipcodec.create(buffer, block_items=block_items) as writer:
        for stream, id in pairs:
            writer.append(stream, id)
    data = buffer.getvalue()
    assert list(clipcodec.read_items(io.BytesIO(data))) == pairs
    with clipcodec.open(io.BytesIO(data)) as container:
        assert len(container) == len(pairs)
        assert list(container.items()) == pairs
        assert [container.item(i) for i in range(len(pairs))] == pairs
        assert list(container) == [stream for stream, _ in pairs]
        assert container[1:-1:2] == [stream for stream, _ in pairs[1:-1:2]]
        assert container.ids == [id for _, id in pairs]
        assert container.complete


def test_items_out_of_range_are_index_errors() -> None:
    container = clipcodec.open(io.BytesIO(packed(STREAMS)))
    assert container[-4] == STREAMS[0]
    for place in (4, -5):
        with pytest.raises(IndexError, match="of a container of 4"):
            container[place]


def test_ids_are_found() -> None:
    buffer = io.BytesIO()
    with clipcodec.create(buffer, block_items=2) as writer:
        writer.extend(STREAMS, ["a", "b", "a", None])
    container = clipcodec.open(io.BytesIO(buffer.getvalue()))
    assert (container.index("a"), container.index("b")) == (2, 1)
    with pytest.raises(KeyError):
        container.index("c")


@pytest.mark.slow
def test_embeddings_are_those_of_the_streams() -> None:
    """In blocks of any size, alone, all together, into an array that is given."""
    streams = samples(50)
    expected = clipcodec.decode_batch(streams)
    container = clipcodec.open(io.BytesIO(packed(streams, block_items=7)))
    np.testing.assert_allclose(container.decode(33), expected[33], atol=1e-6)
    for rows in (1, 8, 50, 100):
        blocks = list(container.decode_blocks(rows))
        assert {len(block) for block in blocks[:-1]} <= {rows}
        np.testing.assert_allclose(np.concatenate(blocks), expected, atol=1e-6)
    out = np.zeros((50, 512), np.float16)
    assert container.decode_all(out) is out
    np.testing.assert_allclose(out, expected, atol=1e-3)
    with pytest.raises(OptionError, match=r"\(50, 512\)"):
        container.decode_all(np.zeros((49, 512)))
    assert clipcodec.open(io.BytesIO(packed([]))).decode_all().shape == (0, 512)


def test_a_stream_that_does_not_decode_is_named_by_its_item() -> None:
    streams = samples(20)
    streams[13] = streams[13][:-1]
    container = clipcodec.open(io.BytesIO(packed(streams, block_items=3)))
    with pytest.raises(DecodeError, match="item 13: "):
        list(container.decode_blocks(5))


def test_several_profiles_share_a_container() -> None:
    x = clipcodec.Codec().decode_batch(samples(5))
    names = ["openai-vit-b-32/pqvae-400", "openai-vit-b-32/predictive", "any/rotation"]
    streams = [clipcodec.encode_embedding(row, profile=names[i % 3]) for i, row in enumerate(x)]
    container = clipcodec.open(io.BytesIO(packed(streams)))
    assert container[:] == streams
    assert container.decode_all().shape == (5, 512)


def test_a_private_profile_is_given_on_opening() -> None:
    vectors = FORMATS / "vectors" / "1"
    profile = next(vectors.glob("profiles/*.safetensors"))
    codec = clipcodec.Codec(profile)
    stream = codec.encode_embedding(np.ones(codec.profile.dim or 8))
    container = clipcodec.open(io.BytesIO(packed([stream])), profile=profile)
    np.testing.assert_array_equal(container.decode(0), codec.decode(stream))


def test_metadata_are_kept() -> None:
    metadata = {"dataset": "Zürich", "rows": [1, {"a": None}]}
    data = packed(STREAMS, metadata=metadata)
    assert clipcodec.open(io.BytesIO(data)).metadata == metadata
    assert [item.stream for item in clipcodec.read_items(io.BytesIO(data))] == STREAMS
    for bad in ({"a": float("nan")}, {"a": {1}}, {"a": "x" * (1 << 20)}, ["a"]):
        with pytest.raises(OptionError, match="metadata"):
            packed([], metadata=bad)


# damage


@pytest.fixture(scope="module")
def small() -> tuple[bytes, list[bytes]]:
    """Ten items in blocks of four, with metadata and ids."""
    streams = samples(10, quality=1)
    buffer = io.BytesIO()
    with clipcodec.create(buffer, block_items=4, metadata={"a": 1}) as writer:
        writer.extend(streams, map(str, range(10)))
    return buffer.getvalue(), streams


def test_cut_anywhere_is_truncated_and_read_up_to_the_last_good_block(
    small: tuple[bytes, list[bytes]],
) -> None:
    data, streams = small
    readable = set()
    for size in range(len(data)):
        cut = data[:size]
        with pytest.raises(TruncatedError):
            clipcodec.open(io.BytesIO(cut))
        read: list[bytes] = []
        with pytest.raises(TruncatedError):
            collect(cut, read)
        assert read == streams[: len(read)]
        if size >= 8:
            container = clipcodec.open(io.BytesIO(cut), partial=True)
            assert not container.complete
            assert list(container) == read
            readable.add(len(read))
    assert readable == {0, 4, 8, 10}


def test_any_flipped_bit_is_noticed_and_other_blocks_are_read(
    small: tuple[bytes, list[bytes]],
) -> None:
    data, streams = small
    for bit in range(8 * len(data)):
        spoilt = bytearray(data)
        spoilt[bit // 8] ^= 0x80 >> bit % 8
        with pytest.raises((CorruptError, UnsupportedError)):
            list(clipcodec.read_items(io.BytesIO(spoilt)))
        with pytest.raises((CorruptError, UnsupportedError)):
            list(clipcodec.open(io.BytesIO(spoilt)))
    spoilt = bytearray(data)
    spoilt[data.index(b"DATA") + 30] ^= 1  # in the first block
    container = clipcodec.open(io.BytesIO(spoilt))
    assert container[4:] == streams[4:]
    with pytest.raises(CorruptError, match="items 0 to 3"):
        container[1]


@given(st.binary(max_size=300), st.booleans())
@settings(max_examples=300)
def test_any_bytes_give_a_typed_error_or_items(data: bytes, blocks: bool) -> None:
    """Raw, or as the body of a block with right check values."""
    if blocks:
        body = layout.block(layout.DATA, data, 3)
        data = layout.OPENING + body + layout.pack_index(np.array([[len(body), 3]]))
    for read in (clipcodec.read_items, clipcodec.open):
        with suppress(DecodeError):
            list(read(io.BytesIO(data)))


def test_a_small_block_cannot_claim_gigabytes() -> None:
    """A start that 65,536 items share, and ids that inflate, are bounded."""
    start = bytes([0x80, 0x80, 0x04]) + bytes(1 << 16)
    body = b"\0\1" + start + b"\0\0"
    with pytest.raises(CorruptError, match="a start of 65536 bytes"):
        layout.unpack_items(body, 1 << 16)


# files


def test_a_new_container_gets_its_name_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "a.clpc"
    with clipcodec.create(path) as writer:
        writer.extend(STREAMS)
        writer.flush()
        assert not path.exists()
    assert os.listdir(tmp_path) == ["a.clpc"]
    assert clipcodec.open(path)[:] == STREAMS


def test_extend_names_the_stream_at_fault(tmp_path: Path) -> None:
    """Those before it have been added; a stream that is appended alone has no number."""
    with clipcodec.create(tmp_path / "a.clpc") as writer:
        writer.append(STREAMS[0])
        with pytest.raises(TruncatedError, match=r"^stream 2: empty") as damaged:
            writer.extend([*STREAMS[:2], b""])
        with pytest.raises(OptionError, match=r"^stream 1: an id of 0 bytes") as named:
            writer.extend(STREAMS[:2], ids=["a", ""])
        with pytest.raises(TruncatedError, match=r"^empty") as alone:
            writer.append(b"")
        assert (damaged.value.index, named.value.index, alone.value.index) == (2, 1, None)
        assert len(writer) == 4


def test_what_exists_is_replaced_only_by_mode_w(tmp_path: Path) -> None:
    path = tmp_path / "a.clpc"
    path.write_bytes(b"old")
    with pytest.raises(OutputExistsError):
        clipcodec.create(path)
    with clipcodec.create(path, "w") as writer:
        writer.extend(STREAMS)
        assert path.read_bytes() == b"old"
    assert clipcodec.open(path)[:] == STREAMS
    with pytest.raises(OutputExistsError):
        clipcodec.create(tmp_path, "w")


def test_a_container_that_is_replaced_hands_on_its_permissions_and_names_lost_links(
    tmp_path: Path,
) -> None:
    path, other = tmp_path / "a.clpc", tmp_path / "b.clpc"
    path.write_bytes(b"old")
    path.chmod(0o640)
    other.hardlink_to(path)
    with (
        pytest.warns(UserWarning, match=r"a\.clpc is replaced .* 1 other hard link"),
        clipcodec.create(path, "w") as writer,
    ):
        writer.extend(STREAMS)
    assert clipcodec.open(path)[:] == STREAMS
    assert path.stat().st_mode & 0o777 == 0o640
    assert other.read_bytes() == b"old"


def test_a_file_that_came_meanwhile_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.clpc"
    writer = clipcodec.create(path)
    writer.extend(STREAMS)
    path.write_bytes(b"another's")
    with pytest.raises(OutputExistsError), writer:
        pass
    assert path.read_bytes() == b"another's"
    assert clipcodec.open(str(path) + PART)[:] == STREAMS


def test_an_error_keeps_what_was_appended_for_mode_a(tmp_path: Path) -> None:
    path = tmp_path / "a.clpc"

    def cut_short() -> None:
        with clipcodec.create(path, metadata={"a": 1}) as writer:
            writer.extend(STREAMS[:3])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        cut_short()
    assert not path.exists()
    with pytest.raises(OutputExistsError, match="mode 'a'"):
        clipcodec.create(path)
    with clipcodec.create(path, "a", metadata={"a": 1}) as writer:
        assert len(writer) == 3
        writer.append(STREAMS[3])
    assert clipcodec.open(path)[:] == STREAMS
    assert os.listdir(tmp_path) == ["a.clpc"]


def test_appending_goes_on_after_what_is_there(tmp_path: Path) -> None:
    """A container appended to thrice reads as one; opened for nothing it does not change."""
    path = tmp_path / "a.clpc"
    for stream in STREAMS:
        with clipcodec.create(path, "a") as writer:
            writer.append(stream, id=stream.hex())
    container = clipcodec.open(path)
    assert container[:] == STREAMS
    assert [item.stream for item in clipcodec.read_items(io.BytesIO(path.read_bytes()))] == STREAMS
    before = path.read_bytes()
    with clipcodec.create(path, "a"):
        pass
    assert path.read_bytes() == before
    with pytest.raises(OptionError, match="other metadata"):
        clipcodec.create(path, "a", metadata={"b": 2})


def test_a_cut_container_is_mended_by_appending(
    tmp_path: Path, small: tuple[bytes, list[bytes]]
) -> None:
    data, streams = small
    path = tmp_path / "a.clpc"
    for size in range(0, len(data), 7):
        path.write_bytes(data[:size])
        with clipcodec.create(path, "a") as writer:
            kept = len(writer)
            writer.extend(streams[kept:])
        assert clipcodec.open(path)[:] == streams


def test_a_file_that_is_no_container_is_not_appended_to(tmp_path: Path) -> None:
    path = tmp_path / "a.clpc"
    for content in (b"abc", b"\x89PNG\r\n\x1a\n" * 9, layout.MAGIC + b"\2" + bytes(99)):
        path.write_bytes(content)
        with pytest.raises((CorruptError, UnsupportedError), match=r"a\.clpc"):
            clipcodec.create(path, "a")
        assert path.read_bytes() == content


def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    """In this process or another, on a new container or one that is appended to."""
    path = tmp_path / "a.clpc"
    with clipcodec.create(path) as writer:
        with pytest.raises(OutputExistsError):
            clipcodec.create(path)
        for mode in ("w", "a"):
            with pytest.raises(LockedError, match="another process"):
                clipcodec.create(path, mode)
        writer.extend(STREAMS)
    with clipcodec.create(path, "a") as writer:
        code = f"import clipcodec; clipcodec.create({str(path)!r}, 'a')"
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False
        )
        assert "LockedError" in done.stderr
        writer.extend(STREAMS)
    assert clipcodec.open(path)[:] == STREAMS * 2
    with clipcodec.create(path, "a"):  # the lock went with its writer
        pass


def test_a_killed_writer_loses_the_block_under_way_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.clpc"
    code = (
        "import clipcodec, os, signal\n"
        f"w = clipcodec.create({str(path)!r}, block_items=4)\n"
        "for i in range(10): w.append(bytes([0x69, i]))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False)
    assert done.returncode == -signal.SIGKILL
    part = clipcodec.open(str(path) + PART, partial=True)
    assert part[:] == [bytes([0x69, i]) for i in range(8)]
    with clipcodec.create(path, "a") as writer:
        writer.extend(bytes([0x69, i]) for i in range(len(writer), 10))
    assert clipcodec.open(path)[:] == [bytes([0x69, i]) for i in range(10)]


def test_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    """The error names the file; the items wait, and are written once there is room."""
    resource = pytest.importorskip("resource")
    path = tmp_path / "a.clpc"
    code = (
        "import clipcodec, resource, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (300, hard))\n"
        f"w = clipcodec.create({str(path)!r}, block_items=8)\n"
        "try:\n"
        "    for i in range(99): w.append(bytes([0x69, i] * 4))\n"
        "except OSError as error: print(error)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))\n"
        "w.extend(bytes([0x69, i] * 4) for i in range(len(w), 99)); w.close()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert resource is not None
    assert "cannot be written" in done.stdout
    assert f"a.clpc{PART}" in done.stdout
    assert clipcodec.open(path)[:] == [bytes([0x69, i] * 4) for i in range(99)]


def test_what_is_no_stream_is_refused(tmp_path: Path) -> None:
    with clipcodec.create(tmp_path / "a.clpc") as writer:
        for bad in (b"", b"\0abc", b"hello"[:0]):
            with pytest.raises(DecodeError):
                writer.append(bad)
        for id in ("", "x" * 4097, "\ud800"):
            with pytest.raises(OptionError, match="id"):
                writer.append(STREAMS[0], id=id)
        with pytest.raises(OptionError, match="131073 bytes"):
            writer.append(b"\x69" + bytes(1 << 17))
        with pytest.raises(OptionError, match="1 ids for 4 streams"):
            writer.extend(STREAMS, ["a"])
    with pytest.raises(ValueError, match="closed"):
        writer.append(STREAMS[0])


def test_options_are_checked(tmp_path: Path) -> None:
    for options in ({"mode": "r"}, {"block_items": 0}, {"block_items": 1 << 17}):
        with pytest.raises(OptionError):
            clipcodec.create(tmp_path / "a.clpc", **options)
    with pytest.raises(OptionError, match="for paths"):
        clipcodec.create(io.BytesIO(), "a")
    assert os.listdir(tmp_path) == []
    with pytest.raises(OSError, match="missing"):
        clipcodec.create(tmp_path / "missing" / "a.clpc")
    with pytest.raises(FileNotFoundError):
        clipcodec.open(tmp_path / "a.clpc")
    with pytest.raises(OptionError, match="read_items"):
        clipcodec.open(os.fdopen(os.pipe()[0], "rb"))


def test_pipes_carry_containers() -> None:
    """Written by one process, read by another as it comes."""
    write = (
        "import clipcodec, sys\n"
        "with clipcodec.create(sys.stdout.buffer, block_items=2) as w:\n"
        "    w.extend(bytes([0x69, i]) for i in range(9))\n"
    )
    read = (
        "import clipcodec, sys\nfor s, _ in clipcodec.read_items(sys.stdin.buffer): print(s[1])\n"
    )
    with subprocess.Popen([sys.executable, "-c", write], stdout=subprocess.PIPE) as writer:
        done = subprocess.run(
            [sys.executable, "-c", read], stdin=writer.stdout, capture_output=True, text=True,
            check=True,
        )  # fmt: skip
    assert done.stdout.split() == [str(i) for i in range(9)]


def test_reading_needs_no_torch(tmp_path: Path) -> None:
    (tmp_path / "a.clpc").write_bytes(packed(samples(3)))
    code = (
        f"import clipcodec, sys; clipcodec.open({str(tmp_path / 'a.clpc')!r}).decode_all()\n"
        "assert not {'torch', 'open_clip', 'PIL', 'pyarrow'} & {*sys.modules}"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
