"""clipcodec.evaluation.sets: the layout of a set's file, and faults in one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from clipcodec.errors import EmbeddingError
from clipcodec.evaluation.sets import load_set, load_sets, load_training
from tests.helpers.sets import TRAINED, unit, write_folder

DIM = 8


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "data")


def test_only_held_out_classes_are_measured_and_the_others_train(data: Path) -> None:
    first, second = load_sets([data])
    assert (first.name, second.name) == ("imagenet", "things")
    assert (len(first.rows), len(second.rows)) == (20, 30)
    assert first.texts is not None
    assert first.labels is not None
    assert first.texts.shape == (2, DIM)
    assert set(first.labels.tolist()) == {0, 1}
    similar = (first.rows @ first.texts.T).argmax(axis=1)
    assert (similar == first.labels).all()  # texts and labels are renumbered alike
    assert len(load_training(data)) == TRAINED + 40


def test_a_file_by_itself_needs_embeddings_alone(tmp_path: Path) -> None:
    save_file({"embeddings": np.ones((3, DIM), np.float16)}, tmp_path / "mine.safetensors")
    (found,) = load_sets([tmp_path / "mine.safetensors"])
    assert (found.name, found.labels, found.texts) == ("mine", None, None)
    assert np.linalg.norm(found.rows, axis=1) == pytest.approx(np.ones(3))


def test_the_digest_follows_the_contents_and_not_the_name(tmp_path: Path) -> None:
    rows = unit(np.random.default_rng(0).normal(size=(4, DIM)))
    digests = []
    for name, labels in (("a", [0, 1, 2, 3]), ("b", [0, 1, 2, 3]), ("c", [0, 1, 2, 2])):
        tensors = {"embeddings": rows, "labels": np.array(labels)}
        save_file(tensors, tmp_path / f"{name}.safetensors")
        digests.append(load_set(tmp_path / f"{name}.safetensors").digest)
    assert digests[0] == digests[1] != digests[2]


def test_fewer_rows_are_spread_over_the_file(data: Path) -> None:
    first = load_set(data / "test_things.safetensors")
    few = first.first(4)
    assert few.labels is not None
    assert (few.rows == first.rows[[0, 9, 19, 29]]).all()
    assert len(few.labels) == 4
    assert few.digest != first.digest
    assert first.first(1000) is first


@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        ({}, "no tensors ['embeddings']"),
        ({"labels": np.zeros(2, np.int64)}, "labels int64 (2,): expected 3 whole numbers"),
        ({"labels": np.zeros(3)}, "labels float64 (3,): expected 3 whole numbers"),
        ({"labels": np.array([0, 1, -1])}, "labels int64 (3,)"),
        ({"labels": np.array([0, 1, 2]), "texts": np.ones((2, DIM))}, "whole numbers below 2"),
        ({"captions": np.ones((2, DIM)), "caption_of": np.array([0, 3])}, "whole numbers below 3"),
        ({"class_is_val": np.ones(2, np.uint8)}, "class_is_val needs labels below 2"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, tensors: dict[str, Any], said: str) -> None:
    path = tmp_path / "x.safetensors"
    if tensors:
        tensors = {"embeddings": np.ones((3, DIM), np.float32), **tensors}
    save_file(tensors or {"other": np.ones(1)}, path)
    with pytest.raises(EmbeddingError) as raised:
        load_set(path)
    assert said in str(raised.value)
    assert str(path) in str(raised.value)


def test_a_damaged_file_and_a_folder_without_sets_are_named(data: Path, tmp_path: Path) -> None:
    (data / "imagenet.safetensors").write_bytes(b"noise")
    with pytest.raises(EmbeddingError, match=r"imagenet\.safetensors is not a readable"):
        load_sets([data])
    with pytest.raises(EmbeddingError, match="holds no set of embeddings: expected imagenet"):
        load_sets([tmp_path])
    with pytest.raises(EmbeddingError, match="holds no rows to train on"):
        load_training(tmp_path)


def test_sets_of_two_models_do_not_mix(data: Path, tmp_path: Path) -> None:
    save_file({"embeddings": np.ones((3, 5), np.float32)}, tmp_path / "x.safetensors")
    with pytest.raises(EmbeddingError, match=r"several widths \[5, 8\]"):
        load_sets([data, tmp_path / "x.safetensors"])
