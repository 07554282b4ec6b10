"""clipcodec.kinds: what the header says after the profile, and profiles that do not fit."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load, save

from clipcodec.bitstream import check_value
from clipcodec.errors import CorruptError, DecodeError, EmbeddingError, TruncatedError, WeightsError
from clipcodec.kinds import KINDS, Parameters
from clipcodec.kinds.base import check_tensors
from clipcodec.kinds.trellis import RotationKind
from clipcodec.profile import registry
from clipcodec.profile.file import METADATA_KEY, Profile, read_profile
from tests.helpers.kinds import trellis


@pytest.fixture(scope="session")
def rotation() -> RotationKind:
    kind = registry.by_name("any/rotation").kind
    assert isinstance(kind, RotationKind)
    return kind


def parts(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    data = path.read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return load(data), json.loads(header["__metadata__"][METADATA_KEY])


def rewrite(path: Path, tensors: dict[str, np.ndarray], meta: dict[str, Any]) -> Path:
    path.write_bytes(save(tensors, metadata={METADATA_KEY: json.dumps(meta)}))
    return path


def source(kind: str, rates_path: Path, compact_path: Path) -> Path:
    """A file of this kind to spoil."""
    if kind != "rotation":
        return {"predictive": rates_path, "compact": compact_path}[kind]
    row = next(row for row in registry.registered() if row.name == "any/rotation")
    return Path(registry.__file__).parent / "shipped" / row.file


# parameters


def test_a_fixed_rate_says_nothing(tiny: Profile) -> None:
    assert tiny.kind.parameters(0, 12) == b""
    assert tiny.kind.split(b"payload") == (Parameters(0, 12), b"payload")


def test_a_fixed_rate_is_that_of_its_packed_symbols(tiny: Profile) -> None:
    """Twelve symbols of five: what the registry's table of profiles states."""
    assert tiny.kind.bits == 12 * 3
    assert len(tiny.kind.packed(np.zeros((1, 12), np.int64))[0]) == 5
    for row in registry.registered():
        kind = registry.by_name(row.name).kind
        assert row.bits == (None if kind.qualities else kind.bits)


def test_predictive_says_its_quality(rates: Profile) -> None:
    kind = rates.kind
    assert kind.parameters(7, 24).hex() == "07"
    for quality in (1, 100):
        start = kind.parameters(quality, 24)
        assert kind.split(start + b"payload") == (Parameters(quality, 24), b"payload")
    assert kind.split(b"\x07") == (Parameters(7, 24), b"")


@pytest.mark.parametrize(
    ("size", "start"),
    [
        (1, "0701"),
        (127, "077f"),
        (128, "078001"),
        (512, "078004"),
        (768, "078006"),
        (16383, "07ff7f"),
        (16384, "07808001"),
    ],
)
def test_rotation_says_quality_and_width(rotation: RotationKind, size: int, start: str) -> None:
    """Seven bits a byte, the least significant first."""
    assert rotation.parameters(7, size).hex() == start
    assert rotation.split(bytes.fromhex(start) + b"\xff") == (Parameters(7, size), b"\xff")


def test_every_width_comes_back(rotation: RotationKind) -> None:
    for size in range(1, (1 << 14) + 1):
        assert rotation.split(rotation.parameters(100, size)) == (Parameters(100, size), b"")


def test_widths_beyond_the_format_are_refused(rotation: RotationKind) -> None:
    with pytest.raises(EmbeddingError, match="width 16385: at most 16384"):
        rotation.parameters(1, (1 << 14) + 1)


@pytest.mark.parametrize(
    ("start", "error"),
    [
        ("", TruncatedError),
        ("07", TruncatedError),
        ("0780", TruncatedError),
        ("078080", TruncatedError),
        ("0700", CorruptError),  # width 0
        ("078000", CorruptError),  # width 0, at length
        ("07ff00", CorruptError),  # 127 in two bytes
        ("07808000", CorruptError),
        ("07ffff00", CorruptError),  # 16383 in three
        ("07818001", CorruptError),  # 16385
        ("07ffff7f", CorruptError),
        ("0780808001", CorruptError),  # four bytes
    ],
)
def test_widths_have_one_spelling(
    rotation: RotationKind, start: str, error: type[DecodeError]
) -> None:
    with pytest.raises(error):
        rotation.split(bytes.fromhex(start))


@pytest.mark.parametrize("quality", [0, 101, 255])
def test_qualities_out_of_range_are_damage(
    rates: Profile, rotation: RotationKind, quality: int
) -> None:
    for kind in (rates.kind, rotation):
        with pytest.raises(CorruptError, match=rf"quality {quality} is not in 1 … 100"):
            kind.split(bytes([quality, 24, 1, 1]))
        with pytest.raises(TruncatedError):
            kind.split(b"")


def test_check_values_cover_magnitudes_then_signs(rates: Profile) -> None:
    """16 bits each, and a bit for each but zeros, in whole bytes of a row's own."""
    packed = rates.kind.packed(np.array([[1, -1, 300], [0, 32767, -32767], [0, 0, 0]]))
    assert [row.hex() for row in packed] == ["00010001012c40", "00007fff7fff40", "000000000000"]
    rows = np.array([[-1] * 8, [0, -1] * 4, [2] * 8, [0] * 7 + [-300]])
    assert [row[16:].hex() for row in rates.kind.packed(rows)] == ["ff", "f0", "00", "80"]
    assert rates.kind.packed(np.array([[-1] * 9 + [1] * 8]))[0][34:].hex() == "ff8000"
    assert rates.kind.packed(np.zeros((0, 3), np.int64)) == []


@given(st.integers(0, 2**32), st.integers(1, 40), st.floats(0, 1))
def test_rows_are_packed_alike_alone_and_together(
    rates: Profile, seed: int, size: int, share: float
) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.integers(-32767, 32768, (20, size)) * (rng.random((20, size)) < share)
    together = rates.kind.packed(rows)
    for row, one in zip(rows, together, strict=True):
        assert rates.kind.packed(row[None]) == [one]
        assert one[: 2 * size] == np.abs(row).astype(">u2").tobytes()
        assert one[2 * size :] == np.packbits(row[row != 0] < 0).tobytes()


def test_whatever_happens_to_sixteen_signs_in_a_row_is_noticed(rates: Profile) -> None:
    """Zeros between them or not. Over two's complement, a CRC misses p, p + 4, p + 11, p + 16."""
    places = np.sort(np.append([3, 7, 14, 19], np.arange(20, 56, 3)))
    levels = np.zeros((1 << 16, 60), np.int64)
    levels[:, places] = 1 - 2 * (np.arange(1 << 16)[:, None] >> np.arange(16) & 1)
    assert len({check_value(0xFFFF, row) for row in rates.kind.packed(levels)}) == 1 << 16
    plain = levels[[0, 15]].astype(">i2")
    assert len({check_value(0xFFFF, row.tobytes()) for row in plain}) == 1


def test_one_engine_serves_many_streams(rotation: RotationKind, rates: Profile) -> None:
    """Made once a width, as profiles of any width need."""
    assert rotation.engine(48) is rotation.engine(48)
    assert rotation.engine(48) is not rotation.engine(49)
    assert trellis(rates).engine(24) is trellis(rates).engine(24)


# tensors and metadata

SHAPES = {"weights": (2, 3), "counts": (4,)}
GOOD = {"weights": np.ones((2, 3), np.float16), "counts": np.ones(4, np.uint16)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"other": np.ones(1)}, "missing or unexpected tensors: other"),
        ({"counts": None}, "missing or unexpected tensors: counts"),
        ({"weights": np.ones((3, 2))}, r"weights has shape \(3, 2\), expected \(2, 3\)"),
        ({"counts": np.ones(4, np.int32)}, "counts has dtype int32, not uint16"),
        ({"weights": np.ones((2, 3), np.int8)}, "weights has dtype int8, expected floats"),
        ({"weights": np.full((2, 3), np.nan)}, "weights holds NaN"),
        ({"weights": np.full((2, 3), -np.inf)}, "weights holds NaN, infinite"),
        ({"weights": np.full((2, 3), 1e19)}, "enormous"),
        ({"weights": np.full((2, 3), 1e300)}, "enormous"),
    ],
)
def test_tensors_are_those_named(change: dict[str, Any], message: str) -> None:
    check_tensors(GOOD, SHAPES, {"counts": "uint16"})
    tensors = {name: t for name, t in (GOOD | change).items() if t is not None}
    with pytest.raises(WeightsError, match=message):
        check_tensors(tensors, SHAPES, {"counts": "uint16"})


@pytest.mark.parametrize("kind", ["predictive", "compact", "rotation"])
@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("qualities", 0, "qualities is 0"),
        ("qualities", 256, "qualities is 256"),
        ("qualities", True, "qualities is True"),
        ("qualities", 99, "shape"),
        ("default_quality", 0, "default_quality is 0"),
        ("default_quality", 101, "default_quality is 101"),
        ("default_quality", 1.5, r"default_quality is 1\.5"),
        ("rows", 1, "rows is 1"),
        ("rows", 1 << 20, "rows is 1048576"),
        ("rows", 3, "shape"),
        ("alphabet", 3, "alphabet is 3"),
        ("alphabet", 257, "alphabet is 257"),
        ("alphabet", "128", "alphabet is '128'"),
        ("extra", 1, "expected the keys"),
        ("qualities", None, "expected the keys"),  # left out
    ],
)
def test_configs_out_of_range_are_refused(
    tmp_path: Path,
    rates_path: Path,
    compact_path: Path,
    kind: str,
    key: str,
    value: object,
    message: str,
) -> None:
    tensors, meta = parts(source(kind, rates_path, compact_path))
    assert meta["kind"] == kind
    read_profile(rewrite(tmp_path / "good", tensors, meta))
    meta["config"][key] = value
    if value is None:
        del meta["config"][key]
    with pytest.raises(WeightsError, match=message):
        read_profile(rewrite(tmp_path / "bad", tensors, meta))


@pytest.mark.parametrize(
    ("kind", "key", "value", "message"),
    [
        ("predictive", "hidden", -1, "hidden is -1"),
        ("predictive", "hidden", 5, "shape"),
        ("predictive", "bands", [], "expected bounds from 0 to 24"),
        ("predictive", "bands", [0], "expected bounds"),
        ("predictive", "bands", [0, 12], "expected bounds"),
        ("predictive", "bands", [1, 24], "expected bounds"),
        ("predictive", "bands", "0, 24", "expected bounds"),
        ("predictive", "bands", [0, 24, 24], "bound is 24"),
        ("predictive", "bands", [0, 30, 24], "bound is 30"),
        ("predictive", "bands", [0, 9, 3, 24], "bound is 3"),
        ("predictive", "bands", [0, 1.5, 24], r"bound is 1\.5"),
        ("predictive", "bands", [0.0, 24], "float"),
        ("rotation", "seed", -1, "seed is -1"),
        ("rotation", "seed", (1 << 64) - 1, "seed is"),  # the second signs' seed is one above
        ("rotation", "seed", None, "seed is None"),
    ],
)
def test_configs_of_one_kind(
    tmp_path: Path,
    rates_path: Path,
    compact_path: Path,
    kind: str,
    key: str,
    value: object,
    message: str,
) -> None:
    tensors, meta = parts(source(kind, rates_path, compact_path))
    meta["config"][key] = value
    with pytest.raises(WeightsError, match=message):
        read_profile(rewrite(tmp_path / "bad", tensors, meta))


@pytest.mark.parametrize("kind", ["predictive", "compact", "rotation"])
@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("steps", lambda t: 0 * t, "not positive"),
        ("steps", lambda t: -t, "not positive"),
        ("tables.frequencies", lambda t: t // 2, "must sum to"),
        ("tables.frequencies", lambda t: t.astype(np.int32), "dtype int32"),
        ("tables.class_of", lambda t: t + 60000, "lies outside"),
        ("tables.flag_of", lambda t: t + 60000, "lies outside"),
        ("tables.flag_of", lambda t: t[:, :-1].copy(), "shape"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(
    tmp_path: Path, rates_path: Path, compact_path: Path, kind: str, name: str,
    change: Callable[[np.ndarray], np.ndarray], message: str,
) -> None:  # fmt: skip
    tensors, meta = parts(source(kind, rates_path, compact_path))
    tensors[name] = change(tensors[name])
    with pytest.raises(WeightsError, match=message):
        read_profile(rewrite(tmp_path / "bad", tensors, meta))


def test_dims_must_be_those_of_the_tensors(
    tmp_path: Path, rates_path: Path, compact_path: Path
) -> None:
    for kind, dims in (
        ("predictive", (0, 23, 1 << 15, "24", None)),
        ("compact", (0, 23, 1 << 15, "24", None)),
        ("rotation", (1, 512, None)),
    ):
        tensors, meta = parts(source(kind, rates_path, compact_path))
        for dim in dims:
            with pytest.raises(WeightsError):
                read_profile(rewrite(tmp_path / "bad", tensors, meta | {"dim": dim}))


def test_scales_are_positive(tmp_path: Path, rates_path: Path) -> None:
    tensors, meta = parts(rates_path)
    tensors["scale"] = tensors["scale"] * np.float32(-1)
    with pytest.raises(WeightsError, match="scale is not positive"):
        read_profile(rewrite(tmp_path / "bad", tensors, meta))


def test_every_kind_answers_what_the_codec_asks() -> None:
    assert [*KINDS] == ["pqvae", "predictive", "compact", "rotation"]
    assert {KINDS[name].coders for name in ("predictive", "compact", "rotation")} == {("rans",)}
    assert (KINDS["rotation"].dim, KINDS["pqvae"].qualities) == (None, 0)


def test_a_scale_whose_inverse_overflows_is_refused(rates_path: Path, tmp_path: Path) -> None:
    """Encoder and decoder would not agree on what its networks say."""
    tensors, meta = parts(rates_path)
    for least in (0.0, 1e-30):
        tensors["scale"] = np.full_like(tensors["scale"], 1).astype(np.float32)
        tensors["scale"][-1] = least
        with pytest.raises(WeightsError, match="scale"):
            read_profile(rewrite(tmp_path / "p.safetensors", tensors, meta))
