"""Small open_clip models with random weights, made and saved through open_clip's own mechanisms."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

from clipcodec.models import BackboneSpec

WIDTH = 16  # of the embedding
# A text tower with the vocabulary of CLIP's own tokenizer, which needs no files.
TEXT = {"context_length": 12, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2}


def config(
    dim: int = WIDTH,
    *,
    layers: int = 2,
    width: int = 32,
    image: int = 32,
    dropout: float = 0.0,
    text: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """An open_clip model configuration: a vision transformer of a few thousand parameters.

    text  the text tower's: by default one that has no tokenizer; TEXT has CLIP's
    """
    return {
        "embed_dim": dim,
        "quick_gelu": True,
        "vision_cfg": {
            "image_size": image,
            "layers": layers,
            "width": width,
            "head_width": 16,
            "patch_size": 8,
            "patch_dropout": dropout,  # of image patches, in training only
        },
        "text_cfg": text
        or {"context_length": 8, "vocab_size": 32, "width": 32, "heads": 2, "layers": 1},
    }


def make_folder(folder: Path, **options: Any) -> BackboneSpec:
    """Write `open_clip_config.json` into `folder`; its spec is in open_clip's local-dir form."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"model_cfg": config(**options), "preprocess_cfg": {}})
    (folder / "open_clip_config.json").write_text(text, "utf-8")
    name = f"local-dir:{folder}"
    return BackboneSpec(name, name, None, int(options.get("dim", WIDTH)))


def make_model(spec: BackboneSpec, seed: int = 0) -> Any:
    """A whole open_clip model of that configuration, image and text, with random weights."""
    open_clip, torch = import_module("open_clip"), import_module("torch")
    torch.manual_seed(seed)
    return open_clip.create_model(spec.arch, load_weights=False).eval()


def save(model: Any, path: Path) -> Path:
    """Save the state dict by the file's suffix: .safetensors, or torch's own format."""
    import torch
    from safetensors.torch import save_file

    if path.suffix == ".safetensors":
        save_file({name: value.contiguous() for name, value in model.state_dict().items()}, path)
    else:
        torch.save(model.state_dict(), path)
    return path


def save_torchscript(model: Any, path: Path) -> Path:
    """Save as a TorchScript archive, the format of OpenAI's original files."""
    torch = import_module("torch")
    holder = torch.nn.ModuleDict({"visual": model.visual})
    holder.forward = model.visual.forward
    torch.jit.trace(holder.eval(), torch.zeros(1, 3, 32, 32), check_trace=False).save(str(path))
    return path
