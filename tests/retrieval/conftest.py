"""Containers that are searched, and blocks so small that they have several."""

from __future__ import annotations

from pathlib import Path

import pytest

from clipcodec import Container
from clipcodec.profile.file import Profile
from clipcodec.retrieval import blocks, sources, writing

from .stores import COUNT, opened, stored


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a few hundred rows are several blocks, and several parts of a file."""
    monkeypatch.setattr(sources, "BLOCK", 40)
    monkeypatch.setattr(blocks, "BLOCK", 40)
    monkeypatch.setattr(writing, "MOST_ROWS", 40)


@pytest.fixture
def photos_path(tmp_path: Path, rates: Profile) -> Path:
    stored(tmp_path / "photos.clpc", rates, COUNT)
    return tmp_path / "photos.clpc"


@pytest.fixture
def photos(photos_path: Path, rates: Profile) -> Container:
    return opened(photos_path, rates)


@pytest.fixture
def others(tmp_path: Path, rates: Profile) -> list[Container]:
    """Three containers, of which one is empty."""
    for seed, count in enumerate((50, 0, 70)):
        stored(tmp_path / f"{seed}.clpc", rates, count, seed=seed)
    return [opened(tmp_path / f"{seed}.clpc", rates) for seed in range(3)]
