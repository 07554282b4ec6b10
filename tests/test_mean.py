"""clipcodec.mean: one quality and weight for many embeddings, whose average is what was asked."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import clipcodec
from clipcodec import Codec, OptionError, RateError, Target, mean
from clipcodec.embeddings import Embeddings, normalise
from tests.helpers.profiles import cone

ASKED = (16, 25, 50, 100)


@pytest.fixture(scope="module")
def codec() -> Codec:
    return Codec()


@pytest.fixture(scope="module")
def drawn(codec: Codec) -> Embeddings:
    """Rows as the default profile's statistics draw them."""
    assert codec.profile.statistics is not None
    return codec.profile.statistics.draw(300, seed=1)


@pytest.fixture(scope="module")
def few(drawn: Embeddings) -> Embeddings:
    return drawn[:40]


def average(streams: list[bytes]) -> float:
    return sum(map(len, streams)) / len(streams)


# --- the average ---


@pytest.mark.parametrize("asked", ASKED)
def test_the_average_of_drawn_rows_is_within_one_percent(
    codec: Codec, drawn: Embeddings, asked: int
) -> None:
    assert average(codec.encode_embeddings(drawn, mean_bytes=asked)) == pytest.approx(asked, 0.01)


@pytest.mark.parametrize("asked", ASKED)
def test_the_average_of_real_rows_is_within_one_percent(
    codec: Codec, real_rows: Embeddings, asked: int
) -> None:
    streams = codec.encode_embeddings(real_rows[:200], mean_bytes=asked)
    assert average(streams) == pytest.approx(asked, 0.01)
    assert max(map(len, streams)) > 1.2 * asked, "only the average is given"


@pytest.mark.parametrize("asked", [16, 50])
def test_any_width_and_model(asked: int) -> None:
    x = np.random.default_rng(0).normal(size=(200, 96)) + np.linspace(3, 0, 96)
    streams = clipcodec.encode_embeddings(x, profile="any/rotation", mean_bytes=asked)
    assert average(streams) == pytest.approx(asked, 0.01)


def test_a_sample_stands_for_more_rows(
    codec: Codec, drawn: Embeddings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it does not, the whole is encoded once more."""
    monkeypatch.setattr(mean.sample, "__defaults__", (20,))
    streams = codec.encode_embeddings(drawn[:150], mean_bytes=50)
    assert average(streams) == pytest.approx(50, 0.01)
    assert codec.decode_batch(streams).shape == (150, 512)


def test_one_row_comes_as_near_as_it_can(codec: Codec, few: Embeddings) -> None:
    (stream,) = codec.encode_embeddings(few[:1], mean_bytes=50)
    assert abs(len(stream) - 50) <= 4


def test_no_rows_give_no_streams(codec: Codec) -> None:
    assert codec.encode_embeddings(np.empty((0, 512)), mean_bytes=50) == []
    assert codec.encode_embeddings([], mean_bytes=50) == []
    assert codec.encode_batch([], mean_bytes=50) == []
    with pytest.raises(clipcodec.EmbeddingError, match="no embeddings"):
        codec.resolve(np.empty((0, 512)), mean_bytes=50)


# --- the same stream for the same row ---


def test_a_row_has_the_same_stream_in_any_order(codec: Codec, few: Embeddings) -> None:
    """Also with other threads, numbers of another type, and rows that come twice."""
    few = few[:30]
    rows = np.concatenate([few, few[:10]])
    streams = codec.encode_embeddings(rows, mean_bytes=40)
    order = np.random.default_rng(0).permutation(len(rows))
    assert codec.encode_embeddings(rows[order], mean_bytes=40) == [streams[i] for i in order]
    assert codec.encode_embeddings(rows.astype(np.float64), mean_bytes=40) == streams
    assert streams[:10] == streams[30:]


def test_the_order_does_not_matter_where_only_a_sample_is_looked_at(
    codec: Codec, drawn: Embeddings
) -> None:
    order = np.random.default_rng(0).permutation(len(drawn))

    def rows_of(x: Embeddings, step: int) -> mean.Sample:
        def parts() -> Iterator[Embeddings]:
            for at in range(0, len(x), step):
                yield x[at : at + step]

        return mean.sample(parts, 50)

    one, other = rows_of(drawn, 64), rows_of(drawn[order], 150)
    assert np.array_equal(one.rows, other.rows)
    assert np.array_equal(drawn[one.places], one.rows)
    assert (one.count, one.whole) == (300, False)


def test_a_row_that_comes_often_is_in_the_sample_as_often(drawn: Embeddings) -> None:
    """By its hash alone it would be there always or never."""
    x = np.concatenate([drawn[:200], np.repeat(drawn[200:201], 200, axis=0)])
    rows = mean.sample(lambda: [x], 100).rows
    share = sum(np.array_equal(row, drawn[200]) for row in rows)
    assert 30 < share < 70


def test_zeros_of_either_sign_are_the_same() -> None:
    x = np.array([[1, 0, 0]], np.float32)
    assert mean.hashes_of(x) == mean.hashes_of(x * np.array([1, -1, 1], np.float32))


def test_a_point_is_kept_and_used_for_others(codec: Codec, few: Embeddings) -> None:
    """One by one, in other processes: it is a target like any other."""
    point = codec.resolve(few, mean_bytes=50)
    assert point.mean_bytes is None
    assert point.quality is not None
    again = pickle.loads(pickle.dumps(point))
    assert again == point
    streams = codec.encode_embeddings(few, mean_bytes=50)
    assert [codec.encode_embedding(x, again) for x in few[:5]] == streams[:5]
    by_name = codec.encode_embeddings(few, quality=point.quality, weight=point.weight)
    assert by_name == streams
    assert codec.resolve(few, max_bytes=50) == Target(max_bytes=50)


def test_a_weight_makes_streams_smaller_or_larger(codec: Codec, few: Embeddings) -> None:
    sizes = [average(codec.encode_embeddings(few, quality=40, weight=w)) for w in (1.5, 1, 0.7)]
    assert sizes == sorted(sizes)
    assert len(set(sizes)) == 3
    assert codec.encode_embeddings(few, quality=40, weight=1) == codec.encode_embeddings(
        few, quality=40
    )


def test_a_memory_map_is_read_part_by_part(codec: Codec, few: Embeddings, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", few)
    rows = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert codec.encode_embeddings(rows, mean_bytes=40) == codec.encode_embeddings(
        few, mean_bytes=40
    )


# --- what cannot be ---


@pytest.mark.parametrize("asked", [3, 2000])
def test_out_of_reach_names_what_is_in_reach(codec: Codec, few: Embeddings, asked: int) -> None:
    with pytest.raises(RateError) as caught:
        codec.encode_embeddings(few, mean_bytes=asked)
    ends = [average(codec.encode_embeddings(few, quality=q)) for q in (1, 100)]
    assert f"mean_bytes is {asked}: profile openai-vit-b-32/predictive" in str(caught.value)
    assert f"reaches {ends[0]:.1f} to {ends[1]:.1f} bytes on average" in str(caught.value)
    assert caught.value.rows == ()


def test_the_ends_are_in_reach(codec: Codec, few: Embeddings) -> None:
    for quality in (1, 100):
        end = average(codec.encode_embeddings(few, quality=quality))
        streams = codec.encode_embeddings(few, mean_bytes=end)
        assert average(streams) == pytest.approx(end, 0.01)


def test_a_single_item_has_no_mean(codec: Codec, few: Embeddings) -> None:
    """It is said before the image is opened or the backbone loaded."""
    calls: list[Any] = [
        lambda: clipcodec.encode_embedding(few[0], mean_bytes=50),
        lambda: codec.encode_embedding(few[0], mean_bytes=50),
        lambda: clipcodec.encode("none.jpg", mean_bytes=50),
        lambda: codec.encode("none.jpg", Target(mean_bytes=50)),
    ]
    for call in calls:
        with pytest.raises(OptionError, match="give max_bytes or quality"):
            call()


def test_a_profile_of_one_rate_says_which() -> None:
    with pytest.raises(OptionError, match="one fixed rate of 50 bytes before coding"):
        clipcodec.encode_embeddings(
            np.ones((3, 512)), profile="openai-vit-b-32/pqvae-400", mean_bytes=50
        )


def test_bad_rows_are_named(codec: Codec, few: Embeddings) -> None:
    x = few.copy()
    x[7] = np.nan
    with pytest.raises(clipcodec.EmbeddingError, match="embedding 7: NaN"):
        codec.encode_embeddings(x, mean_bytes=50)


def test_a_private_profile(rates: Any) -> None:
    x = normalise(cone(300, 24))
    low, high = (average(Codec(rates).encode_embeddings(x, quality=q)) for q in (1, 100))
    streams = Codec(rates).encode_embeddings(x, mean_bytes=(low + high) / 2)
    assert average(streams) == pytest.approx((low + high) / 2, 0.01)


def test_embeddings_of_another_model_are_warned_of_once(codec: Codec) -> None:
    """However often they are read."""
    x = np.random.default_rng(0).normal(size=(30, 512))
    with pytest.warns(clipcodec.BackboneWarning) as said:
        codec.encode_embeddings(x, mean_bytes=90)
    assert len(said) == 1
