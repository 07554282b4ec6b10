"""clipcodec.kinds.trellis.compact: a profile that holds a rounded basis and nothing else for it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from clipcodec import Codec, WeightsError
from clipcodec.kinds.trellis import compact as kind
from clipcodec.profile.file import Profile, read_profile, write_profile
from clipcodec.profile.samples import draw
from tests.helpers.kinds import trellis
from tests.helpers.paths import REFERENCE, ROOT
from tests.helpers.profiles import compact_profile, cone
from tests.helpers.scripts import load
from tests.profile.test_file import parts, rewrite

QUALITIES = (1, 30, 60, 100)


def unit_of(shift: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.exp2(-shift.astype(np.float32))


def basis_of(rank: int, dim: int, seed: int, coarsest: float) -> tuple[Any, Any]:
    """A rounded basis, and the unit of each row."""
    drawn = np.random.default_rng(seed).normal(size=(dim, rank))
    basis, shift = kind.rounded(np.linalg.qr(drawn)[0].T, coarsest)
    return basis, unit_of(shift)


# there and back


def test_embeddings_come_back_as_near_as_the_rank_allows(compact: Profile) -> None:
    """The mean error falls with the quality, down to what the coefficients left out take."""
    codec, x = Codec(compact), cone(300, 24, seed=7)
    streams = [codec.encode_embeddings(x, quality=q) for q in QUALITIES]
    cosines = [float((codec.decode_batch(s) * x).sum(axis=1).mean()) for s in streams]
    assert cosines == sorted(cosines)
    transform = trellis(compact).engine(24).transform
    nearest = transform.synthesise(transform.analyse(x))
    possible = ((nearest * x).sum(axis=1) / np.linalg.norm(nearest, axis=1)).mean()
    assert possible - 1e-3 < cosines[-1] < 0.99
    assert codec.symbols(streams[0][0]).shape == (16,)
    said = codec.info(streams[0][0])
    assert (said.dim, said.symbols, said.entropy) == (24, 16, "rans")


def test_both_targets_hold(compact: Profile) -> None:
    codec, x = Codec(compact), cone(100, 24, seed=8)
    assert max(map(len, codec.encode_embeddings(x, max_bytes=17))) <= 17
    decoded = codec.decode_batch(codec.encode_embeddings(x, min_cosine=0.9))
    assert ((decoded * x).sum(axis=1) >= 0.9).all()


def test_effort_keeps_what_texts_notice(compact: Profile) -> None:
    """The gradient goes through the transposed synthesis, and the targets still hold."""
    codec, x, texts = Codec(compact), cone(60, 24, seed=9), cone(40, 24, seed=10)
    transform = trellis(compact).engine(24).transform
    rows = transform.synthesise(np.eye(16, dtype=np.float32)) - transform.synthesise(
        np.zeros((1, 16), np.float32)
    )
    gradient = np.random.default_rng(0).normal(size=(5, 24))
    assert np.allclose(transform.pull(gradient), gradient @ rows.T, atol=1e-4)

    def change(effort: int) -> float:
        options: dict[str, Any] = {"max_bytes": 14, "effort": effort, "texts": texts}
        streams = codec.encode_embeddings(x, **options)
        assert max(map(len, streams)) <= 14
        logits = [100 * (y @ texts.T).astype(np.float64) for y in (x, codec.decode_batch(streams))]
        p, q = (z - np.log(np.exp(z).sum(axis=1, keepdims=True)) for z in logits)
        return float((np.exp(p) * (p - q)).sum(axis=1).mean())

    assert change(3) < change(1)


def test_a_profile_draws_samples_by_its_tables(compact: Profile) -> None:
    x = draw(compact, 30, seed=1)
    assert np.allclose(np.linalg.norm(x, axis=1), 1, atol=1e-6)
    codec = Codec(compact)
    y = codec.decode_batch(codec.encode_embeddings(x, quality=100))
    assert ((x * y).sum(axis=1) > 0.999).all()  # they lie where the coefficients reach


# the same everywhere


def test_a_row_has_the_same_bits_in_any_batch(compact: Profile) -> None:
    codec, x = Codec(compact), cone(300, 24, seed=5)
    streams = codec.encode_embeddings(x, quality=60)
    together = codec.decode_batch(streams)
    for i in (0, 17, 299):
        assert codec.encode_embedding(x[i], quality=60) == streams[i]
        assert (codec.decode(streams[i]) == together[i]).all()
    assert codec.encode_embeddings(x[40:50], quality=60) == streams[40:50]


def test_streams_are_the_same_with_any_number_of_threads(tmp_path: Path) -> None:
    """BLAS would add in another order, were a sum not exact; wide enough that it shares out."""
    compact_profile(tmp_path / "wide.safetensors", dim=320, rank=200)
    code = (
        "import sys, hashlib, clipcodec\n"
        "from tests.helpers.profiles import cone\n"
        "codec = clipcodec.Codec(sys.argv[1])\n"
        "streams = codec.encode_embeddings(cone(400, 320, seed=2), quality=70)\n"
        "data = b''.join(streams) + codec.decode_batch(streams).tobytes()\n"
        "print(hashlib.sha256(data).hexdigest())\n"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / "wide.safetensors")],
            env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": threads,
                 "OPENBLAS_NUM_THREADS": threads},
            capture_output=True, text=True, check=True,
        ).stdout
        for threads in ("1", "4")
    }  # fmt: skip
    assert len(found) == 1


@pytest.mark.parametrize("rank", [16, 24])
def test_the_reference_decoder_finds_the_same_bits(tmp_path: Path, rank: int) -> None:
    """With networks: written from the text alone, in whole numbers."""
    reference = load(REFERENCE / "decoder.py")
    path = compact_profile(tmp_path / "p.safetensors", rank=rank, hidden=3)
    codec, at_hand = Codec(path), [reference.Profile(path)]
    for quality in QUALITIES:
        for stream in codec.encode_embeddings(cone(5, 24, seed=quality), quality=quality):
            assert reference.symbols(stream, at_hand) == codec.symbols(stream).tolist()
            found = np.array(reference.embedding(stream, at_hand), np.float32)
            assert (found == codec.decode(stream)).all()


def as_predictive(path: Path, compact_path: Path) -> Path:
    """The same profile of kind predictive, with the matrices as floats."""
    tensors, meta = parts(compact_path)
    basis, unit = tensors.pop("basis"), unit_of(tensors.pop("shift"))
    tensors["synthesis"] = (basis * unit[:, None]).astype(np.float32)
    tensors["analysis"] = kind.pseudo_inverse(basis, unit)
    write_profile(path, {**meta, "kind": "predictive"}, tensors)
    return path


def test_with_all_coefficients_it_is_kind_predictive(tmp_path: Path) -> None:
    """Levels mean the same embedding to the last bit; rows become the same levels."""
    path = compact_profile(tmp_path / "whole.safetensors", rank=24, hidden=3)
    one, other = read_profile(path), read_profile(as_predictive(tmp_path / "p", path))
    rng = np.random.default_rng(0)
    levels, qualities = rng.integers(-9, 10, (200, 24)), rng.integers(1, 101, 200)
    assert (
        one.kind.reconstruct(levels, qualities) == other.kind.reconstruct(levels, qualities)
    ).all()
    codecs, x = (Codec(one), Codec(other)), cone(200, 24, seed=3)
    first, second = (
        [codec.symbols(s).tolist() for s in codec.encode_embeddings(x, quality=50)]
        for codec in codecs
    )
    # the analysis lies in the file of kind predictive as float32, rounded once more
    assert sum(a == b for a, b in zip(first, second, strict=True)) > 190


# the analysis


def test_decoding_never_makes_the_analysis(
    compact_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = Codec(compact_path).encode_embedding(cone(1, 24)[0], quality=60)
    monkeypatch.setattr(kind, "pseudo_inverse", lambda *_: pytest.fail("made"))
    codec = Codec(read_profile(compact_path))
    assert codec.decode(stream).shape == (24,)
    assert draw(codec.profile, 3).shape == (3, 24)
    with pytest.raises(pytest.fail.Exception, match="made"):
        codec.encode_embedding(cone(1, 24)[0], quality=60)


@pytest.mark.parametrize("rank", [1, 20, 40, 60])
@pytest.mark.parametrize("coarsest", [2.0**-9, 2.0**-5, 2.0**-4])
def test_it_is_the_pseudo_inverse(rank: int, coarsest: float) -> None:
    """Of a rounded orthonormal basis, up to a rounding so rough that it is hardly one still."""
    basis, unit = basis_of(rank, 60, rank, coarsest)
    expected = np.linalg.pinv(basis * unit[:, None].astype(np.float64))
    found = kind.pseudo_inverse(basis, unit)
    assert found.shape == (60, rank)
    assert np.abs(found - expected).max() < 2e-3 * np.abs(expected).max()


@given(st.integers(1, 12), st.integers(0, 12), st.integers(0, 2**32))
def test_its_sums_have_no_order(rank: int, more: int, seed: int) -> None:
    """Rows and columns in another order give the same bits, whatever the values and shifts."""
    rng, dim = np.random.default_rng(seed), rank + more
    basis = rng.integers(-128, 128, (rank, dim)).astype(np.int8)
    unit = unit_of(rng.integers(0, kind.MAX_SHIFT + 1, rank).astype(np.uint8))
    rows, columns = rng.permutation(rank), rng.permutation(dim)
    found = kind.pseudo_inverse(basis, unit)
    other = kind.pseudo_inverse(np.ascontiguousarray(basis[rows][:, columns]), unit[rows])
    assert np.isfinite(found).all()
    assert (found[columns][:, rows] == other).all()


def test_rows_that_depend_on_each_other_or_are_zero_have_one_too() -> None:
    basis = np.array([[100, 0, 0], [100, 0, 0], [0, 0, 0]], np.int8)
    found = kind.pseudo_inverse(basis, np.full(3, 2.0**-7, np.float32))
    assert np.isfinite(found).all()
    assert np.abs(found).max() < 1e4
    assert not found[:, 2].any()


# rounding a basis


@given(st.integers(1, 9), st.integers(1, 9), st.floats(-32, 0), st.integers(0, 2**32))
def test_a_basis_is_rounded_to_powers_of_two(
    rank: int, dim: int, exponent: float, seed: int
) -> None:
    """Each value is off by half a unit at most; units are at most those asked for if that fits."""
    rng, coarsest = np.random.default_rng(seed), 2.0**exponent
    rows = rng.uniform(-1, 1, (rank, dim)) * 2.0 ** rng.uniform(-12, 0, (rank, 1))
    basis, shift = kind.rounded(rows, coarsest)
    assert basis.dtype == np.int8
    assert shift.dtype == np.uint8
    assert shift.max() <= kind.MAX_SHIFT
    unit = unit_of(shift).astype(np.float64)
    assert (np.abs(rows - basis * unit[:, None]) <= unit[:, None] / 2).all()
    largest = np.abs(rows).max(axis=1)
    assert (unit <= np.maximum(max(coarsest, 2.0**-kind.MAX_SHIFT), largest / 63)).all()


def test_each_row_may_have_a_unit_of_its_own() -> None:
    rows = np.array([[0.3, -0.2], [0.3, -0.2], [0, 0]])
    basis, shift = kind.rounded(rows, np.array([0.1, 1e-9, 0.3]))
    assert shift.tolist() == [4, 8, 2]
    assert basis.tolist() == [[5, -3], [77, -51], [0, 0]]


# files that are refused


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("bands", [0, 25], "bound is 25, expected an integer in 1 … 24"),
        ("bands", [0], "bounds from 0 to at most 24"),
        ("bands", [2, 6, 16], "bounds from 0"),
        ("bands", [0, 6, 6, 16], "bound is 6"),
        ("bands", [0, 2, 6, 15], "shape"),
        ("bands", [0, 2, 6, 16.0], r"bound is 16\.0"),
        ("bands", None, "bands are None"),
        ("hidden", 4, "shape"),
        ("restore", -1, "restore is -1"),
        ("rank", 16, "expected the keys"),
        ("dim", 25, "shape"),
        ("dim", 0, "dim is 0"),
        ("dim", 1 << 15, "dim is 32768"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(
    tmp_path: Path, compact_path: Path, key: str, value: object, message: str
) -> None:
    tensors, meta = parts(compact_path)
    (meta if key == "dim" else meta["config"])[key] = value
    with pytest.raises(WeightsError, match=message):
        read_profile(rewrite(tmp_path / "bad", tensors, meta))


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("basis", lambda t: t.astype(np.float32), "basis has dtype float32, not int8"),
        ("basis", lambda t: t.astype(np.uint8), "dtype uint8"),
        ("basis", lambda t: t[:-1], "basis has shape"),
        ("shift", lambda t: t.astype(np.int8), "shift has dtype int8"),
        ("shift", lambda t: t + np.uint8(24), "shift is 3[12], expected integers in 0 … 30"),
        ("center", lambda t: t * np.float32(1e7), r"synthesis may reach 2\*\*53"),
        ("scale", lambda t: t * np.float32(1e-19), "scale is not positive, or below 1e-18"),
        ("scale", lambda t: t * np.float32(1e9), r"synthesis may reach 2\*\*53"),
        ("restore.bias", lambda t: t + (1 << 24), r"sums of restore may reach 2\*\*24"),
        ("predict.gain", lambda t: t + 5, "gain is not in"),
        ("analysis", lambda _: np.zeros((24, 16), np.float16), "unexpected tensors: analysis"),
        ("basis", None, "missing or unexpected tensors: basis"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(
    tmp_path: Path, compact_path: Path, name: str, message: str,
    change: Callable[[Any], Any] | None,
) -> None:  # fmt: skip
    tensors, meta = parts(compact_path)
    if change is None:
        del tensors[name]
    else:
        tensors[name] = np.ascontiguousarray(change(tensors.get(name)))
    with pytest.raises(WeightsError, match=message):
        read_profile(rewrite(tmp_path / "bad", tensors, meta))


def test_a_basis_of_too_many_values_is_refused_by_its_sizes(
    tmp_path: Path, compact_path: Path
) -> None:
    """Before a tensor is looked at: there is none of that size here."""
    tensors, meta = parts(compact_path)
    for dim, rank, message in (
        (1 << 14, 1025, "values of the basis is 16793600"),
        (1 << 14, 1024, "shape"),
        (1 << 12, 1 << 12, "shape"),
    ):
        meta["dim"], meta["config"]["bands"] = dim, [0, rank]
        with pytest.raises(WeightsError, match=message):
            read_profile(rewrite(tmp_path / "bad", tensors, meta))


def test_sums_are_bounded_by_the_units_of_the_rows(tmp_path: Path, compact_path: Path) -> None:
    """The same basis with larger units: a partial sum might not be exact."""
    tensors, meta = parts(compact_path)
    tensors["scale"] *= np.float32(64)
    read_profile(rewrite(tmp_path / "good", tensors, meta))
    tensors["shift"][3] = 0
    with pytest.raises(WeightsError, match=r"synthesis may reach 2\*\*53"):
        read_profile(rewrite(tmp_path / "bad", tensors, meta))
