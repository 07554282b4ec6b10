"""`Noticed`: the divergence of the softmax over texts, its gradient, and the use of an effort."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import clipcodec
from clipcodec import Target, TextEmbeddings
from clipcodec.embeddings import Embeddings
from clipcodec.errors import OptionError
from clipcodec.kinds.trellis.noticed import TEMPERATURE, Noticed
from clipcodec.profile import registry


def drawn(count: int, seed: int = 0) -> Embeddings:
    statistics = registry.by_name(registry.DEFAULT).statistics
    assert statistics is not None
    return statistics.draw(count, seed=seed)


def texts(count: int = 40) -> Embeddings:
    """Texts that tell such embeddings apart."""
    x = drawn(count, seed=7)
    mixed = x - 0.9 * x.mean(axis=0)
    return (mixed / np.linalg.norm(mixed, axis=1, keepdims=True)).astype(np.float32)


def divergence(words: Embeddings, x: Embeddings, y: Any) -> np.ndarray:
    """Kullback–Leibler, in nats, written out."""

    def shares(rows: Any) -> Any:
        unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        weights = np.exp(TEMPERATURE * unit.astype(np.float64) @ words.T)
        return weights / weights.sum(axis=1, keepdims=True)

    p, q = shares(x), shares(y)
    return np.asarray((p * np.log(p / q)).sum(axis=1))


def test_the_divergence_is_that_of_the_softmaxes() -> None:
    x, words = drawn(5), texts()
    y = (x + 0.01 * np.random.default_rng(0).normal(size=x.shape)).astype(np.float32) * 3
    found = Noticed(words, x).divergence(y, np.arange(5))
    assert np.allclose(found, divergence(words, x, y), rtol=1e-3, atol=1e-6)
    assert np.allclose(Noticed(words, x).divergence(x, np.arange(5)), 0, atol=1e-6)


def test_the_gradient_is_the_slope_of_the_divergence() -> None:
    x, words = drawn(4), texts()
    rng = np.random.default_rng(1)
    y = x.astype(np.float64) * 1.3 + 0.01 * rng.normal(size=x.shape)
    value, gradient = Noticed(words, x).gradient(y.astype(np.float32))
    way = rng.normal(size=x.shape)
    way /= np.linalg.norm(way, axis=1, keepdims=True)
    h = 1e-4
    up, down = (divergence(words, x, y + s * h * way) for s in (1, -1))
    assert np.allclose((gradient * way).sum(axis=1), (up - down) / (2 * h), rtol=0.02, atol=1e-3)
    assert np.allclose(value, divergence(words, x, y), rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("asked", [{"max_bytes": 40}, {"quality": 30}])
def test_more_effort_keeps_more_of_what_texts_tell_apart(asked: dict[str, Any]) -> None:
    x, words = drawn(10, seed=3), texts()

    def kept(**options: Any) -> float:
        streams = clipcodec.encode_embeddings(x, **asked, **options)
        assert all(len(stream) <= asked.get("max_bytes", 999) for stream in streams)
        return float(divergence(words, x, clipcodec.decode_batch(streams)).mean())

    plain = kept()
    assert kept(effort=5, texts=words) < 0.7 * plain
    assert kept(effort=3, texts=TextEmbeddings(tuple(map(str, range(40))), words)) < 0.9 * plain


def test_the_profiles_own_texts_are_used_where_none_are_given() -> None:
    statistics = registry.by_name(registry.DEFAULT).statistics
    assert statistics is not None
    assert statistics.bank is not None
    x = drawn(8)
    own = clipcodec.encode_embeddings(x, quality=20, effort=3)
    assert own == clipcodec.encode_embeddings(x, quality=20, effort=3, texts=statistics.bank)
    assert own != clipcodec.encode_embeddings(x, quality=20)


def test_an_embedding_gives_the_same_stream_in_any_batch() -> None:
    x = drawn(8, seed=5)
    for asked in ({"max_bytes": 34}, {"quality": 40}, {"min_cosine": 0.9}):
        together = clipcodec.encode_embeddings(x, effort=3, **asked)
        for i in (0, 5):
            alone = clipcodec.encode_embedding(x[i], effort=3, **asked)
            assert alone == together[i]


def test_without_texts_the_squared_error_is_what_falls() -> None:
    """`any/rotation` knows none: coefficients are moved at random."""
    x = np.random.default_rng(0).normal(size=(6, 64)).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)

    def cosine(effort: int) -> float:
        streams = clipcodec.encode_embeddings(
            x, profile="any/rotation", max_bytes=20, effort=effort
        )
        return float((x * clipcodec.decode_batch(streams)).sum())

    assert cosine(6) > cosine(1)


def test_a_lower_cosine_bound_takes_no_more_bytes_with_more_effort() -> None:
    x = drawn(6, seed=9)
    sizes = [
        sum(map(len, clipcodec.encode_embeddings(x, min_cosine=0.95, effort=effort)))
        for effort in (1, 6)
    ]
    assert sizes[1] <= sizes[0]


@pytest.mark.parametrize("effort", [0, 10, 1.5, "high", True, None])
def test_efforts_out_of_range_are_refused(effort: Any) -> None:
    with pytest.raises(OptionError, match=r"effort=.* is not a whole number in 1 … 9"):
        Target(effort=effort)


def test_texts_that_cannot_be_compared_are_refused() -> None:
    with pytest.raises(OptionError, match=r"texts of 30 dimensions, the embeddings have 512"):
        clipcodec.encode_embeddings(drawn(2), effort=2, texts=np.ones((3, 30), np.float32))
    for bad in (np.ones((1, 512)), np.zeros((3, 512)), "words", np.ones((20_000, 2))):
        with pytest.raises(OptionError, match="texts"):
            Target(effort=2, texts=bad)


def test_the_identity_tells_targets_apart_for_json() -> None:
    one, two = (Target(effort=2, texts=texts(n)).identity() for n in (40, 41))
    assert one["effort"] == 2
    assert len(one["texts"]) == 64
    assert one != two
