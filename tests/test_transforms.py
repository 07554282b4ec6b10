"""clipcodec.kinds: against the formats' formulas written out plainly, in float64."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import cone
from safetensors.numpy import load_file

from clipcodec import Codec
from clipcodec.errors import WeightsError
from clipcodec.kinds.pqvae.layout import Layout
from clipcodec.kinds.trellis.rotation import RotationTransform, _dct, _idct, _signs
from clipcodec.profile import registry
from clipcodec.profile.file import Profile


def test_synthesis_is_the_formula_of_the_format(tiny: Profile, tiny_path: Path) -> None:
    w = {name: t.astype(np.float64) for name, t in load_file(tiny_path).items()}
    symbols = np.random.default_rng(0).integers(0, 5, 12)
    q = np.concatenate([w["codebook"][s] @ w["synthesis.lower"] for s in symbols])
    y = q @ w["synthesis.linear"] + w["synthesis.bias"]
    for k in range(2):
        hidden = np.maximum(0, y @ w["synthesis.hidden"][k] + w["synthesis.hidden_bias"][k])
        y = y + hidden @ w["synthesis.out"][k]
    expected = y * w["scale"] + w["center"]
    got = tiny.kind.transform.synthesise(tiny.kind.quantizer.dequantize(symbols[None]))
    assert np.allclose(got[0], expected, rtol=1e-4, atol=1e-4)


def test_analysis_is_the_closed_loop_of_the_format(tiny: Profile, tiny_path: Path) -> None:
    """Group g is chosen knowing the codewords of the groups before it."""
    w = {name: t.astype(np.float64) for name, t in load_file(tiny_path).items()}
    x = np.random.default_rng(1).normal(size=8)
    x /= np.linalg.norm(x)
    scaled = (x - w["center"]) / w["scale"]
    hidden = np.maximum(0, scaled @ w["analysis.hidden"] + w["analysis.hidden_bias"])
    h = scaled @ w["analysis.linear"] + w["analysis.bias"] + hidden @ w["analysis.out"]
    step, symbols, chosen, at = 6, [], np.empty(0), 0
    for group in range(4):
        z = h[group * step : (group + 1) * step]
        z = z + chosen @ w["analysis.feedback"][at : at + group * step]
        at += group * step
        for position in range(3):
            lifted = z[2 * position : 2 * position + 2] @ w["analysis.lift"]
            symbol = int(((w["codebook"] - lifted) ** 2).sum(axis=1).argmin())
            symbols.append(symbol)
            chosen = np.append(chosen, w["codebook"][symbol] @ w["synthesis.lower"])
    got = tiny.kind.transform.analyse(x[None].astype(np.float32), tiny.kind.quantizer)
    assert got[0].tolist() == symbols


def test_layout_counts_symbols_and_bits() -> None:
    """The paper's six rates: 200 indices at 400 … 2000 bits."""
    bits = [Layout(512, codewords=k, rank=3).bits for k in (4, 8, 16, 32, 64, 1024)]
    assert bits == [400, 600, 800, 1000, 1200, 2000]
    assert Layout(512, rank=3).size == 200


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sub_dim": 24}, "does not divide"),
        ({"sub_dim": 2, "rank": 3}, "rank 3 exceeds"),
        ({"codewords": 1}, "expected 2"),
        ({"codewords": 1 << 16}, "codewords is 65536"),
        ({"positions": 0}, "positions is 0"),
        ({"positions": 1.5}, "positions is 1.5"),
        ({"positions": True}, "positions is True"),
        ({"positions": 4000}, "32000 symbols"),
    ],
)
def test_layouts_that_do_not_fit_are_refused(change: dict[str, int], message: str) -> None:
    with pytest.raises(WeightsError, match=message):
        Layout(512, **change)


def test_config_round_trip_names_every_size() -> None:
    layout = Layout(768, codewords=32, rank=4)
    assert Layout.from_config(768, layout.to_config()) == layout
    with pytest.raises(WeightsError, match="config must state"):
        Layout.from_config(768, {"positions": 25})


# prediction


NEXT = [[0, 1], [3, 2], [5, 4], [6, 7], [1, 0], [2, 3], [4, 5], [7, 6]]


@pytest.mark.parametrize("quality", [1, 40, 100])
def test_prediction_is_the_formula_of_the_format(
    rates: Profile, rates_path: Path, quality: int
) -> None:
    """Levels to an embedding: trellis, bands, networks and synthesis, one number at a time."""
    w = {name: t.astype(np.float64) for name, t in load_file(rates_path).items()}
    codec, x = Codec(rates), cone(1, 24, seed=3)[0]
    stream = codec.encode_embedding(x, quality=quality)
    levels, step = codec.symbols(stream), w["steps"][quality - 1]
    bounds = codec.profile.kind.engine(24).tables.bands
    assert [a for a, _ in bounds] + [24] == [0] + [b for _, b in bounds]
    e, moved = np.zeros(24), 0.0
    for band, (a, b) in enumerate(bounds):
        state = 0
        for i in range(a, b):
            e[i] += step * (2 * levels[i] - np.sign(levels[i]) * (state % 2))
            state = NEXT[state][levels[i] % 2]
        units = e / w["scale"] @ w["refine.hidden"][band] + w["refine.bias"][band]
        units += np.log(step) * w["refine.quality"][band]
        refined = w["scale"] * (np.maximum(0, units) @ w["refine.out"][band])
        refined[:b] *= w["refine.gain"][quality - 1, band, 0]
        refined[b:] *= w["refine.gain"][quality - 1, band, 1]
        moved = max(moved, np.abs(refined).max())
        e += refined
    y = e @ w["synthesis"] + w["center"]
    assert np.allclose(codec.decode(stream), y / np.linalg.norm(y), atol=1e-5)
    assert moved > 0.01  # the networks have a say here


def test_analysis_and_synthesis_are_inverse(rates: Profile) -> None:
    """Up to the synthesis in half precision."""
    transform, x = rates.kind.engine(24).transform, cone(50, 24, seed=4)
    y = transform.analyse(x)
    assert np.allclose(transform.synthesise(y), x, atol=2e-3)
    variance = y.var(axis=0)
    assert variance[:4].min() > variance[-4:].max()


# rotation


def test_signs_are_the_bits_of_splitmix64() -> None:
    """Known answers of the generator for seed 0; then the seed of any/rotation, and the next."""
    bits = [z >> j & 1 for z in (0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4) for j in range(64)]
    assert _signs(128, 0).tolist() == [1 - 2 * bit for bit in bits]
    assert _signs(70, 0).tolist() == _signs(128, 0)[:70].tolist()
    transform = registry.by_name("any/rotation").kind.engine(64).transform
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
