"""clipcodec.devices: batches of a codec on a device, here torch's CPU device: the same bytes."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import clipcodec
from clipcodec import BackboneWarning, Codec, CorruptError, EmbeddingError, OptionError, RateError
from clipcodec import devices as module
from clipcodec.bulk import Job, Target, pipeline
from clipcodec.embeddings import Embeddings
from clipcodec.errors import ClipcodecError, DecodeError, each_row
from clipcodec.kinds.trellis.device import held
from clipcodec.kinds.trellis.device.engine import DeviceEngine
from clipcodec.profile import Profile
from tests.helpers.profiles import cone, drawn

DEVICE = "cuda"  # stands for torch's CPU device here


class Calls:
    """How many rows the device was given to encode and to decode."""

    encoded = decoded = 0


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """Batches of any size run on torch's CPU device, which stands for "cuda"."""
    found = Calls()
    monkeypatch.setattr(Codec().profile.kind, "_on_device", {})  # which remembers a full memory
    encode, decode = DeviceEngine.encode, DeviceEngine.decode

    def counted_encode(self: DeviceEngine, x: Any, *rest: Any) -> Any:
        found.encoded += len(x)
        return encode(self, x, *rest)

    def counted_decode(self: DeviceEngine, payloads: Any, *rest: Any) -> Any:
        found.decoded += len(payloads.lengths)
        return decode(self, payloads, *rest)

    monkeypatch.setattr(DeviceEngine, "encode", counted_encode)
    monkeypatch.setattr(DeviceEngine, "decode", counted_decode)
    monkeypatch.setattr(module, "FEWEST", 1)
    monkeypatch.setattr(module, "SEARCHED", 1)
    monkeypatch.setattr(held, "_FEWEST", 0)
    monkeypatch.setattr(module, "chosen", lambda name: torch.device("cpu"))
    return found


def both(profile: str | Profile | None = None) -> tuple[Codec, Codec]:
    """The codec on the processor, and the one on the device."""
    return Codec(profile), Codec(profile, device=DEVICE)


@pytest.mark.parametrize("quality", [1, 60, 100, None])
def test_streams_and_embeddings_are_the_processors(calls: Calls, quality: int | None) -> None:
    """Also those with an escape, of which quality 100 has some."""
    plain, device = both()
    x = drawn(120)
    streams = device.encode_embeddings(x, quality=quality)
    assert streams == plain.encode_embeddings(x, quality=quality)
    assert (device.decode_batch(streams) == plain.decode_batch(streams)).all()
    assert (calls.encoded, calls.decoded) == (120, 120)


def test_a_private_profile_is_checked_with_its_digest(calls: Calls, compact: Profile) -> None:
    plain, device = both(compact)
    x = cone(90, 24, seed=3)
    streams = device.encode_embeddings(x, quality=50)
    assert streams == plain.encode_embeddings(x, quality=50)
    assert (device.decode_batch(streams) == plain.decode_batch(streams)).all()
    assert (calls.encoded, calls.decoded) == (90, 90)


def test_a_batch_may_mix_profiles_coders_and_qualities(calls: Calls) -> None:
    """Streams of a kind that knows no device go the other way, at their places."""
    plain, device = both()
    x = drawn(60)
    streams = plain.encode_embeddings(x[:40], quality=20)
    streams[1::2] = plain.encode_embeddings(x[1:40:2], max_bytes=60)
    streams[5:5] = Codec("openai-vit-b-32/pqvae-800").encode_embeddings(x[40:50])
    streams[30:30] = Codec("any/rotation").encode_embeddings(x[50:], quality=30)
    assert (device.decode_batch(streams) == plain.decode_batch(streams)).all()
    assert calls.decoded == 40


def test_a_mean_size_is_found_on_the_device(calls: Calls, compact: Profile) -> None:
    plain, device = both(compact)
    x = cone(80, 24)
    assert device.encode_embeddings(x, mean_bytes=14) == plain.encode_embeddings(x, mean_bytes=14)
    assert device.resolve(x, mean_bytes=14) == plain.resolve(x, mean_bytes=14)
    assert calls.encoded >= 160


SEARCHES: list[dict[str, Any]] = [
    {"max_bytes": 20}, {"max_bytes": 50}, {"max_bytes": 100}, {"min_cosine": 0.95},
    {"min_cosine": 0.6},
]  # fmt: skip


@pytest.mark.parametrize("options", SEARCHES)
@pytest.mark.parametrize("name", [None, "openai-vit-l-14-336/predictive"])
def test_a_search_gives_the_same(calls: Calls, name: str | None, options: dict[str, Any]) -> None:
    plain, device = both(name)
    x = drawn(40, plain.profile)
    assert device.encode_embeddings(x, **options) == plain.encode_embeddings(x, **options)
    assert calls.encoded == 40


@pytest.mark.parametrize("options", [{"max_bytes": 11}, {"max_bytes": 30}, {"min_cosine": 0.9}])
def test_a_search_with_a_private_profile_gives_the_same(
    calls: Calls, compact: Profile, options: dict[str, Any]
) -> None:
    plain, device = both(compact)
    x = cone(60, 24, seed=4)
    assert device.encode_embeddings(x, **options) == plain.encode_embeddings(x, **options)
    assert calls.encoded == 60


@pytest.mark.parametrize("options", [{"max_bytes": 22}, {"min_cosine": 0.9}])
def test_rows_that_few_attempts_are_about_are_the_same(
    calls: Calls, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    """The last of a search, which the processor does from the beginning."""
    monkeypatch.setattr(held, "_FEWEST", 100)
    left = list[int]()
    alone = module._do

    def counted(undone: Any, work: Any) -> None:
        left.append(int(undone.sum()))
        alone(undone, work)

    monkeypatch.setattr(module, "_do", counted)
    plain, device = both()
    x = drawn(160)
    assert device.encode_embeddings(x, **options) == plain.encode_embeddings(x, **options)
    assert 0 < left[0] < 160


def test_rows_out_of_reach_are_the_same_errors(calls: Calls) -> None:
    """The same rows in the same words; the others have their streams."""
    plain, device = both()
    x = drawn(40)

    def encoded(codec: Codec) -> list[bytes | ClipcodecError]:
        return each_row(
            lambda rows: codec.encode_embeddings(x[rows], min_cosine=0.9996), 40, RateError
        )

    one, other = encoded(plain), encoded(device)
    assert 0 < sum(isinstance(found, RateError) for found in one) < 40
    assert list(map(str, one)) == list(map(str, other))
    errors = [
        error_of(partial(codec.encode_embeddings, x, min_cosine=0.9996))
        for codec in (plain, device)
    ]
    assert len({(type(error), error.rows, str(error)) for error in errors}) == 1


def test_more_effort_is_the_processors(calls: Calls) -> None:
    plain, device = both()
    x = drawn(8)
    options: dict[str, Any] = {"quality": 40, "effort": 2}
    assert device.encode_embeddings(x, **options) == plain.encode_embeddings(x, **options)
    assert calls.encoded == 0


def error_of(work: Callable[[], object]) -> ClipcodecError:
    with pytest.raises(ClipcodecError) as caught:
        work()
    return caught.value


def test_damaged_streams_are_the_same_errors_at_the_same_rows(calls: Calls) -> None:
    """In one call, and stream by stream."""
    plain, device = both()
    streams = plain.encode_embeddings(drawn(60), quality=40)
    streams[4] = streams[4][:1]  # no payload
    streams[9] = streams[9][:-2]
    streams[17] += b"\0"
    streams[33] = streams[33][:7] + bytes([streams[33][7] ^ 1]) + streams[33][8:]
    streams[51] = streams[51][:1] + b"\xaa" * 3900

    def decoded(codec: Codec) -> list[Embeddings | ClipcodecError]:
        return each_row(
            lambda rows: codec.decode_batch([streams[i] for i in rows]), 60, DecodeError
        )

    each = [decoded(plain), decoded(device)]
    for one, other in zip(*each, strict=True):
        if isinstance(one, ClipcodecError):
            assert (type(one), str(one)) == (type(other), str(other))
        else:
            assert (one == other).all()
    assert [i for i, one in enumerate(each[1]) if isinstance(one, DecodeError)] == [
        4, 9, 17, 33, 51,
    ]  # fmt: skip
    errors = [error_of(partial(codec.decode_batch, streams)) for codec in (plain, device)]
    assert len({(type(error), error.rows, str(error)) for error in errors}) == 1


def test_a_wrong_check_value_is_seen(calls: Calls) -> None:
    """Of a stream whose header says another quality."""
    _, device = both()
    streams = device.encode_embeddings(drawn(20), quality=40)
    streams[7] = bytes([streams[7][0] + 1]) + streams[7][1:]
    error = error_of(lambda: device.decode_batch(streams))
    assert isinstance(error, CorruptError)
    assert error.rows == (7,)


def test_embeddings_at_fault_are_the_same_errors(calls: Calls, compact: Profile) -> None:
    _, device = both()
    x = drawn(12)
    x[5] = np.nan
    error = error_of(lambda: device.encode_embeddings(x, quality=40))
    assert (type(error), error.rows) == (EmbeddingError, (5,))
    small = [
        error_of(partial(codec.encode_embeddings, cone(4, 24), max_bytes=6))
        for codec in both(compact)
    ]
    assert isinstance(small[0], RateError)
    assert len({(type(error), error.rows, str(error)) for error in small}) == 1


def test_nothing_and_one(calls: Calls) -> None:
    plain, device = both()
    x = drawn(1)
    assert device.encode_embeddings(x[:0], quality=40) == []
    assert device.decode_batch([]).shape == (0, 512)
    assert device.encode_embeddings(x, quality=40) == plain.encode_embeddings(x, quality=40)


def test_small_batches_stay_on_the_processor(calls: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FEWEST", 30)
    _, device = both()
    device.decode_batch(device.encode_embeddings(drawn(29), quality=40))
    assert (calls.encoded, calls.decoded) == (0, 0)
    device.decode_batch(device.encode_embeddings(drawn(30), quality=40))
    assert (calls.encoded, calls.decoded) == (30, 30)


def test_a_search_needs_more_rows(calls: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SEARCHED", 30)
    _, device = both()
    device.encode_embeddings(drawn(29), max_bytes=40)
    device.encode_embeddings(drawn(29), min_cosine=0.8)
    assert calls.encoded == 0
    device.encode_embeddings(drawn(29), quality=40)
    device.encode_embeddings(drawn(30), max_bytes=40)
    assert calls.encoded == 59


def test_a_pickled_codec_still_has_its_device(calls: Calls) -> None:
    _, device = both()
    streams = device.encode_embeddings(drawn(10), quality=40)
    again = pickle.loads(pickle.dumps(device))
    assert (again.decode_batch(streams) == device.decode_batch(streams)).all()
    assert calls.decoded == 20


@pytest.mark.parametrize("device", [None, "cpu", "mps", "xpu"])
def test_only_cuda_takes_batches(device: str | None) -> None:
    assert not module.used(device)
    assert module.used("cuda:1")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_device_that_is_not_there_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Named, with what can be given instead."""
    monkeypatch.setattr(module, "FEWEST", 1)
    with pytest.raises(OptionError, match=r"device 'cuda:7' cannot be used .*'cpu'"):
        Codec(device="cuda:7").encode_embeddings(drawn(4), quality=40)


def test_without_torch_the_error_says_so_and_other_devices_need_none() -> None:
    code = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "torch":
            raise ModuleNotFoundError("No module named 'torch'", name="torch")
sys.meta_path.insert(0, Block())
import numpy as np, clipcodec
from clipcodec import devices
devices.FEWEST = 1
x = np.random.default_rng(0).normal(size=(4, 512))
streams = clipcodec.Codec("any/rotation", device="cpu").encode_embeddings(x, quality=40)
assert clipcodec.Codec(device="mps").decode_batch(streams).shape == (4, 512)
try:
    clipcodec.Codec(device="cuda").decode_batch(streams)
except clipcodec.MissingDependencyError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("torch is not installed: pip install torch")


def test_a_full_memory_is_said_once_and_changes_nothing(
    calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, device = both()
    x = drawn(700)
    code = DeviceEngine._code

    def small(self: DeviceEngine, found: held.DeviceHeld, *rest: Any) -> Any:
        if len(found.quality) > 400:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return code(self, found, *rest)

    monkeypatch.setattr(DeviceEngine, "_code", small)
    with pytest.warns(RuntimeWarning, match="smaller parts are taken") as caught:
        streams = device.encode_embeddings(x, quality=10)
    assert len([one for one in caught if one.category is not BackboneWarning]) == 1
    assert streams == plain.encode_embeddings(x, quality=10)


@pytest.mark.parametrize("options", [{"max_bytes": 30}, {"min_cosine": 0.9}])
def test_a_memory_that_fills_up_during_a_search_changes_nothing(
    calls: Calls, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    """The part begins anew, and is smaller."""
    plain, device = both()
    x = drawn(520)
    attempt, attempts = held.DeviceHeld.attempt, list[int]()

    def small(self: held.DeviceHeld, rows: Any, *rest: Any) -> Any:
        attempts.append(len(self.quality))
        if len(self.quality) > 400 and len(attempts) == 3:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return attempt(self, rows, *rest)

    monkeypatch.setattr(held.DeviceHeld, "attempt", small)
    with pytest.warns(RuntimeWarning, match="smaller parts are taken"):
        streams = device.encode_embeddings(x, **options)
    assert attempts[:3] == [520] * 3
    assert attempts[3] == 260
    assert streams == plain.encode_embeddings(x, **options)


def test_a_search_decodes_on_its_device(calls: Calls, tmp_path: Path) -> None:
    """Of a container, which has a codec of its own, and of streams; kept in an index, too."""
    x = drawn(50)
    streams = Codec().encode_embeddings(x, quality=30)
    with clipcodec.create(tmp_path / "x.clpc") as writer:
        for i, stream in enumerate(streams):
            writer.append(stream, id=str(i))
    with clipcodec.open(tmp_path / "x.clpc") as container:
        for source in (container, streams):
            expected = clipcodec.search(source, x[:3], 5)
            assert calls.decoded == 0
            found = clipcodec.search(source, x[:3], 5, device=DEVICE)
            assert calls.decoded == 50
            assert (found.indices == expected.indices).all()
            assert (found.scores == expected.scores).all()
            index = clipcodec.SearchIndex(source, exact=True, device=DEVICE)
            assert (index.search(x[:3], 5).scores == expected.scores).all()
            assert calls.decoded == 100
            calls.decoded = 0
        assert container.codec.device is None  # as it was


def test_the_functions_take_a_device(calls: Calls) -> None:
    x = drawn(20)
    streams = clipcodec.encode_embeddings(x, quality=40, device=DEVICE)
    assert streams == clipcodec.encode_embeddings(x, quality=40)
    rows = clipcodec.decode_batch(streams, device=DEVICE)
    assert (rows == clipcodec.decode_batch(streams)).all()
    assert (calls.encoded, calls.decoded) == (20, 20)


def made_by_a_job(
    sources: list[Path], out: Path, target: Target, device: str | None, **options: Any
) -> tuple[list[tuple[str | None, bytes]], list[tuple[str, str]]]:
    """Items of the container, and failures."""
    result = Job(sources, out, target, device=device, **options).run()
    with clipcodec.open(out) as container:
        items = [(item.id, item.stream) for item in container.items()]
    return items, [(failure.name, str(failure.error)) for failure in result.failures]


@pytest.mark.parametrize(
    ("target", "taken"),
    [(Target(quality=40), 207), (Target(max_bytes=30), 207), (Target(quality=40, effort=2), 0)],
)
def test_a_job_encodes_on_its_device(
    calls: Calls, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, target: Target, taken: int
) -> None:
    """Large groups; small ones, and all where the device cannot do it, go to workers. Items and
    failures are the same, in the same order."""
    monkeypatch.setattr(module, "FEWEST", 60)
    monkeypatch.setattr(module, "SEARCHED", 60)
    monkeypatch.setattr(pipeline, "GROUP", 16)
    monkeypatch.setattr(pipeline, "ON_DEVICE", 70)
    sources = [tmp_path / f"{name}.npy" for name in ("a", "b", "c")]
    for seed, (path, count) in enumerate(zip(sources, (140, 20, 50), strict=True)):
        x = drawn(count, seed=seed)
        x[9] = np.nan
        np.save(path, x)
    sources.append(tmp_path / "d.npy")
    np.save(sources[-1], drawn(60, seed=5)[:, :300])  # of another width
    sources.append(tmp_path / "e.npy")
    np.save(sources[-1], drawn(40, seed=6))
    expected = made_by_a_job(sources, tmp_path / "a.clpc", target, None, workers=0)
    assert calls.encoded == 0
    for workers in (0, 1):
        out = tmp_path / f"{workers}.clpc"
        found = made_by_a_job(sources, out, target, DEVICE, workers=workers)
        assert found == expected
        assert calls.encoded == taken
        calls.encoded = 0
    assert len(expected[0]) == 247
