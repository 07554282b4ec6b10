"""Which networks there are: names, and what open_clip knows of each."""

from __future__ import annotations

import importlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import ProfileError, WeightsUnavailableError
from ..system.forks import loading

LOCAL, GENERAL = "local-dir:", "open_clip:"


@dataclass(frozen=True)
class BackboneSpec:
    """Which network: `arch` and `pretrained` are open_clip's model name and tag.

    `pretrained` None means that no weights are published: they are in the folder of a `local-dir:`
    arch, or given as a file. `dim` is the embedding's width. `hub` is open_clip's Hugging Face
    entry ("owner/repository/" or with a file name), kept here so that missing weights are noticed
    before torch is imported; empty: ask open_clip.
    """

    name: str
    arch: str
    pretrained: str | None
    dim: int
    hub: str = ""


BACKBONES: dict[str, BackboneSpec] = {
    # OpenAI trained with QuickGELU, which only open_clip's -quickgelu names have.
    item.name: item
    for item in (
        BackboneSpec(
            "openai-vit-b-32",
            "ViT-B-32-quickgelu",
            "openai",
            512,
            "timm/vit_base_patch32_clip_224.openai/",
        ),
        BackboneSpec(
            "openai-vit-l-14-336",
            "ViT-L-14-336-quickgelu",
            "openai",
            768,
            "timm/vit_large_patch14_clip_336.openai/",
        ),
    )
}


def spec(name: str) -> BackboneSpec:
    """The backbone of that name: one of `BACKBONES`, or one of two general forms.

    `open_clip:ARCH:TAG` is any pair that `open_clip.list_pretrained()` shows (this imports
    open_clip); `local-dir:FOLDER` is a model saved with its `open_clip_config.json`.
    Raises `ProfileError` if there is none such, or if ARCH has another activation than TAG needs.
    """
    if name in BACKBONES:
        return BACKBONES[name]
    arch, pretrained = None, None
    if name.startswith(LOCAL):
        arch = name
    elif name.startswith(GENERAL) and name.count(":") == 2:
        _, arch, pretrained = name.split(":")
    if not arch or pretrained == "":
        raise ProfileError(
            f"no backbone {name!r}: there are {', '.join(BACKBONES)}; open_clip:ARCH:TAG for any"
            " pair of open_clip.list_pretrained(); local-dir:FOLDER for a folder with"
            " open_clip_config.json"
        )
    config, _ = settings(name, arch, pretrained)
    return BackboneSpec(name, arch, pretrained, int(config["embed_dim"]))


def settings(name: str, arch: str, pretrained: str | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """open_clip's model configuration and its entry for the tag ({} if none); they must agree."""
    if arch.startswith(LOCAL):
        file = Path(arch.removeprefix(LOCAL)) / "open_clip_config.json"
        try:
            config: dict[str, Any] = json.loads(file.read_text("utf-8"))["model_cfg"]
            int(config["embed_dim"])
        except OSError as error:
            raise ProfileError(
                f"no backbone {name!r}: cannot read {str(file)!r} ({error})"
            ) from error
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            message = f"backbone {name!r}: {str(file)!r} is no open_clip configuration ({error!r})"
            raise ProfileError(message) from error
        return config, {}
    open_clip = load_module("open_clip")
    known = open_clip.get_model_config(arch) if arch in open_clip.list_models() else None
    if known is None:
        raise ProfileError(
            f"backbone {name!r}: open_clip has no architecture {arch!r}; open_clip.list_models()"
            f" shows all"
        )
    if pretrained is None:
        return known, {}
    tag: dict[str, Any] = open_clip.get_pretrained_cfg(arch, pretrained)
    if not tag:
        tags = ", ".join(open_clip.list_pretrained_tags_by_model(arch)) or "none"
        raise ProfileError(f"backbone {name!r}: {arch} has no tag {pretrained!r}, but {tags}")
    if bool(tag.get("quick_gelu")) != bool(known.get("quick_gelu")):
        twin = arch.removesuffix("-quickgelu") if known.get("quick_gelu") else f"{arch}-quickgelu"
        raise ProfileError(
            f"backbone {name!r}: {arch} has another activation function than the weights"
            f" {pretrained!r} were trained with; use open_clip:{twin}:{pretrained}"
        )
    return known, tag


def load_module(name: str) -> Any:
    try:
        with loading:
            return importlib.import_module(name)
    except ImportError as error:
        raise WeightsUnavailableError(
            f"a backbone needs {name.partition('.')[0]}, which cannot be imported ({error}):"
            " pip install torch open_clip_torch (decoding does not need it)"
        ) from error
