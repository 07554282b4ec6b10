"""clipcodec.kinds.trellis.rotation: against the format's formulas written out in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from clipcodec.kinds.trellis.rotation import RotationTransform, _dct, _idct, _signs
from clipcodec.profile import registry
from tests.helpers.kinds import trellis


def test_signs_are_the_bits_of_splitmix64() -> None:
    """Known answers of the generator for seed 0; then the seed of any/rotation, and the next."""
    bits = [z >> j & 1 for z in (0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4) for j in range(64)]
    assert _signs(128, 0).tolist() == [1 - 2 * bit for bit in bits]
    assert _signs(70, 0).tolist() == _signs(128, 0)[:70].tolist()
    transform: Any = trellis(registry.by_name("any/rotation")).engine(64).transform
    for signs, z in (
        (transform._first, 0xF61DB6281E073B62),
        (transform._second, 0x8497EFEE01798732),
    ):
        assert signs.tolist() == [1 - 2 * (z >> j & 1) for j in range(64)]


def test_the_cosine_transform_is_its_definition() -> None:
    """Orthonormal DCT-II of any length, and back."""
    for n in range(1, 71):
        k, i = np.arange(n)[:, None], np.arange(n)
        matrix = np.sqrt(2 / n) * np.cos(np.pi * (2 * i + 1) * k / (2 * n))
        matrix[0] /= np.sqrt(2)
        assert np.allclose(_dct(np.eye(n)), matrix.T, atol=1e-12)
        assert np.allclose(_idct(np.eye(n)), matrix, atol=1e-12)


@pytest.mark.parametrize("dim", [*range(1, 71), 512, 769])
def test_rotation_is_orthogonal_and_inverted(dim: int) -> None:
    """Times √D: unit vectors get coefficients of mean square one."""
    transform = RotationTransform(dim, seed=5)
    matrix = transform.analyse(np.eye(dim, dtype=np.float32)).astype(np.float64)
    assert np.allclose(matrix @ matrix.T, dim * np.eye(dim), atol=1e-4 * dim)
    x = np.random.default_rng(dim).normal(size=(3, dim)).astype(np.float32)
    assert np.allclose(transform.synthesise(transform.analyse(x)), x, atol=1e-5)


def test_rotation_is_the_formula_of_the_format() -> None:
    """√D · C·S₂·C·S₁ x, C the cosine transform."""
    dim, x = 23, np.random.default_rng(0).normal(size=23)
    cosines = _dct(np.eye(dim)).T
    expected = np.sqrt(dim) * cosines @ (_signs(dim, 10) * (cosines @ (_signs(dim, 9) * x)))
    got = RotationTransform(dim, seed=9).analyse(x[None].astype(np.float32))
    assert np.allclose(got[0], expected, atol=1e-5)


def test_rotation_spreads_what_is_concentrated() -> None:
    """No single direction of the input axes is left with a large coefficient."""
    y = RotationTransform(512, seed=5).analyse(np.eye(512, dtype=np.float32))
    assert np.abs(y).max() < 6
    assert 2.7 < (y**4).mean() < 3.3  # a Gaussian's fourth moment
