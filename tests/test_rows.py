"""clipcodec.rows: the way there and back, for the rows of one batch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import clipcodec
from clipcodec import Codec, Target
from clipcodec.errors import CorruptError, OptionError, RateError
from clipcodec.kinds import Quantized
from clipcodec.profile import Profile
from clipcodec.profile.registry import by_name
from clipcodec.rows import decode_rows, encode_rows, reconstruct
from clipcodec.stream import pack, parse_all
from tests.helpers.profiles import cone, drawn


def unit(x: np.ndarray) -> np.ndarray:
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def test_there_and_back_is_what_the_symbols_say(rates: Profile) -> None:
    """`decode_rows` gives what `reconstruct` makes of the encoder's own symbols."""
    x, target = unit(cone(40, 24, seed=1)), Target(quality=60)
    streams = encode_rows(rates, x, target)
    decoded = decode_rows(parse_all(streams, lambda header: rates))
    assert (decoded == reconstruct(rates, *rates.kind.quantize(x, target, 6))).all()
    assert decoded.dtype == np.float32
    assert np.allclose(np.linalg.norm(decoded, axis=1), 1, atol=1e-6)


def test_rows_whose_rate_search_was_wrong_are_encoded_again(
    rates: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those alone, and by a stricter target."""
    x = unit(cone(6, 24, seed=2))
    plain = encode_rows(rates, x, Target(max_bytes=16))
    own, asked = type(rates.kind).quantize, list[tuple[int, Target]]()

    def careless(kind: Any, rows: np.ndarray, target: Target, *more: Any) -> Quantized:
        asked.append((len(rows), target))
        found = own(kind, rows, target, *more)
        if len(asked) == 1:
            finest = own(kind, rows, Target(quality=100), *more)
            found.symbols[2], found.qualities[2] = finest.symbols[2], 100
        return found

    monkeypatch.setattr(type(rates.kind), "quantize", careless)
    again = encode_rows(rates, x, Target(max_bytes=16))
    assert [count for count, _ in asked] == [6, 1]
    assert asked[1][1] == asked[0][1].stricter()
    assert again[:2] + again[3:] == plain[:2] + plain[3:]
    assert max(map(len, again)) <= 16


def test_what_a_profile_cannot_reach_names_the_rows() -> None:
    profile = by_name("openai-vit-b-32/pqvae-400")
    with pytest.raises(RateError, match="max_bytes is 9") as caught:
        encode_rows(profile, drawn(3, profile), Target(max_bytes=9))
    assert caught.value.rows == (0, 1, 2)


def test_texts_of_another_width_are_an_option_error(rates: Profile) -> None:
    texts = unit(np.random.default_rng(0).normal(size=(3, 8)))
    with pytest.raises(OptionError, match="texts of 8 dimensions, the embeddings have 24"):
        encode_rows(rates, unit(cone(2, 24)), Target(quality=50, texts=texts, effort=3))


def test_reconstruct_names_rows_without_a_direction() -> None:
    """In any part of the batch."""
    profile = by_name("any/rotation")
    symbols = np.ones((1100, 24), np.int64)
    symbols[[3, 700]] = 0
    with pytest.raises(CorruptError, match="no direction") as caught:
        reconstruct(profile, symbols[100:], np.full(1000, 50))
    assert caught.value.rows == (600,)
    assert len(reconstruct(profile, np.delete(symbols, [3, 700], 0), np.full(1098, 50))) == 1098


def test_nothing_but_zeros_has_no_direction() -> None:
    """Levels all zero decode to nothing with any/rotation; no encoder writes them."""
    profile = by_name("any/rotation")
    stream = pack(profile, Quantized(np.zeros((1, 24), np.int64), np.array([50])), ["rans"])[0]
    with pytest.raises(CorruptError, match="no direction"):
        clipcodec.decode(stream)
    x = np.random.default_rng(0).normal(size=(300, 24))
    decoded = clipcodec.decode_batch(Codec(profile).encode_embeddings(x, quality=1))
    assert ((decoded * x).sum(axis=1) > 0).all()


def test_targets_hold_exactly_at_what_is_reached() -> None:
    """A target that is met changes nothing; one just above it is refused."""
    shipped = Codec("openai-vit-b-32/pqvae-600")
    x = drawn(20, shipped.profile, seed=4)
    plain = shipped.encode_embeddings(x)
    longest = max(map(len, plain))
    assert shipped.encode_embeddings(x, max_bytes=longest) == plain
    with pytest.raises(RateError, match="max_bytes"):
        shipped.encode_embeddings(x, max_bytes=longest - 1)
    worst = float((x * shipped.decode_batch(plain)).sum(axis=1).min())
    assert shipped.encode_embeddings(x, min_cosine=worst - 1e-4) == plain
    with pytest.raises(RateError, match="min_cosine"):
        shipped.encode_embeddings(x, min_cosine=worst + 1e-4)
