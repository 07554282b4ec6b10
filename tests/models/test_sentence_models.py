"""What docs/any-model.md and docs/which-embeddings.md say of sentence-transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import clipcodec
from tests.helpers import tiny_encoders

torch = pytest.importorskip("torch")
sentences = pytest.importorskip("sentence_transformers", minversion="5.0")
transformers = pytest.importorskip("transformers")

TEXTS = ["a dog", "two dogs on a beach", "a red car"]
DIM = 24
PROMPTS = {"query": "query: ", "document": "passage: "}


@pytest.fixture(scope="module")
def text_model(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("text") / "model"
    tiny_encoders.sentence_text(folder, DIM, PROMPTS)
    return sentences.SentenceTransformer(str(folder), device="cpu")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    folder = tmp_path_factory.mktemp("clip") / "model"
    tiny_encoders.sentence_clip(folder)
    return sentences.SentenceTransformer(str(folder), device="cpu"), folder


def picture() -> Image.Image:
    rng = np.random.default_rng(0)
    small = Image.fromarray(rng.integers(0, 256, (5, 7, 3), np.uint8))
    return small.resize((56, 40), Image.Resampling.BICUBIC)


def test_clips_rows_are_the_projected_ones_of_transformers(clip: tuple[Any, Path]) -> None:
    model, folder = clip
    network = transformers.CLIPModel.from_pretrained(folder).eval()
    processor = transformers.AutoImageProcessor.from_pretrained(f"{folder}-inside")
    with torch.no_grad():
        found = network.get_image_features(**processor(images=[picture()], return_tensors="pt"))
    theirs = getattr(found, "pooler_output", found).numpy()
    rows = model.encode([picture()])
    assert rows.shape == (1, 512)
    np.testing.assert_allclose(rows, theirs, atol=1e-5)


def test_a_string_is_taken_for_a_text_unless_there_is_such_a_file(
    clip: tuple[Any, Path], tmp_path: Path
) -> None:
    """Before release 6 for a text in any case."""
    model, _ = clip
    picture().save(tmp_path / "photo.png")
    by_name = model.encode([str(tmp_path / "photo.png")])
    given = model.encode([picture()])
    read = int(sentences.__version__.split(".")[0]) >= 6
    assert np.allclose(by_name, given, atol=1e-5) == read
    misspelt = model.encode([str(tmp_path / "foto.png")])
    assert misspelt.shape == by_name.shape
    assert np.abs(misspelt - given).max() > 0.01


def test_a_text_models_rows_are_the_mean_of_its_tokens_without_the_padding(
    text_model: Any,
) -> None:
    rows = text_model.encode(TEXTS)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    network, tokens = text_model[0], text_model.tokenize(TEXTS)
    with torch.no_grad():
        found = network(tokens)["token_embeddings"]
    mask = tokens["attention_mask"][..., None]
    assert not mask.all()
    mean = ((found * mask).sum(1) / mask.sum(1)).numpy()
    unit = mean / np.linalg.norm(mean, axis=1, keepdims=True)
    np.testing.assert_allclose(rows, unit, atol=1e-5)
    padded = found.mean(1).numpy()
    assert np.abs(padded / np.linalg.norm(padded, axis=1, keepdims=True) - unit).max() > 0.01
    class_token = found[:, 0].numpy()
    assert np.abs(class_token / np.linalg.norm(class_token, axis=1)[:, None] - unit).max() > 0.01


def test_the_prompt_is_part_of_the_text(text_model: Any) -> None:
    """`encode` adds none by itself; `encode_document` and `encode_query` add the model's."""
    plain = text_model.encode(TEXTS)
    documents = text_model.encode_document(TEXTS)
    queries = text_model.encode_query(TEXTS)
    written = text_model.encode([f"passage: {text}" for text in TEXTS])
    np.testing.assert_allclose(documents, written, atol=1e-5)
    for one, other in ((plain, documents), (plain, queries), (documents, queries)):
        assert np.abs(one - other).max() > 0.01


def test_normalize_embeddings_changes_no_stream(text_model: Any) -> None:
    codec = clipcodec.Codec("any/rotation")
    rows = text_model.encode(TEXTS)
    unit = text_model.encode(TEXTS, normalize_embeddings=True)
    assert codec.encode_embeddings(rows, quality=80) == codec.encode_embeddings(unit, quality=80)


def test_int8_rows_have_a_range_for_each_dimension_and_point_elsewhere(text_model: Any) -> None:
    rows = text_model.encode(TEXTS)
    rounded = text_model.encode(TEXTS, precision="int8").astype(np.float32)
    unit = rounded / np.linalg.norm(rounded, axis=1, keepdims=True)
    assert (unit * rows).sum(axis=1).max() < 0.9
    one_scale = np.rint(rows / np.abs(rows).max(axis=1, keepdims=True) * 127)
    unit = one_scale / np.linalg.norm(one_scale, axis=1, keepdims=True)
    assert (unit * rows).sum(axis=1).min() > 0.999


def test_binary_rows_hold_eight_dimensions_in_a_number(text_model: Any) -> None:
    assert text_model.encode(TEXTS, precision="ubinary").shape == (len(TEXTS), DIM // 8)


def test_truncate_dim_is_a_prefix(text_model: Any) -> None:
    """And of another norm, or none: both are the same to a stream."""
    rows, short = text_model.encode(TEXTS), text_model.encode(TEXTS, truncate_dim=8)
    cut = rows[:, :8]
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (short, cut)]
    np.testing.assert_allclose(unit[0], unit[1], atol=1e-5)
