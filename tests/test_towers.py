"""clipcodec.towers: images are read before a model is loaded, and errors name what to give."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import clipcodec
from clipcodec import Codec
from clipcodec.errors import EmbeddingError, ImageError, OptionError, ProfileError
from clipcodec.models.tower import Tower
from clipcodec.profile.registry import by_name
from clipcodec.towers import Settings, backbone_name, load_images, load_tower, portions


def rows(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 8))


def test_images_come_in_portions_as_they_are_needed() -> None:
    taken = 0

    def images() -> Any:
        nonlocal taken
        for i in range(150):
            taken += 1
            yield i

    found = portions(images())
    assert next(found) == [*range(64)]
    assert taken == 64
    assert [len(portion) for portion in found] == [64, 22]
    assert list(portions([])) == []


def test_all_images_at_fault_are_named() -> None:
    good = np.zeros((8, 8, 3), np.uint8)
    assert len(load_images([good, good])) == 2
    with pytest.raises(ImageError) as caught:
        load_images([good, "none.png", good, "nor this.png"])
    assert caught.value.rows == (1, 3)


def test_a_model_has_a_name() -> None:
    """The one chosen, or else the profile's; "any" is none."""
    own, free = by_name("openai-vit-b-32/predictive"), by_name("any/rotation")
    assert backbone_name(own, None) == "openai-vit-b-32"
    assert backbone_name(free, "nobodys-model") == "nobodys-model"
    with pytest.raises(OptionError, match="backbone=NAME or --backbone NAME"):
        backbone_name(free, None)


def test_a_tower_is_asked_for_with_all_settings_and_must_fit() -> None:
    asked: list[Any] = []

    class Narrow(Tower):
        dim = 24

        @classmethod
        def cached(cls, *name: Any, **settings: Any) -> Any:
            asked.append((*name, settings))
            return cls.__new__(cls)

    wanted = Settings("some-model", "cpu", "w.pt", "bf16")
    assert load_tower(Narrow, by_name("any/rotation"), wanted).dim == 24
    assert asked == [("some-model", {"device": "cpu", "weights": "w.pt", "precision": "bf16"})]
    own = by_name("openai-vit-b-32/predictive")
    with pytest.raises(EmbeddingError, match=r"gives 24 dimensions, .* takes 512"):
        load_tower(Narrow, own, Settings())


def test_what_is_meant_for_another_verb_names_it(tmp_path: Path) -> None:
    """Embeddings are no images, and paths no embeddings."""
    codec, row = Codec("any/rotation"), rows(1)[0]
    image: Any
    for image in (row, row.tolist(), tuple(row), row.astype(np.float16), row[None], [1, 2, 3]):
        for encode in (clipcodec.encode, lambda x: clipcodec.encode_batch([x])):
            with pytest.raises(ImageError, match="encode_embedding takes one embedding"):
                encode(image)
    with pytest.raises(ImageError, match=r"^image 0 and 2 more: ndarray of shape \(\d+,\)") as bad:
        clipcodec.encode_batch(rows(3))
    assert bad.value.rows == (0, 1, 2)
    for image in (np.zeros((8, 8, 5), np.uint8), "none.png", b"\x89PNG\r\n", []):
        with pytest.raises(ImageError) as other:
            clipcodec.encode(image)
        assert "encode_embedding" not in str(other.value)
        assert "os.fsdecode" not in str(other.value)
    for image in (b"photo.jpg", "/home/é.png".encode(), bytearray(b"photo.jpg")):
        with pytest.raises(ImageError, match=r"give a path as str, os\.fsdecode\(path\)"):
            clipcodec.encode(image)
    for wrong in ("x.npy", b"x.npy", tmp_path / "x.npy"):
        for encode_rows in (codec.encode_embedding, codec.encode_embeddings):
            with pytest.raises(EmbeddingError, match=r"real numbers: load .*encode takes images"):
                encode_rows(wrong)


def test_images_need_a_backbone_where_the_profile_takes_any() -> None:
    with pytest.raises(OptionError, match="backbone=NAME or --backbone NAME"):
        Codec("any/rotation").encode(np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(ProfileError, match="nobodys-model"):
        Codec(backbone="nobodys-model").encode(np.zeros((8, 8, 3), np.uint8))
