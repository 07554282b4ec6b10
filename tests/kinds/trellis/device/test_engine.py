"""clipcodec.kinds.trellis.device.engine: whole batches, the bytes and embeddings of the CPU."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from clipcodec import Codec, OptionError
from clipcodec.bitstream import check_seed
from clipcodec.entropy import Payloads
from clipcodec.kinds import Parameters, Quantized
from clipcodec.kinds.trellis.device import DeviceEngine, decoding
from clipcodec.kinds.trellis.device import held as held_module
from clipcodec.kinds.trellis.device.held import DeviceHeld
from clipcodec.kinds.trellis.device.memory import Parts
from clipcodec.stream import pack, start_of
from tests.kinds.trellis.device.conftest import CPU, Pair


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attempts at few rows run on the device, too."""
    monkeypatch.setattr(held_module, "_FEWEST", 0)


def starts_of(pair: Pair) -> list[bytes]:
    """The header by quality, from 1 on."""
    count = pair.host.tables.count
    return [start_of(pair.profile, "rans", Parameters(q or 1, count)) for q in range(101)]


def seeds_of(pair: Pair) -> NDArray[np.int64]:
    digest = None if pair.profile.id is not None else pair.profile.digest
    return np.array([check_seed(start, digest) for start in starts_of(pair)])


def encoded(
    pair: Pair, x: NDArray[np.float32], quality: int, weight: float = 1.0
) -> tuple[list[bytes], NDArray[np.bool_]]:
    """Whole streams from the device."""

    def search(held: DeviceHeld) -> None:
        rows = np.arange(len(held.quality))
        held.keep(held.attempt(rows, np.full(len(rows), quality), weight), rows, rows)

    payloads, qualities, alone = pair.device.encode(x, search, seeds_of(pair))
    starts = starts_of(pair)
    return [starts[q] + p for q, p in zip(qualities.tolist(), payloads, strict=True)], alone


def decoded(pair: Pair, streams: Sequence[bytes]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    parsed = Codec(pair.profile).parse_batch(streams)
    qualities = np.array([stream.parameters.quality for stream in parsed], np.int64)
    payloads = Payloads.of([stream.payload for stream in parsed])
    return pair.device.decode(payloads, qualities, seeds_of(pair)[qualities])


def test_at_all_qualities_the_embeddings_are_the_same(pair: Pair) -> None:
    """Four rows at each; some at the highest have an escape, which is left to the CPU."""
    qualities = np.arange(400) // 4 + 1
    y = pair.host.transform.analyse(np.tile(pair.rows(4), (100, 1)))
    found = Quantized(pair.host.attempt(y, qualities).levels, qualities)
    streams = pack(pair.profile, found, ("rans",))
    rows, alone = decoded(pair, streams)
    assert alone.sum() < 20
    assert (rows[~alone] == Codec(pair.profile).decode_batch(streams)[~alone]).all()


@pytest.mark.parametrize("quality", [1, 3, 20, 50, 80, 99, 100])
def test_the_bytes_are_the_same(pair: Pair, quality: int) -> None:
    x = pair.rows(40)
    streams, alone = encoded(pair, x, quality)
    expected = Codec(pair.profile).encode_embeddings(x, quality=quality)
    assert alone.sum() < 10
    for stream, other, left in zip(streams, expected, alone, strict=True):
        assert left or stream == other


@pytest.mark.parametrize("weight", [0.2, 3.0])
def test_the_weight_is_the_encoders(usual: Pair, weight: float) -> None:
    x = usual.rows(30)
    streams, alone = encoded(usual, x, 50, weight)
    assert not alone.any()
    assert streams == Codec(usual.profile).encode_embeddings(x, quality=50, weight=weight)


@pytest.mark.parametrize("count", [0, 1, 255, 513])
def test_parts_of_any_length_give_the_same(
    usual: Pair, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None, one, and more than a part holds; the last one shorter."""
    device = DeviceEngine(usual.host, CPU)
    for name, size in (("_decoding", 256), ("_reconstructing", 100), ("_encoding", 256)):
        monkeypatch.setattr(device, name, Parts(CPU, size, 1))
    pair = Pair(usual.profile)
    pair.device = device
    x = usual.rows(count)
    streams, alone = encoded(pair, x, 25)
    assert not alone.any()
    assert streams == Codec(usual.profile).encode_embeddings(x, quality=25)
    rows, left = decoded(pair, streams)
    assert not left.any()
    assert rows.shape == (count, 512)
    assert (rows == Codec(usual.profile).decode_batch(streams).reshape(rows.shape)).all()


def test_damaged_streams_are_named_and_no_others(usual: Pair) -> None:
    streams = Codec(usual.profile).encode_embeddings(usual.rows(40), quality=30)
    damaged = {
        3: streams[3][:1], 7: streams[7][:-1], 12: streams[12] + b"\x07", 20: streams[20] + b"\0",
        25: streams[25][:5] + bytes([streams[25][5] ^ 4]) + streams[25][6:], 39: b"\x9d" * 4000,
    }  # fmt: skip
    for i, stream in damaged.items():
        streams[i] = stream
    _, alone = decoded(usual, streams)
    assert np.flatnonzero(alone).tolist() == [*damaged]


def test_rows_that_no_stream_can_hold_are_named(usual: Pair) -> None:
    x = usual.rows(6)
    x[2] = np.nan
    assert np.flatnonzero(encoded(usual, x, 50)[1]).tolist() == [2]


def test_precision_that_the_program_allows_does_not_count(usual: Pair) -> None:
    """bfloat16 on the processor, TF32 on a GPU; and autocast."""
    x = usual.rows(50)
    expected, _ = encoded(usual, x, 60)
    torch.set_float32_matmul_precision("medium")
    try:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert encoded(usual, x, 60)[0] == expected
            rows, _ = decoded(usual, expected)
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")
    assert (rows == decoded(usual, expected)[0]).all()


def test_a_full_memory_takes_smaller_parts(usual: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same embeddings, and one warning."""
    streams = Codec(usual.profile).encode_embeddings(usual.rows(900), quality=10)
    expected, _ = decoded(usual, streams)
    pair = Pair(usual.profile)
    decode = decoding.decode

    def small(tables, checks, decoder, qualities, seeds):  # type: ignore[no-untyped-def]
        if len(qualities) > 300:
            raise torch.cuda.OutOfMemoryError("out of memory")
        return decode(tables, checks, decoder, qualities, seeds)

    monkeypatch.setattr(decoding, "decode", small)
    with pytest.warns(RuntimeWarning, match="smaller parts") as caught:
        rows, alone = decoded(pair, streams)
    assert len(caught) == 1
    assert not alone.any()
    assert (rows == expected).all()


def test_after_a_fork_a_gpu_is_refused(usual: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """CUDA does not work there. The processor does."""
    device = DeviceEngine(usual.host, CPU)
    monkeypatch.setattr(os, "getpid", lambda: -1)
    nothing = Payloads.of([]), np.empty(0, np.int64), np.empty(0, np.int64)
    assert device.decode(*nothing)[0].shape == (0, 512)
    monkeypatch.setattr(device, "device", torch.device("cuda:0"))
    with pytest.raises(OptionError, match="'cuda:0' was used before this process was forked"):
        device.decode(*nothing)
