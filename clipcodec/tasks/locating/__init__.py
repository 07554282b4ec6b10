"""Pointing: the region of an image that words name, by compressed embeddings (docs/pointing.md).

>>> from clipcodec.tasks.locating import locate
>>> boxes = [(0, 0, 48, 64), (48, 0, 96, 64)]  # or sam_regions()
>>> found = locate("photo.jpg", "the red cup", regions=boxes, max_bytes=50)
>>> found.candidates[0][0].box in boxes
True

A box is (left, top, right, bottom) in whole pixels of the upright image; right and bottom are the
first column and row that do not belong to it, as in Pillow. The modules:

    regions  a part of an image, and how it is cut out
    sam      regions by SAM or another network for masks, through transformers
    boxes    files of boxes
    locate   regions compressed, and compared with texts; kept in containers
    ids      names of regions in a container
    drawing  regions drawn into an image
"""

from .boxes import parse_boxes
from .drawing import Mark, draw, image_bytes, image_format
from .ids import RegionId, parse_region_id, region_id
from .locate import (
    Candidate,
    Located,
    best_regions,
    compress_regions,
    embedded_texts,
    find_regions,
    keep_regions,
    load_upright,
    locate,
    locate_kept,
    region_embeddings,
)
from .regions import Box, Region, as_regions, cut
from .sam import sam_regions

__all__ = [
    "Box",
    "Candidate",
    "Located",
    "Mark",
    "Region",
    "RegionId",
    "as_regions",
    "best_regions",
    "compress_regions",
    "cut",
    "draw",
    "embedded_texts",
    "find_regions",
    "image_bytes",
    "image_format",
    "keep_regions",
    "load_upright",
    "locate",
    "locate_kept",
    "parse_boxes",
    "parse_region_id",
    "region_embeddings",
    "region_id",
    "sam_regions",
]


def __dir__() -> list[str]:
    """The public names alone."""
    return [*__all__, *(name for name in globals() if name.startswith("__"))]
