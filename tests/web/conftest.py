"""A small collection, made once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.web import scenes


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `photos/`, `photos.clpc` of 48 pictures, and `words.safetensors`."""
    folder = tmp_path_factory.mktemp("demo")
    scenes.write(folder, 48)
    return folder
