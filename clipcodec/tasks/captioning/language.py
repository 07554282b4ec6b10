"""GPT-2 and its tokenizer, from a folder or the Hugging Face cache, through transformers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import (
    MissingDependencyError,
    OptionError,
    WeightsError,
    WeightsUnavailableError,
    brief,
)
from ...models.hub import unanswered
from ...system.forks import loading
from ...system.optional import missing_named

if TYPE_CHECKING:
    from torch import Tensor

DEFAULT = "gpt2"
STOP = "."  # where ClipCap ends a caption
_WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin")
_TOKENS = ("tokenizer.json", "vocab.json")
_SMALL = ["config.json", "tokenizer*", "vocab.json", "merges.txt", "special_tokens_map.json"]
_TIED = "lm_head.weight"  # the same tensor as the word embeddings


@dataclass(frozen=True)
class Language:
    """A language model.

    name       as it was asked for
    network    transformers' GPT2LMHeadModel, in evaluation mode
    tokenizer  text ↔ numbers of tokens
    """

    name: str
    network: Any
    tokenizer: Any

    @property
    def width(self) -> int:
        """Of its word embeddings."""
        return int(self.network.config.n_embd)

    @property
    def positions(self) -> int:
        """The longest sequence that it takes, prefix included."""
        return int(self.network.config.n_positions)

    @property
    def end(self) -> int | None:
        """The token that ends a text, if there is one."""
        token: int | None = self.tokenizer.eos_token_id
        return self.network.config.eos_token_id if token is None else token

    @property
    def stop(self) -> int | None:
        """The token of the full stop, if that is one token."""
        tokens = self.tokens(STOP)
        return tokens[0] if len(tokens) == 1 else None

    def tokens(self, text: str) -> list[int]:
        """The numbers of a text's tokens, without special ones."""
        found: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return found

    def text(self, tokens: Sequence[int]) -> str:
        """Tokens to text on one line, without special ones."""
        text: str = self.tokenizer.decode(
            tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return " ".join(text.split())

    def tensors(self) -> dict[str, Tensor]:
        """The network's tensors, each once."""
        found: dict[str, Tensor] = dict(self.network.state_dict())
        if self.network.config.tie_word_embeddings:
            found.pop(_TIED, None)
        return found


def load_transformers() -> Any:
    """The package, or MissingDependencyError with the remedy."""
    try:
        with missing_named(), loading:
            import_module("torch")
            return import_module("transformers")
    except ModuleNotFoundError as error:
        if isinstance(error, MissingDependencyError) or error.name != "transformers":
            raise
        raise MissingDependencyError(
            'transformers is not installed: pip install "clipcodec[caption]"', name="transformers"
        ) from error


def width_of(name: str) -> int:
    """The width of a language model, by its config alone. Raises as `load` does."""
    return int(_config(_folder(name, weights=False), name).n_embd)


def load(name: str = DEFAULT, tensors: Mapping[str, Tensor] | None = None) -> Language:
    """GPT-2 and its tokenizer.

    name     a folder as transformers' `save_pretrained` writes it, or a name on the Hugging Face
             hub, such as "gpt2"; what is not in its cache is downloaded
    tensors  weights to put in place of its own, which are not downloaded then

    Raises WeightsUnavailableError (not there, and not to be fetched), WeightsError (damaged, or no
    GPT-2) or MissingDependencyError.
    """
    transformers = load_transformers()
    folder = _folder(name, weights=not tensors)
    config = _config(folder, name)
    with quiet(transformers), loading:
        tokenizer = _tokenizer(transformers, folder, name)
        network = (
            _own(transformers, config, tensors, name)
            if tensors
            else _published(transformers, folder, name)
        )
    if len(tokenizer) > network.config.vocab_size:
        raise WeightsError(
            f"language model {name!r}: its tokenizer has {len(tokenizer)} tokens, its network "
            f"{network.config.vocab_size}: they are of different models"
        )
    return Language(name, network.eval(), tokenizer)


def _config(folder: Path, name: str) -> Any:
    transformers = load_transformers()
    try:
        found = json.loads((folder / "config.json").read_text("utf-8"))
        kind = found["model_type"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise WeightsError(
            f"language model {name!r}: its config.json cannot be read ({brief(error)}): get a "
            "whole copy"
        ) from error
    if kind != "gpt2":
        raise WeightsError(
            f"language model {name!r} is of type {kind!r}: ClipCap is built on GPT-2; give such a "
            "model with --language-model (language_model=)"
        )
    with quiet(transformers):
        return transformers.GPT2Config.from_pretrained(str(folder), local_files_only=True)


def _tokenizer(transformers: Any, folder: Path, name: str) -> Any:
    try:
        return transformers.AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
    except Exception as error:  # OSError, ValueError, and what the tokenizers package raises
        raise WeightsError(
            f"language model {name!r}: its tokenizer cannot be read ({brief(error)}): get whole "
            "copies of tokenizer.json, or vocab.json and merges.txt"
        ) from error


def _published(transformers: Any, folder: Path, name: str) -> Any:
    """The network with the weights of its folder; pickles are read with `weights_only=True`."""
    try:
        network, report = transformers.GPT2LMHeadModel.from_pretrained(
            str(folder), local_files_only=True, output_loading_info=True
        )
    except Exception as error:  # whatever a damaged file makes safetensors, torch and it raise
        raise WeightsError(
            f"language model {name!r}: its weights cannot be read ({brief(error)}): get a whole "
            "copy"
        ) from error
    missing = set(report["missing_keys"]) - {_TIED}
    if missing:
        raise WeightsError(
            f"language model {name!r} lacks {len(missing)} tensors, such as {min(missing)}: its "
            "weights are of another model"
        )
    return network.float()


def _own(transformers: Any, config: Any, tensors: Mapping[str, Tensor], name: str) -> Any:
    """A network of this configuration with the tensors given."""
    network = transformers.GPT2LMHeadModel(config)
    own = network.state_dict()
    missing = own.keys() - tensors.keys() - ({_TIED} if config.tie_word_embeddings else set())
    odd = sorted(missing | (tensors.keys() - own.keys()))
    odd += [key for key in own.keys() & tensors.keys() if own[key].shape != tensors[key].shape]
    if odd:
        raise WeightsError(
            f"the captioner's own GPT-2 and the language model {name!r} differ, as in gpt.{odd[0]}:"
            " name the model that it was trained from with --language-model (language_model=)"
        )
    network.load_state_dict(dict(tensors), strict=False)
    return network


# where it is


def _folder(name: str, *, weights: bool) -> Path:
    """The folder of a language model; downloaded into the Hugging Face cache if necessary."""
    if not isinstance(name, str) or not name:
        raise OptionError(f"language_model={name!r}: expected a folder or a name, as str")
    path = Path(name)
    if path.is_dir():
        lacks = _lacks(path, weights=weights)
        if lacks is None:
            return path
        raise WeightsUnavailableError(
            f"language model {name!r}: the folder has no {lacks}: give a folder that "
            "transformers' save_pretrained wrote, of model and tokenizer"
        )
    if path.is_absolute() or name.startswith((".", "~")) or name.count("/") > 1:
        raise WeightsUnavailableError(
            f"language model {name!r}: there is no such folder: give one that transformers' "
            f"save_pretrained wrote, or a name on the Hugging Face hub, such as {DEFAULT}"
        )
    return _cached(name, weights=weights) or _download(name, weights=weights)


def _lacks(folder: Path, *, weights: bool) -> str | None:
    """What a folder lacks of a language model, for a message."""
    wanted = [("config.json",), _TOKENS, *([_WEIGHTS] if weights else [])]
    for names in wanted:
        if not any((folder / file).is_file() for file in names):
            return " or ".join(names)
    return None


def _cached(name: str, *, weights: bool) -> Path | None:
    hub = _hub()
    try:
        config = hub.try_to_load_from_cache(name, "config.json")
    except ValueError as error:
        raise WeightsUnavailableError(
            f"language model {name!r}: there is no such folder, and it is no name on the Hugging "
            f"Face hub ({brief(error)})"
        ) from error
    except OSError as error:
        raise WeightsUnavailableError(
            f"the Hugging Face cache cannot be read ({error.strerror or error}): check its "
            "permissions, or set HF_HOME to another folder"
        ) from error
    if not isinstance(config, str) or _lacks(Path(config).parent, weights=weights):
        return None
    return Path(config).parent


def _download(name: str, *, weights: bool) -> Path:
    hub, constants = _hub(), import_module("huggingface_hub.constants")
    missing = f"the language model {name!r} is not in {constants.HF_HUB_CACHE}"
    remedy = (
        "save it where there is a network, by transformers' save_pretrained, and give that folder "
        "with --language-model (language_model=), or copy the cache"
    )
    if constants.HF_HUB_OFFLINE:
        raise WeightsUnavailableError(f"{missing}, and HF_HUB_OFFLINE forbids a download: {remedy}")
    reason = unanswered()
    if reason:
        raise WeightsUnavailableError(
            f"{missing}, and {constants.ENDPOINT} cannot be reached ({reason}): {remedy}"
        )
    wanted = [*_SMALL, *(["model*.safetensors*"] if weights else [])]
    try:
        folder = Path(hub.snapshot_download(name, allow_patterns=wanted))
        if weights and _lacks(folder, weights=True):  # older models have no safetensors
            folder = Path(hub.snapshot_download(name, allow_patterns=[*_SMALL, _WEIGHTS[-1]]))
    except Exception as error:  # the hub's errors have no common base class in all releases
        raise WeightsUnavailableError(
            f"{missing}, and downloading it failed ({brief(error)}): {remedy}"
        ) from error
    lacks = _lacks(folder, weights=weights)
    if lacks is not None:
        raise WeightsUnavailableError(
            f"language model {name!r} has no {lacks} on the hub: give another model"
        )
    return folder


def _hub() -> Any:
    with missing_named(), loading:
        return import_module("huggingface_hub")


@contextmanager
def quiet(transformers: Any) -> Iterator[None]:
    """No progress bars and log messages of transformers, whose settings are put back."""
    log = transformers.utils.logging
    level, bars = log.get_verbosity(), log.is_progress_bar_enabled()
    log.set_verbosity_error()
    log.disable_progress_bar()
    try:
        yield
    finally:
        log.set_verbosity(level)
        if bars:
            log.enable_progress_bar()
