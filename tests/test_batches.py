"""clipcodec.batches: any number of rows, in parts, as if each were alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import clipcodec
from clipcodec import BackboneWarning, Codec, Target, batches
from clipcodec.batches import encode_all, encode_each, encode_parts, resolve_parts, unit_parts
from clipcodec.bitstream import CODERS
from clipcodec.embeddings import Embeddings
from clipcodec.errors import CorruptError, DecodeError, EmbeddingError, RateError
from clipcodec.mean import Sample
from clipcodec.profile import Profile
from clipcodec.profile.registry import by_name
from tests.helpers.profiles import cone, drawn


@pytest.fixture(scope="module")
def variable(rates: Profile) -> Codec:
    return Codec(rates)


def unit(x: np.ndarray) -> Embeddings:
    rows: Embeddings = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    return rows


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of few rows, so that some tens are many parts."""
    monkeypatch.setattr(batches, "_ENCODED", 7)
    monkeypatch.setattr(batches, "_DECODED", 300)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("options", [{"quality": 40}, {"max_bytes": 15}])
def test_parts_change_no_stream(rates: Profile, options: dict[str, Any]) -> None:
    x, target = unit(cone(60, 24, seed=1)), Target(**options)
    whole = encode_all(rates, x, target)
    assert whole == [encode_all(rates, row[None], target)[0] for row in x]
    assert encode_parts(rates, lambda: np.split(x, [1, 2, 30]), target, 60) == whole


@pytest.mark.usefixtures("small")
def test_the_sample_of_mean_bytes_is_the_whole_of_a_small_input(rates: Profile) -> None:
    """In the order of the rows; and `resolve_parts` gives the point that they were encoded at."""
    x, target = unit(cone(90, 24, seed=2)), Target(mean_bytes=16)
    streams = encode_parts(rates, lambda: np.split(x, 3), target, 90)
    assert sum(map(len, streams)) / 90 == pytest.approx(16, rel=0.02)
    point = resolve_parts(rates, lambda: [x], target)
    assert streams == encode_all(rates, x, point)
    assert resolve_parts(rates, lambda: [], target) is target
    assert resolve_parts(rates, lambda: [x], point) is point


def test_a_sample_that_misleads_is_corrected(
    rates: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By another pass over all rows, and the average is met in the end."""
    x = unit(cone(40, 24, seed=3))
    far = unit(np.random.default_rng(0).normal(size=(360, 24)))
    monkeypatch.setattr("clipcodec.mean.sample", lambda parts: Sample([*x], np.arange(40), 400))
    passes = 0

    def parts() -> Iterator[Embeddings]:
        nonlocal passes
        passes += 1
        yield x
        yield far

    streams = encode_parts(rates, parts, Target(mean_bytes=20), 400)
    assert passes > 1
    assert sum(map(len, streams)) / 400 == pytest.approx(20, rel=0.02)


def test_errors_name_rows_of_the_whole_batch(rates: Profile) -> None:
    fixed = by_name("openai-vit-b-32/pqvae-400")
    x = drawn(5, fixed)
    sizes = [len(stream) for stream in encode_all(fixed, x, Target())]
    with pytest.raises(RateError) as refused:
        encode_parts(fixed, lambda: [x[:2], x[2:]], Target(max_bytes=max(sizes) - 1), 5)
    longest = [i for i, size in enumerate(sizes) if size == max(sizes)]
    first = [i for i in longest if i < 2] or longest  # the part that is refused first
    assert [*refused.value.rows] == first
    with pytest.raises(EmbeddingError) as caught:
        list(unit_parts(rates, None, np.vstack([cone(40_000, 24), np.zeros((1, 24))]))())
    assert caught.value.rows == (40_000,)


def test_rows_of_several_widths_keep_their_order() -> None:
    profile, target = by_name("any/rotation"), Target(quality=50)
    rows = [unit(cone(1, dim, seed=i))[0] for i, dim in enumerate((8, 16, 8, 24, 16))]
    assert encode_each(profile, rows, target) == [
        encode_all(profile, row[None], target)[0] for row in rows
    ]
    assert encode_each(profile, [], target) == []


def test_a_warning_of_another_model_comes_once() -> None:
    profile = by_name("openai-vit-b-32/predictive")
    rows = np.random.default_rng(0).normal(size=(300, 512))
    parts = unit_parts(profile, None, rows)
    with pytest.warns(BackboneWarning):
        (x,) = parts()
    assert np.allclose(np.linalg.norm(x, axis=1), 1, atol=1e-6)
    (again,) = parts()  # a second warning would be an error
    assert (again == x).all()


@pytest.mark.usefixtures("small")
def test_damage_in_several_parts_is_named_at_once(variable: Codec) -> None:
    streams = variable.encode_embeddings(cone(2000, 24, seed=5), quality=50)
    for i in (3, 700, 1999):
        streams[i] = streams[i][:8] + bytes([streams[i][8] ^ 1]) + streams[i][9:]
    with pytest.raises(CorruptError) as caught:
        variable.decode_batch(streams)
    assert caught.value.rows == (3, 700, 1999)


def test_streams_of_several_coders_decode_together_in_order(tiny: Profile) -> None:
    codec = Codec(tiny)
    x = np.random.default_rng(0).normal(size=(60, 8))
    streams = [codec.encode_embedding(row, entropy=CODERS[i % 3]) for i, row in enumerate(x)]
    alone = np.stack([codec.decode(s) for s in streams])
    assert np.allclose(codec.decode_batch(streams), alone, atol=1e-6)


@pytest.mark.parametrize("name", ["rates", "any/rotation"])
def test_batches_of_all_qualities_are_singles(rates: Profile, name: str) -> None:
    """Encoded and decoded alone or together: the same bytes, the same embeddings, in order."""
    codec, x = Codec(rates if name == "rates" else name), cone(90, 24, seed=2)
    streams: list[bytes] = []
    for quality, part in zip((1, 50, 100), np.split(x, 3), strict=True):
        streams += codec.encode_embeddings(part, quality=quality)
        assert streams[-30:] == [codec.encode_embedding(row, quality=quality) for row in part]
    order = np.random.default_rng(0).permutation(90)
    y = codec.decode_batch(streams[i] for i in order)
    assert np.allclose(y, [codec.decode(streams[i]) for i in order], atol=1e-6)
    assert np.allclose(np.linalg.norm(y, axis=1), 1, atol=1e-5)
    assert ((y * x[order]).sum(axis=1)[order >= 60] > 0.995).all()


def test_any_width_but_one_at_a_time() -> None:
    codec = Codec("any/rotation")
    streams = [codec.encode_embedding(cone(1, dim)[0], quality=90) for dim in (1, 2, 31, 768)]
    assert [len(codec.decode(stream)) for stream in streams] == [1, 2, 31, 768]
    with pytest.raises(DecodeError, match="stream 1 and 2 more: 2 dimensions, the first has 1"):
        codec.decode_batch(streams)
    with pytest.raises(DecodeError, match="dimensions, the first has"):
        clipcodec.decode_batch(streams[1:3])
    assert codec.decode_batch([]).shape == (0, 0)
    assert codec.encode_embeddings([]) == []
    with pytest.raises(EmbeddingError):
        codec.encode_embedding([])


def test_profiles_of_one_width_decode_together(variable: Codec) -> None:
    """Streams of several profiles, in one batch, wherever the widths agree."""
    x = cone(40, 24, seed=3)
    streams = [
        (variable if i % 2 else Codec("any/rotation")).encode_embedding(row, quality=90)
        for i, row in enumerate(x)
    ]
    assert ((variable.decode_batch(streams) * x).sum(axis=1) > 0.99).all()
