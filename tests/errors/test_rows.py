"""An error knows its rows, wherever it is raised and passed on."""

from __future__ import annotations

import numpy as np
import pytest

from clipcodec.errors import (
    ClipcodecError,
    CorruptError,
    EmbeddingError,
    TruncatedError,
    collected,
    each_row,
    placed,
    raise_merged,
    raise_rows,
)


def test_placed_counts_rows_from_a_first_one() -> None:
    with (
        pytest.raises(EmbeddingError, match=r"^row 1003: all zero$") as caught,
        placed(1000, item="row"),
    ):
        raise EmbeddingError("all zero", rows=[3])
    assert caught.value.rows == (1003,)


def test_placed_translates_through_row_numbers() -> None:
    """An array of them, too; a row that was given twice is named once, with its first reason."""
    with pytest.raises(CorruptError) as caught, placed(np.array([40, 10, 40])):
        raise CorruptError.of_rows({0: "a", 1: "b", 2: "c"})
    assert caught.value.rows == (10, 40)
    assert [e.reason for e in caught.value.each()] == ["b", "a"]
    assert str(caught.value) == "stream 10 and 1 more: b"


def test_placed_none_is_a_single_input() -> None:
    with pytest.raises(EmbeddingError, match=r"^all zero$") as caught, placed(None):
        raise EmbeddingError("all zero", rows=[0])
    assert caught.value.index is None


def test_placed_nests_and_leaves_other_errors_alone() -> None:
    with (
        pytest.raises(CorruptError, match=r"^x\.clpc, item 107: damaged$"),
        placed(100, item="item", source="x.clpc"),
        placed([5, 7]),
    ):
        raise CorruptError("damaged", rows=[1])
    with pytest.raises(KeyError), placed(5):
        raise KeyError("x")
    with pytest.raises(CorruptError, match=r"^damaged$"), placed(5):
        raise CorruptError("damaged")


def test_raise_rows_raises_for_the_type_of_the_first_row() -> None:
    raise_rows({})
    cause = TruncatedError("cut 9")
    with pytest.raises(TruncatedError) as caught:
        raise_rows({9: cause, 12: CorruptError("x"), 11: TruncatedError("cut 11")})
    assert caught.value is cause
    assert caught.value.rows == (9, 11)
    assert [(e.index, e.reason) for e in caught.value.each()] == [(9, "cut 9"), (11, "cut 11")]


def test_merged_errors_lead_with_the_first_row() -> None:
    """Of all parts and types: what is raised has the lowest row; the others go along."""
    faults: list[ClipcodecError] = []
    for at, fault in (
        (10, CorruptError("late", rows=[5])),
        (0, TruncatedError("cut", rows=[7, 2])),
        (20, TruncatedError("cut again", rows=[0])),
    ):
        with collected(faults, at):
            raise fault
    with pytest.raises(EmbeddingError), collected(faults, 0):
        raise EmbeddingError("about no row")
    with pytest.raises(TruncatedError, match="stream 102 and 2 more: cut") as caught, placed(100):
        raise_merged(faults)
    assert caught.value.rows == (102, 107, 120)
    assert [e.reason for e in caught.value.each()] == ["cut", "cut", "cut again"]
    assert [(type(e), e.rows) for e in caught.value._others] == [(CorruptError, (115,))]
    raise_merged([])


def test_each_row_finds_all_bad_rows_in_few_rounds() -> None:
    """One per check that rows fail, and one more; results and errors are in their rows' places."""
    rounds = []

    def work(rows: list[int]) -> list[int]:
        rounds.append(len(rows))
        third = [i for i, row in enumerate(rows) if row % 3 == 0]
        if third:
            raise EmbeddingError("third", rows=third)
        raise_rows({i: CorruptError(f"fifth {r}") for i, r in enumerate(rows) if r % 5 == 0})
        return [10 * row for row in rows]

    found = each_row(work, 1000)
    assert len(rounds) == 3
    for row, one in enumerate(found):
        if row % 3 == 0:
            assert str(one) == f"embedding {row}: third"
        elif row % 5 == 0:
            assert str(one) == f"stream {row}: fifth {row}"
        else:
            assert one == 10 * row


def test_each_row_raises_what_is_about_no_row_or_of_another_type() -> None:
    def none(rows: list[int]) -> list[int]:
        raise EmbeddingError("no matrix")

    def other(rows: list[int]) -> list[int]:
        raise CorruptError("damaged", rows=[0])

    with pytest.raises(EmbeddingError, match=r"^no matrix$"):
        each_row(none, 3)
    with pytest.raises(CorruptError):
        each_row(other, 3, EmbeddingError)
    assert each_row(none, 0) == []
