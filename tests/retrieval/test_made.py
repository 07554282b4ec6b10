"""Which container an index was made of: another, or a changed one, is noticed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import clipcodec
from clipcodec import SearchIndex
from clipcodec.container.files import SeekableFile
from clipcodec.errors import MismatchError, OptionError
from clipcodec.profile.file import Profile
from clipcodec.retrieval import made
from tests.helpers.profiles import cone

from .stores import DIM, opened, stored

pytestmark = pytest.mark.usefixtures("small_parts")


def test_an_index_of_another_container_is_noticed(
    photos_path: Path, rates: Profile, tmp_path: Path
) -> None:
    stored(tmp_path / "other.clpc", rates, 150, seed=5)
    index = SearchIndex.build(opened(photos_path, rates), tmp_path / "a.clpi")
    index.check(opened(photos_path, rates))
    with pytest.raises(MismatchError, match=r"a\.clpi was not made of .*other\.clpc, but of anoth"):
        index.check(opened(tmp_path / "other.clpc", rates))
    with pytest.raises(MismatchError, match="made of 1 sources, not of 2"):
        index.check([opened(photos_path, rates)] * 2)
    with pytest.raises(OptionError, match="compared with a container"):
        index.check(["a stream"])
    stored(photos_path, rates, 20, seed=3, mode="a")
    with pytest.raises(MismatchError, match=r"photos\.clpc has gained 20 items since .*a\.clpi"):
        index.check(opened(photos_path, rates))
    stored(photos_path, rates, 150, seed=4)
    with pytest.raises(MismatchError, match=r"what it was before it was written anew.*update"):
        index.check(opened(photos_path, rates))
    plain = SearchIndex(clipcodec.Codec(rates).encode_embeddings(cone(9, DIM)), profile=rates)
    with pytest.raises(MismatchError, match="but of streams without a container"):
        plain.check(opened(photos_path, rates))


def test_of_a_store_some_check_values_are_compared(
    photos_path: Path, rates: Profile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading all would read the whole object. What has grown is still known by those of before."""
    monkeypatch.setattr(made, "_TRIED", 2)
    monkeypatch.setattr(SeekableFile, "remote", property(lambda file: True))
    index = SearchIndex(opened(photos_path, rates))
    checks = index._content.made[0].checks
    assert len(checks) == 10
    assert 0 < np.count_nonzero(checks) <= 2
    index.check(opened(photos_path, rates))
    stored(photos_path, rates, 170, mode="a")
    assert index.update(opened(photos_path, rates)) == (170, 0, False)
    index.check(opened(photos_path, rates))
    stored(photos_path, rates, 320, seed=4)
    assert index.update(opened(photos_path, rates)) == (320, 320, True)
