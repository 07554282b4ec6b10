"""Any input gives a result or a typed error, in bounded memory. The long run is `tests.fuzz`."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import subprocess
import sys
import tracemalloc
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import clipcodec
from clipcodec import Codec, CorruptError, EmbeddingError, WeightsError
from clipcodec.errors import ProfileError, TrainingError
from clipcodec.kinds import KINDS, Quantized
from clipcodec.kinds.trellis import RotationKind, network
from clipcodec.profile import registry
from clipcodec.stream import pack
from tests.fuzz import mutate, profiles, run, seeds, targets
from tests.helpers.paths import ROOT

EXAMPLES = {
    "stream": 1000, "payload": 600, "batch": 150, "profile": 150, "array": 300, "tensors": 300,
    "image": 100, "weights": 15, "text": 200, "command": 80, "container": 600, "carrier": 300,
    "carried": 80,
}  # fmt: skip
MIB = 1 << 20


@pytest.fixture(autouse=True)
def _strict() -> Iterator[None]:
    """A warning is a failure here, but for those that are meant."""
    with warnings.catch_warnings():
        run.only_warnings_that_are_meant()
        yield


LONG = ("stream", "payload", "batch", "profile", "tensors", "image", "command")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name in LONG)) for name in run.ALL]
)
def test_any_input_gives_a_result_or_a_typed_error(name: str) -> None:
    target = run.ALL[name]

    @settings(max_examples=EXAMPLES[name], suppress_health_check=[*HealthCheck])
    @given(st.randoms(use_true_random=False))
    def check(r: Random) -> None:
        with np.errstate(all="ignore"):
            data = target.make(r)
        target.check(data)

    check()


def test_the_checks_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """A decoder that scales badly, or takes several streams for the same symbols, is found out."""
    good, other = seeds.vectors("accept")[:2]
    assert targets.check_stream(good).startswith("decoded")
    row = clipcodec.decode(good)
    with monkeypatch.context() as patch:
        patch.setattr(Codec, "decode", lambda self, data: 2 * row)
        with pytest.raises(AssertionError, match="unit norm"):
            targets.check_stream(good)
    with monkeypatch.context() as patch:
        symbols = clipcodec.Codec().symbols(other)
        patch.setattr(Codec, "symbols", lambda self, data: symbols)
        with pytest.raises(AssertionError, match="another stream"):
            targets.check_stream(good)


@pytest.mark.slow
def test_the_long_run_counts_and_keeps(tmp_path: Path) -> None:
    """The command is deterministic given a seed, and a crasher is a file that can be replayed."""

    def fuzz(*args: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "tests.fuzz", *args]
        return subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, check=False,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip

    options = ("--inputs", "500", "--seed", "7", "--targets", "array", "--crashes", str(tmp_path))
    once, twice = fuzz(*options), fuzz(*options)
    assert once.returncode == 0, once.stderr
    counts = [line for line in once.stdout.splitlines() if line.startswith("  ")]
    assert counts
    assert counts == [line for line in twice.stdout.splitlines() if line.startswith("  ")]
    path = tmp_path / "stream-00000000.bin"
    path.write_bytes(seeds.vectors("accept")[0])
    assert fuzz("--replay", str(path)).stdout.startswith("decoded")


def test_crashers_are_saved(tmp_path: Path) -> None:
    def broken(data: bytes) -> str:
        raise KeyError(data[0])

    target = targets.Target("broken", 1, lambda r: b"", broken)
    assert run.outcome_of(target, b"\x07", str(tmp_path)).startswith("BUG KeyError at test_fuzz.py")
    (saved,) = tmp_path.glob("broken-*.bin")
    assert saved.read_bytes() == b"\x07"
    assert "KeyError: 7" in saved.with_suffix(".txt").read_text()


# memory


def peak(work: Callable[[], object]) -> float:
    """MiB that Python and numpy held at most during `work`, beyond what they held before."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1] / MIB
    finally:
        tracemalloc.stop()


def widest(levels: np.ndarray, quality: int = 1) -> bytes:
    """A stream of `any/rotation` with these levels."""
    profile = registry.by_name(registry.UNTRAINED)
    return pack(profile, Quantized(levels[None], np.array([quality])), ["rans"])[0]


WIDTH = 1 << 14


def test_one_stream_of_the_greatest_width_takes_two_mebibytes() -> None:
    """Even if its payload is as long as any may be: formats/trellis.md, section 6."""
    rng = np.random.default_rng(0)
    longest = 8 + 6 * (WIDTH // 16) + 6 * WIDTH
    head = widest(np.eye(1, WIDTH, dtype=np.int64)[0])[:5]
    sound = widest(rng.integers(-32767, 32768, WIDTH), 100)
    streams = [sound, head + rng.bytes(longest - 1) + b"\1", head + bytes(longest - 1) + b"\1"]
    Codec().decode(streams[0])  # tables are kept
    for stream in streams:

        def decode(stream: bytes = stream) -> None:
            with contextlib.suppress(CorruptError):
                clipcodec.decode(stream)

        assert peak(decode) < 2
    with pytest.raises(CorruptError, match=f"at most {longest}"):
        Codec().decode(head + bytes(longest) + b"\1")


def test_batches_of_the_greatest_width_take_a_few_streams_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """96 MiB per thread and the result: not a mebibyte for each of the tiny streams."""
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    streams = [widest(np.eye(1, WIDTH, dtype=np.int64)[0])] * 400
    clipcodec.decode(streams[0])
    result = 400 * WIDTH * 4 / MIB
    assert peak(lambda: clipcodec.decode_batch(streams)) < 2 * 104 + result


def test_tables_of_many_widths_are_not_kept_for_ever() -> None:
    """What stays of streams of all widths and qualities is bounded."""
    wanted = [(WIDTH - i, 1) for i in range(9)] + [(WIDTH, q) for q in range(2, 101, 4)]
    streams = [widest(np.eye(1, width, dtype=np.int64)[0], q) for width, q in wanted]
    RotationKind.engine.cache_clear()
    assert peak(lambda: [Codec().symbols(stream) for stream in streams]) < 40


CLAIMS = {
    "a header of 4 exabytes": (1 << 62).to_bytes(8, "little") + b"{}",
    "a header of 200 MB": (200 << 20).to_bytes(8, "little") + b" " * 100,
    "a header of lists": (1 << 20).to_bytes(8, "little") + b'{"a":[' + b"[]," * 349_520 + b"1]}",
    "a tensor of 1 TB": None,
}


@pytest.mark.parametrize("name", CLAIMS)
def test_profile_files_that_claim_gigabytes_are_refused_in_little_memory(
    tmp_path: Path, name: str
) -> None:
    data = CLAIMS[name]
    if data is None:
        meta, _ = profiles.draw(Random(3))
        claim = {"dtype": "F32", "shape": [1 << 38], "data_offsets": [0, 1 << 40]}
        header = {"__metadata__": {"clipcodec": json.dumps(meta)}, "codebook": claim}
        text = json.dumps(header).encode()
        data = len(text).to_bytes(8, "little") + text + bytes(100)
    path = tmp_path / "claims.safetensors"
    path.write_bytes(data)

    def read() -> None:
        with pytest.raises(WeightsError):
            clipcodec.Codec(path)

    assert peak(read) < 64


@pytest.mark.parametrize("kind", ["predictive", "compact"])
def test_a_profile_file_takes_little_more_than_twice_its_size(tmp_path: Path, kind: str) -> None:
    """Its bytes, its tensors, and tables; the values are looked through piece by piece."""
    dim = 2048 if kind == "predictive" else 4096
    square = (dim, dim)
    own: dict[str, dict[str, np.ndarray]] = {
        "predictive": {"analysis": np.zeros(square, "f2"), "synthesis": np.zeros(square, "f2")},
        "compact": {"basis": np.zeros(square, "i1"), "shift": np.zeros(dim, "u1")},
    }
    tensors = own[kind] | {
        "center": np.ones(dim, np.float16), "scale": np.ones(dim, np.float16),
        "steps": np.ones(1), "weights": np.ones(1),
        "tables.frequencies": np.full((2, 4), 1 << 14, np.uint16),
        "tables.class_of": np.zeros((1, dim), np.uint16),
        "tables.flag_of": np.zeros((1, dim // 8), np.uint16),
    }  # fmt: skip
    tensors |= {
        name: np.zeros(shape, network.DTYPES.get(name, np.float32))
        for name, shape in network.shapes([0, dim], 0, 0, 1).items()
    }
    config = dict(qualities=1, default_quality=1, rows=2, alphabet=4, bands=[0, dim], hidden=0,
                  restore=0)  # fmt: skip
    meta = dict(version=1, kind=kind, name="a", backbone="b", dim=dim, card={},
                config=config)  # fmt: skip
    data = profiles.pack(meta, tensors)
    path = tmp_path / "large.safetensors"
    path.write_bytes(data)
    del tensors, own
    assert peak(lambda: clipcodec.Codec(path)) < 2.1 * len(data) / MIB + 16


@pytest.mark.skipif(sys.platform == "win32", reason="no limit to set")
def test_arrays_that_claim_terabytes_are_refused(tmp_path: Path) -> None:
    """In the address space of a small machine; in a process of its own, as that is limited."""
    code = """if True:
        import resource, sys
        from clipcodec.cli.inputs import embedding_rows
        from clipcodec.training.data import load_embeddings
        from clipcodec.errors import EmbeddingError, TrainingError
        resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
        path = sys.argv[1]
        for work, error in ((lambda: embedding_rows(path), EmbeddingError),
                            (lambda: embedding_rows(open(path, "rb").read()), EmbeddingError),
                            (lambda: load_embeddings([path]), TrainingError)):
            try:
                work()
            except error:
                print("refused")
        """
    for shape in ((1 << 40,), (3, 1 << 38), (1 << 29, 4)):
        head = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}}}"
        text = f"{head:<117}\n".encode()
        path = tmp_path / "claims.npy"
        path.write_bytes(b"\x93NUMPY\1\0" + len(text).to_bytes(2, "little") + text + bytes(64))
        done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True,
                              text=True, check=True)  # fmt: skip
        assert done.stdout.split() == ["refused"] * 3, done.stderr


# what fuzzing found


def drawn(kind: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """A drawn profile of this kind with ordinary numbers."""
    for seed in range(1000):
        meta, tensors = profiles.draw(Random(seed))
        floats = [t for t in tensors.values() if t.dtype.kind == "f" and t.size]
        ordinary = all(np.abs(t).max() < 100 for t in floats)
        if meta["kind"] == kind and meta["dim"] != 1 and ordinary and "statistics" not in meta:
            return meta, tensors
    raise AssertionError(kind)


@pytest.mark.parametrize("kind", ["predictive", "compact", "rotation"])
@pytest.mark.parametrize("step", [1e-45, 1e-30])
def test_steps_too_small_for_any_level(kind: str, step: float) -> None:
    """Was an IndexError from the trellis: levels out of the range of integers."""
    meta, tensors = drawn(kind)
    tensors["steps"] = np.full_like(tensors["steps"], step, np.float32)
    rows = np.random.default_rng(0).normal(size=(3, meta["dim"] or 8))
    codec = Codec(seeds.load(profiles.pack(meta, tensors)))
    with pytest.raises(EmbeddingError, match=r"above 32767|overflow"):
        codec.encode_embeddings(rows)


def test_numbers_that_overflow_are_no_warnings() -> None:
    """Were RuntimeWarnings, and streams that did not decode."""
    rows = np.random.default_rng(0).normal(size=(3, 8))
    meta, tensors = drawn("predictive")
    tensors["analysis"] = np.full_like(tensors["analysis"], 1e18, np.float64)
    tensors["scale"] = np.full_like(tensors["scale"], 1e-18, np.float32)
    codec = Codec(seeds.load(profiles.pack(meta, tensors)))
    with pytest.raises(EmbeddingError):
        codec.encode_embeddings(np.resize(rows, (3, meta["dim"])))


@pytest.mark.parametrize("size", [1e-30, 1e15])
def test_embeddings_are_of_unit_norm_whatever_the_numbers(size: float) -> None:
    """Float32 holds neither the squares of 1e-30 nor those of 1e20: the norm was 0, or infinite."""
    meta, tensors = drawn("rotation")
    tensors["steps"] = np.full_like(tensors["steps"], size, np.float32)
    profile = seeds.load(profiles.pack(meta, tensors))
    found = Quantized(np.array([[300, -20000, 5]]), np.array([1]))
    stream = pack(profile, found, ["rans"])[0]
    row = Codec(profile).decode(stream)
    assert abs(np.linalg.norm(row.astype(np.float64)) - 1) < 1e-6


def test_a_mean_too_small_to_square() -> None:
    """Was a division by zero on encoding."""
    meta, tensors = drawn("pqvae")
    dim = meta["dim"]
    meta["statistics"] = {"low": 0.5, "floor": 0, "axes": 0}
    tensors |= {"statistics.mean": np.full(dim, 1e-30), "statistics.basis": np.zeros((dim, 0)),
                "statistics.scale": np.ones(1)}  # fmt: skip
    codec = Codec(seeds.load(profiles.pack(meta, tensors)))
    assert len(codec.encode_embeddings(np.ones((2, dim)))) == 2


def test_a_batch_names_the_stream_without_direction() -> None:
    """Was an error without the stream's number."""
    good = widest(np.array([1, 0, 2]), 50)
    void = widest(np.array([0, 0, 0]), 50)
    with pytest.raises(CorruptError, match=r"stream 3: .*no direction"):
        clipcodec.decode_batch([good, good, good, void, good])


def test_files_of_no_rows_and_endless_width(tmp_path: Path) -> None:
    """(0, 2**31) took all memory and minutes; (0, 2**61) was a ValueError."""
    from clipcodec.training.data import load_embeddings

    for width, dtype in ((1 << 31, "<f4"), (1 << 61, "<f2")):
        head = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': (0, {width})}}"
        text = f"{head:<117}\n".encode()
        path = tmp_path / "none.npy"
        path.write_bytes(b"\x93NUMPY\1\0" + len(text).to_bytes(2, "little") + text)
        with pytest.raises(TrainingError):
            load_embeddings([path], 0)


def test_numbers_that_only_long_doubles_hold() -> None:
    """Were a RuntimeWarning beside the error."""
    if np.finfo(np.longdouble).max > np.finfo(np.float64).max:
        with pytest.raises(EmbeddingError, match="infinite"):
            clipcodec.encode_embedding(np.full(8, np.longdouble("1e4000")), profile="any/rotation")


@pytest.mark.parametrize("text", ["[" * 100_000, '{"model_cfg": {"embed_dim": Infinity}}'])
def test_json_too_deep_or_infinite(tmp_path: Path, text: str) -> None:
    """Were a RecursionError and an OverflowError."""
    from clipcodec.cli.train import _card
    from clipcodec.models.spec import spec

    path = tmp_path / "open_clip_config.json"
    path.write_text(text)
    with pytest.raises(ProfileError):
        spec(f"local-dir:{tmp_path}")
    if text.startswith("["):
        with pytest.raises(TrainingError, match="not JSON"):
            _card(str(path))


def test_cards_cannot_break_or_fake_what_is_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Was a UnicodeEncodeError, or a SHA-256 of the card's own, or a terminal's escape code."""
    from clipcodec.cli import main

    meta, tensors = drawn("rotation")
    meta["card"] = {"a": "\ud800", "sha256": "0" * 64, "c": "\x9b31m"}
    path = seeds.file(profiles.pack(meta, tensors), "card.safetensors")
    assert main(["profiles", str(path)]) == 0
    said = capsys.readouterr().out
    assert said.isascii()
    assert json.loads(said)["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()


def test_messages_end(tmp_path: Path) -> None:
    """Were as long as the name, list or header that they quote."""
    from clipcodec.cli.inputs import embedding_rows

    path = tmp_path / "rows.npy"
    meta, tensors = drawn("rotation")
    for change in ({"name": "a" * 100_000 + "\x1b"}, {"config": {"a": [*range(100_000)]}}):
        with pytest.raises(WeightsError) as caught:
            seeds.load(profiles.pack(meta | change, tensors))
        assert len(str(caught.value)) < 1000
    head = "(" * 3000
    path.write_bytes(b"\x93NUMPY\3\0" + len(head).to_bytes(4, "little") + head.encode())
    with pytest.raises(EmbeddingError) as refused:
        embedding_rows(str(path))
    assert len(str(refused.value)) < 1000


@pytest.mark.parametrize("change", ["int32", "bool", "sparse", "meta", "quantized", "complex"])
def test_weights_that_are_no_plain_floats(tmp_path: Path, change: str) -> None:
    """Of the right names and shapes. Were RuntimeErrors of torch, on loading or later."""
    import torch

    from clipcodec.models import Backbone
    from tests.helpers.tiny_models import make_folder, make_model

    spec = make_folder(tmp_path / "network", layers=1, width=16)
    state = make_model(spec).state_dict()
    value: Any = state["visual.class_embedding"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, of quantized and sparse tensors
        changes: dict[str, Callable[[], Any]] = {
            "int32": lambda: value.int(),
            "bool": lambda: value > 0,
            "sparse": lambda: value.to_sparse(),
            "meta": lambda: value.to("meta"),
            "quantized": lambda: torch.quantize_per_tensor(value, 0.1, 0, torch.qint8),
            "complex": lambda: value.to(torch.complex64),
        }
        state["visual.class_embedding"] = changes[change]()
        path = tmp_path / "model.bin"
        torch.save(state, path)
        with pytest.raises(WeightsError, match="class_embedding"):
            Backbone.load(spec, device="cpu", weights=path)


@pytest.mark.parametrize("text", ["", "[]", '{"profiles": 3}', '{"profiles": [{"name": "a"}]}'])
def test_a_damaged_registry_is_a_damaged_installation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """Was a KeyError, a TypeError, or a JSONDecodeError."""
    (tmp_path / "registry.json").write_text(text)
    monkeypatch.setattr(registry, "_FOLDER", tmp_path)
    registry.registered.cache_clear()
    with pytest.raises(WeightsError, match="registry"):
        clipcodec.profiles()
    registry.registered.cache_clear()
    monkeypatch.undo()
    assert clipcodec.profiles()


# the fuzzer's own parts


def test_damage_is_damage() -> None:
    """Every kind changes something, and the same numbers make the same inputs."""
    valid, _ = seeds.streams()
    for kind in mutate._DAMAGE:
        assert any(kind(Random(i), valid[0], valid) != valid[0] for i in range(20)), kind
    for target in run.ALL.values():
        if target.name not in ("weights", "image"):
            with np.errstate(all="ignore"):
                assert target.make(Random(5)) == target.make(Random(5))


def test_drawn_profiles_are_valid_and_of_every_kind() -> None:
    kinds = set()
    for seed in range(60):
        kinds.add(seeds.load(profiles.pack(*profiles.draw(Random(seed)))).kind.name)
    assert kinds == {*KINDS}


def test_every_tensor_of_a_profile_can_be_spoilt() -> None:
    """Was an OverflowError of the fuzzer itself, for values that eight bits with a sign lack."""
    for seed in range(300):
        assert profiles.damaged_file(Random(seed))
