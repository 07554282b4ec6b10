"""An error is a message with its place; it survives pickle and copy, and keeps nothing alive."""

from __future__ import annotations

import copy
import inspect
import pickle

import pytest

from clipcodec import errors
from clipcodec.errors import ClipcodecError, EmbeddingError, ImageFileError, placed

TREE = [
    value
    for _, value in inspect.getmembers(errors, inspect.isclass)
    if issubclass(value, ClipcodecError)
]


def test_the_message_is_made_of_place_and_reason() -> None:
    assert str(EmbeddingError("all zero")) == "all zero"
    assert str(EmbeddingError("all zero", rows=[3])) == "embedding 3: all zero"
    error = EmbeddingError("all zero", rows=[3, 7, 9])
    assert str(error) == "embedding 3 and 2 more: all zero"
    assert repr(error) == "EmbeddingError('embedding 3 and 2 more: all zero')"
    error.source, error.item = "column 'x'", "row"
    assert str(error) == "column 'x', row 3 and 2 more: all zero"
    assert str(EmbeddingError()) == ""


def test_the_index_is_the_first_row_and_none_for_a_single_input() -> None:
    assert EmbeddingError("x").index is None
    assert EmbeddingError("x", rows=[4, 5]).index == 4


@pytest.mark.parametrize("kind", TREE)
def test_every_error_survives_pickle_and_copy(kind: type[ClipcodecError]) -> None:
    """Those with a standard type beside ours, such as OSError, too."""
    error = kind("why", rows=[2, 5])
    error.source = "a file"
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(again) is kind
        assert (str(again), again.rows, again.reason) == (str(error), (2, 5), "why")


def test_each_gives_errors_that_keep_nothing_alive() -> None:
    with pytest.raises(ImageFileError) as caught, placed(item="picture"):
        raise ImageFileError("gone", rows=[1, 2])
    alone = list(caught.value.each())
    assert [str(e) for e in alone] == ["picture 1: gone", "picture 2: gone"]
    assert all(type(e) is ImageFileError and e.__traceback__ is None for e in alone)
