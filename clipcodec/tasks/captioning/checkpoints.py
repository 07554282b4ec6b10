"""The file of a training that is not finished. It is read with `weights_only=True`."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import OptionError, WeightsError
from ...system.files import replacing

if TYPE_CHECKING:
    from torch import Tensor

_WORDS = {  # of the identity, where the name of the option is not its key
    "embeddings": "the embeddings, decoded",
    "captions": "the captions",
    "language_model": "the language model",
    "start": "the weights to start from",
}


@dataclass(frozen=True)
class Checkpoint:
    """State of a training after a whole epoch.

    identity   recipe, data and models: what must be the same to go on
    step       steps done
    losses     of each epoch
    mapping, language   tensors of the networks that are trained; language: {} if it is not
    optimiser  its state dict
    random, random_cuda   states of torch's generators
    """

    identity: dict[str, Any]
    step: int
    losses: list[float]
    mapping: dict[str, Tensor]
    language: dict[str, Tensor]
    optimiser: dict[str, Any]
    random: Tensor
    random_cuda: Tensor | None = None


def write(path: Path, checkpoint: Checkpoint) -> None:
    """Write it, complete or not at all, in place of the one before."""
    import torch

    state = {field.name: getattr(checkpoint, field.name) for field in fields(checkpoint)}
    with replacing(path, overwrite=True) as file:
        torch.save(state, file)


def read(path: Path, identity: dict[str, Any]) -> Checkpoint:
    """The checkpoint of a training that goes on.

    Raises OptionError if it was begun with other options or data, WeightsError if it is damaged.
    """
    import torch

    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
        kept = Checkpoint(**found)
        before = dict(kept.identity)
    except OSError:
        raise
    except Exception as error:  # what a damaged file makes torch, zipfile and pickle raise
        raise WeightsError(
            f"checkpoint {str(path)!r} cannot be read, so the training cannot go on: delete it, "
            "and begin anew"
        ) from error
    for key, value in identity.items():
        if before.get(key) != value:
            what = _WORDS.get(key, f"{key} ({before.get(key)!r} then, {value!r} now)")
            raise OptionError(
                f"checkpoint {str(path)!r} was made with other settings: {what} changed; give the "
                "same again, or leave out --resume (resume=) and delete it to begin anew"
            )
    return kept
