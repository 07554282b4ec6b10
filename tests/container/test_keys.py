"""clipcodec.container.keys: which items a key means, and what is no key."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from clipcodec import Container, OptionError

from .counted import STREAMS


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ([1, 2], [1, 2]),
        ([-1, 0, -1], [9, 0, 9]),
        (["3.jpg", 1], [3, 1]),
        (range(8, 2, -3), [8, 5]),
        (np.array([7, 1, 7]), [7, 1, 7]),
        (np.array(["7.jpg", "1.jpg"]), [7, 1]),
        (np.arange(10) % 4 == 1, [1, 5, 9]),
        ([False] * 9 + [True], [9]),
        (np.array([]), []),
        ([], []),
    ],
)
def test_many_items_at_once(opened: Container, key: Any, expected: list[int]) -> None:
    assert opened[key] == [STREAMS[i] for i in expected]


def test_other_sequences_of_positions(opened: Container) -> None:
    pandas = pytest.importorskip("pandas")
    torch = pytest.importorskip("torch")
    for key in (pandas.Series([4, 0]), pandas.Index([4, 0]), torch.tensor([4, 0])):
        assert opened[key] == [STREAMS[4], STREAMS[0]]
    one: list[Any] = [torch.tensor(4), np.int64(4), np.array(4)]
    assert [opened[key] for key in one] == [STREAMS[4]] * 3


@pytest.mark.parametrize("key", [1.0, None, (1, 2), b"3.jpg", [[1]], np.array([1.5]), {1}, True])
def test_other_keys_are_typed_errors(opened: Container, key: Any) -> None:
    with pytest.raises(OptionError, match="is no key of an item: expected its position, its id"):
        opened[key]


def test_booleans_and_positions_out_of_range(opened: Container) -> None:
    with pytest.raises(OptionError, match="9 booleans for 10 items"):
        opened[np.ones(9, bool)]
    with pytest.raises(IndexError, match="item 10 of a container of 10"):
        opened[[1, 10]]
