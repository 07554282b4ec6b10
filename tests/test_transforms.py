"""clipcodec.transforms: the numpy networks against formats/pqvae.md written out plainly."""

from __future__ import annotations

import numpy as np
import pytest

from clipcodec.errors import WeightsError
from clipcodec.profile import Profile
from clipcodec.transforms import Layout


def test_synthesis_is_the_formula_of_the_format(tiny: Profile) -> None:
    w = {name: t.astype(np.float64) for name, t in tiny._tensors.items()}
    symbols = np.random.default_rng(0).integers(0, 5, 12)
    q = np.concatenate([w["codebook"][s] @ w["synthesis.lower"] for s in symbols])
    y = q @ w["synthesis.linear"] + w["synthesis.bias"]
    for k in range(2):
        hidden = np.maximum(0, y @ w["synthesis.hidden"][k] + w["synthesis.hidden_bias"][k])
        y = y + hidden @ w["synthesis.out"][k]
    expected = y * w["scale"] + w["center"]
    got = tiny.transform.synthesise(tiny.quantizer.dequantize(symbols[None]))
    assert np.allclose(got[0], expected, rtol=1e-4, atol=1e-4)


def test_analysis_is_the_closed_loop_of_the_format(tiny: Profile) -> None:
    """Group g is chosen knowing the codewords of the groups before it."""
    w = {name: t.astype(np.float64) for name, t in tiny._tensors.items()}
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
    got = tiny.transform.analyse(x[None].astype(np.float32), tiny.quantizer)
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
