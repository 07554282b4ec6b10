"""clipcodec.entropy.payloads: many byte strings in one buffer, like a list of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipcodec.entropy import Payloads, payloads
from clipcodec.entropy.ans import check_payloads
from clipcodec.errors import DecodeError

ROWS = st.lists(st.binary(max_size=19), max_size=30)


@given(ROWS)
def test_they_are_a_sequence_of_these_bytes(rows: list[bytes]) -> None:
    made = Payloads.of(rows)
    assert list(made) == rows
    assert [made[i] for i in range(len(made))] == rows
    assert list(made[1:-1]) == rows[1:-1]
    assert list(made.take(np.arange(len(rows))[::-1])) == rows[::-1]
    assert Payloads.of(made) is made
    assert list(Payloads.of(iter(rows))) == rows


@given(ROWS)
def test_all_without_their_first_bytes(rows: list[bytes]) -> None:
    skipped = np.array([len(row) // 2 for row in rows], np.int64)
    assert list(Payloads.of(rows).after(skipped)) == [row[len(row) // 2 :] for row in rows]


@given(ROWS, st.integers(0, 7), st.integers(1, 8), st.booleans())
def test_words_are_the_bytes_and_zeros_behind(
    rows: list[bytes], words: int, portion: int, tail: bool
) -> None:
    """Whatever lies behind them in the buffer, whatever is filled at a time."""
    made = Payloads.of(rows)
    if tail:
        made.buffer = np.concatenate([made.buffer, np.full(64, 255, np.uint8)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(payloads, "_ROWS", portion)
        found = made.padded(words)
    width = max([words, *(len(row) + 3 >> 2 for row in rows)])
    assert found.dtype == np.uint32
    assert found.shape == (len(rows), width)
    assert [row.astype("<u4").tobytes() for row in found] == [
        row.ljust(4 * width, b"\0") for row in rows
    ]


def test_they_may_overlap_in_any_order() -> None:
    buffer = np.frombuffer(b"abcdefgh", np.uint8)
    made = Payloads(buffer, np.array([5, 0, 2]), np.array([3, 4, 6]))
    assert list(made) == [b"fgh", b"abcd", b"cdefgh"]
    assert made.padded().tobytes() == b"fgh\0\0\0\0\0abcd\0\0\0\0cdefgh\0\0"
    assert made.last().tobytes() == b"hdh"


@given(st.lists(st.binary(max_size=6).map(lambda row: row + b"\0" * (len(row) % 3)), min_size=1))
def test_what_no_encoder_writes_is_found_as_in_a_list(rows: list[bytes]) -> None:
    def said(given: list[bytes] | Payloads) -> object:
        try:
            check_payloads(given, 4)
        except DecodeError as error:
            others = [(type(one), one.rows, str(one)) for one in error._others]
            return type(error), error.rows, str(error), others
        return None

    assert said(Payloads.of(rows)) == said(rows)


@given(st.lists(st.lists(st.binary(max_size=9), max_size=5), min_size=1, max_size=5), st.data())
def test_several_joined_have_the_rows_of_each(
    lists: list[list[bytes]], data: st.DataObject
) -> None:
    """Also parts of them, which lie in a larger buffer."""
    parts, expected = [], list[bytes]()
    for rows in lists:
        some = slice(data.draw(st.integers(0, 5)), data.draw(st.integers(0, 5)))
        parts.append(Payloads.of(rows)[some])
        expected += rows[some]
    assert list(Payloads.joined(parts)) == expected


def test_rows_far_apart_are_given_one_by_one() -> None:
    """Without a copy of what lies between them."""
    buffer = np.arange(100, dtype=np.uint8)
    made = Payloads(buffer, np.array([90, 3]), np.array([2, 1]))
    assert list(made) == [bytes([90, 91]), bytes([3])]
