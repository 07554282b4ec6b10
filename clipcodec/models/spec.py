"""Which networks there are: their names, and what open_clip knows about each."""

from __future__ import annotations

import importlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import MissingDependencyError, ProfileError, WeightsUnavailableError
from ..system.forks import loading

LOCAL, GENERAL = "local-dir:", "open_clip:"


@dataclass(frozen=True)
class BackboneSpec:
    """Which network a backbone is.

    Attributes:
        name: What profiles and users call it.
        arch: open_clip's model name, or `local-dir:` and a folder.
        pretrained: open_clip's tag. None: no weights are published; they are in the folder of a
            `local-dir:` arch, or given as a file.
        dim: Width D of the embeddings.
        hub: open_clip's Hugging Face entry ("owner/repository/", or with a file name behind), kept
            here so that missing weights are noticed before torch is imported; "": ask open_clip.

    Examples:
        >>> from clipcodec.models import BACKBONES
        >>> BACKBONES["openai-vit-l-14-336"].dim
        768
    """

    name: str
    arch: str
    pretrained: str | None
    dim: int
    hub: str = ""


BACKBONES: dict[str, BackboneSpec] = {
    # OpenAI trained with QuickGELU; only open_clip's models named …-quickgelu use it.
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
"""The networks that profiles are made for, by name; for others see `spec`."""


def spec(name: str) -> BackboneSpec:
    """Find the network of a backbone's name.

    `open_clip:ARCH:TAG` is any pair that `open_clip.list_pretrained()` shows (this imports
    open_clip). `local-dir:FOLDER` is a model saved with its `open_clip_config.json`.

    Args:
        name: One of `BACKBONES`, or of one of these two forms.

    Returns:
        The network.

    Raises:
        ProfileError: There is no such backbone, or ARCH has another activation function than TAG
            was trained with (QuickGELU).
        WeightsUnavailableError: open_clip is needed and missing.

    Examples:
        >>> from clipcodec.models import spec
        >>> spec("openai-vit-b-32").dim
        512
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
            f"no backbone {name!r}: known are {', '.join(BACKBONES)}; open_clip:ARCH:TAG for any"
            " pair of open_clip.list_pretrained(); local-dir:FOLDER for a folder with"
            " open_clip_config.json"
        )
    config, _ = settings(name, arch, pretrained)
    return BackboneSpec(name, arch, pretrained, int(config["embed_dim"]))


def settings(name: str, arch: str, pretrained: str | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """open_clip's configuration of the model, and its entry for the tag ({} if there is none).

    Raises `ProfileError` if one does not exist, or if they differ in the activation function.
    """
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
            message = (
                f"backbone {name!r}: {str(file)!r} is not an open_clip configuration ({error!r})"
            )
            raise ProfileError(message) from error
        return config, {}
    open_clip = load_module("open_clip")
    known = open_clip.get_model_config(arch) if arch in open_clip.list_models() else None
    if known is None:
        raise ProfileError(
            f"backbone {name!r}: open_clip has no architecture {arch!r}; open_clip.list_models()"
            " shows all"
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
            f"backbone {name!r}: the weights {pretrained!r} were trained with another activation"
            f" function than {arch} has; use open_clip:{twin}:{pretrained}"
        )
    return known, tag


def load_module(name: str) -> Any:
    """Import a module that only backbones need.

    Raises MissingDependencyError if it is not installed, WeightsUnavailableError if it is broken.
    """
    try:
        with loading:
            return importlib.import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        why = (
            f"a backbone needs {package}, which cannot be imported ({error}):"
            " pip install torch open_clip_torch (decoding does not need it)"
        )
        if isinstance(error, ModuleNotFoundError):
            raise MissingDependencyError(why, name=error.name or package) from error
        raise WeightsUnavailableError(why) from error
