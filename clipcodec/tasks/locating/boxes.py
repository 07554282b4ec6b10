"""Files of boxes, for those who have regions from elsewhere: JSON, or lines with tabs."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

from ...errors import InputError, placed
from .regions import Box, Region

_FORMS = (
    "expected JSON, [[left, top, right, bottom], …] or {image: [[…], …], …}, or lines of left, "
    "top, right, bottom with tabs between them, with the image's name in front or without"
)


def parse_boxes(text: str, source: str | None = None) -> dict[str | None, list[Box]]:
    """Read a file of boxes: those of each image by its name.

    Args:
        text: JSON: a list of boxes, or an object with a list for each image; or lines of
            `left TAB top TAB right TAB bottom`, or of `image TAB left TAB …`.
        source: The file's name, for messages.

    Returns:
        Boxes (left, top, right, bottom), whole pixels; None is the name of boxes that name no
            image.

    Raises:
        InputError: Names the box (from 0) or the line (from 1) at fault.

    Examples:
        >>> from clipcodec.tasks.locating import parse_boxes
        >>> parse_boxes('{"photo.jpg": [[10, 20, 110, 220]]}')
        {'photo.jpg': [(10, 20, 110, 220)]}
    """
    with placed(source=source):
        if text.lstrip("\ufeff \t\r\n")[:1] in ("[", "{"):
            found = _of_json(text.lstrip("\ufeff"))
        else:
            found = _of_lines(text.lstrip("\ufeff"))
        if not any(found.values()):
            raise InputError(f"no boxes: {_FORMS}")
    return found


def _of_json(text: str) -> dict[str | None, list[Box]]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"damaged JSON ({error}): {_FORMS}") from error
    if not isinstance(value, dict):
        return {None: _boxes(value)}
    found: dict[str | None, list[Box]] = {}
    for image, boxes in value.items():
        with placed(source=image):
            found[image] = _boxes(boxes)
    return found


def _boxes(values: Any) -> list[Box]:
    if not isinstance(values, list):
        raise InputError(f"{type(values).__name__} is no list of boxes: {_FORMS}")
    return [_box(value, i, "box") for i, value in enumerate(values)]


def _of_lines(text: str) -> dict[str | None, list[Box]]:
    found: dict[str | None, list[Box]] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        cells = line.split("\t")
        image = cells.pop(0) if len(cells) == 5 else None
        found.setdefault(image, []).append(_box([*map(_number, cells)], number, "line"))
    return found


def _number(cell: str) -> int | float | str:
    """The number in a cell; a cell without one as it is, for the message about the box."""
    for kind in (int, float):
        with suppress(ValueError):
            return kind(cell)
    return cell


def _box(value: Any, number: int, item: str) -> Box:
    with placed(number, item=item):
        try:
            return Region(value).box
        except InputError as error:
            error.rows = (0,)
            raise
