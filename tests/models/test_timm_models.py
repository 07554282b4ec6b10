"""What docs/any-model.md says of timm: which output is the embedding, and which transform."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import save_file

torch = pytest.importorskip("torch")
timm = pytest.importorskip("timm")

SMALL = {"embed_dim": 32, "depth": 2, "num_heads": 2, "img_size": 32, "patch_size": 8}


def made(name: str, **options: Any) -> Any:
    """The model of that name without weights, small, by the page's `num_classes=0`."""
    torch.manual_seed(0)
    return timm.create_model(name, **{"num_classes": 0, **SMALL, **options}).eval()


@pytest.fixture(scope="module")
def pixels() -> Any:
    return torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def test_dinov2s_output_is_the_class_token_after_the_last_norm(pixels: Any) -> None:
    model = made("vit_base_patch14_dinov2.lvd142m", init_values=1.0)
    with torch.no_grad():
        rows, tokens = model(pixels), model.forward_features(pixels)
    assert rows.shape == (3, 32)
    assert (rows == tokens[:, 0]).all()  # `forward_features` ends with the norm
    assert torch.allclose(rows.mean(1), torch.zeros(3), atol=1e-5)
    assert tokens.shape == (3, 1 + (32 // 8) ** 2, 32)  # of each patch one: no embedding


def test_dinov2_of_transformers_is_the_same_network(pixels: Any, tmp_path: Path) -> None:
    """The weights go through a file, as releases of transformers differ in their inner names."""
    transformers = pytest.importorskip("transformers")
    model = made("vit_base_patch14_dinov2.lvd142m", init_values=1.0)
    config = transformers.Dinov2Config(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=32, patch_size=8
    )
    config.save_pretrained(tmp_path)
    tensors = {name: value.contiguous() for name, value in renamed(model.state_dict()).items()}
    save_file(tensors, tmp_path / "model.safetensors", {"format": "pt"})
    other = transformers.AutoModel.from_pretrained(tmp_path).eval()
    with torch.no_grad():
        ours, theirs = model(pixels), other(pixel_values=pixels).pooler_output
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), atol=1e-5)


def renamed(state: dict[str, Any]) -> dict[str, Any]:
    """timm's tensors of DINOv2 by the names of transformers."""
    found = {
        "embeddings.cls_token": state["cls_token"],
        "embeddings.mask_token": torch.zeros(1, state["cls_token"].shape[-1]),  # training only
        "embeddings.position_embeddings": state["pos_embed"],
    }
    for kind in ("weight", "bias"):
        patches = f"embeddings.patch_embeddings.projection.{kind}"
        found[patches] = state[f"patch_embed.proj.{kind}"]
        found[f"layernorm.{kind}"] = state[f"norm.{kind}"]
    for layer in range(SMALL["depth"]):
        old, new = f"blocks.{layer}", f"encoder.layer.{layer}"
        for number in (1, 2):
            found[f"{new}.layer_scale{number}.lambda1"] = state[f"{old}.ls{number}.gamma"]
        for kind in ("weight", "bias"):
            parts = state[f"{old}.attn.qkv.{kind}"].chunk(3)
            for name, part in zip(("query", "key", "value"), parts, strict=True):
                found[f"{new}.attention.attention.{name}.{kind}"] = part
            found[f"{new}.attention.output.dense.{kind}"] = state[f"{old}.attn.proj.{kind}"]
            for name in ("norm1", "norm2", "mlp.fc1", "mlp.fc2"):
                found[f"{new}.{name}.{kind}"] = state[f"{old}.{name}.{kind}"]
    return found


def test_dinov3_takes_the_mean_of_patches_unless_it_is_asked_for_the_class_token(
    pixels: Any,
) -> None:
    """transformers gives the class token, as the authors do: rows of both do not mix."""
    name = "vit_small_patch16_dinov3"
    mean, token = made(name), made(name, global_pool="token")
    token.load_state_dict(mean.state_dict())
    with torch.no_grad():
        by_mean, by_token = mean(pixels), token(pixels)
        tokens = mean.forward_features(pixels)
    assert mean.num_prefix_tokens == 1 + 4  # the class token and the registers
    assert torch.allclose(by_token, tokens[:, 0], atol=1e-6)
    assert torch.allclose(by_mean, tokens[:, 5:].mean(1), atol=1e-6)
    assert not torch.allclose(by_mean, by_token, atol=0.01)


def test_without_its_head_clip_lacks_the_projection(pixels: Any) -> None:
    """Of CLIP's towers alone: their head is the projection, so `num_classes=0` takes it away."""
    name = "vit_base_patch32_clip_quickgelu_224.openai"
    assert timm.get_pretrained_cfg(name).num_classes == 512
    bare = made(name)
    whole = made(name, num_classes=16)
    bare.load_state_dict(whole.state_dict(), strict=False)
    with torch.no_grad():
        rows, inside = whole(pixels), bare(pixels)
        assert (rows.shape, inside.shape) == ((3, 16), (3, 32))
        assert torch.allclose(whole.head(inside), rows, atol=1e-6)
    siglip = timm.get_pretrained_cfg("vit_base_patch16_siglip_224.v2_webli")
    assert siglip.num_classes == 0  # nothing to take away


def test_siglips_output_is_its_attention_pool(pixels: Any) -> None:
    model = made("vit_base_patch16_siglip_224.v2_webli")
    assert model.global_pool == "map"
    with torch.no_grad():
        pooled = model.attn_pool(model.forward_features(pixels))
        assert torch.allclose(model(pixels), pooled, atol=1e-6)


def test_a_classifiers_output_is_no_embedding_until_its_head_is_taken_away(pixels: Any) -> None:
    model = made("vit_small_patch16_224", num_classes=1000)
    with torch.no_grad():
        assert model(pixels).shape == (3, 1000)
        inside = model.forward_head(model.forward_features(pixels), pre_logits=True)
        model.reset_classifier(0)
        assert torch.equal(model(pixels), inside)


def test_each_model_has_its_own_transform() -> None:
    """DINOv2 takes 518 pixels, DINOv3 256, with other means than SigLIP's."""
    found = {}
    for name in ("vit_base_patch14_dinov2.lvd142m", "vit_small_patch16_dinov3.lvd1689m",
                 "vit_base_patch16_siglip_224.v2_webli"):  # fmt: skip
        cfg = timm.get_pretrained_cfg(name)
        data = timm.data.resolve_data_config(pretrained_cfg=cfg.to_dict())
        found[name.split(".")[0]] = (data["input_size"][1], round(data["mean"][0], 3))
    assert found == {
        "vit_base_patch14_dinov2": (518, 0.485),
        "vit_small_patch16_dinov3": (256, 0.485),
        "vit_base_patch16_siglip_224": (224, 0.5),
    }
