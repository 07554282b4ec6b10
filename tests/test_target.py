"""clipcodec.target: options are checked before any work, without encoding anything."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields
from typing import Any, NamedTuple, get_type_hints

import numpy as np
import pytest

from clipcodec import Codec, Target
from clipcodec.errors import OptionError
from clipcodec.target import TargetOptions


class Offered(NamedTuple):
    """A profile, as far as a target looks at it."""

    name: str = "p"
    coders: tuple[str, ...] = ("raw", "rans")
    qualities: int = 0
    bits: int | None = None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"quality": 50, "max_bytes": 60}, "quality and max_bytes contradict"),
        ({"max_bytes": 60, "min_cosine": 0.9}, "max_bytes and min_cosine contradict"),
        ({"quality": 0}, r"1 … 100"),
        ({"quality": 101}, r"1 … 100"),
        ({"quality": float("nan")}, r"1 … 100"),
        ({"quality": "best"}, "not a number"),
        ({"quality": True}, "not a number"),
        ({"max_bytes": np.complex64(60)}, "not a number"),
        ({"max_bytes": 0}, "positive whole"),
        ({"max_bytes": 60.5}, "positive whole"),
        ({"max_bytes": float("inf")}, "positive whole"),
        ({"max_bytes": float("nan")}, "positive whole"),
        ({"min_cosine": 1.01}, "0 … 1"),
        ({"min_cosine": float("nan")}, "0 … 1"),
        ({"mean_bytes": 0}, "not a positive number"),
        ({"mean_bytes": float("inf")}, "not a positive number"),
        ({"mean_bytes": float("nan")}, "not a positive number"),
        ({"mean_bytes": "50"}, "not a number"),
        ({"mean_bytes": 50, "quality": 40}, "quality and mean_bytes contradict"),
        ({"mean_bytes": 50, "max_bytes": 60}, "max_bytes and mean_bytes contradict"),
        ({"weight": 1.1}, "goes with a quality"),
        ({"weight": 1.1, "max_bytes": 50}, "goes with a quality"),
        ({"weight": 0, "quality": 40}, r"0\.001 … 1000"),
        ({"weight": "1", "quality": 40}, "not a number"),
        ({"entropy": 3}, "not the name of an entropy coder"),
    ],
)
def test_impossible_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        Target(**options)


def test_numpy_numbers_are_numbers() -> None:
    assert Target(max_bytes=np.int64(60)).max_bytes == 60  # type: ignore[arg-type]
    assert Target(min_cosine=np.float32(0.5)).min_cosine == 0.5  # type: ignore[arg-type]


def test_a_fixed_rate_has_no_quality() -> None:
    Target(max_bytes=10).check(Offered())
    with pytest.raises(OptionError, match="profile p has one fixed rate"):
        Target(quality=50).check(Offered())
    Target(quality=50).check(Offered(qualities=100))


def test_a_quality_is_a_whole_number() -> None:
    Target(quality=50.0).check(Offered(qualities=100))
    with pytest.raises(OptionError, match=r"quality=50\.5: profile p has whole ones only"):
        Target(quality=50.5).check(Offered(qualities=100))


def test_an_average_needs_many_and_a_choice_of_rates() -> None:
    Target(mean_bytes=50.5).check(Offered(qualities=100))
    with pytest.raises(OptionError, match="for one embedding give max_bytes or quality"):
        Target(mean_bytes=50).check(Offered(qualities=100), one=True)
    with pytest.raises(OptionError, match="profile p has one fixed rate: choose a profile"):
        Target(mean_bytes=50).check(Offered())
    with pytest.raises(OptionError, match="one fixed rate of 100 bytes before coding"):
        Target(mean_bytes=50).check(Offered(bits=800))


def test_auto_tries_all_coders_of_the_profile_in_order() -> None:
    assert Target().coders(Offered()) == ("raw", "rans")
    assert Target(entropy="rans").coders(Offered()) == ("rans",)
    with pytest.raises(OptionError, match="entropy='huffman': profile p has auto, raw, rans"):
        Target(entropy="huffman").check(Offered())


def test_a_stricter_target_keeps_the_coder() -> None:
    assert Target(max_bytes=50, entropy="rans").stricter() == Target(max_bytes=49, entropy="rans")
    assert Target(max_bytes=1).stricter() == Target(max_bytes=1)
    closer = Target(min_cosine=0.9).stricter().min_cosine
    assert closer is not None
    assert 0.9 < closer < 1


def test_a_target_is_frozen_and_compares_by_value() -> None:
    assert {Target(max_bytes=50): 1}[Target(max_bytes=50)] == 1
    with pytest.raises(FrozenInstanceError):
        Target().quality = 5  # type: ignore[misc]


def test_options_by_name_are_the_fields() -> None:
    assert [*get_type_hints(TargetOptions)] == [field.name for field in fields(Target)]


def test_a_codec_takes_one_target_or_options_by_name(rates: Any) -> None:
    codec, x = Codec(rates), np.ones((2, 24))
    assert codec.encode_embeddings(x, Target(quality=9)) == codec.encode_embeddings(x, quality=9)
    with pytest.raises(OptionError, match="one Target, or its fields by name"):
        codec.encode_embeddings(x, Target(quality=9), max_bytes=20)
    with pytest.raises(OptionError, match="int: give one Target"):
        codec.encode_embeddings(x, 50)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="max_byte"):
        codec.encode_embeddings(x, max_byte=20)  # type: ignore[call-arg]


def test_a_wrong_target_is_refused_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even the input is not looked at."""
    with pytest.raises(OptionError, match="whole ones only"):
        Codec().encode_embeddings("no embeddings at all", quality=2.5)
