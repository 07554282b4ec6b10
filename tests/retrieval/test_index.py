"""An index is given to another process: by its file, or as a copy."""

from __future__ import annotations

import multiprocessing
import pickle
from pathlib import Path

import pytest

from clipcodec import SearchIndex
from clipcodec.errors import MismatchError
from clipcodec.profile.file import Profile

from .stores import QUERIES, opened, same_hits

pytestmark = pytest.mark.usefixtures("small_parts")


def _best(index: SearchIndex) -> list[list[int]]:
    return index.search(QUERIES, 3).indices.tolist()


def test_an_index_can_be_given_to_another_process(
    photos_path: Path, rates: Profile, tmp_path: Path
) -> None:
    """One with a file as a few bytes, which the other maps; one in memory as a copy."""
    index = SearchIndex.build(opened(photos_path, rates), tmp_path / "a.clpi")
    assert len(pickle.dumps(index)) < 2000
    memory = pickle.loads(pickle.dumps(SearchIndex(opened(photos_path, rates))))
    assert same_hits(memory, index)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(_best, (index,)) == _best(index)
    index.add(opened(photos_path, rates))
    assert same_hits(pickle.loads(pickle.dumps(index)), index)
    known = pickle.dumps(SearchIndex.open(tmp_path / "a.clpi"))
    index.save()
    with pytest.raises(MismatchError, match="changed since the index was pickled"):
        pickle.loads(known)
