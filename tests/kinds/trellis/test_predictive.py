"""clipcodec.kinds.trellis.predictive: against the format's formulas written out in float64."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from clipcodec import Codec
from clipcodec.profile.file import Profile
from tests.helpers.kinds import trellis
from tests.helpers.profiles import cone

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
    bounds = trellis(codec.profile).engine(24).tables.bands
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
    transform, x = trellis(rates).engine(24).transform, cone(50, 24, seed=4)
    y = transform.analyse(x)
    assert np.allclose(transform.synthesise(y), x, atol=2e-3)
    variance = y.var(axis=0)
    assert variance[:4].min() > variance[-4:].max()
