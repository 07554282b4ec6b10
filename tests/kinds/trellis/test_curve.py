"""clipcodec.kinds.trellis.curve: what is drawn by the tables takes the bits that they say."""

from __future__ import annotations

import numpy as np
import pytest

from clipcodec.kinds.trellis.curve import drawn, generator, rate_distortion
from clipcodec.profile import registry
from tests.helpers.kinds import trellis

DIM = 48


def test_what_is_drawn_has_the_entropy_of_the_tables() -> None:
    """Its mean code length does not depend on the sample, and grows with the quality."""
    tables = trellis(registry.by_name("any/rotation")).engine(DIM).tables
    means = []
    for quality in (20, 50, 80):
        at = np.full(400, quality)
        both = [
            float(tables.information(drawn(tables, quality, 400, rng), at).mean())
            for rng in (generator(), np.random.default_rng(7))
        ]
        assert both[0] == pytest.approx(both[1], rel=0.05)
        means.append(both[0])
    assert means == sorted(means)


def test_a_curve_foresees_the_bits_of_typical_embeddings() -> None:
    """Where it meets a size, embeddings that the profile is made for take about that size."""
    kind = trellis(registry.by_name("any/rotation"))
    engine = kind.engine(DIM)
    curve = rate_distortion(engine, kind.qualities)
    assert curve.bits == sorted(curve.bits)
    assert curve.errors == sorted(curve.errors)
    x = np.random.default_rng(3).normal(size=(200, DIM)).astype(np.float32)
    y = engine.transform.analyse(x / np.linalg.norm(x, axis=1, keepdims=True))
    for bits in (100, 200):
        quality, slope = curve.meets(float(np.log(bits)), curve.bits)
        found = float(np.median(engine.attempt(y, np.full(len(y), round(quality))).bits))
        assert slope > 0
        assert found == pytest.approx(bits, rel=0.2)
