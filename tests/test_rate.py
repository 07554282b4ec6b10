"""clipcodec.rate: options are judged before any work; targets hold or RateError."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from clipcodec.errors import OptionError, RateError
from clipcodec.rate import Target, check_cosines, check_fixed_rate, check_sizes


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
    ],
)
def test_impossible_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        Target(**options)


def test_numpy_numbers_are_numbers() -> None:
    assert Target(max_bytes=np.int64(60)).max_bytes == 60
    assert Target(min_cosine=np.float32(0.5)).min_cosine == 0.5


def test_a_fixed_rate_has_no_quality() -> None:
    check_fixed_rate(Target(max_bytes=10), "p")
    with pytest.raises(OptionError, match="profile p has one fixed rate"):
        check_fixed_rate(Target(quality=50), "p")


def test_the_first_stream_too_long_is_named() -> None:
    check_sizes(Target(max_bytes=3), [b"abc", b"ab"], "p")
    with pytest.raises(
        RateError, match=r"embedding 1 takes 4 bytes with profile p.*max_bytes is 3"
    ):
        check_sizes(Target(max_bytes=3), [b"abc", b"abcd"], "p")


def test_the_first_embedding_too_far_is_named() -> None:
    check_cosines(Target(min_cosine=0.9), np.array([0.9, 1], np.float32), "p")
    for bad in (0.8, np.nan):
        with pytest.raises(RateError, match=r"embedding 1 reaches cosine .* min_cosine is 0.9"):
            check_cosines(Target(min_cosine=0.9), np.array([0.95, bad], np.float32), "p")
