"""Regions by a network for masks, such as SAM, through transformers."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import (
    ImageError,
    MissingDependencyError,
    OptionError,
    WeightsError,
    WeightsUnavailableError,
    brief,
)
from ...models.hub import unreachable
from ...system.forks import loading
from ...system.optional import missing_named
from .regions import Region

if TYPE_CHECKING:
    from PIL import Image

Finder = Callable[["Image.Image"], list[Region]]
MODEL = "facebook/sam-vit-base"
_PATIENCE = 3.5  # seconds until the hub has to answer


@missing_named()
def sam_regions(
    model: str | os.PathLike[str] = MODEL,
    *,
    device: str | None = None,
    points_per_side: int = 32,
    points_per_batch: int = 64,
    pred_iou_thresh: float = 0.88,
    stability_score_thresh: float = 0.95,
    longest_side: int = 1024,
) -> Finder:
    """Load a network, and return a function: image → the regions that it finds, the surest first.

    model    a folder, or a name on the Hugging Face hub: any network that transformers knows for
             "mask-generation" (SAM, SAM 2, SAM-HQ, SlimSAM). The paper's code takes SAM ViT-H,
             "facebook/sam-vit-huge". Only safetensors are read: they hold no program
    device   "cpu", "cuda", …; None: CUDA if there is one, else the CPU
    points_per_side    the network is asked about a grid of so many points in each direction
    points_per_batch   points at a time: fewer take less memory
    pred_iou_thresh, stability_score_thresh   0 … 1: masks that the network rates below are left
             out, as SAM's authors define it; 0: none
    longest_side       a larger image is made so small for the network (SAM itself takes 1024
             pixels), which saves gigabytes; its masks are made larger again, by nearest pixel

    The function takes an upright RGB image and returns a list, which may be empty. Masks without
    any pixel are no regions. It raises ImageError for an image that is too narrow for the network.

    Raises MissingDependencyError (no transformers), WeightsUnavailableError (not on disk, not to be
    fetched), WeightsError (the file does not hold the whole network) or OptionError.
    """
    counts = {"points_per_side": points_per_side, "points_per_batch": points_per_batch,
              "longest_side": longest_side}  # fmt: skip
    for option, value in counts.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise OptionError(f"{option}={value!r}: expected a whole number, 1 or more")
    shares = {"pred_iou_thresh": pred_iou_thresh, "stability_score_thresh": stability_score_thresh}
    for option, share in shares.items():
        if not 0 <= share <= 1:
            raise OptionError(f"{option}={share!r} is not in 0 … 1")
    generate = _generator(os.fspath(model), _device(device))
    asked = {"points_per_crop": points_per_side, "points_per_batch": points_per_batch, **shares}

    def regions(image: Image.Image) -> list[Region]:
        small = _shrunk(image, longest_side)
        try:
            with _quiet():
                masks = generate(small, **asked)["masks"]
        except ValueError as error:  # one side would have no pixel at the network's size
            raise ImageError(
                f"{image.width} x {image.height} pixels: {model} cannot take an image of this "
                f"shape ({brief(error)}); give boxes, or cut the image"
            ) from error
        arrays = (np.asarray(mask, bool) for mask in masks)
        return [Region.of_mask(_enlarged(mask, image.size)) for mask in arrays if mask.any()]

    return regions


def _transformers() -> Any:
    with loading:
        try:
            import transformers
        except ModuleNotFoundError as error:
            if error.name != "transformers":
                raise
            raise MissingDependencyError(
                "transformers is not installed: pip install 'clipcodec[locate]', or give boxes",
                name="transformers",
            ) from error
    return transformers


def _generator(model: str, device: Any) -> Any:
    """transformers' pipeline for masks, with all weights read from safetensors."""
    transformers = _transformers()
    with _quiet():
        network, processor = _loaded(transformers, model)
        try:
            return transformers.pipeline(
                "mask-generation", model=network, image_processor=processor, device=device
            )
        except Exception as error:  # of another task: transformers has no common class for it
            raise WeightsError(
                f"{model!r} makes no masks ({brief(error)}): give a network for mask generation, "
                f"such as {MODEL}"
            ) from error


def _loaded(transformers: Any, model: str) -> tuple[Any, Any]:
    """Network and image processor: from a folder or the cache, else fetched from the hub."""
    try:
        return _read(transformers, model, local_files_only=True)
    except (OSError, ValueError) as error:
        remedy = (
            "give a folder with config.json, preprocessor_config.json and model.safetensors, or "
            "boxes in place of a network"
        )
        if os.path.isdir(model):
            raise WeightsUnavailableError(
                f"{model!r} holds no network for masks ({brief(error)}): {remedy}"
            ) from error
        missing = f"the weights of {model!r} are not on this machine"
        if why := _no_hub():
            raise WeightsUnavailableError(
                f"{missing}, and {why}: {remedy}; with a network, it is fetched once and kept"
            ) from error
    try:
        return _read(transformers, model, local_files_only=False)
    except (OSError, ValueError) as error:
        raise WeightsUnavailableError(
            f"{missing}, and fetching failed ({brief(error)}): {remedy}"
        ) from error


def _read(transformers: Any, model: str, *, local_files_only: bool) -> tuple[Any, Any]:
    network, report = transformers.AutoModelForMaskGeneration.from_pretrained(
        model,
        local_files_only=local_files_only,
        use_safetensors=True,  # other files may hold programs
        output_loading_info=True,
    )
    if absent := sorted(report["missing_keys"]):  # transformers would leave them random
        raise WeightsError(
            f"{model!r}: its file lacks {len(absent)} tensors, such as {absent[0]}: give the whole "
            "network"
        )
    processor = transformers.AutoImageProcessor.from_pretrained(
        model, local_files_only=local_files_only
    )
    return network.eval(), processor


def _no_hub() -> str | None:
    """Why nothing can be fetched; None if it may be. transformers would try for half a minute."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE forbids a download"
    why = unreachable(constants.ENDPOINT, _PATIENCE)
    return None if why is None else f"{constants.ENDPOINT} cannot be reached ({why})"


def _device(device: str | None) -> Any:
    """The torch device that is asked for, tried out. OptionError if it cannot be used."""
    import torch

    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        chosen = torch.device(device)
        torch.zeros(1, device=chosen).cpu()
    except (RuntimeError, AssertionError, ValueError, TypeError) as error:
        raise OptionError(
            f"device {device!r} cannot be used ({brief(error)}): give 'cpu', 'cuda' or None"
        ) from error
    return chosen


def _shrunk(image: Image.Image, longest: int) -> Image.Image:
    factor = longest / max(image.size)
    if factor >= 1:
        return image
    from PIL import Image

    width, height = (max(1, round(side * factor)) for side in image.size)
    return image.resize((width, height), Image.Resampling.LANCZOS)


def _enlarged(mask: Any, size: tuple[int, int]) -> Any:
    if mask.shape == (size[1], size[0]):
        return mask
    from PIL import Image

    picture = Image.fromarray(mask.astype(np.uint8))
    return np.asarray(picture.resize(size, Image.Resampling.NEAREST)) != 0


@contextmanager
def _quiet() -> Iterator[None]:
    """Without transformers' messages and progress bars, which are as before afterwards."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
