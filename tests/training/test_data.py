"""clipcodec.training.data: rows that belong together, named by files, folders or ids."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from clipcodec.errors import OptionError, TrainingError
from clipcodec.training.data import Rows, load_rows
from clipcodec.training.division import COUNTED, divide
from tests.helpers.profiles import cone


def written(folder: Path, name: str, rows: np.ndarray) -> str:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    np.save(path, rows)
    return str(path)


def test_each_file_or_folder_is_a_group(tmp_path: Path) -> None:
    """A row that two files have is of the first one; the same file by another name is the same."""
    rows = cone(30, 8)
    paths = [
        written(tmp_path, "a/one.npy", rows[:10]),
        written(tmp_path, "a/two.npy", rows[5:20]),
        written(tmp_path, "b/one.npy", rows[20:]),
    ]
    files = load_rows(paths, "files", least=1)
    assert files.groups is not None
    assert files.groups.tolist() == [0] * 10 + [1] * 10 + [2] * 10
    assert files.counts.tolist() == [1] * 5 + [2] * 5 + [1] * 20
    folders = load_rows(paths, "folders", least=1)
    assert folders.groups is not None
    assert folders.groups.tolist() == [0] * 20 + [1] * 10
    again = str(tmp_path / "a" / ".." / "a" / "one.npy")
    both = load_rows([paths[0], again, paths[2]], "files", least=1)
    assert both.groups is not None
    assert len(np.unique(both.groups)) == 2


def test_ids_of_any_type_are_groups(tmp_path: Path) -> None:
    """One for each row as the files have them, before rows given twice become one."""
    rows = cone(6, 8)
    path = written(tmp_path, "x.npy", np.concatenate([rows, rows[:2]]))
    found = load_rows([path], np.array(list("aabbccxx")), least=1)
    assert found.groups is not None
    assert found.groups.tolist() == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (np.arange(5), r"groups of shape \(5,\): expected one id for each of the 6 rows"),
        (np.zeros((6, 2)), r"groups of shape \(6, 2\)"),
        ("videos", "groups='videos': expected files, folders or an id for each row"),
    ],
)
def test_groups_that_do_not_fit(tmp_path: Path, groups: object, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        load_rows([written(tmp_path, "x.npy", cone(6, 8))], groups, least=1)  # type: ignore[arg-type]


def rows_of(sizes: list[int]) -> Rows:
    x = cone(sum(sizes), 8)
    return Rows(x, np.ones(len(x), np.int64), np.repeat(np.arange(len(sizes)), sizes))


def test_groups_are_held_out_whole() -> None:
    """No group is on both sides, and about a tenth of the rows is held out."""
    rows = rows_of([40, 10, 30, 20] * 15)
    parts = divide(rows, None, seed=3)
    assert rows.groups is not None
    held = np.setdiff1d(np.arange(len(rows.x)), parts.fit)
    assert not set(rows.groups[held]) & set(rows.groups[parts.fit])
    assert np.array_equal(parts.held, rows.x[held])
    assert parts.groups == len(set(rows.groups[held])) > 1
    assert 0.07 < len(held) / len(rows.x) < 0.13
    other = divide(rows, None, seed=4)
    assert not np.array_equal(other.fit, parts.fit)


def test_without_groups_single_rows_are_held_out() -> None:
    """A tenth; of a few hundred rows a fifth; never more than the tables need."""
    for count, expected in ((100, 20), (900, 180), (2000, 200), (30_000, COUNTED)):
        x = np.eye(4, dtype=np.float32)[np.arange(count) % 4]
        parts = divide(Rows(x, np.ones(count, np.int64)), None, seed=0)
        assert (len(parts.held), len(parts.fit), parts.groups) == (expected, count - expected, None)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ([50, 50], "2 groups among 100 rows: at least 3"),
        ([96, 2, 2], "one group has 96 of 100 rows"),
    ],
)
def test_groups_of_which_none_can_be_held_out(sizes: list[int], message: str) -> None:
    # in some of the orders the large one comes first
    with pytest.raises(TrainingError, match=message):
        [divide(rows_of(sizes), None, seed) for seed in range(8)]
