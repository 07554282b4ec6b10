"""The text encoder: the other tower of the same checkpoint, with its tokenizer."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import BackboneWarning, WeightsError, brief
from ..texts import TEMPERATURE, as_texts
from .build import NO_VISION, build, fill
from .hub import check_at_hand
from .spec import load_module, settings
from .templates import Templates, templates_of
from .tokens import Tokenizer
from .tower import Tower
from .weights import read_tensors

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

_BATCH = 256  # texts that go through the network at once
_SHOWN = 3  # texts named in a warning


class TextTower(Tower):
    """CLIP's text encoder.

    `load` and `cached` make one; a `Codec` does it for you.

    Attributes:
        spec: Which network it is.
        dim: Width D of the embeddings.
        device: Where it runs, as torch writes it: "cpu", "cuda:0", …
        path: The weights file that was loaded.
        precision: Of the arithmetic: "fp32", "bf16" or "fp16".
        temperature: Factor of the cosines in CLIP's softmax, exp(logit_scale) of the checkpoint.
        context_length: Tokens that the network takes; a longer text is cut.

    Examples:
        >>> from clipcodec.models import TextTower
        >>> TextTower.cached("openai-vit-b-32", device="cpu").context_length
        77
    """

    _item = "text"

    def _build(self, device: torch.device) -> None:
        tensors = read_tensors(self.path, self.spec, tower="text")
        scale = tensors.pop("logit_scale", None)
        self.temperature = TEMPERATURE if scale is None else _temperature(scale, self)
        network = settings(self.spec.name, self.spec.arch, self.spec.pretrained)[0]["text_cfg"]
        if network.get("hf_model_name"):  # transformers builds it, from a file of the hub
            source = network["hf_model_name"]
            check_at_hand(self.spec, f"the configuration {source!r}", source, "config.json")
        model = build(self.spec, NO_VISION, _text_only)
        sizes = getattr(model, "text", model)
        self.context_length = int(sizes.context_length)
        self._tokenizer = Tokenizer(self.spec, self.context_length, int(sizes.vocab_size))
        module = _text_only(model)
        custom = any(name.startswith("text.") for name in module.state_dict())
        fill(module, _renamed(tensors, custom), self.spec, self.path)
        self._model: Any = model.to(device)

    def embed(self, texts: Sequence[str], templates: Templates = None) -> NDArray[np.float32]:
        """Turn texts into embeddings.

        Args:
            texts: N texts, none of them empty; N may be 0.
            templates: Sentences with a gap {} for the text: a name of `TEMPLATES`, or a list of
                your own. Each text is put into all of them, and the unit mean of these embeddings
                is its embedding (Radford et al. 2021, section 3.1.4). None: the texts as they are.

        Returns:
            (N, D) float32, rows of unit norm.

        Raises:
            OptionError: A text is empty, or the templates have no gap.
            WeightsError: The network's output is zero or not finite.

        Warns:
            BackboneWarning: A text of more tokens than the network takes is cut.

        Examples:
            >>> from clipcodec.models import TextTower
            >>> tower = TextTower.cached("openai-vit-b-32", device="cpu")
            >>> tower.embed(["dog", "cat"], templates=["a photo of a {}.", "a {}."]).shape
            (2, 512)
        """
        forms = templates_of(templates)
        checked = as_texts(texts)
        rows = np.empty((len(checked), self.dim), np.float32)
        cut: list[str] = []
        step = max(1, _BATCH // len(forms))  # texts whose sentences are held at a time
        for at in range(0, len(checked), step):
            part = checked[at : at + step]
            sentences = [form.replace("{}", text) for text in part for form in forms]
            found = self._embed_sentences(sentences, cut)
            if len(forms) > 1:
                found = self._unit_means(found.reshape(len(part), len(forms), self.dim))
            rows[at : at + len(part)] = found
        if cut:
            shown = "; ".join(repr(brief(text)) for text in cut[:_SHOWN])
            more = f" and {len(cut) - _SHOWN} more" if len(cut) > _SHOWN else ""
            count, ends = "1 text is", "its end was"
            if len(cut) > 1:
                count, ends = f"{len(cut)} texts are", "their ends were"
            warnings.warn(
                f"{count} longer than the {self.context_length} tokens of backbone"
                f" {self.spec.name!r}, and {ends} cut off: {shown}{more}",
                BackboneWarning,
                stacklevel=2,
            )
        return rows

    def _embed_sentences(self, sentences: list[str], cut: list[str]) -> NDArray[np.float32]:
        """As `embed`, without templates; sentences that are cut are appended to `cut`."""
        rows = []
        for at in range(0, len(sentences), _BATCH):
            batch = sentences[at : at + _BATCH]
            tokens, long = self._tokenizer(batch)
            cut += [batch[i] for i in long]
            rows.append(self._embed_tokens(tokens))
        return np.concatenate(rows)

    def _unit_means(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """The unit mean (N, D) of the sentences (N, S, D) of each text."""
        means = rows.mean(axis=1)
        norms = np.linalg.norm(means, axis=1, keepdims=True)
        if not (norms > 0).all():
            raise WeightsError(f"{self.path}: the embeddings of the templates cancel each other")
        unit: NDArray[np.float32] = means / norms
        return unit

    def _embed_tokens(self, tokens: Any) -> NDArray[np.float32]:
        import torch

        self._check_fork()
        with torch.inference_mode(), self._arithmetic():
            features = self._model.encode_text(tokens.to(self.device))
        if isinstance(features, tuple):  # some towers also return their tokens
            features = features[0]
        return self._unit(features)


def _text_only(model: Any) -> Any:
    """The model without its image tower and what else `encode_text` does not use."""
    torch = load_module("torch")
    for name in ("visual", "text_decoder"):  # the latter is CoCa's
        if hasattr(model, name):
            setattr(model, name, torch.nn.Identity())
    for name in ("logit_scale", "logit_bias"):
        if getattr(model, name, None) is not None:
            setattr(model, name, None)
    return model


def _renamed(tensors: dict[str, Any], custom: bool) -> dict[str, Any]:
    """Names as the model has them: open_clip has two ways, with `text.` in front and without."""
    plain = {name.removeprefix("text."): value for name, value in tensors.items()}
    return {f"text.{name}": value for name, value in plain.items()} if custom else plain


def _temperature(scale: Any, tower: TextTower) -> float:
    try:
        value = math.exp(float(scale))  # of one number, in an array or not
    except (OverflowError, ValueError, TypeError, RuntimeError):
        value = math.inf
    if not 0 < value <= 1e6:
        raise WeightsError(
            f"weights file {str(tower.path)!r}: logit_scale is no number from which a temperature"
            f" could follow: give the file of {tower.spec.arch}"
        )
    return value
