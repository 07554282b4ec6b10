"""Ids of regions in a container: the image's name and the box.

    photo.jpg#xywh=10,20,100,200

The part from `#` is a media fragment as W3C defines it (Media Fragments URI 1.0, section 4.2.2):
left, top, width and height in pixels. The name before it stays as it is, and may hold any
character, `#` too: the last `#xywh=…` is the box. (To make a URI of an id, quote the name, with
`urllib.parse.quote`.)
"""

from __future__ import annotations

import re
from typing import NamedTuple

from .regions import Box, Region

# Whole numbers without leading zeros: a box has one id. Nine digits are more than any image has.
_NUMBER = "(0|[1-9][0-9]{0,8})"
_ID = re.compile(rf"(.*)#xywh=(?:pixel:)?{','.join([_NUMBER] * 4)}", re.DOTALL)


class RegionId(NamedTuple):
    """The name of an image, and a box in it.

    Attributes:
        image: Its name.
        box: (left, top, right, bottom), whole pixels.

    Examples:
        >>> from clipcodec.tasks.locating import RegionId
        >>> RegionId("photo.jpg", (10, 20, 110, 220)).image
        'photo.jpg'
    """

    image: str
    box: Box


def region_id(image: str, box: Box) -> str:
    """Make the id of a region: a media fragment (W3C Media Fragments URI 1.0, section 4.2.2).

    Args:
        image: The image's name.
        box: (left, top, right, bottom), whole pixels.

    Returns:
        The id, for a container.

    Raises:
        InputError: The box is empty.

    Examples:
        >>> from clipcodec.tasks.locating import region_id
        >>> region_id("photo.jpg", (10, 20, 110, 220))
        'photo.jpg#xywh=10,20,100,200'
    """
    left, top, right, bottom = Region(box).box
    return f"{image}#xywh={left},{top},{right - left},{bottom - top}"


def parse_region_id(id: str | None) -> RegionId | None:
    """Read the image and box of an id.

    W3C's longer form `#xywh=pixel:…` is read, too; its `percent:` is not.

    Args:
        id: Of an item of a container, or None.

    Returns:
        Image and box; None if it is the id of something else than a region.

    Examples:
        >>> from clipcodec.tasks.locating import parse_region_id
        >>> parse_region_id("photo.jpg#xywh=10,20,100,200")
        RegionId(image='photo.jpg', box=(10, 20, 110, 220))
    """
    found = None if id is None else _ID.fullmatch(id)
    if found is None:
        return None
    left, top, width, height = (int(found[i]) for i in range(2, 6))
    if not width or not height:
        return None
    return RegionId(found[1], (left, top, left + width, top + height))
