"""clipcodec.kinds.trellis.predictive: against the format's formulas, written out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from clipcodec import Codec, WeightsError
from clipcodec.profile.file import Profile, _load_tensors, _metadata, write_profile
from tests.helpers.kinds import trellis
from tests.helpers.profiles import cone

NEXT = [[0, 1], [3, 2], [5, 4], [6, 7], [1, 0], [2, 3], [4, 5], [7, 6]]


@pytest.mark.parametrize("quality", [1, 40, 100])
def test_prediction_is_the_formula_of_the_format(
    rates: Profile, rates_path: Path, quality: int
) -> None:
    """Levels to an embedding: trellis, bands, networks and synthesis, bit for bit."""
    w = load_file(rates_path)
    codec, x = Codec(rates), cone(1, 24, seed=3)[0]
    stream = codec.encode_embedding(x, quality=quality)
    levels, step = codec.symbols(stream), w["steps"][quality - 1]
    bounds = trellis(codec.profile).engine(24).tables.bands
    assert [a for a, _ in bounds] + [24] == [0] + [b for _, b in bounds]
    g = 2.0 ** (np.frexp(w["scale"])[1] - 6)
    e = np.zeros(24, np.float32)
    moved: list[float] = []

    def network(part: str, at: int, columns: slice, first: int, gain: np.float32) -> None:
        hidden, bias, slope, unit = (
            w[f"{part}.{name}"][at] if part == "predict" else w[f"{part}.{name}"]
            for name in ("hidden", "bias", "quality", "unit")
        )
        inputs = np.clip(np.rint(e / g), -255, 255).astype(np.int64)
        total = inputs @ hidden.astype(np.int64) + bias + w["log_step"][quality - 1] * slope
        units = np.clip(np.rint(total.astype(np.float32) * unit), 0, 255).astype(np.int64)
        change = (units @ w[f"{part}.out"][:, columns].astype(np.int64)).astype(np.float32)
        change = change * w[f"{part}.scale"][columns] * gain
        moved.append(float(np.abs(change).max(initial=0)))
        e[first:] += change

    used = 0
    for band, (a, b) in enumerate(bounds):
        state = 0
        for i in range(a, b):
            e[i] += np.float32(2 * levels[i] - np.sign(levels[i]) * (state % 2)) * step
            state = NEXT[state][levels[i] % 2]
        if b < 24:
            own = slice(used, used + 24 - b)
            network("predict", band, own, b, w["predict.gain"][quality - 1, band])
            used += 24 - b
    network("restore", 0, slice(None), 0, w["restore.gain"][quality - 1])
    whole = np.clip(np.rint(e * 2.0**9 / g), -(2**22), 2**22).astype(np.int64)
    weights = np.rint(w["synthesis"] * g[:, None] * 2.0**28).astype(np.int64)
    total = whole @ weights + np.rint(w["center"] * 2.0**37).astype(np.int64)
    y = (total / 2.0**37).astype(np.float32).astype(np.float64)
    norm = np.sqrt(sum_by_halves(y * y))
    assert (codec.decode(stream) == (y / norm).astype(np.float32)).all()
    assert max(moved) > 0.01  # the networks have a say here


def sum_by_halves(values: np.ndarray) -> float:
    """The order of additions that the format asks for."""
    while len(values) > 1:
        half = (len(values) + 1) // 2
        values = values[:half] + np.pad(values[half:], (0, 2 * half - len(values)))
    return float(values[0])


def test_a_row_decodes_to_the_same_bits_in_any_batch(rates: Profile) -> None:
    """Alone, among others, at its own quality: BLAS may add in any order."""
    codec, x = Codec(rates), cone(300, 24, seed=5)
    streams = codec.encode_embeddings(x, quality=30)
    streams += codec.encode_embeddings(x[:100], max_bytes=14)
    together = codec.decode_batch(streams)
    for i in (0, 17, 299, 301, 399):
        assert (codec.decode(streams[i]) == together[i]).all()


def test_a_synthesis_that_float64_cannot_sum_is_refused(rates_path: Path, tmp_path: Path) -> None:
    """A center, or weights, so large that partial sums reach 2**53: WeightsError, on opening."""
    data = rates_path.read_bytes()
    meta, tensors = _metadata(data), dict(_load_tensors(data))
    meta.pop("version")
    for name, factor in (("center", 1e7), ("synthesis", 1e6)):
        path = tmp_path / f"{name}.safetensors"
        large = tensors | {name: tensors[name].astype(np.float32) * np.float32(factor)}
        write_profile(path, meta, large)
        with pytest.raises(WeightsError, match=r"synthesis may reach 2\*\*53"):
            Codec(path)


def test_analysis_and_synthesis_are_inverse(rates: Profile) -> None:
    """Up to the synthesis in half precision."""
    transform, x = trellis(rates).engine(24).transform, cone(50, 24, seed=4)
    y = transform.analyse(x)
    assert np.allclose(transform.synthesise(y), x, atol=2e-3)
    variance = y.var(axis=0)
    assert variance[:4].min() > variance[-4:].max()
