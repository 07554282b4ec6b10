"""clipcodec.kinds.trellis.rate: targets hold, or RateError."""

from __future__ import annotations

import re

import numpy as np
import pytest

from clipcodec import Codec
from clipcodec.errors import OptionError, RateError
from clipcodec.kinds.trellis.held import Held
from clipcodec.profile.file import Profile, read_profile
from tests.helpers.profiles import compact_profile, cone

# profiles of all rates


@pytest.fixture(scope="module", params=["predictive", "compact", "rotation"])
def codec(request: pytest.FixtureRequest, rates: Profile, whole: Profile) -> Codec:
    kinds: dict[str, str | Profile] = {"predictive": rates, "compact": whole}
    return Codec(kinds.get(request.param, "any/rotation"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Profile:
    """Of kind compact, with all coefficients: fewer would not reach every cosine."""
    path = tmp_path_factory.mktemp("profile") / "whole.safetensors"
    return read_profile(compact_profile(path, rank=24, hidden=2))


def cosines(codec: Codec, x: np.ndarray, streams: list[bytes]) -> np.ndarray:
    norms = np.linalg.norm(x, axis=1)
    return (codec.decode_batch(streams) * x).sum(axis=1) / norms


def test_a_budget_is_kept_and_a_larger_one_is_never_wasted(codec: Codec) -> None:
    """No stream above the limit; each byte more brings the mean error down until none is left."""
    x, last = cone(100, 24, seed=1), np.inf
    for limit in range(12, 20):
        streams = codec.encode_embeddings(x, max_bytes=limit)
        assert max(map(len, streams)) <= limit
        error = float((1 - cosines(codec, x, streams)).mean())
        assert error < last
        last = error
    plenty = codec.encode_embeddings(x, max_bytes=10_000)
    assert (cosines(codec, x, plenty) > 0.999).all()


def test_a_budget_is_kept_where_the_search_misjudges_sizes(
    codec: Codec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit is one on what the coder puts out, not on what was foreseen."""
    foreseen = Held.sizes
    monkeypatch.setattr(Held, "sizes", lambda self, a: foreseen(self, a) - 2)
    streams = codec.encode_embeddings(cone(100, 24, seed=1), max_bytes=16)
    assert max(map(len, streams)) <= 16
    assert codec.decode_batch(streams).shape == (100, 24)


def test_a_budget_is_filled(codec: Codec) -> None:
    """Most streams are as long as they may be: quality and λ are both searched."""
    streams = codec.encode_embeddings(cone(100, 24, seed=1), max_bytes=16)
    assert np.mean([len(stream) for stream in streams]) > 15.5
    assert len({codec.info(stream).quality for stream in streams}) > 1


def test_too_small_a_budget_names_what_can_be_had(codec: Codec) -> None:
    x = cone(40, 24, seed=2)
    with pytest.raises(RateError, match=r"at least \d+ bytes .*max_bytes is 3") as caught:
        codec.encode_embeddings(x, max_bytes=3)
    row, least = map(int, re.findall(r"embedding (\d+) .*: at least (\d+)", str(caught.value))[0])
    assert len(codec.encode_embedding(x[row], max_bytes=least)) <= least


def test_what_the_lowest_quality_takes_is_budget_enough(codec: Codec) -> None:
    """And a byte, as sizes are estimated from above; for one embedding and for many."""
    x = cone(40, 24, seed=2)
    coarsest = codec.encode_embeddings(x, quality=1)
    for row, stream in zip(x[:8], coarsest, strict=False):
        limit = len(stream) + 1
        assert len(codec.encode_embedding(row, max_bytes=limit)) <= limit
    limit = max(map(len, coarsest)) + 1
    assert max(map(len, codec.encode_embeddings(x, max_bytes=limit))) <= limit


@pytest.mark.parametrize("least", [0.9, 0.97, 0.995])
def test_a_fidelity_is_kept_in_few_bytes(codec: Codec, least: float) -> None:
    """Every decoded embedding has it, in no more bytes than the first quality that has it."""
    x = cone(60, 24, seed=3)
    streams = codec.encode_embeddings(x, min_cosine=least)
    assert (cosines(codec, x, streams) >= least - 1e-6).all()
    for quality in range(1, 101, 3):
        uniform = codec.encode_embeddings(x, quality=quality)
        if (cosines(codec, x, uniform) >= least).all():
            break
    assert sum(map(len, streams)) <= sum(map(len, uniform))


def test_too_high_a_fidelity_names_the_best(codec: Codec) -> None:
    """What the error says can be had."""
    x = cone(20, 24, seed=4)
    words = r"cosine 0\.9\d+ at most .*min_cosine is 1"
    with pytest.raises(RateError, match=words) as caught:
        codec.encode_embeddings(x, min_cosine=1)
    row, best = re.findall(r"embedding (\d+) .*: cosine (0\.\d+)", str(caught.value))[0]
    assert float(best) > 0.999
    stream = codec.encode_embedding(x[int(row)], min_cosine=float(best) - 1e-5)
    assert codec.decode(stream) @ x[int(row)] >= float(best) - 1e-5


def test_targets_hold_one_by_one_as_in_many(codec: Codec) -> None:
    """Few embeddings are searched another way than many: the promises are the same."""
    x = cone(5, 24, seed=5)
    for row in x:
        assert len(codec.encode_embedding(row, max_bytes=14)) <= 14
        stream = codec.encode_embedding(row, min_cosine=0.98)
        assert codec.decode(stream) @ row >= 0.98 - 1e-6
    assert codec.encode_embeddings(x[:0], max_bytes=14) == []


@pytest.mark.slow
@pytest.mark.parametrize("together", [5, 20, 40, 90])
def test_many_together_fare_as_well_as_one_by_one(codec: Codec, together: int) -> None:
    """Within a fifth in error for a budget, within half a byte for a fidelity."""
    x = cone(together, 24, seed=8)
    many = codec.encode_embeddings(x, max_bytes=16)
    single = [codec.encode_embedding(row, max_bytes=16) for row in x]
    errors = [(1 - cosines(codec, x, streams)).mean() for streams in (many, single)]
    assert errors[0] < 1.2 * errors[1]
    many = codec.encode_embeddings(x, min_cosine=0.98)
    single = [codec.encode_embedding(row, min_cosine=0.98) for row in x]
    assert sum(map(len, many)) < sum(map(len, single)) + 0.5 * together


def test_quality_is_a_whole_number(codec: Codec) -> None:
    x = cone(30, 24, seed=6)
    with pytest.raises(OptionError, match=r"quality=50\.5: .* whole ones only"):
        codec.encode_embeddings(x, quality=50.5)
    assert codec.encode_embeddings(x, quality=50.0) == codec.encode_embeddings(x, quality=50)
    errors = []
    for quality in (30, 60, 100):
        streams = codec.encode_embeddings(x, quality=quality)
        assert {codec.info(stream).quality for stream in streams} == {quality}
        errors.append((1 - cosines(codec, x, streams)).mean())
    assert errors[0] > errors[1] > errors[2]


def test_without_a_target_the_default_quality_is_used(codec: Codec) -> None:
    x = cone(3, 24, seed=6)
    default = codec.profile.kind.default_quality
    assert codec.encode_embeddings(x) == codec.encode_embeddings(x, quality=default)


@pytest.mark.parametrize("many", [1, 40])
@pytest.mark.parametrize("what", ["opposite", "axis", "random"])
def test_outliers_are_coded_as_well(codec: Codec, what: str, many: int) -> None:
    """Vectors that no training row is like: at high quality they come back; at any, they decode."""
    x = {
        "opposite": -cone(many, 24, seed=7),
        "axis": np.eye(24)[np.arange(many) % 24],
        "random": np.random.default_rng(7).normal(size=(many, 24)),
    }[what]
    assert (cosines(codec, x, codec.encode_embeddings(x, quality=100)) > 0.99).all()
    assert np.isfinite(cosines(codec, x, codec.encode_embeddings(x, quality=1))).all()
    streams = codec.encode_embeddings(x, max_bytes=24)
    assert max(map(len, streams)) <= 24
    assert (cosines(codec, x, streams) > 0.9).all()
    assert (cosines(codec, x, codec.encode_embeddings(x, min_cosine=0.95)) > 0.9499).all()


def test_a_profile_of_one_band_fills_its_budget_too() -> None:
    """In one band no λ can be changed late: nothing is aimed, and streams are full all the same."""
    codec = Codec("any/rotation")
    streams = codec.encode_embeddings(cone(40, 256, seed=9), max_bytes=30)
    assert np.mean([len(stream) for stream in streams]) > 28.5


def test_a_fidelity_is_searched_for_each_row_itself(codec: Codec) -> None:
    """The same streams, whatever rows are searched for together, with moves or without."""
    x = cone(120, 24, seed=10)
    for effort in (1, 3):
        many = codec.encode_embeddings(x, min_cosine=0.97, effort=effort)
        assert codec.encode_embeddings(x[50:53], min_cosine=0.97, effort=effort) == many[50:53]
