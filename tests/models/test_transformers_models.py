"""What docs/any-model.md says of SigLIP, DINOv2 and DINOv3 in transformers: which output is it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import clipcodec
from tests.helpers import tiny_encoders

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

DIM = 24
ORDER = ("pixel_values", "pixel_attention_mask", "spatial_shapes")  # of the inner tower's inputs


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models as a user finds them: saved, each in a folder."""
    place = tmp_path_factory.mktemp("models")
    for name in ("siglip", "naflex", "dinov2", "dinov3"):
        getattr(tiny_encoders, name)(place / name, DIM)
    return place


@pytest.fixture(scope="module")
def images() -> list[Image.Image]:
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (3, 5, 7, 3), np.uint8)
    return [Image.fromarray(x).resize((56, 40), Image.Resampling.BICUBIC) for x in small]


def loaded(folder: Path) -> tuple[Any, Any]:
    """By the lines of the page."""
    model = transformers.AutoModel.from_pretrained(folder).eval()
    return model, transformers.AutoImageProcessor.from_pretrained(folder)


def array(found: Any) -> NDArray[np.float32]:
    """By the line of the page: what any release of transformers returns."""
    rows: NDArray[np.float32] = getattr(found, "pooler_output", found).numpy()
    return rows


@pytest.mark.parametrize("name", ["siglip", "naflex"])
def test_siglips_pooled_output_is_the_embedding(
    folders: Path, images: list[Image.Image], name: str
) -> None:
    """Unlike CLIP's, nothing projects it: the whole model's `image_embeds` are its unit rows."""
    model, processor = loaded(folders / name)
    pixels = processor(images=images, return_tensors="pt")
    with torch.no_grad():
        rows = array(model.get_image_features(**pixels))
        inside = [pixels[name] for name in ORDER if name in pixels]
        pooled = model.vision_model(*inside)
        both = model(input_ids=torch.ones(1, 4, dtype=torch.long), **pixels)
    assert rows.shape == (3, DIM)
    np.testing.assert_allclose(rows, pooled.pooler_output.numpy(), atol=1e-6)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    np.testing.assert_allclose(both.image_embeds.numpy(), rows / norms, atol=1e-6)
    assert np.abs(rows - pooled.last_hidden_state.mean(1).numpy()).max() > 0.01
    assert np.abs(rows - pooled.last_hidden_state[:, 0].numpy()).max() > 0.01  # no class token


def test_siglips_texts_are_padded_to_full_length_and_not_masked(folders: Path) -> None:
    """The last token is the embedding: without padding another token is the last one."""
    model, _ = loaded(folders / "siglip")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folders / "siglip")
    texts = ["a dog", "two dogs on a beach"]
    length = tiny_encoders.TEXT_LENGTH
    for config in (transformers.SiglipTextConfig(), transformers.Siglip2TextConfig()):
        assert config.max_position_embeddings == length
    tokens = tokenizer(
        texts, padding="max_length", max_length=length, truncation=True, return_tensors="pt"
    )
    short = tokenizer(texts, padding=True, return_tensors="pt")
    assert tokens.input_ids.shape[1] == length > short.input_ids.shape[1]
    with torch.no_grad():
        right = array(model.get_text_features(tokens.input_ids))
        last = model.text_model(tokens.input_ids).last_hidden_state[:, -1]
        head = model.text_model.head(last).numpy()
        wrong = array(model.get_text_features(short.input_ids))
        masked = array(model.get_text_features(**tokens))
        alone = array(model.get_text_features(tokens.input_ids[:1]))
    np.testing.assert_allclose(right, head, atol=1e-5)
    np.testing.assert_allclose(right[:1], alone, atol=1e-5)
    assert np.abs(wrong - right).max() > 0.01
    assert np.abs(masked - right).max() > 0.001


@pytest.mark.parametrize("name", ["dinov2", "dinov3"])
def test_dinos_pooled_output_is_the_class_token_after_the_last_norm(
    folders: Path, images: list[Image.Image], name: str
) -> None:
    model, processor = loaded(folders / name)
    with torch.no_grad():
        found = model(**processor(images=images, return_tensors="pt"))
    rows, tokens = found.pooler_output.numpy(), found.last_hidden_state.numpy()
    assert rows.shape == (3, DIM)
    assert (rows == tokens[:, 0]).all()
    np.testing.assert_allclose(rows.mean(axis=1), 0, atol=1e-4)  # a fresh norm has no shift
    np.testing.assert_allclose(rows.std(axis=1), 1, atol=1e-2)
    registers = getattr(model.config, "num_register_tokens", 0)
    patches = (32 // 8) ** 2
    assert tokens.shape == (3, 1 + registers + patches, DIM)
    assert registers == (4 if name == "dinov3" else 0)
    mean = tokens.mean(axis=1)
    assert np.abs(mean - rows).max() > 0.01


def test_rows_of_any_of_them_go_through_any_rotation(
    folders: Path, images: list[Image.Image]
) -> None:
    """Whatever their norms: they are no part of a stream."""
    codec = clipcodec.Codec("any/rotation")
    for name in ("siglip", "dinov2"):
        model, processor = loaded(folders / name)
        pixels = processor(images=images, return_tensors="pt")
        with torch.no_grad():
            found = model(**pixels) if name == "dinov2" else model.get_image_features(**pixels)
        rows = array(found)
        streams = codec.encode_embeddings(rows, quality=90)
        assert codec.encode_embeddings(4 * rows, quality=90) == streams
        unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        assert (codec.decode_batch(streams) * unit).sum(axis=1).min() > 0.95
