"""Reads the tensors of a weights file, without running any code in it.

safetensors holds data only. .pt and .bin are read with torch's `weights_only=True`. A TorchScript
archive is a program, so it is opened only if its SHA-256 is the one that OpenAI published for this
backbone.
"""

from __future__ import annotations

import os
import re
import warnings
import zipfile
from pathlib import Path
from typing import Any

from ..errors import (
    BackboneWarning,
    MissingDependencyError,
    WeightsError,
    WeightsUnavailableError,
)
from . import tokens
from .hub import published, replacement, sha256, verify
from .spec import BackboneSpec, load_module, settings
from .spec import spec as find_spec

_TEXT_NAMES = (  # of open_clip's models that do not put `text.` in front
    "transformer.", "token_embedding.", "positional_embedding", "ln_final.", "text_projection",
)  # fmt: skip


def fetch(name: str | BackboneSpec, *, progress: bool | None = None) -> Path:
    """Make sure that the weights of a backbone are on disk and not damaged.

    Downloads what open_clip would download into the Hugging Face cache, if it is not there yet: the
    one file of both towers, and the tokenizer where it is not part of open_clip. The cache names a
    file by its SHA-256, which is computed and checked here.

    Args:
        name: Of the backbone, or its `BackboneSpec`.
        progress: Show a bar; None: only if standard error is a terminal.

    Returns:
        The path of the file.

    Raises:
        ProfileError: There is no such backbone.
        WeightsUnavailableError: It cannot be found or downloaded.
        WeightsError: It is damaged; the message names the file to delete.

    Examples:
        >>> from clipcodec.models import fetch
        >>> fetch("openai-vit-b-32").suffix
        '.safetensors'
    """
    chosen = find_spec(name) if isinstance(name, str) else name
    path = published(chosen, progress=progress)
    if not verify(path, chosen):
        read_tensors(path, chosen)
    if chosen.hub:  # of `BACKBONES`: their tokenizer is open_clip's own
        return path
    try:
        tokens.load(chosen)
    except MissingDependencyError as error:  # images can do without it
        warnings.warn(f"only images can be embedded: {error}", BackboneWarning, stacklevel=2)
    return path


def read_tensors(path: Path, spec: BackboneSpec, *, tower: str = "visual") -> dict[str, Any]:
    """The tensors of one tower by open_clip's names.

    tower  "visual": the image encoder, without the prefix `visual.`; "text": the text encoder, and
           `logit_scale` if the file has it

    Raises `WeightsUnavailableError` (the file cannot be opened) or `WeightsError` (damaged, or not
    a file of weights).
    """
    torch = load_module("torch")
    mine = _in_image_tower if tower == "visual" else _in_text_tower
    state: Any
    try:
        with open(path, "rb") as file:
            head = file.read(9)
            size = os.fstat(file.fileno()).st_size
    except OSError as error:
        raise WeightsUnavailableError(
            f"weights file {str(path)!r} cannot be opened ({error.strerror}): check its"
            " permissions, or give another file"
        ) from error
    try:
        if path.suffix == ".safetensors" or head[8:] == b"{":
            with load_module("safetensors").safe_open(str(path), "pt") as opened:
                names = list(opened.keys())
                state = {name: opened.get_tensor(name) for name in names if mine(name)}
        elif _is_torchscript(path):
            state = _torchscript_state(path, spec)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except WeightsError:
        raise
    except Exception as error:  # safetensors, pickle, zip and torch raise errors of many types
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise WeightsError(
            f"weights file {str(path)!r} cannot be read ({reason}): it is damaged, cut short, or"
            f" holds something other than tensors ({size} bytes found): {replacement(path, spec)}"
        ) from error
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]  # open_clip's training checkpoints
    if not isinstance(state, dict):
        state = {}
    found = {
        name: value
        for name, value in ((str(n).removeprefix("module."), v) for n, v in state.items())
        if mine(name) and isinstance(value, torch.Tensor)
    }
    if tower == "visual":
        found = {name.removeprefix("visual."): value for name, value in found.items()}
    if not found.keys() - {"logit_scale"}:
        what = "image encoder of open_clip (no tensor named 'visual.…')"
        if tower == "text":
            what = "text encoder (no tensor named 'transformer.…' or 'text.…')"
        raise WeightsError(
            f"weights file {str(path)!r} has no {what}: expected the file of {spec.arch} with"
            " open_clip's or OpenAI's names"
        )
    return found


def _in_image_tower(name: str) -> bool:
    return name.removeprefix("module.").startswith("visual.")


def _in_text_tower(name: str) -> bool:
    """A tensor of the text encoder, but not what older releases saved and compute today."""
    name = name.removeprefix("module.")
    if name == "logit_scale":
        return True
    inner = name.removeprefix("text.")
    if inner.endswith(("attn_mask", "position_ids")):
        return False
    return name != inner or inner.startswith(_TEXT_NAMES)


def _is_torchscript(path: Path) -> bool:
    """Whether a file is a TorchScript archive, a zip file with a `constants.pkl`."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def _torchscript_state(path: Path, spec: BackboneSpec) -> dict[str, Any]:
    """The tensors of OpenAI's own TorchScript archive; WeightsError for any other."""
    _, tag = settings(spec.name, spec.arch, spec.pretrained)
    # open_clip knows OpenAI's download address, which contains the file's SHA-256.
    expected = re.search("/([0-9a-f]{64})/", tag.get("url", ""))
    if expected is None or sha256(path) != expected[1]:
        raise WeightsError(
            f"weights file {str(path)!r} is a TorchScript program, but not the one that"
            f" OpenAI published for {spec.arch}, so it is not run: give a .safetensors file or a"
            " state dict"
        )
    torch = load_module("torch")
    with warnings.catch_warnings():  # torch warns that TorchScript is deprecated
        warnings.simplefilter("ignore")
        state: dict[str, Any] = dict(torch.jit.load(str(path), map_location="cpu").state_dict())
    return state
