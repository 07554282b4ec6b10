"""A small SAM with random weights, made from a configuration and saved as transformers does it."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

SIDE = 64  # pixels of its input


def make_sam(folder: Path, seed: int = 0, *, sure: bool = False) -> Path:
    """Write config.json, model.safetensors and preprocessor_config.json into `folder`.

    sure  rate all masks as good, and make their edges sharp, so that no threshold refuses them
    """
    torch, transformers = import_module("torch"), import_module("transformers")
    config = transformers.SamConfig(
        vision_config={
            "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "mlp_dim": 16,
            "image_size": SIDE, "patch_size": 16, "output_channels": 16, "num_pos_feats": 8,
            "global_attn_indexes": [0], "window_size": 2,
        },
        prompt_encoder_config={"hidden_size": 16, "image_size": SIDE, "patch_size": 16},
        mask_decoder_config={
            "hidden_size": 16, "mlp_dim": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
            "iou_head_hidden_dim": 16, "iou_head_depth": 2,
        },
    )  # fmt: skip
    model = transformers.SamModel(config)
    generator = torch.Generator().manual_seed(seed)
    for tensor in model.state_dict().values():  # the same weights with any release of transformers
        tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.3)
    if sure:
        model.mask_decoder.iou_prediction_head.proj_out.weight.data.zero_()
        model.mask_decoder.iou_prediction_head.proj_out.bias.data.fill_(1.0)
        for network in model.mask_decoder.output_hypernetworks_mlps:
            network.proj_out.weight.data *= 1e6
            network.proj_out.bias.data *= 1e6
    model.save_pretrained(folder)
    transformers.SamImageProcessor(
        size={"longest_edge": SIDE},
        pad_size={"height": SIDE, "width": SIDE},
        mask_size={"longest_edge": SIDE // 4},
        mask_pad_size={"height": SIDE // 4, "width": SIDE // 4},
    ).save_pretrained(folder)
    return folder
