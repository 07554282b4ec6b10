"""`TextEmbeddings`: texts and embeddings in one file, which reads back as it was or not at all."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipcodec import TextEmbeddings
from clipcodec.errors import EmbeddingError, OptionError, OutputExistsError
from clipcodec.texts import METADATA_KEY, as_labels, as_texts, is_text_file

ROWS = np.eye(3, 5, dtype=np.float32)


def test_a_file_reads_back_as_it_was(tmp_path: Path) -> None:
    made = TextEmbeddings(("a dog", "猫", 'x"\n'), ROWS * 7, "openai-vit-b-32", 42.5)
    made.save(tmp_path / "t.safetensors")
    back = TextEmbeddings.load(tmp_path / "t.safetensors")
    assert back.names == ("a dog", "猫", 'x"\n')
    assert np.array_equal(back.embeddings, ROWS)
    assert (back.backbone, back.temperature, len(back)) == ("openai-vit-b-32", 42.5, 3)
    assert TextEmbeddings.load((tmp_path / "t.safetensors").read_bytes()).names == back.names
    with pytest.raises(OutputExistsError):
        made.save(tmp_path / "t.safetensors", overwrite=False)


def test_the_file_is_safetensors_with_one_entry_of_json(tmp_path: Path) -> None:
    """So other programs read the tensor, and the same content gives the same bytes."""
    safetensors = pytest.importorskip("safetensors")
    data = TextEmbeddings(("a", "b", "c"), ROWS).to_bytes()
    assert data == TextEmbeddings(("a", "b", "c"), ROWS).to_bytes()
    assert is_text_file(data[:1024])
    (tmp_path / "t").write_bytes(data)
    with safetensors.safe_open(tmp_path / "t", "np") as file:
        assert file.get_tensor("embeddings").tolist() == ROWS.tolist()
        assert json.loads(file.metadata()[METADATA_KEY]) == {
            "version": 1, "texts": ["a", "b", "c"], "backbone": None, "temperature": 100.0,
        }  # fmt: skip


@given(st.lists(st.text(st.characters(codec="utf-8"), min_size=1).filter(str.strip), min_size=1))
def test_any_texts_survive(texts: list[str]) -> None:
    made = TextEmbeddings(tuple(texts), np.ones((len(texts), 2), np.float32))
    assert TextEmbeddings.load(made.to_bytes()).names == tuple(texts)


@given(st.integers(0, 400), st.integers(0, 255))
def test_a_damaged_file_is_an_embedding_error_or_reads(at: int, byte: int) -> None:
    data = bytearray(TextEmbeddings(("a", "b", "c"), ROWS).to_bytes())
    data[at % len(data)] = byte
    with suppress(EmbeddingError):
        assert TextEmbeddings.load(bytes(data)).embeddings.shape[0] == 3


@pytest.mark.parametrize("cut", [0, 5, 8, 60, 200])
def test_a_cut_file_is_an_embedding_error(cut: int) -> None:
    with pytest.raises(EmbeddingError):
        TextEmbeddings.load(TextEmbeddings(("a", "b", "c"), ROWS).to_bytes()[:cut])


def changed(tmp_path: Path, **meta: Any) -> Path:
    from safetensors.numpy import save_file

    text = {"version": 1, "texts": ["a"], "backbone": None, "temperature": 100.0} | meta
    path = tmp_path / "changed.safetensors"
    save_file({"embeddings": ROWS[:1]}, path, metadata={METADATA_KEY: json.dumps(text)})
    return path


@pytest.mark.parametrize(
    ("meta", "words"),
    [
        ({"version": 2}, "version 2; this release reads 1"),
        ({"texts": ["a", "b"]}, "1 embeddings of 2 texts"),
        ({"texts": "a"}, "not a file of text embeddings"),
        ({"texts": [1]}, "number 0 is int"),
        ({"backbone": 7}, "not a file of text embeddings"),
        ({"temperature": -1}, "temperature=-1"),
        ({"temperature": "hot"}, "temperature='hot'"),
    ],
)
def test_wrong_metadata_are_named_with_the_file(
    tmp_path: Path, meta: dict[str, Any], words: str
) -> None:
    with pytest.raises(EmbeddingError, match=words) as caught:
        TextEmbeddings.load(changed(tmp_path, **meta))
    assert "changed.safetensors" in str(caught.value)


def test_other_files_are_named_with_the_remedy(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", ROWS)
    with pytest.raises(EmbeddingError, match="embed-text"):
        TextEmbeddings.load(tmp_path / "x.npy")
    with pytest.raises(FileNotFoundError):
        TextEmbeddings.load(tmp_path / "none.safetensors")


@pytest.mark.parametrize(
    ("texts", "words"),
    [("a dog", "expected several texts"), (["a", " "], "number 1 is empty"), ([b"a"], "is bytes")],
)
def test_what_is_no_list_of_texts_is_refused(texts: Any, words: str) -> None:
    with pytest.raises(OptionError, match=words):
        as_texts(texts)


def test_labels_are_at_least_one_and_none_twice() -> None:
    assert as_labels(["cat", "Cat"]) == ["cat", "Cat"]
    with pytest.raises(OptionError, match="'cat', 'dog' given more than once"):
        as_labels(["cat", "dog", "dog", "cat", "cow"])
    with pytest.raises(OptionError, match="none given"):
        as_labels([])


@pytest.mark.parametrize("bad", [np.zeros((1, 5)), np.full((1, 5), np.nan), np.zeros((1, 0))])
def test_embeddings_without_a_direction_are_refused(bad: Any) -> None:
    with pytest.raises(EmbeddingError):
        TextEmbeddings(("a",), bad)


def test_more_texts_than_a_file_can_hold_are_refused_before_it_is_written(tmp_path: Path) -> None:
    """safetensors reads headers of 100 MB at most."""
    names = tuple(f"{i} " + "é" * 9_000_000 for i in range(2))
    texts = TextEmbeddings(names, np.eye(2, dtype=np.float32))
    with pytest.raises(OptionError, match=r"2 texts are .* put them into several files"):
        texts.save(tmp_path / "w.safetensors")
    assert not list(tmp_path.iterdir())


def test_a_text_of_bytes_that_are_not_utf8_is_refused() -> None:
    """As Python gives it for a command line in another encoding. CLIP would read another word."""
    with pytest.raises(OptionError, match=r"number 1 is no text.*not UTF-8"):
        as_texts(["a", b"caf\xe9".decode("utf-8", "surrogateescape")])
