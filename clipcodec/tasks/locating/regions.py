"""Regions of an image: a box, and which pixels of the box belong to the region; how one is cut out.

A box is (left, top, right, bottom) in whole pixels of the upright image, from its left upper
corner. Right and bottom are the first column and row that do not belong to it, as in Pillow.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError, OptionError, placed, raise_rows

if TYPE_CHECKING:
    from PIL import Image

Box = tuple[int, int, int, int]
CROPS = ("mask", "box")
_CORNERS = "(left, top, right, bottom) in pixels"


@dataclass(frozen=True, eq=False)
class Region:
    """A part of an image.

    Attributes:
        box: (left, top, right, bottom), whole pixels; right and bottom do not belong to it.
        mask: (bottom - top, right - left) bool: the pixels of the box that belong to the region;
            None: all. A mask of the whole image becomes a region by `Region.of_mask`.

    Raises:
        InputError: The box is empty, or the mask is empty or of another size.

    Examples:
        >>> from clipcodec.tasks.locating import Region
        >>> Region((10, 20, 110, 220)).size
        (100, 200)
    """

    box: Box
    mask: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        box = _checked_box(self.box)
        object.__setattr__(self, "box", box)
        if self.mask is None:
            return
        mask = _checked_mask(self.mask)
        width, height = box[2] - box[0], box[3] - box[1]
        if mask.shape != (height, width):
            raise InputError(
                f"the mask has shape {mask.shape}, its box {box} has ({height}, {width}): "
                "a mask of the whole image is given to Region.of_mask"
            )
        object.__setattr__(self, "mask", mask)

    def __repr__(self) -> str:
        shown = "" if self.mask is None else f", mask of {int(self.mask.sum()):,} pixels"
        return f"Region({self.box}{shown})"

    @classmethod
    def of_mask(cls, mask: Any) -> Region:
        """Make the region of a mask of the whole image: the smallest box with all its pixels.

        Args:
            mask: (H, W) bool, or whole numbers that are all 0 and 1, or 0 and 255.

        Returns:
            The region.

        Raises:
            InputError: The mask is empty, or something else.

        Examples:
            >>> from clipcodec.tasks.locating import Region
            >>> Region.of_mask(np.eye(4, dtype=bool))
            Region((0, 0, 4, 4), mask of 4 pixels)
        """
        whole = _checked_mask(mask)
        columns, rows = np.flatnonzero(whole.any(axis=0)), np.flatnonzero(whole.any(axis=1))
        left, right = int(columns[0]), int(columns[-1]) + 1
        top, bottom = int(rows[0]), int(rows[-1]) + 1
        return cls((left, top, right, bottom), whole[top:bottom, left:right].copy())

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the box, in pixels."""
        left, top, right, bottom = self.box
        return right - left, bottom - top

    def whole_mask(self, size: tuple[int, int]) -> NDArray[np.bool_]:
        """Make the mask of a whole image.

        Args:
            size: (width, height) of the image.

        Returns:
            (H, W) bool.

        Raises:
            InputError: The box is not inside the image.

        Examples:
            >>> from clipcodec.tasks.locating import Region
            >>> int(Region((0, 0, 2, 3)).whole_mask((4, 4)).sum())
            6
        """
        self.check_inside(size)
        left, top, right, bottom = self.box
        whole = np.zeros((size[1], size[0]), bool)
        whole[top:bottom, left:right] = True if self.mask is None else self.mask
        return whole

    def check_inside(self, size: tuple[int, int]) -> None:
        """Raise an error unless the box lies in an image of this size.

        Args:
            size: (width, height) of the image.

        Raises:
            InputError: The box leaves the image.

        Examples:
            >>> from clipcodec.tasks.locating import Region
            >>> Region((0, 0, 2, 3)).check_inside((4, 4))
        """
        left, top, right, bottom = self.box
        if left < 0 or top < 0 or right > size[0] or bottom > size[1]:
            raise InputError(
                f"box {self.box} leaves the image of {size[0]} x {size[1]} pixels: cut it at the "
                "image's edges; boxes count pixels of the upright image, at its full size"
            )


def as_regions(found: Any, size: tuple[int, int]) -> list[Region]:
    """Check what a caller or a detector gives, as regions of an image of this size.

    Args:
        found: Regions, boxes of four whole numbers, or masks (H, W) of the whole image, mixed as
            they come; an array (N, 4) or (N, H, W), too.
        size: (width, height) of the image.

    Returns:
        The regions.

    Raises:
        InputError: Names the regions at fault, or says that there is none.

    Examples:
        >>> from clipcodec.tasks.locating import as_regions
        >>> as_regions(np.array([[0, 0, 48, 64], [48, 0, 96, 64]]), (96, 64))
        [Region((0, 0, 48, 64)), Region((48, 0, 96, 64))]
    """
    if isinstance(found, (str, bytes)) or not isinstance(found, Iterable):
        raise InputError(
            f"{type(found).__name__} is no list of regions: give boxes {_CORNERS}, masks or Regions"
        )
    regions: list[Region] = []
    faults: dict[int, InputError] = {}
    for i, one in enumerate(found):
        try:
            regions.append(_region(one, size))
        except InputError as error:
            faults[i] = error
    with placed(item="region"):
        raise_rows(faults)
    if not regions:
        raise InputError(
            "no region was found: ask for more points or lower thresholds, or give boxes"
        )
    return regions


def cut(image: Image.Image, region: Region, crop: str = "mask") -> Image.Image:
    """Cut out the picture of one region, of the size of its box.

    Args:
        image: Upright RGB, as `load_upright` gives it.
        region: Of this image.
        crop: "mask": what does not belong to the region is black, as in the code of the paper
            (arXiv 2509.05925, `sam_clip.py` of JasonShen-SH/CLIP_compress). That code leaves out
            the last row and column of the box; here they are kept, so one pixel is a region, too.
            "box": all pixels of the box as they are. A region without a mask is cut so, too.

    Returns:
        An image of Pillow, in mode "RGB".

    Raises:
        OptionError: There is no such crop.
        InputError: The region leaves the image.

    Examples:
        >>> from clipcodec.tasks.locating import Region, cut, load_upright
        >>> cut(load_upright("photo.jpg"), Region((0, 0, 48, 32))).size
        (48, 32)
    """
    check_crop(crop)
    region.check_inside(image.size)
    part = image.crop(region.box)
    if crop == "box" or region.mask is None:
        return part
    from PIL import Image

    alone = Image.new("RGB", part.size)
    alone.paste(part, mask=Image.fromarray(region.mask.astype(np.uint8) * 255))
    return alone


def check_crop(crop: str) -> None:
    """Raise OptionError unless it is a way to cut."""
    if crop not in CROPS:
        raise OptionError(f"crop={crop!r}: expected {' or '.join(map(repr, CROPS))}")


def _region(one: Any, size: tuple[int, int]) -> Region:
    if isinstance(one, Region):
        one.check_inside(size)
        return one
    try:
        values = np.asarray(one)
    except Exception as error:  # ragged lists, tensors of another device, …
        raise InputError(f"{type(one).__name__} is no region: {error}") from error
    if values.ndim == 2:
        if values.shape != (size[1], size[0]):
            raise InputError(
                f"a mask of shape {values.shape}, and the image has ({size[1]}, {size[0]}): "
                "scale the mask to the image's size"
            )
        return Region.of_mask(values)
    box: Any = one if isinstance(one, (tuple, list)) else values.tolist()
    region = Region(box)
    region.check_inside(size)
    return region


def _checked_box(box: Any) -> Box:
    """Four whole numbers with an area between them."""
    try:
        values = list(box)
    except TypeError:
        values = []
    numbers = all(isinstance(v, Real) and not isinstance(v, (bool, np.bool_)) for v in values)
    if len(values) != 4 or not numbers:
        raise InputError(f"{box!r} is no box: expected four numbers {_CORNERS}")
    if any(value % 1 != 0 for value in values):  # NaN and infinity, too
        raise InputError(f"box {tuple(values)} has parts of pixels: round it to whole ones")
    left, top, right, bottom = (int(value) for value in values)
    if left >= right or top >= bottom:
        raise InputError(
            f"box {(left, top, right, bottom)} is empty: expected {_CORNERS}, with left < right "
            "and top < bottom; not left, top, width, height"
        )
    return left, top, right, bottom


def _checked_mask(mask: Any) -> NDArray[np.bool_]:
    """A mask of two dimensions as bool, with at least one pixel."""
    values = np.asarray(mask)
    if values.ndim != 2:
        raise InputError(f"a mask of shape {values.shape}: expected (height, width)")
    if values.dtype != bool:
        highest = values.max(initial=0) if values.dtype.kind in "iu" else None
        if highest not in (0, 1, 255) or not np.isin(values, (0, highest)).all():
            raise InputError(
                f"a mask of {values.dtype} that is not all 0 and 1, or 0 and 255: give bool, "
                "such as mask > 0.5"
            )
        values = values != 0
    if not values.any():
        raise InputError("the mask is empty: no pixel belongs to it; leave this region out")
    return values
