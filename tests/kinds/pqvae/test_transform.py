"""clipcodec.kinds.pqvae.transform: against the format's formulas written out in float64."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from clipcodec.profile.file import Profile
from tests.helpers.kinds import pqvae


def test_synthesis_is_the_formula_of_the_format(tiny: Profile, tiny_path: Path) -> None:
    w = {name: t.astype(np.float64) for name, t in load_file(tiny_path).items()}
    symbols = np.random.default_rng(0).integers(0, 5, 12)
    q = np.concatenate([w["codebook"][s] @ w["synthesis.lower"] for s in symbols])
    y = q @ w["synthesis.linear"] + w["synthesis.bias"]
    for k in range(2):
        hidden = np.maximum(0, y @ w["synthesis.hidden"][k] + w["synthesis.hidden_bias"][k])
        y = y + hidden @ w["synthesis.out"][k]
    expected = y * w["scale"] + w["center"]
    kind = pqvae(tiny)
    got = kind.transform.synthesise(kind.quantizer.dequantize(symbols[None]))
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
    kind = pqvae(tiny)
    got = kind.transform.analyse(x[None].astype(np.float32), kind.quantizer)
    assert got[0].tolist() == symbols
