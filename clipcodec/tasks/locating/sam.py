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
from ...models.device import device_of
from ...models.hub import unanswered
from ...models.spec import load_module
from ...system.optional import missing_named
from .regions import Region

if TYPE_CHECKING:
    from PIL import Image

Finder = Callable[["Image.Image"], list[Region]]
MODEL = "facebook/sam-vit-base"
_REMEDY = (
    "give a folder of a network for masks, with config.json, preprocessor_config.json and "
    "model.safetensors; or give boxes in its place"
)


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
    """Load a network for masks, such as SAM, to find regions with.

    Args:
        model: A folder, or a name on the Hugging Face hub: any network that transformers knows for
            "mask-generation" (SAM, SAM 2, SAM-HQ, SlimSAM). The paper's code takes SAM ViT-H,
            "facebook/sam-vit-huge". Only safetensors are read: they hold no program.
        device: "cpu", "cuda", …; None: CUDA if there is one, else the CPU.
        points_per_side: The network is asked about a grid of so many points in each direction.
        points_per_batch: Points at a time, at most: fewer take less memory.
        pred_iou_thresh: 0 … 1: masks that the network rates below are left out, as SAM's authors
            define it; 0: none.
        stability_score_thresh: 0 … 1, as `pred_iou_thresh`.
        longest_side: A larger image is made so small for the network (SAM itself takes 1024
            pixels), which saves gigabytes; its masks are made larger again, by nearest pixel.

    Returns:
        A function: upright RGB image → the regions that it finds, the surest first, or []. It
            raises ImageError for an image that is too narrow for the network.

    Raises:
        MissingDependencyError: transformers is not installed.
        WeightsUnavailableError: The network is not on disk, and cannot be fetched.
        WeightsError: The file does not hold the whole network.
        OptionError: An option is out of range.

    Examples:
        >>> from clipcodec.tasks.locating import load_upright, sam_regions
        >>> regions = sam_regions("sam", device="cpu", points_per_side=2)
        >>> found = regions(load_upright("photo.jpg"))
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
    asked = {
        "points_per_crop": points_per_side,
        "points_per_batch": _even_share(points_per_side**2, points_per_batch),
        **shares,
    }

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


def _even_share(count: int, most: int) -> int:
    """The largest divisor up to `most`: transformers 4 fails with batches of several sizes."""
    return max(share for share in range(1, min(count, most) + 1) if count % share == 0)


def _transformers() -> Any:
    try:
        return load_module("transformers")
    except MissingDependencyError as error:
        if error.name != "transformers":
            raise
        raise MissingDependencyError(
            'transformers is not installed: pip install "clipcodec[locate]", or give boxes',
            name=error.name,
        ) from error


def _generator(model: str, device: Any) -> Any:
    """transformers' pipeline for masks, with all weights read from safetensors."""
    transformers = _transformers()
    with _quiet():
        network, processor = _loaded(transformers, model)
        return transformers.pipeline(
            "mask-generation", model=network, image_processor=processor, device=device
        )


def _loaded(transformers: Any, model: str) -> tuple[Any, Any]:
    """Network and image processor: from a folder or the cache, else fetched from the hub."""
    try:
        return _read(transformers, model, local_files_only=True)
    except OSError as error:
        if os.path.isdir(model):
            raise WeightsUnavailableError(f"{model!r}: {brief(error)}: {_REMEDY}") from error
        missing = f"the weights of {model!r} are not on this machine"
        if why := _no_hub():
            raise WeightsUnavailableError(
                f"{missing}, and {why}: run this once where there is a network and copy the "
                f"Hugging Face cache here, or {_REMEDY}"
            ) from error
    try:
        return _read(transformers, model, local_files_only=False)
    except OSError as error:
        raise WeightsUnavailableError(
            f"{missing}, and fetching failed ({brief(error)}): {_REMEDY}"
        ) from error


def _read(transformers: Any, model: str, *, local_files_only: bool) -> tuple[Any, Any]:
    """Raises WeightsError for what is damaged or no such network, OSError for what is not there."""
    try:
        network, report = transformers.AutoModelForMaskGeneration.from_pretrained(
            model,
            local_files_only=local_files_only,
            use_safetensors=True,  # other files may hold programs
            output_loading_info=True,
        )
        processor = transformers.AutoImageProcessor.from_pretrained(
            model, local_files_only=local_files_only
        )
    except OSError:
        raise
    except Exception as error:  # of safetensors, json, torch and transformers, of many types
        raise WeightsError(
            f"{model!r} is damaged, or no network for masks ({brief(error)}): {_REMEDY}"
        ) from error
    if absent := sorted(report["missing_keys"]):  # transformers would leave them random
        raise WeightsError(
            f"{model!r}: its file lacks {len(absent)} tensors, such as {absent[0]}: give the whole "
            "network"
        )
    return network.eval(), processor


def _no_hub() -> str | None:
    """Why nothing can be fetched; None if it may be. transformers would try for half a minute."""
    constants = load_module("huggingface_hub.constants")
    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE forbids a download"
    why = unanswered()
    return None if why is None else f"{constants.ENDPOINT} cannot be reached ({why})"


def _device(device: str | None) -> Any:
    """The torch device that is asked for. Not Apple's MPS by itself: SAM needs float64."""
    if device is None:
        device = "cuda" if load_module("torch").cuda.is_available() else "cpu"
    return device_of(device)


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
    logging = load_module("transformers.utils.logging")
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
