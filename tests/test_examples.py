"""The examples in the docstrings of the public names run, and give what they show."""

from __future__ import annotations

import doctest
import os
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import clipcodec
from tests.helpers.public import MODULES, Public, public_names, write_folder

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE | doctest.IGNORE_EXCEPTION_DETAIL
SLOW = ("clipcodec.integrations.ray",)  # it starts a cluster
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


def run(public: Public) -> list[str]:
    """Run the examples of one docstring; what did not give what it shows."""
    names: dict[str, Any] = {"clipcodec": clipcodec, "np": np}
    file = getattr(public.value, "__module__", public.name)
    test = doctest.DocTestParser().get_doctest(public.doc, names, public.name, file, 0)
    said: list[str] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", clipcodec.BackboneWarning)
        doctest.DocTestRunner(optionflags=FLAGS, verbose=False).run(test, out=said.append)
    return said


@pytest.mark.parametrize(
    "module",
    [pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in MODULES],
)
def test_examples_give_what_they_show(
    module: str,
    prepared: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    """Each in a folder of its own, in which it may write."""
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
        said += run(public)
    assert "".join(said) == ""


def test_the_test_can_fail(tmp_path: Path) -> None:
    def wrong() -> None:
        """
        >>> 1 + 1
        3
        """

    assert "Expected" in "".join(run(Public("wrong", wrong)))
    assert os.listdir(tmp_path) == []
