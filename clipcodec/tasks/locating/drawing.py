"""Regions drawn into an image, with the words that found them."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING, Any, NamedTuple

from ...errors import ImageError, OptionError
from ...system.optional import missing_named
from .regions import Region

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL import Image, ImageFont

# Okabe and Ito's colours, which people with any colour vision can tell apart
_COLOURS = (
    (230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66),
    (0, 114, 178), (213, 94, 0), (204, 121, 167),
)  # fmt: skip
_TINT = 0.35  # share of the colour in the pixels of a mask
_DARK, _LIGHT = (0, 0, 0), (255, 255, 255)


class Mark(NamedTuple):
    """What to draw into an image.

    Attributes:
        region: The region.
        label: The words beside it; "": none.

    Examples:
        >>> from clipcodec.tasks.locating import Mark, Region
        >>> Mark(Region((0, 0, 48, 64)), "a cup").label
        'a cup'
    """

    region: Region
    label: str = ""


@missing_named()
def draw(image: Image.Image, marks: Sequence[Mark]) -> Image.Image:
    """Draw regions into a copy of an image: outlines, tinted masks and labels.

    The outline is a coloured line between a black and a white one, so it is seen on any picture. A
    label that is too long is cut, and it is left out where the image is less than three times as
    high as its text.

    Args:
        image: Upright RGB, as `load_upright` gives it.
        marks: Each gets a colour; after seven they repeat.

    Returns:
        A copy of the image.

    Raises:
        InputError: A region leaves the image.

    Examples:
        >>> from clipcodec.tasks.locating import Mark, Region, draw, load_upright
        >>> marks = [Mark(Region((0, 0, 48, 64)), "a cup")]
        >>> draw(load_upright("photo.jpg"), marks).save("marked.png")
    """
    from PIL import Image, ImageDraw

    drawn = image.copy()
    for i, (region, _) in enumerate(marks):
        region.check_inside(image.size)
        if region.mask is not None:
            tinted = Image.blend(drawn, Image.new("RGB", image.size, _colour(i)), _TINT)
            drawn.paste(tinted, mask=Image.fromarray(region.whole_mask(image.size)))
    pen = ImageDraw.Draw(drawn)
    width = max(2, round(min(image.size) / 200))
    for i, (region, _) in enumerate(marks):
        left, top, right, bottom = region.box
        thin = max(1, width // 2)
        for grown, line, colour in (
            (thin, thin, _DARK),
            (0, width, _colour(i)),
            (-width, thin, _LIGHT),
        ):
            box = (left - grown, top - grown, right - 1 + grown, bottom - 1 + grown)
            if box[0] <= box[2] and box[1] <= box[3]:
                pen.rectangle(box, outline=colour, width=line)
    for i, (region, label) in enumerate(marks):  # above all outlines
        _label(pen, image.size, region, label, _colour(i))
    return drawn


@missing_named()
def image_format(name: str | os.PathLike[str]) -> str:
    """Find Pillow's name of the format that a file's name promises.

    Args:
        name: Of the file.

    Returns:
        "JPEG", "PNG", …

    Raises:
        OptionError: Pillow cannot write it, or the name promises none.

    Examples:
        >>> from clipcodec.tasks.locating import image_format
        >>> image_format("marked.jpg")
        'JPEG'
    """
    from PIL import Image

    Image.init()
    suffix = os.path.splitext(os.fspath(name))[1].lower()
    found = Image.registered_extensions().get(suffix)
    if found is None or found not in Image.SAVE:
        promise = f"{suffix} images" if suffix else "images without a suffix"
        raise OptionError(
            f"{os.fspath(name)}: Pillow cannot write {promise}: name it ….png, ….jpg or ….webp"
        )
    return found


@missing_named()
def image_bytes(image: Image.Image, name: str | os.PathLike[str]) -> bytes:
    r"""Write an image as a file in the format that a name promises.

    Args:
        image: The image.
        name: Of the file.

    Returns:
        The bytes of the file.

    Raises:
        OptionError: As `image_format`.
        ImageError: The format cannot hold this image.

    Examples:
        >>> from clipcodec.tasks.locating import image_bytes, load_upright
        >>> image_bytes(load_upright("photo.jpg"), "copy.png")[:4]
        b'\x89PNG'
    """
    found = image_format(name)
    options: dict[str, Any] = {"quality": 95} if found in ("JPEG", "WEBP", "AVIF") else {}
    buffer = io.BytesIO()
    try:
        image.save(buffer, found, **options)
    except (OSError, ValueError, KeyError) as error:  # no encoder, no such mode, too large for it
        raise ImageError(
            f"{os.fspath(name)}: Pillow cannot write this image as {found} ({error}): name it ….png"
        ) from error
    return buffer.getvalue()


def _colour(i: int) -> tuple[int, int, int]:
    return _COLOURS[i % len(_COLOURS)]


def _label(
    pen: Any, size: tuple[int, int], region: Region, label: str, colour: tuple[int, int, int]
) -> None:
    """The words on a plate of the colour: above the box if there is room, else within."""
    from PIL import ImageFont

    words = " ".join(label.split())
    height = max(12, round(min(size) / 30))
    if not words or size[1] < 3 * height:
        return
    font = ImageFont.load_default(height)
    pad = max(2, height // 5)
    words = _fitting(words, font, size[0] - 2 * pad)
    left, top, right, bottom = font.getbbox(words)
    wide, high = int(right - left) + 2 * pad, int(bottom - top) + 2 * pad
    x = max(0, min(region.box[0], size[0] - wide))
    y = region.box[1] - high if region.box[1] >= high else min(region.box[1], size[1] - high)
    pen.rectangle((x, y, x + wide - 1, y + high - 1), fill=colour)
    bright = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2] > 110
    pen.text((x + pad - left, y + pad - top), words, fill=_DARK if bright else _LIGHT, font=font)


def _fitting(words: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """The words, or as many characters of them as fit, with "…"."""
    if font.getlength(words) <= width:
        return words
    least, most = 0, len(words)
    while least < most:  # the largest number of characters that fit
        middle = (least + most + 1) // 2
        if font.getlength(words[:middle] + "…") <= width:
            least = middle
        else:
            most = middle - 1
    return words[:least].rstrip() + "…"
