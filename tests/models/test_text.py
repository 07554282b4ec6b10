"""`TextTower`: open_clip's own text embeddings, or an error that names the cause and the remedy.

All models here are tiny and random, made and saved by open_clip itself, and loaded the usual way.
"""

from __future__ import annotations

import json
import pickle
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clipcodec import Codec, embed_images, embed_texts
from clipcodec.errors import (
    BackboneWarning,
    OptionError,
    ProfileError,
    WeightsError,
    WeightsUnavailableError,
)
from clipcodec.models import BackboneSpec, TextTower, spec
from tests.helpers import tiny_models

pytest.importorskip("open_clip")
torch: Any = import_module("torch")
open_clip: Any = import_module("open_clip")

TEXTS = ["a dog", "two dogs on a beach", "Ärger, 猫 and 🐈", "?"]


@dataclass(frozen=True)
class Tiny:
    spec: BackboneSpec
    model: Any
    folder: Path
    weights: Path


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    folder = tmp_path_factory.mktemp("tiny")
    made = tiny_models.make_folder(folder, text=tiny_models.TEXT)
    model = tiny_models.make_model(made)
    return Tiny(made, model, folder, tiny_models.save(model, folder / "model.safetensors"))


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CLIPCODEC_WEIGHTS", raising=False)


def reference(tiny: Tiny, texts: list[str]) -> np.ndarray:
    """What open_clip's own few lines give."""
    with torch.no_grad():
        tokens = open_clip.get_tokenizer(tiny.spec.arch)(texts)
        return np.asarray(tiny.model.encode_text(tokens, normalize=True).numpy())


def load(tiny: Tiny, weights: Path | None = None) -> TextTower:
    return TextTower.load(tiny.spec, weights=weights or tiny.weights, device="cpu")


# --- embeddings ---


@pytest.mark.parametrize("suffix", ["safetensors", "pt"])
def test_embeddings_are_those_of_open_clip(tiny: Tiny, tmp_path: Path, suffix: str) -> None:
    tower = load(tiny, tiny_models.save(tiny.model, tmp_path / f"w.{suffix}"))
    found = tower.embed(TEXTS)
    assert found.dtype == np.float32
    assert np.allclose(found, reference(tiny, TEXTS), atol=1e-6)
    assert np.std(found, axis=0).max() > 1e-3, "the texts must not all look the same"
    assert tower.embed([]).shape == (0, 16)


def test_more_texts_than_one_batch_keep_their_order(tiny: Tiny) -> None:
    texts = [f"a photo of {i}" for i in range(300)]
    assert np.allclose(load(tiny).embed(texts), reference(tiny, texts), atol=1e-6)


@pytest.mark.parametrize(
    ("name", "theirs"),
    [("imagenet", "OPENAI_IMAGENET_TEMPLATES"), ("simple", "SIMPLE_IMAGENET_TEMPLATES")],
)
def test_templates_give_open_clips_zero_shot_classifier(tiny: Tiny, name: str, theirs: str) -> None:
    with torch.no_grad():
        expected = open_clip.build_zero_shot_classifier(
            tiny.model,
            open_clip.get_tokenizer(tiny.spec.arch),
            ["cat", "dog"],
            getattr(open_clip, theirs),
        ).numpy()
    assert np.allclose(load(tiny).embed(["cat", "dog"], name), expected.T, atol=1e-6)


def test_templates_of_your_own(tiny: Tiny) -> None:
    """One sentence is the text itself; braces in a text are not a gap."""
    tower = load(tiny)
    one = tower.embed(["{}"], "a photo of a {}.")
    assert np.allclose(one, reference(tiny, ["a photo of a {}."]), atol=1e-6)
    two = reference(tiny, ["a cat.", "the cat!"]).mean(axis=0)
    found = tower.embed(["cat"], ["a {}.", "the {}!"])[0]
    assert np.allclose(found, two / np.linalg.norm(two), atol=1e-6)


@pytest.mark.parametrize("bad", ["a photo", "imagenett", [], ["a {}", "no gap"], [7]])
def test_templates_without_a_gap_are_refused(tiny: Tiny, bad: Any) -> None:
    with pytest.raises(OptionError, match=r"template.*(expected|\{\})"):
        load(tiny).embed(["cat"], bad)


def test_long_texts_are_cut_with_a_warning_that_names_them(tiny: Tiny) -> None:
    """The context has 12 tokens, two of them for begin and end."""
    fits, long = "dog " * 10, "cat " * 11
    with pytest.warns(BackboneWarning, match=r"1 text is longer than the 12 tokens.*'cat cat"):
        found = load(tiny).embed([fits, long])
    assert np.allclose(found, reference(tiny, [fits, long]), atol=1e-6)


def test_a_giant_word_is_cut_before_it_is_tokenized(tiny: Tiny) -> None:
    """CLIP's tokenizer takes time in proportion to the square of a word's length."""
    giant = "x" * 100_000
    with pytest.warns(BackboneWarning, match="1 text"):
        found = load(tiny).embed([giant, "a dog"])
    assert np.allclose(found[1], reference(tiny, ["a dog"])[0], atol=1e-6)
    spaces = "a" + " " * 5000 + "dog"
    assert np.allclose(load(tiny).embed([spaces]), reference(tiny, ["a dog"]), atol=1e-6)


def test_the_temperature_is_the_checkpoints(tiny: Tiny, tmp_path: Path) -> None:
    assert load(tiny).temperature == pytest.approx(tiny.model.logit_scale.exp().item())
    state = {k: v for k, v in tiny.model.state_dict().items() if k != "logit_scale"}
    torch.save(state, tmp_path / "without.pt")
    assert load(tiny, tmp_path / "without.pt").temperature == 100
    torch.save({**state, "logit_scale": torch.tensor(99.0)}, tmp_path / "bad.pt")
    with pytest.raises(WeightsError, match="logit_scale is no number"):
        load(tiny, tmp_path / "bad.pt")


def test_both_ways_in_which_open_clip_names_a_text_tower(tiny: Tiny, tmp_path: Path) -> None:
    """`text.transformer…` and `transformer…` are the same network; older files save a mask, too."""
    state = dict(tiny.model.state_dict())
    apart = {k if k.startswith(("visual.", "logit")) else f"text.{k}": v for k, v in state.items()}
    apart["text.attn_mask"] = torch.zeros(12, 12)
    apart["context_length"] = torch.tensor(12)
    torch.save({"state_dict": {f"module.{k}": v for k, v in apart.items()}}, tmp_path / "a.pt")
    assert np.allclose(load(tiny, tmp_path / "a.pt").embed(TEXTS), reference(tiny, TEXTS))
    custom = tiny_models.config(text=tiny_models.TEXT) | {"custom_text": True}
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": custom, "preprocess_cfg": {}}), "utf-8"
    )
    name = f"local-dir:{tmp_path / 'm'}"
    tower = TextTower.load(BackboneSpec(name, name, None, 16), weights=tiny.weights, device="cpu")
    assert np.allclose(tower.embed(TEXTS), reference(tiny, TEXTS), atol=1e-6)


def test_a_pickle_holds_no_weights(tiny: Tiny) -> None:
    tower = load(tiny)
    data = pickle.dumps(tower)
    assert len(data) < 1000
    assert np.array_equal(pickle.loads(data).embed(TEXTS), tower.embed(TEXTS))


@pytest.mark.slow
def test_registered_backbones_build_with_the_activation_they_were_trained_with() -> None:
    """No weights are at hand, so the text network is built empty; its tokenizer fits it."""
    from clipcodec.models.build import NO_VISION, build
    from clipcodec.models.text import _text_only
    from clipcodec.models.tokens import Tokenizer

    for name, width in (("openai-vit-b-32", 512), ("openai-vit-l-14-336", 768)):
        model = build(spec(name), NO_VISION, _text_only)
        assert model.text_projection.shape == (width, width)
        assert type(model.transformer.resblocks[0].mlp.gelu).__name__ == "QuickGELU"
        assert not list(model.visual.parameters())
        tokens, cut = Tokenizer(spec(name), 77, int(model.vocab_size))(["a dog"])
        assert tokens[0, :4].tolist() == [49406, 320, 1929, 49407]
        assert cut == []


# --- through the public API ---


def test_the_public_functions_give_both_towers(tiny: Tiny, tmp_path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (40, 40), (200, 30, 30)).save(tmp_path / "a.png")
    options: Any = {"backbone": tiny.spec.name, "weights": tiny.weights, "device": "cpu"}
    assert np.allclose(embed_texts(TEXTS, **options), reference(tiny, TEXTS), atol=1e-6)
    assert embed_images([tmp_path / "a.png"], **options).shape == (1, 16)
    codec = Codec("any/rotation", **options)
    assert np.allclose(codec.embed_texts(["cat"], "a {}"), reference(tiny, ["a cat"]), atol=1e-6)
    for bad in ("a dog", [""], [3], b"x"):
        with pytest.raises(OptionError, match="texts"):
            embed_texts(bad, **options)  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="several images"):
        embed_images("a.png", **options)


# --- bad weights and tokenizers ---


def test_a_checkpoint_without_a_text_tower_is_named(tiny: Tiny, tmp_path: Path) -> None:
    state = {k: v for k, v in tiny.model.state_dict().items() if k.startswith("visual.")}
    torch.save(state, tmp_path / "half.pt")
    with pytest.raises(WeightsError, match=r"half\.pt' has no text encoder .*expected the file of"):
        load(tiny, tmp_path / "half.pt")


def test_weights_of_another_shape_are_named(tiny: Tiny, tmp_path: Path) -> None:
    state = dict(tiny.model.state_dict())
    state["positional_embedding"] = torch.zeros(77, 16)
    torch.save(state, tmp_path / "other.pt")
    with pytest.raises(
        WeightsError, match=r"positional_embedding \(77, 16\) instead of \(12, 16\)"
    ):
        load(tiny, tmp_path / "other.pt")


def test_numbers_that_are_not_finite_are_named(tiny: Tiny, tmp_path: Path) -> None:
    state = dict(tiny.model.state_dict())
    state["ln_final.weight"] = torch.full((16,), torch.nan)
    torch.save(state, tmp_path / "nan.pt")
    with pytest.raises(WeightsError, match=r"ln_final\.weight holds NaN"):
        load(tiny, tmp_path / "nan.pt")


@pytest.mark.parametrize("vocabulary", [32, 50_000])
def test_a_tokenizer_that_does_not_belong_is_named(tmp_path: Path, vocabulary: int) -> None:
    """CLIP's own has 49,408 tokens: no other number can be right."""
    made = tiny_models.make_folder(
        tmp_path / "m", text=tiny_models.TEXT | {"vocab_size": vocabulary}
    )
    path = tiny_models.save(tiny_models.make_model(made), tmp_path / "w.safetensors")
    with pytest.raises(ProfileError, match=f"49408 tokens, its text network {vocabulary}"):
        TextTower.load(made, weights=path, device="cpu")


def test_a_tokenizer_of_the_folder_is_used(tmp_path: Path) -> None:
    """A model with a tokenizer of its own, in its folder; a missing one is named."""
    transformers = pytest.importorskip("transformers")
    tokenizers = pytest.importorskip("tokenizers")
    words = ["[PAD]", "[UNK]", "[CLS]", "a", "dog", "cat"]
    text = tiny_models.TEXT | {
        "vocab_size": 8,
        "hf_tokenizer_name": "anything",
        "context_length": 4,
    }
    made = tiny_models.make_folder(tmp_path / "m", text=text)
    path = tiny_models.save(tiny_models.make_model(made), tmp_path / "m" / "model.safetensors")
    with pytest.raises(WeightsUnavailableError, match="put the tokenizer's files into that folder"):
        TextTower.load(made, weights=path, device="cpu")
    inner = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="[UNK]")
    )
    inner.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=inner, pad_token="[PAD]")
    fast.save_pretrained(tmp_path / "m")
    tower = TextTower.load(made, weights=path, device="cpu")
    with pytest.warns(BackboneWarning, match="1 text is longer than the 4 tokens"):
        found = tower.embed(["a dog", "a cat", "a dog a dog a dog"])
    assert found.shape == (3, 16)
    assert not np.allclose(found[0], found[1], atol=1e-4)

    def work(_: int) -> np.ndarray:
        return tower.embed(["a dog", "a cat", "a dog a dog a dog"] * 20)

    with warnings.catch_warnings():  # threads share it, as the page of `browse` does
        warnings.simplefilter("ignore", BackboneWarning)
        with ThreadPoolExecutor(6) as pool:
            for rows in pool.map(work, range(120)):
                assert np.allclose(rows[:3], found, atol=1e-4)


def test_a_tokenizer_that_cannot_be_downloaded_is_named_soon(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("transformers")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    from clipcodec.models.tokens import load as load_tokenizer

    with pytest.raises(WeightsUnavailableError, match=r"timm/ViT-B-16-SigLIP.*clipcodec fetch"):
        load_tokenizer(BackboneSpec("s", "ViT-B-16-SigLIP", "webli", 768))


def test_no_weights_at_all_name_the_remedy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(WeightsUnavailableError, match="clipcodec fetch openai-vit-b-32"):
        embed_texts(["a dog"])


def test_one_text_or_something_else_is_refused(tiny: Tiny) -> None:
    """A str would be taken as one text for each of its letters."""
    tower = load(tiny)
    for texts in ("cat", ["cat", 3], ["cat", " "]):
        with pytest.raises(OptionError, match="texts"):
            tower.embed(texts)  # type: ignore[arg-type]


def test_sentences_of_many_labels_are_held_some_at_a_time(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory grows with the texts, not with the texts times the templates."""
    tower, most = load(tiny), 0
    inner = TextTower._embed_sentences

    def measured(self: TextTower, sentences: list[str], cut: list[str]) -> np.ndarray:
        nonlocal most
        most = max(most, len(sentences))
        return inner(self, sentences, cut)

    monkeypatch.setattr(TextTower, "_embed_sentences", measured)
    labels = [f"label {i}" for i in range(60)]
    forms = [f"{i} of {{}}" for i in range(30)]
    rows = tower.embed(labels, forms)
    assert most <= 256
    assert np.allclose(rows[59:], tower.embed(labels[59:], forms), atol=1e-5)
