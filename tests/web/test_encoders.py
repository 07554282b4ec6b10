"""The encoders for images and words: weights of this machine, and no others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clipcodec.errors import WeightsUnavailableError
from clipcodec.models import hub
from clipcodec.profile import registry
from clipcodec.web.encoders import MISSING, READY, Encoders
from tests.helpers.tiny_models import TEXT, make_folder, make_model, save

ANY = registry.UNTRAINED


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of a backbone with both towers and random weights."""
    folder = tmp_path_factory.mktemp("tiny")
    spec = make_folder(folder, text=TEXT)
    save(make_model(spec), folder / "open_clip_model.safetensors")
    return spec.name


def test_images_and_words_are_embedded(tiny: str) -> None:
    encoders = Encoders(registry.by_name(ANY), tiny)
    encoders.start()
    assert encoders.ready
    assert (encoders.state, encoders.message) == (READY, "")
    images = encoders.images([Image.new("RGB", (40, 40), (200, 30, 30))])
    texts, temperature = encoders.texts(["a dog", "a cat"])
    assert (images.shape, texts.shape) == ((1, 16), (2, 16))
    assert np.allclose(np.linalg.norm(texts, axis=1), 1, atol=1e-5)
    assert temperature > 1


def test_weights_are_never_downloaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What is missing is said, with the command that gets it."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(hub, "_download", lambda *_: pytest.fail("a download"))
    for variable in ("HF_HUB_OFFLINE", "CLIPCODEC_WEIGHTS"):
        monkeypatch.delenv(variable, raising=False)
    encoders = Encoders(registry.by_name(registry.DEFAULT), "openai-vit-b-32")
    encoders.look()
    assert encoders.state == MISSING
    assert "clipcodec fetch openai-vit-b-32" in encoders.message
    with pytest.raises(WeightsUnavailableError, match="clipcodec fetch"):
        encoders.texts(["a dog"])


def test_a_profile_for_any_model_needs_its_name() -> None:
    encoders = Encoders(registry.by_name(ANY), None)
    encoders.look()
    assert not encoders.ready
    assert "--backbone" in encoders.message


def test_weights_that_cannot_be_loaded_are_given_up(tmp_path: Path) -> None:
    """The error is raised once more, and the page is told."""
    spec = make_folder(tmp_path)
    (tmp_path / "open_clip_model.safetensors").write_bytes(b"no weights")
    encoders = Encoders(registry.by_name(ANY), spec.name)
    encoders.look()
    assert encoders.state == READY  # they are only looked for
    with pytest.raises(Exception, match="cannot be read"):
        encoders.images([Image.new("RGB", (8, 8))])
    assert encoders.state == MISSING
    assert "cannot be read" in encoders.message
