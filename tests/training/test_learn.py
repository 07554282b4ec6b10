"""learn: from rows to a profile of kind compact, and every refusal on the way."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import clipcodec
from clipcodec import Target
from clipcodec.container.embedded import Embedded
from clipcodec.errors import OptionError, OutputExistsError, RateError, TrainingError
from clipcodec.profile.file import parse_profile
from clipcodec.training.learn import Learned, learn


def rows(count: int, dim: int, seed: int = 0, decay: float = 1.0) -> np.ndarray:
    """Embeddings of a Gaussian around a mean, of falling variances, in a random basis."""
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(np.random.default_rng(99).standard_normal((dim, dim)))[0]
    x = rng.standard_normal((count, dim)) * np.arange(1, dim + 1) ** -decay
    x[:, 0] += 1.5
    x = x @ basis
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def codec(learned: Learned) -> clipcodec.Codec:
    return clipcodec.Codec(parse_profile(learned.data, path=None))


def kept(learned: Learned, x: np.ndarray, max_bytes: int) -> float:
    own = codec(learned)
    streams = own.encode_embeddings(x, max_bytes=max_bytes)
    return float((own.decode_batch(streams) * x).sum(axis=1).mean())


@pytest.fixture(scope="module")
def learned() -> Learned:
    return learn(rows(600, 32), target=Target(max_bytes=20))


def reached(learned: Learned, x: np.ndarray, min_cosine: float) -> int:
    """How many of these rows can have this cosine."""
    try:
        return len(codec(learned).encode_embeddings(x, min_cosine=min_cosine))
    except RateError as error:
        return len(x) - len(error.rows)


def test_every_row_of_the_file_reaches_the_least_cosine() -> None:
    """Not only the mean; and of rows to come nearly all."""
    x = rows(300, 64)
    found = learn(x, target=Target(min_cosine=0.95))
    assert reached(found, x, 0.95) == 300
    assert reached(found, rows(300, 64, seed=8), 0.95) >= 295
    assert found.rank < 64


def test_no_more_coefficients_than_anybody_sees() -> None:
    """Rows of six dimensions in fifty: more bytes than these can fill are not filled by noise."""
    rng = np.random.default_rng(4)
    x = rng.standard_normal((300, 6)) @ rng.standard_normal((6, 50))
    found = learn(x, target=Target(max_bytes=40))
    assert found.rank == 6
    assert found.cosine > 0.999


def test_narrow_rows_use_many_bytes() -> None:
    """The finest step is as fine as that of any/rotation, so that higher rates gain as well."""
    x = rows(300, 32)
    found = learn(x, target=Target(max_bytes=24))
    finest = codec(found).encode_embeddings(x, quality=100)
    assert (codec(found).decode_batch(finest) * x).sum(axis=1).mean() > 0.9998


@pytest.mark.parametrize("size", [1, 9])
def test_size_that_no_stream_has_is_refused_before_any_work(size: int) -> None:
    said: list[str] = []
    with pytest.raises(RateError, match=f"max_bytes is {size}: .* at least 10 bytes"):
        learn(rows(100, 8), target=Target(max_bytes=size), progress=said.append)
    assert not said


def test_save_writes_the_profile_file_and_replaces_none(learned: Learned, tmp_path: Path) -> None:
    learned.save(tmp_path / "own.safetensors")
    assert (tmp_path / "own.safetensors").read_bytes() == learned.data
    with pytest.raises(OutputExistsError):
        learned.save(tmp_path / "own.safetensors")
    learned.save(tmp_path / "own.safetensors", overwrite=True)


def test_profile_is_compact_and_codes_rows_it_never_saw(learned: Learned) -> None:
    profile = parse_profile(learned.data, path=None)
    assert (profile.kind.name, profile.dim) == ("compact", 32)
    other = rows(200, 32, seed=1)
    assert max(map(len, codec(learned).encode_embeddings(other, max_bytes=20))) <= 20
    assert abs(kept(learned, other, max_bytes=20) - learned.cosine) < 0.01


def test_result_says_what_the_profile_costs(learned: Learned) -> None:
    assert learned.size == len(Embedded.of(learned.data).block)
    assert learned.share == learned.size / 600
    assert (learned.rows, learned.held_out, learned.hidden) == (600, 600, 0)
    assert 1 <= learned.rank <= 32
    assert 10 < learned.bytes <= 20


def test_same_rows_give_the_same_profile(learned: Learned) -> None:
    assert learn(rows(600, 32), target=Target(max_bytes=20)).data == learned.data


@pytest.mark.parametrize(
    "target",
    [Target(), Target(quality=30), Target(mean_bytes=12), Target(min_cosine=0.9)],
    ids=repr,
)
def test_every_form_of_target_is_served(target: Target) -> None:
    x = rows(400, 16)
    found = learn(x, target=target)
    own = codec(found)
    streams = own.encode_embeddings(x, target)
    cosines = (own.decode_batch(streams) * x).sum(axis=1)
    if target.mean_bytes:
        assert abs(found.bytes / 12 - 1) < 0.05
    elif target.min_cosine:
        assert cosines.min() >= 0.9
    elif not target.quality:
        assert 0.97 < cosines.mean() < 0.995


def test_more_items_make_a_larger_profile_that_keeps_more() -> None:
    x = rows(300, 40, decay=0.5)
    small = learn(x, target=Target(max_bytes=20), items=300)
    large = learn(x, target=Target(max_bytes=20), items=1_000_000)
    assert large.size > small.size
    assert large.share < small.share
    assert large.cosine > small.cosine


def test_better_counts_the_profile_itself() -> None:
    """Rows of no structure at all: any/rotation is as good, and needs no profile."""
    noise = np.random.default_rng(3).standard_normal((300, 32)).astype(np.float32)
    assert not learn(noise, target=Target(max_bytes=12), items=10_000).better
    x = rows(300, 32)
    assert learn(x, target=Target(max_bytes=12), items=10_000).better
    assert not learn(x, target=Target(max_bytes=12), items=20).better


def test_groups_are_held_out_whole() -> None:
    """Neighbours in one group are no test: with them held out, rows are farther from the axes."""
    rng = np.random.default_rng(5)
    of = np.repeat(np.arange(20), 40)
    x = rng.standard_normal((20, 48))[of] + 0.05 * rng.standard_normal((800, 48))
    alone = learn(x, target=Target(max_bytes=20))
    apart = learn(x, target=Target(max_bytes=20), groups=of)
    assert apart.cosine < alone.cosine - 0.01


def test_counts_weigh_rows() -> None:
    """What counts often decides the mean."""
    x = rows(300, 16)
    counts = np.where(np.arange(300) < 20, 1000, 1)
    heavy = parse_profile(learn(x, target=Target(), counts=counts).data, path=None).statistics
    assert heavy is not None
    np.testing.assert_allclose(heavy.mean, np.average(x, axis=0, weights=counts), atol=1e-3)


@pytest.mark.parametrize("shape", [(300, 2), (64, 3), (200, 500)], ids=str)
def test_few_or_narrow_or_wide_rows(shape: tuple[int, int]) -> None:
    x = rows(*shape)
    found = learn(x, target=Target(max_bytes=40))
    assert found.rank <= min(shape)
    assert kept(found, x, max_bytes=40) > 0.8


def test_min_cosine_beyond_the_profile_is_a_rate_error() -> None:
    found = learn(rows(300, 64, decay=0.5), target=Target(max_bytes=12))
    assert found.rank < 64
    with pytest.raises(RateError, match="cosine"):
        codec(found).encode_embeddings(rows(50, 64, seed=4, decay=0.5), min_cosine=0.99999)


@pytest.mark.parametrize(
    ("x", "says"),
    [
        (rows(20, 8), "20 distinct embeddings among 20 rows: at least 64"),
        (np.ones((200, 8)), "all rows are the same"),
        (np.repeat(rows(10, 8), 30, axis=0), "10 distinct embeddings among 300 rows"),
        (np.ones((200, 8)) + 1e-6 * rows(200, 8), "all but the same"),
        (np.where(np.eye(100, 8), np.nan, 1.0), "NaN"),
        (np.zeros((100, 8)), "all zero"),
        (np.zeros((0, 8)), "0 distinct"),
    ],
)  # fmt: skip
def test_rows_that_teach_nothing(x: np.ndarray, says: str) -> None:
    with pytest.raises(TrainingError, match=says):
        learn(x, target=Target())


def test_options_out_of_range() -> None:
    x = rows(100, 8)
    with pytest.raises(OptionError, match="items=0"):
        learn(x, target=Target(), items=0)
    with pytest.raises(OptionError, match="groups of shape"):
        learn(x, target=Target(), groups=np.zeros(3))
    with pytest.raises(OptionError, match="counts must be above zero"):
        learn(x, target=Target(), counts=np.zeros(100, np.int64))


def test_progress_is_told_in_words() -> None:
    said: list[str] = []
    learn(rows(100, 8), target=Target(), progress=said.append)
    assert said
    assert all(isinstance(text, str) for text in said)
