"""Texts → the tokens that a text tower takes, by open_clip's tokenizer for this architecture."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import Any

from ..errors import MissingDependencyError, ProfileError, WeightsUnavailableError, brief
from ..system.forks import Lock
from .hub import check_at_hand
from .spec import LOCAL, BackboneSpec, load_module, settings

# of a text, for each token that the network takes: CLIP's tokenizer takes minutes for a word of
# hundred thousand letters, and no token that counts lies behind so many
_CHARACTERS = 64


class Tokenizer:
    """The tokenizer that belongs to a backbone.

    length  tokens that the network takes
    vocab   tokens that the network knows

    Most backbones use CLIP's own, which is part of open_clip. Others name one of the Hugging Face
    hub, or have its files in their `local-dir:` folder; these need the package transformers.

    Raises `ProfileError` if it does not belong to the network, `WeightsUnavailableError` if its
    files cannot be found, `MissingDependencyError` without transformers. Thread-safe.
    """

    def __init__(self, spec: BackboneSpec, length: int, vocab: int) -> None:
        self._length = length
        self._most = _CHARACTERS * length
        self._tokenizer = load(spec)
        inner = getattr(self._tokenizer, "tokenizer", None)
        known = int(self._tokenizer.vocab_size) if inner is None else len(inner)
        # CLIP's own vocabulary never varies; others may be filled up to a round number.
        if known > vocab or (inner is None and known != vocab):
            raise ProfileError(
                f"backbone {spec.name!r}: its tokenizer has {known} tokens, its text network"
                f" {vocab}, so the two do not belong together: check text_cfg in the configuration"
                " of the model (hf_tokenizer_name, vocab_size)"
            )

    def __call__(self, texts: Sequence[str]) -> tuple[Any, list[int]]:
        """Tokens (N, length) as an int64 tensor, and which texts were cut to fit."""
        whole = [text if len(text) <= self._most else " ".join(text.split()) for text in texts]
        texts = [text[: self._most] for text in whole]
        with _lock:  # transformers switches cutting on and off in the tokenizer itself
            tokens = self._tokenizer(texts, context_length=self._length)
            counts = self._counts(texts)
        return tokens, [
            i
            for i, count in enumerate(counts)
            if count > self._length or len(texts[i]) < len(whole[i])
        ]

    def _counts(self, texts: list[str]) -> list[int]:
        """Tokens of each text, uncut."""
        inner = getattr(self._tokenizer, "tokenizer", None)
        if inner is None:
            return [len(self._tokenizer.encode(text)) + 2 for text in texts]  # with begin and end
        clean = getattr(self._tokenizer, "clean_fn", str)
        return [len(ids) for ids in inner([clean(text) for text in texts]).input_ids]


_lock = Lock()


def load(spec: BackboneSpec) -> Any:
    """open_clip's tokenizer of a backbone, downloaded if necessary. Raises as `Tokenizer`."""
    open_clip = load_module("open_clip")
    config, _ = settings(spec.name, spec.arch, spec.pretrained)
    text = config.get("text_cfg")
    source = text.get("hf_tokenizer_name") if isinstance(text, dict) else None
    if source and importlib.util.find_spec("transformers") is None:
        raise MissingDependencyError(
            f"the tokenizer of backbone {spec.name!r} needs transformers, which is not installed:"
            " pip install transformers",
            name="transformers",
        )
    local = spec.arch.startswith(LOCAL)
    if source and not local:
        check_at_hand(
            spec, f"the tokenizer {source!r}", source,
            "tokenizer.json", "tokenizer_config.json", "spiece.model", "vocab.txt",
        )  # fmt: skip
    try:
        return open_clip.get_tokenizer(spec.arch)
    except Exception as error:  # transformers raises errors of many types
        where = spec.arch.removeprefix(LOCAL) if local else source or spec.arch
        raise WeightsUnavailableError(
            f"the tokenizer of backbone {spec.name!r} cannot be read from {str(where)!r}"
            f" ({brief(error)}): "
            + (
                "put the tokenizer's files into that folder"
                if local
                else f"run 'clipcodec fetch {spec.name}' where there is a network"
            )
        ) from error
