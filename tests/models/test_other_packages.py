"""What docs/which-embeddings.md says of other packages: the same weights, the same embeddings."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import clipcodec
from clipcodec.errors import BackboneWarning, ProfileError
from clipcodec.models import Preprocess, spec
from clipcodec.profile import registry
from clipcodec.profile.statistics import Statistics, check_statistics
from clipcodec.training import compact
from tests.helpers import tiny_models

open_clip = pytest.importorskip("open_clip")
torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

WIDTH, DIM, LAYERS = 32, 16, 2


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A small model of open_clip, with QuickGELU."""
    return tiny_models.make_model(tiny_models.make_folder(tmp_path_factory.mktemp("model")))


@pytest.fixture(scope="module")
def twin(model: Any) -> Any:
    """transformers' model with the same weights in its image tower."""
    sizes = {"hidden_size": WIDTH, "intermediate_size": 4 * WIDTH, "num_hidden_layers": LAYERS,
             "num_attention_heads": WIDTH // 16, "image_size": 32, "patch_size": 8}  # fmt: skip
    text = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1,
            "num_attention_heads": 1, "vocab_size": 8}  # fmt: skip
    config = transformers.CLIPConfig(projection_dim=DIM, vision_config=sizes, text_config=text)
    other = transformers.CLIPModel(config).eval()
    result = other.load_state_dict(renamed(model.visual.state_dict()), strict=False)
    assert not result.unexpected_keys
    assert not [name for name in result.missing_keys if "visi" in name or "visual" in name]
    return other


def renamed(state: dict[str, Any]) -> dict[str, Any]:
    """open_clip's tensors of an image tower by the names of transformers."""
    names = {"class_embedding": "embeddings.class_embedding",
             "conv1.weight": "embeddings.patch_embedding.weight",
             "positional_embedding": "embeddings.position_embedding.weight"}  # fmt: skip
    found = {f"vision_model.{new}": state[old] for old, new in names.items()}
    found["visual_projection.weight"] = state["proj"].T.contiguous()
    for kind in ("weight", "bias"):
        found[f"vision_model.pre_layrnorm.{kind}"] = state[f"ln_pre.{kind}"]
        found[f"vision_model.post_layernorm.{kind}"] = state[f"ln_post.{kind}"]
    for i in range(LAYERS):
        old, new = f"transformer.resblocks.{i}", f"vision_model.encoder.layers.{i}"
        for kind in ("weight", "bias"):
            parts = state[f"{old}.attn.in_proj_{kind}"].chunk(3)
            for letter, part in zip("qkv", parts, strict=True):
                found[f"{new}.self_attn.{letter}_proj.{kind}"] = part
            for ours, theirs in (("attn.out_proj", "self_attn.out_proj"), ("ln_1", "layer_norm1"),
                                 ("ln_2", "layer_norm2"), ("mlp.c_fc", "mlp.fc1"),
                                 ("mlp.c_proj", "mlp.fc2")):  # fmt: skip
                found[f"{new}.{theirs}.{kind}"] = state[f"{old}.{ours}.{kind}"]
    return found


def test_the_same_weights_give_the_same_embeddings(model: Any, twin: Any) -> None:
    """By the line of the page, which takes what any release of transformers returns."""
    pixels = torch.randn(3, 3, 32, 32)
    with torch.no_grad():
        ours = model.encode_image(pixels).numpy()
        found = twin.get_image_features(pixel_values=pixels)
    theirs = getattr(found, "pooler_output", found).numpy()
    np.testing.assert_allclose(theirs, ours, atol=1e-5)
    assert np.abs(ours).max() > 0.01


def test_the_pooled_output_is_no_embedding(twin: Any) -> None:
    """It is as wide as the network inside; of ViT-B/32 768, as an embedding of ViT-L/14."""
    with torch.no_grad():
        pooled = twin.vision_model(pixel_values=torch.randn(1, 3, 32, 32)).pooler_output
    assert pooled.shape == (1, WIDTH) != (1, DIM)
    inside = open_clip.get_model_config("ViT-B-32")["vision_cfg"]["width"]
    assert inside == open_clip.get_model_config("ViT-L-14-336")["embed_dim"] == 768


def test_rows_without_the_projection_are_unlike_those_with_it() -> None:
    """Also where both have the same width: the statistic finds them. With a random network."""
    torch.manual_seed(0)
    tower = open_clip.model.CLIP(
        embed_dim=WIDTH,
        vision_cfg={"image_size": 32, "layers": 2, "width": WIDTH, "head_width": 16,
                    "patch_size": 8},
        text_cfg={"context_length": 8, "vocab_size": 8, "width": 8, "heads": 1, "layers": 1},
    ).visual.eval()  # fmt: skip
    with torch.no_grad():
        tower.ln_post.bias.normal_()  # as trained ones have it: pooled rows lie around a mean
        pixels = torch.randn(200, 3, 32, 32)
        projected = torch.nn.functional.normalize(tower(pixels)).numpy()
        tower.proj = None
        pooled = torch.nn.functional.normalize(tower(pixels)).numpy()
    assert projected.shape == pooled.shape
    tensors, found = compact.statistics(projected[:100])
    stats = Statistics(tensors["statistics.mean"].astype(np.float32), found["low"], found["floor"],
                       np.empty((WIDTH, 0), np.float32), np.ones(1, np.float32))  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_statistics(projected[100:], stats, "name")
    with pytest.warns(BackboneWarning, match="100 of 100 embeddings are unlike"):
        check_statistics(pooled[100:], stats, "name")


def test_the_processor_changes_a_pixel_by_one_level() -> None:
    pytest.importorskip("torchvision")
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 256, (36, 48, 3), np.uint8))
    image = image.resize((480, 360), Image.Resampling.BICUBIC)
    processor = transformers.CLIPImageProcessor(do_rescale=False, do_normalize=False)
    theirs = processor(images=image, return_tensors="np")["pixel_values"][0].transpose(1, 2, 0)
    ours = Preprocess((224, 224), "shortest", "bicubic", 0)(image)
    change = np.abs(theirs.astype(int) - ours.astype(int))
    assert change.max() <= 1
    assert change.mean() < 0.1


def test_open_clip_only_warns_of_the_wrong_activation_and_clipcodec_refuses_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(ProfileError, match="use open_clip:ViT-B-32-quickgelu:openai"):
        spec("open_clip:ViT-B-32:openai")
    config = {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16,
                       "patch_size": 8},
        "text_cfg": {"context_length": 8, "vocab_size": 8, "width": 8, "heads": 1, "layers": 1},
    }  # fmt: skip
    weights = tmp_path / "weights.pt"
    torch.save(open_clip.model.CLIP(**config, quick_gelu=True).state_dict(), weights)
    monkeypatch.setattr(open_clip.factory, "get_model_config", lambda name: config)
    monkeypatch.setattr(open_clip.factory, "download_pretrained", lambda *a, **b: str(weights))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        loaded = open_clip.create_model("ViT-B-32", pretrained="openai")
    assert any("QuickGELU mismatch" in str(item.message) for item in caught)
    assert type(loaded.visual.transformer.resblocks[0].mlp.gelu).__name__ == "GELU"


@pytest.mark.parametrize(
    ("name", "dim"),
    [
        ("open_clip:ViT-B-16-SigLIP2:webli", 768),
        ("open_clip:ViT-B-16-SigLIP:webli", 768),
        ("open_clip:ViT-B-32:laion2b_s34b_b79k", 512),
        ("open_clip:ViT-L-14:datacomp_xl_s13b_b90k", 768),
        ("open_clip:ViT-B-32-quickgelu:metaclip_400m", 512),
    ],
)
def test_any_pair_of_open_clips_list_is_a_backbone(name: str, dim: int) -> None:
    """And has no trained profile here: `any/rotation` codes its rows, or one that is learned."""
    assert spec(name).dim == dim
    assert tuple(name.split(":")[1:]) in open_clip.list_pretrained()
    assert registry.for_backbone(name) == "any/rotation"


def test_a_downloaded_folder_gives_open_clips_own_rows(tmp_path: Path) -> None:
    """By the lines of the page, of a model as a repository of the hub holds it: weights, config.

    Its image tower is timm's, and its pictures are squashed and scaled as SigLIP's are.
    """
    folder = tmp_path / "model"
    found = tiny_models.make_folder(folder)
    file = folder / "open_clip_config.json"
    config = json.loads(file.read_text("utf-8"))
    config["model_cfg"]["vision_cfg"] = {
        "image_size": 224, "timm_model_name": "vit_tiny_patch16_224",
        "timm_model_pretrained": False, "timm_pool": "avg", "timm_proj": "linear",
    }  # fmt: skip
    config["preprocess_cfg"] = {
        "mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "squash",
    }  # fmt: skip
    file.write_text(json.dumps(config), "utf-8")
    tiny_models.save(tiny_models.make_model(found), folder / "open_clip_model.safetensors")
    rng = np.random.default_rng(0)
    small = Image.fromarray(rng.integers(0, 256, (5, 7, 3), np.uint8))
    small.resize((56, 40), Image.Resampling.BICUBIC).save(tmp_path / "photo.png")

    model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    model.eval()
    pixels = preprocess(Image.open(tmp_path / "photo.png")).unsqueeze(0)
    with torch.no_grad():
        x = model.encode_image(pixels).numpy()
    ours = clipcodec.embed_images([tmp_path / "photo.png"], backbone=f"local-dir:{folder}")
    np.testing.assert_allclose(ours, x / np.linalg.norm(x, axis=1, keepdims=True), atol=1e-5)
    codec = clipcodec.Codec("any/rotation")
    stream = codec.encode_embeddings(x, max_bytes=40)[0]
    assert codec.encode_embeddings(ours, max_bytes=40)[0] == stream
