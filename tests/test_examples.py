"""The examples in the docstrings of the public names run, and give what they show."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import clipcodec
from tests.helpers.public import MODULES, Public, public_names, run_examples, write_folder

ELSEWHERE = ("clipcodec.integrations.ray",)  # needs a cluster: tests/integrations/test_ray.py
COMPILED = {"clipcodec.integrations.hnswlib": "hnswlib"}  # has no wheels: not of the test extra
NEED_NETWORKS = ("clipcodec.tasks.captioning", "clipcodec.tasks.locating")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the files that examples use, and stand-ins for CLIP's weights."""
    pytest.importorskip("open_clip")
    from tests.helpers.stand_in import stand_in

    with stand_in():
        yield write_folder(tmp_path_factory.mktemp("examples"))


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a captioner, its language model and a network for masks, all tiny."""
    pytest.importorskip("transformers")
    from clipcodec.tasks.captioning import Recipe, train
    from tests.helpers.tiny_captioners import write_language_model
    from tests.helpers.tiny_sam import make_sam

    folder = tmp_path_factory.mktemp("networks")
    language = write_language_model(folder / "gpt2")
    make_sam(folder / "sam", sure=True)
    rows = np.random.default_rng(0).standard_normal((3, 512)).astype(np.float32)
    train(
        rows, ["A cat.", "A dog.", "A horse."], folder / "captioner.safetensors",
        Recipe(epochs=1, batch_size=3), language_model=str(language), device="cpu",
    )  # fmt: skip
    return folder


@pytest.mark.parametrize("module", [name for name in MODULES if name not in ELSEWHERE])
def test_examples_give_what_they_show(
    module: str,
    prepared: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    """Each in a folder of its own, in which it may write."""
    if module in COMPILED:
        pytest.importorskip(COMPILED[module])
    try:
        names = public_names(module)
    except clipcodec.MissingDependencyError as error:
        pytest.skip(str(error))
    given = [prepared]
    if module in NEED_NETWORKS:
        given.append(request.getfixturevalue("networks"))
    said: list[str] = []
    for public in names:
        folder = tmp_path / public.name
        for source in given:
            shutil.copytree(source, folder, dirs_exist_ok=True)
        monkeypatch.chdir(folder)
        said += run_examples(public)
    assert "".join(said) == ""


def test_the_test_can_fail(tmp_path: Path) -> None:
    def wrong() -> None:
        """
        >>> 1 + 1
        3
        """

    assert "Expected" in "".join(run_examples(Public("wrong", wrong)))
    assert os.listdir(tmp_path) == []
