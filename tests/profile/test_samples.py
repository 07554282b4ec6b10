"""Samples that a profile draws: repeatable, of unit norm, and as hard to compress as real rows."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest

import clipcodec
from clipcodec.kinds.trellis.predictive import PredictiveKind
from clipcodec.profile.registry import DEFAULT, by_name
from clipcodec.profile.samples import draw, draw_levels
from tests.helpers.paths import ROOT

L14 = "openai-vit-l-14-336/predictive"
COUNT = 128


@pytest.mark.parametrize("name", [DEFAULT, L14, "openai-vit-b-32/pqvae-400"])
def test_rows_are_of_unit_norm_and_the_same_for_a_seed(name: str) -> None:
    profile = by_name(name)
    x = draw(profile, 20, seed=3)
    assert x.shape == (20, profile.dim)
    assert x.dtype == np.float32
    assert np.allclose(np.linalg.norm(x, axis=1), 1, atol=1e-6)
    assert (x == draw(profile, 20, seed=3)).all()
    assert (x != draw(profile, 20, seed=4)).any(axis=1).all()
    assert len(np.unique(x, axis=0)) == 20


@pytest.mark.parametrize(
    ("name", "file", "off"), [(DEFAULT, "embeddings", 0.01), (L14, "l14", 0.035)]
)
@pytest.mark.parametrize("size", [25, 50, 100])
def test_they_keep_about_what_real_embeddings_keep(
    name: str, file: str, off: float, size: int
) -> None:
    """The mean cosine, against the kept figure of real ones. A Gaussian is off by .04 to .14."""
    kept = json.loads((ROOT / "docs" / "results" / f"{file}.json").read_text("utf-8"))
    (real,) = (p["cosine"] for p in kept["points"] if p["key"] == f"{name}@max_bytes={size}")
    assert abs(_cosine(draw(by_name(name), COUNT), name, size) - real) < off


def test_a_gaussian_is_harder() -> None:
    """The bounds above are no accident."""
    statistics = by_name(DEFAULT).statistics
    assert statistics is not None
    assert _cosine(statistics.draw(COUNT, seed=0), DEFAULT, 50) < 0.9


def _cosine(x: np.ndarray, profile: str, size: int) -> float:
    streams = clipcodec.encode_embeddings(x, profile=profile, max_bytes=size)
    return float((clipcodec.decode_batch(streams) * x).sum(axis=1).mean())


def test_they_lie_among_the_images_of_the_backbone() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clipcodec.encode_embeddings(draw(by_name(DEFAULT), COUNT))


def test_levels_cost_what_the_tables_say() -> None:
    """Drawn levels have the entropy of the tables: coded, the code length that is expected."""
    kind = by_name(DEFAULT).kind
    assert isinstance(kind, PredictiveKind)
    tables = kind.engine(512).tables
    for quality in (30, 60, 95):
        qualities = np.full(COUNT, quality)
        levels = draw_levels(tables, qualities, np.random.default_rng(0))
        bits = tables.information(levels, qualities)
        payloads = kind.encode("rans", levels, qualities, [0] * COUNT)
        assert abs(np.mean([len(p) for p in payloads]) - bits.mean() / 8) < 4
        decoded, _ = kind.decode("rans", payloads, qualities, 512)
        assert (decoded == levels).all()


def test_levels_have_the_frequencies_of_the_tables() -> None:
    """The first coefficient, whose table depends on nothing but the flag of its group."""
    kind = by_name(DEFAULT).kind
    assert isinstance(kind, PredictiveKind)
    tables, many = kind.engine(512).tables, 4000
    levels = draw_levels(tables, np.full(many, 90), np.random.default_rng(1))[:, 0]
    expected = tables.frequencies[tables.class_of[89, 0]] / 2**16
    found = np.bincount(np.abs(levels), minlength=tables.alphabet) / many
    assert np.abs(found - expected).max() < 0.03
    assert abs((levels > 0).sum() - (levels < 0).sum()) < 4 * np.sqrt(many)


def test_a_profile_that_knows_no_embeddings_says_so() -> None:
    with pytest.raises(clipcodec.OptionError, match="any/rotation"):
        draw(by_name("any/rotation"), 3)
