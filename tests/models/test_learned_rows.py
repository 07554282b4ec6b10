"""What docs/any-model.md says of profiles that are learned: prefixes, centred and whitened rows."""

from __future__ import annotations

import warnings
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

import clipcodec
from clipcodec import BackboneWarning, Codec, Target
from clipcodec.profile.file import parse_profile
from clipcodec.profile.statistics import Statistics, check_statistics
from clipcodec.training import compact
from clipcodec.training.learn import Learned, learn
from tests.models.test_text_rows import kept, neighbours, shared

Rows = NDArray[np.float32]
WIDTH, CUT, KNOWN, ASKED, LIMIT = 48, 20, 200, 120, 14


@cache
def rows(width: int = WIDTH) -> Rows:
    """320 unit rows of a made-up Matryoshka model: groups around a mean, the first axes longest."""
    rng = np.random.default_rng(0)
    spread = (np.arange(WIDTH) + 2) ** -0.9
    count = KNOWN + ASKED
    topics = rng.standard_normal((20, WIDTH))[rng.integers(0, 20, count)]
    x = 0.7 * rng.standard_normal(WIDTH) + topics + 0.6 * rng.standard_normal((count, WIDTH))
    x = (x * spread)[:, :width]
    unit: Rows = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    return unit


def learned(x: Rows) -> Learned:
    """From the first rows, as `compress --train` does, for a file that holds many like them."""
    return learn(x[:KNOWN], target=Target(max_bytes=LIMIT), items=100_000, minutes=0)


def decoded(x: Rows, found: Learned | None) -> Rows:
    """Of the other rows, by the learned profile, or by any/rotation."""
    codec = Codec("any/rotation" if found is None else parse_profile(found.data, path=None))
    return codec.decode_batch(codec.encode_embeddings(x[KNOWN:], max_bytes=LIMIT))


@pytest.fixture(scope="module")
def whole() -> Learned:
    return learned(rows())


@pytest.fixture(scope="module")
def prefix() -> Learned:
    return learned(rows(CUT))


def test_a_prefix_is_learned_from_as_any_other_rows(prefix: Learned, whole: Learned) -> None:
    assert prefix.better
    assert prefix.cosine > prefix.rotation_cosine + 0.005  # in a file of the same size
    assert kept(rows(CUT)[KNOWN:], decoded(rows(CUT), prefix)) > 0.95
    assert prefix.size < 0.9 * whole.size  # the profile of a shorter vector is smaller


def test_a_learned_profile_sees_by_itself_where_little_is(prefix: Learned, whole: Learned) -> None:
    """In the same bytes whole rows have as many of the right neighbours as prefixes have."""
    right = neighbours(rows()[KNOWN:])
    by_whole, by_prefix, by_rotation = (
        shared(right, neighbours(decoded(*given)))
        for given in ((rows(), whole), (rows(CUT), prefix), (rows(), None))
    )
    assert by_whole > by_prefix - 0.02
    assert by_whole > by_rotation + 0.05


def test_of_centred_rows_one_learned_from_such_rows_keeps_more(whole: Learned) -> None:
    centred = rows() - rows()[:KNOWN].mean(axis=0)
    found = learned(centred)
    own = kept(centred[KNOWN:], decoded(centred, found))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        others = kept(centred[KNOWN:], decoded(centred, whole))
    assert own > others
    assert own > kept(centred[KNOWN:], decoded(centred, None)) + 0.02
    streams = Codec(parse_profile(found.data, path=None)).encode_embeddings(centred[KNOWN:])
    back = Codec(parse_profile(found.data, path=None)).decode_batch(streams)
    assert kept(rows()[KNOWN:], back) < 0.9  # they come back without the mean


def test_of_whitened_rows_there_is_nothing_to_learn_and_it_says_so() -> None:
    x = np.random.default_rng(1).standard_normal((KNOWN + ASKED, WIDTH)).astype(np.float32)
    found = learned(x)
    assert found.rotation_cosine - 0.1 < found.cosine < found.rotation_cosine + 0.01
    assert not found.better


def test_the_warning_of_a_learned_profile_says_what_it_was_learned_from(whole: Learned) -> None:
    codec = Codec(parse_profile(whole.data, path=None))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        codec.encode_embeddings(rows()[KNOWN:])
    with pytest.warns(BackboneWarning, match="that this profile was learned from.*--train"):
        codec.encode_embeddings(-rows()[KNOWN:])


def test_few_rows_do_not_make_strangers_of_others_like_them() -> None:
    """The least of a hundred cosines is no limit for the next thousand rows."""
    for seed in range(20):
        cosines = np.random.default_rng(seed).normal(0.67, 0.07, 1100)
        x = np.zeros((1100, 8), np.float32)
        x[:, 0] = cosines
        rest = np.random.default_rng(seed + 100).standard_normal((1100, 7))
        rest *= (np.sqrt(1 - cosines**2) / np.linalg.norm(rest, axis=1))[:, None]
        x[:, 1:] = rest
        tensors, found = compact.statistics(x[:100])
        mean, spread = tensors["statistics.mean"].astype(np.float32), np.ones(1, np.float32)
        stats = Statistics(mean, found["low"], found["floor"], np.empty((8, 0), np.float32), spread)
        assert found["floor"] < found["low"]
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            check_statistics(x[100:], stats, "any")


def test_of_a_profile_of_centred_rows_the_mean_says_nothing() -> None:
    """Then `compare` is the only one who does."""
    centred = rows() - rows()[:KNOWN].mean(axis=0)
    codec = Codec(parse_profile(learned(centred).data, path=None))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        codec.encode_embeddings(np.random.default_rng(0).standard_normal((50, WIDTH)))


def test_learned_profiles_travel_in_the_file(whole: Learned, tmp_path: object) -> None:
    path = f"{tmp_path}/rows.clpc"
    profile = parse_profile(whole.data, path=None)
    with clipcodec.create(path, profile=profile) as writer:
        writer.extend(Codec(profile).encode_embeddings(rows()[KNOWN:], max_bytes=LIMIT))
    with clipcodec.open(path) as container:
        found = clipcodec.search(container, rows()[KNOWN:], k=1).indices[:, 0]
    assert (found == np.arange(ASKED)).mean() > 0.8
