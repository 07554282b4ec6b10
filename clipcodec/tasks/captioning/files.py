"""Captioner files: the published state dicts, and the safetensors files that are written here.

Tensors: `clip_project.…`, the mapping network, and `gpt.…`, GPT-2, where it was trained, too. A
published state dict always has both. A file of ours says with one JSON text in its metadata what
the tensors alone do not show. No file can run code: pickles are read with `weights_only=True`.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from ...errors import OptionError, WeightsError, WeightsUnavailableError, brief
from ...system.files import replacing
from .layout import Layout, check_shapes, found_layout

if TYPE_CHECKING:
    from torch import Tensor

METADATA_KEY = "clipcodec-captioner"
FILE_VERSION = 1
MAPPING = "clip_project."
LANGUAGE = "gpt."
# kept by old releases of transformers in state dicts: masks, which newer ones make themselves
_BUFFERS = re.compile(r"gpt\.transformer\.h\.\d+\.attn\.(bias|masked_bias)")
_WORD_EMBEDDINGS = "transformer.wte.weight"


@dataclass(frozen=True)
class Facts:
    """What a captioner file of ours says beside its tensors.

    layout          of the mapping network
    language_model  name or folder of GPT-2 and its tokenizer
    scale           what unit-norm embeddings are multiplied with before the mapping network
    backbone        what made the embeddings that it was trained on; None: unknown
    card            how it was trained
    """

    layout: Layout
    language_model: str
    scale: float = 1.0
    backbone: str | None = None
    card: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class CaptionerFile:
    """What is in a captioner file.

    facts     None: a state dict, as ClipCap's authors publish it
    mapping   tensors of the mapping network, without `clip_project.`
    language  tensors of GPT-2, without `gpt.`; empty: it is as the language model was published
    """

    source: str
    facts: Facts | None
    mapping: dict[str, Tensor]
    language: dict[str, Tensor]

    @property
    def width(self) -> int | None:
        """Of GPT-2's word embeddings, if they are here."""
        words = self.language.get(_WORD_EMBEDDINGS)
        return int(words.shape[1]) if words is not None and words.ndim == 2 else None

    def layout(self, width: int | None = None) -> Layout:
        """Of the mapping network. Raises WeightsError.

        width  of the language model that is at hand, for a state dict without one
        """
        shapes = {name: tuple(tensor.shape) for name, tensor in self.mapping.items()}
        if self.facts is None:
            return found_layout(shapes, self.width or width, self.source)
        check_shapes(self.facts.layout, shapes, self.source)
        return self.facts.layout


def read(path: str | os.PathLike[str]) -> CaptionerFile:
    """Read a captioner file: .safetensors, or a state dict by `torch.save`.

    Raises WeightsUnavailableError (no such file) or WeightsError (damaged, or of something else).
    """
    name = os.fspath(path)
    if not os.path.isfile(name):
        what = "is not a file" if os.path.exists(name) else "does not exist"
        raise WeightsUnavailableError(
            f"captioner file {name!r} {what}: train one with `clipcodec train-captioner`, or get "
            "a published one (docs/captions.md)"
        )
    try:
        with open(name, "rb") as file:
            head = file.read(9)
        if head[8:] == b"{":
            tensors, text = _safetensors(name)
        else:
            tensors, text = _state_dict(name), None
    except WeightsError:
        raise
    except OSError as error:
        raise WeightsUnavailableError(
            f"captioner file {name!r} cannot be read ({error.strerror or error}): check its "
            "permissions"
        ) from error
    except Exception as error:  # safetensors, pickle and torch raise errors of many types
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        if "weights" in reason.lower() and "only" in reason.lower():  # torch advises to run it
            reason = "it is damaged, or holds objects other than tensors, whose code is never run"
        raise WeightsError(
            f"captioner file {name!r} cannot be read ({brief(reason)}): expected a .safetensors "
            "file or a state dict of tensors; get a whole copy"
        ) from error
    mapping, language = _parts(tensors, name)
    return CaptionerFile(name, None if text is None else _facts(text, name), mapping, language)


def _safetensors(name: str) -> tuple[dict[str, Tensor], str | None]:
    from safetensors import safe_open

    with safe_open(name, "pt") as file:
        text = (file.metadata() or {}).get(METADATA_KEY)
        return {key: file.get_tensor(key) for key in file.keys()}, text  # noqa: SIM118


def _state_dict(name: str) -> dict[str, Tensor]:
    import torch

    found = torch.load(name, map_location="cpu", weights_only=True)
    if isinstance(found, Mapping) and isinstance(found.get("state_dict"), Mapping):
        found = found["state_dict"]
    if not isinstance(found, Mapping):
        raise WeightsError(
            f"captioner file {name!r} holds a {type(found).__name__}: expected a state dict of "
            "ClipCap"
        )
    return {str(key): value for key, value in found.items()}


def _parts(tensors: dict[str, Any], name: str) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The tensors of the mapping network and of GPT-2, as float32."""
    import torch

    mapping, language = dict[str, Any](), dict[str, Any]()
    for key, value in tensors.items():
        if _BUFFERS.fullmatch(key):
            continue
        part, prefix = (mapping, MAPPING) if key.startswith(MAPPING) else (language, LANGUAGE)
        if not key.startswith(prefix):
            raise WeightsError(
                f"{name} has the tensor {brief(key)!r}, which ClipCap has not: expected "
                f"{MAPPING}… and {LANGUAGE}…; give a captioner file (docs/captions.md)"
            )
        if not isinstance(value, torch.Tensor) or not value.is_floating_point():
            raise WeightsError(f"{name}: {key} is not a tensor of floats: the file is damaged")
        if not torch.isfinite(value).all():
            raise WeightsError(f"{name}: {key} has NaN or infinite values: the file is damaged")
        part[key.removeprefix(prefix)] = value.to(torch.float32)
    return mapping, language


def _facts(text: str, name: str) -> Facts:
    try:
        found = json.loads(text)
        if found["version"] != FILE_VERSION:
            raise WeightsError(
                f"{name} is a captioner file of version {found['version']!r}, and this release "
                f"reads {FILE_VERSION}: upgrade clipcodec"
            )
        scale, backbone = float(found["scale"]), found["backbone"]
        if not 0 < scale < float("inf") or not isinstance(backbone, str | None):
            raise ValueError("scale or backbone")
        return Facts(
            Layout(**found["layout"]), str(found["language_model"]), scale, backbone,
            dict(found["card"]),
        )  # fmt: skip
    except (KeyError, TypeError, ValueError, RecursionError, OptionError) as error:
        raise WeightsError(
            f"{name}: what its metadata says is damaged ({brief(error)}): train it again, or get "
            "a whole copy"
        ) from error


def write(
    path: str | os.PathLike[str],
    facts: Facts,
    mapping: Mapping[str, Tensor],
    language: Mapping[str, Tensor],
    *,
    overwrite: bool = False,
) -> None:
    """Write a captioner file, complete or not at all.

    language  tensors of GPT-2; empty: they are not stored, as they are those of the language model

    Raises OutputExistsError or OSError.
    """
    from safetensors.torch import save

    tensors = {f"{MAPPING}{name}": value for name, value in mapping.items()}
    tensors |= {f"{LANGUAGE}{name}": value for name, value in language.items()}
    text = json.dumps({"version": FILE_VERSION, **asdict(facts)}, sort_keys=True)
    data = save(
        {name: value.detach().cpu().contiguous() for name, value in tensors.items()},
        metadata={METADATA_KEY: text},
    )
    with replacing(path, overwrite=overwrite) as file:
        file.write(data)
