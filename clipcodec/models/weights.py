"""What a weights file holds: tensors, and nothing that runs.

safetensors is plain data; .pt and .bin are read with torch's `weights_only=True`; a TorchScript
archive is a program, so it is opened only if its SHA-256 is the one that OpenAI published for this
very backbone.
"""

from __future__ import annotations

import os
import re
import warnings
import zipfile
from pathlib import Path
from typing import Any

from ..errors import WeightsError, WeightsUnavailableError
from .hub import published, replacement, sha256, verify
from .spec import BackboneSpec, load_module, settings
from .spec import spec as find_spec


def fetch(name: str | BackboneSpec, *, progress: bool | None = None) -> Path:
    """Have the weights of a backbone on disk, verified; return the file.

    Downloads into the Hugging Face cache what open_clip would download, if it is not there yet.
    The cache names a file by its SHA-256, which is computed again here. `progress`: show a bar;
    None: if standard error is a terminal.

    Raises `ProfileError`, `WeightsUnavailableError`, or `WeightsError` naming a damaged file to
    delete.
    """
    chosen = find_spec(name) if isinstance(name, str) else name
    path = published(chosen, progress=progress)
    if not verify(path, chosen):
        read_tensors(path, chosen)
    return path


def read_tensors(path: Path, spec: BackboneSpec) -> dict[str, Any]:
    """The image encoder's tensors by open_clip's names, without running anything from the file."""
    torch = load_module("torch")
    state: Any
    try:
        with open(path, "rb") as file:
            head = file.read(9)
            size = os.fstat(file.fileno()).st_size
    except OSError as error:
        raise WeightsUnavailableError(
            f"weights file {str(path)!r} cannot be opened ({error.strerror}): see to its"
            " permissions, or give another file"
        ) from error
    try:
        if path.suffix == ".safetensors" or head[8:] == b"{":
            with load_module("safetensors").safe_open(str(path), "pt") as opened:
                names = list(opened.keys())
                state = {name: opened.get_tensor(name) for name in names if "visual." in name}
        elif _is_torchscript(path):
            state = _torchscript_state(path, spec)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except WeightsError:
        raise
    except Exception as error:  # safetensors, pickle, zip and torch raise nearly anything
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise WeightsError(
            f"weights file {str(path)!r} cannot be read ({reason}): it is damaged, cut short, or"
            f" holds something other than tensors ({size} bytes found): {replacement(path, spec)}"
        ) from error
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]  # open_clip's training checkpoints
    if not isinstance(state, dict):
        state = {}
    tensors = {str(name).removeprefix("module."): value for name, value in state.items()}
    tower = {
        name.removeprefix("visual."): value
        for name, value in tensors.items()
        if name.startswith("visual.") and isinstance(value, torch.Tensor)
    }
    if not tower:
        raise WeightsError(
            f"weights file {str(path)!r} has no image encoder of open_clip (no tensor named"
            f" 'visual.…'): the file of {spec.arch} in open_clip's or OpenAI's naming is expected"
        )
    return tower


def _is_torchscript(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def _torchscript_state(path: Path, spec: BackboneSpec) -> dict[str, Any]:
    _, tag = settings(spec.name, spec.arch, spec.pretrained)
    # OpenAI's download address carries the file's SHA-256, and open_clip the address.
    published = re.search("/([0-9a-f]{64})/", tag.get("url", ""))
    if published is None or sha256(path) != published[1]:
        raise WeightsError(
            f"weights file {str(path)!r} is a TorchScript program other than the one OpenAI"
            f" published for {spec.arch}, and is not run: give a .safetensors file or a state dict"
        )
    torch = load_module("torch")
    with warnings.catch_warnings():  # torch calls its own format deprecated
        warnings.simplefilter("ignore")
        state: dict[str, Any] = dict(torch.jit.load(str(path), map_location="cpu").state_dict())
    return state
