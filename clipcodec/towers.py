"""What a codec does before there are embeddings: it reads images, and loads the model's two towers.

Nothing here imports torch, open_clip or Pillow before it is called.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from itertools import islice
from numbers import Real
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from .errors import EmbeddingError, ImageError, OptionError, raise_rows
from .profile import Profile, registry
from .system.paths import AS_TEXT, is_path_of_bytes

if TYPE_CHECKING:
    from .images import ImageInput
    from .models.tower import Tower

T = TypeVar("T")
W = TypeVar("W", bound="Tower")
_IMAGES = 64


class Settings(NamedTuple):
    """Which model a caller wants, and where; see `clipcodec.Codec` for each."""

    backbone: str | None = None
    device: str | None = None
    weights: str | os.PathLike[str] | None = None
    precision: str = "fp32"


def load_tower(tower: type[W], profile: Profile, wanted: Settings) -> W:
    """One of the two towers of the profile's model, which all codecs of the process share.

    Raises OptionError if the profile takes any model and none was chosen, EmbeddingError if the
    model's embeddings have another width, WeightsError as `Tower.cached`.
    """
    name = backbone_name(profile, wanted.backbone)
    loaded = tower.cached(
        name, device=wanted.device, weights=wanted.weights, precision=wanted.precision
    )
    if profile.dim not in (None, loaded.dim):
        raise EmbeddingError(
            f"backbone {name} gives {loaded.dim} dimensions, "
            f"profile {profile.name} takes {profile.dim}"
        )
    return loaded


def backbone_name(profile: Profile, chosen: str | None) -> str:
    """Name of the image encoder; OptionError if the profile takes any and none was chosen."""
    name = chosen or profile.backbone
    if name == registry.ANY_BACKBONE:
        raise OptionError(
            f"profile {profile.name} takes embeddings of any model: say which one makes "
            "them, backbone=NAME or --backbone NAME, such as openai-vit-l-14-336"
        )
    return name


def load_images(images: Iterable[ImageInput]) -> list[Any]:
    """All images as upright 8-bit RGB. Raises ImageError naming those at fault."""
    from .images import load_rgb

    pictures: list[Any] = []
    faults: dict[int, ImageError] = {}
    for i, image in enumerate(images):
        try:
            pictures.append(load_rgb(image))
        except ImageError as error:
            faults[i] = _no_image(image, error)
    raise_rows(faults)
    return pictures


def portions(images: Iterable[T]) -> Iterator[list[T]]:
    """Images as many at a time as are read before the backbone sees them."""
    rest = iter(images)
    while chunk := list(islice(rest, _IMAGES)):
        yield chunk


def _no_image(image: Any, error: ImageError) -> ImageError:
    """The error about something that is no image, with a hint if it was meant for another verb."""
    if is_path_of_bytes(image):
        return type(error)(f"{error.reason}; {AS_TEXT}")
    shape = getattr(image, "shape", None)
    if shape is None and isinstance(image, (list, tuple)) and image:
        shape = (len(image),) if all(isinstance(value, Real) for value in image) else None
    if shape is None or len(shape) not in (1, 2):
        return error
    verbs = "encode_embedding takes one embedding, encode_embeddings takes many"
    if len(shape) == 1:
        return type(error)(f"{type(image).__name__} of shape {tuple(shape)} is no image: {verbs}")
    if "float" in str(getattr(image, "dtype", "")):
        return type(error)(f"{error.reason}; {verbs}")
    return error
