"""Words to search by, and sets of labels, with and without an encoder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import clipcodec
from clipcodec.errors import EmbeddingError, OptionError, WeightsUnavailableError
from clipcodec.texts import TextEmbeddings
from clipcodec.web.collection import Collection
from clipcodec.web.encoders import MISSING, Encoders
from clipcodec.web.words import DEFAULT, Words, probabilities


@pytest.fixture(scope="module")
def collection(demo: Path) -> Iterator[Collection]:
    with clipcodec.open(demo / "photos.clpc") as container:
        yield Collection(container, "photos.clpc")


@pytest.fixture(scope="module")
def known(demo: Path) -> TextEmbeddings:
    return TextEmbeddings.load(demo / "words.safetensors")


class Counted(Encoders):
    """Random embeddings of texts; counts the calls."""

    def __init__(self, *, missing: bool = False) -> None:
        self.calls: list[list[str]] = []
        self.missing = missing
        self.state, self.message = MISSING if missing else "ready", "no weights: fetch them"

    def texts(self, texts, templates=None):  # type: ignore[no-untyped-def]
        self.templates = templates
        if self.missing:
            raise WeightsUnavailableError(self.message)
        self.calls.append(list(texts))
        rows = np.random.default_rng(0).normal(size=(len(texts), 512)).astype(np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True), 100.0


def test_known_words_need_no_encoder(collection: Collection, known: TextEmbeddings) -> None:
    """Whatever their case and spaces; the embedding is the file's."""
    words = Words(collection, Counted(missing=True), known=known)
    place = known.names.index("sea at night")
    for text in ("sea at night", " Sea  at NIGHT"):
        assert np.array_equal(words.query(text), known.embeddings[place])


def test_other_words_need_one(collection: Collection, known: TextEmbeddings) -> None:
    words = Words(collection, Counted(missing=True), known=known)
    with pytest.raises(WeightsUnavailableError, match="fetch them"):
        words.query("a submarine")
    encoders = Counted()
    Words(collection, encoders, known=known).query("a submarine")
    assert encoders.calls == [["a submarine"]]


def test_words_that_are_alike_are_offered(collection: Collection, known: TextEmbeddings) -> None:
    words = Words(collection, Counted(missing=True), known=known)
    assert words.like("the sea in winter") == ["sea"]
    assert "city at noon" in words.like("city")
    assert words.like("xyz") == []


def test_the_labels_to_begin_with(collection: Collection, known: TextEmbeddings) -> None:
    """Those given, else the known words; names alone wait for an encoder, and are embedded once."""
    assert Words(collection, Counted(), known=known).labels(DEFAULT) is known
    assert Words(collection, Counted()).labels(DEFAULT) is None
    assert Words(collection, Counted(missing=True), labels=["a", "b"]).labels(DEFAULT) is None
    encoders = Counted()
    words = Words(collection, encoders, known=known, labels=["a", "b", " a"], templates="simple")
    assert words.default_names == ("a", "b")
    first = words.labels(DEFAULT)
    assert first is not None
    assert first.names == ("a", "b")
    assert words.labels(DEFAULT) is first
    assert (encoders.calls, encoders.templates) == ([["a", "b"]], "simple")


def test_labels_of_ones_own(collection: Collection, known: TextEmbeddings) -> None:
    words = Words(collection, Counted(missing=True), known=known)
    name = words.add_set([" sea ", "", "city", "sea"])
    found = words.labels(name)
    assert found is not None
    assert found.names == ("sea", "city")
    assert found.temperature == known.temperature
    assert words.labels("0123456789abcdef") is None
    for wrong in ([], ["  "], ["x" * 301], [str(i) for i in range(2001)]):
        with pytest.raises(OptionError):
            words.add_set(wrong)
    for _ in range(40):  # the oldest are forgotten
        words.add_set(["sea"])
    assert words.labels(name) is None


def test_text_embeddings_must_fit_the_container(collection: Collection) -> None:
    narrow = TextEmbeddings(("a", "b"), np.eye(2, 16, dtype=np.float32))
    with pytest.raises(EmbeddingError, match="16 dimensions"):
        Words(collection, Counted(), known=narrow)
    foreign = TextEmbeddings(("a",), np.eye(1, 512, dtype=np.float32), "another")
    with pytest.raises(EmbeddingError, match="made by another"):
        Words(collection, Counted(), labels=foreign)
    twice = TextEmbeddings(("a", "a"), np.eye(2, 512, dtype=np.float32))
    with pytest.raises(OptionError, match="more than once"):
        Words(collection, Counted(), labels=twice)


def test_probabilities_are_in_the_order_of_the_labels(
    collection: Collection, known: TextEmbeddings
) -> None:
    row = collection.embedding(0)
    found = probabilities(row, known, collection.profile)
    scores = known.temperature * (known.embeddings @ row)
    expected = np.exp(scores - scores.max())
    assert np.allclose(found, expected / expected.sum(), atol=1e-5)
