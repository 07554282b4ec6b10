"""What patterns such as "photos/**/*.jpg" match, and which of it is an input."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from typing import Any

from .. import arrays
from .archives import is_archive
from .entries import (
    FOLDER,
    NO_IMAGE,
    OTHER_INPUT,
    is_image,
    no_image,
)
from .files import is_folder


def not_taken(match: str, pattern: str) -> str | None:
    """Why what matches a pattern is no input; None: it is one.

    Arrays but .npy are taken if the pattern ends as they do: a table or the weights of a model may
    lie beside images.
    """
    if os.path.isdir(match):
        return FOLDER
    named = arrays.suffix_of(match) is not None  # then Pillow, which knows images, is not asked
    if not named and (is_image(match) or is_archive(match)):
        return None
    kind = arrays.kind_of_file(match)
    if kind is not None:
        asked = kind == arrays.suffix_of(pattern) or kind == ".npy"
        return None if asked else NO_IMAGE if kind == ".csv" else OTHER_INPUT
    gone = match.lower().endswith(".npy") and not os.path.isfile(match)
    return None if gone else no_image(match)


def matches_of(pattern: str, circles: set[str]) -> set[str]:
    """As glob.glob, but ** does not go in circles: with two such links glob would never end.

    circles  links to a folder that they lie in are added
    """
    parts = pattern.replace(os.altsep or os.sep, os.sep).split(os.sep)
    if "**" not in parts:
        return set(glob.glob(pattern))
    at = parts.index("**")
    after = at + 1
    while parts[after : after + 1] == ["**"]:  # as one
        after += 1
    rest = os.sep.join(parts[after:]) or "*"
    tops = glob.glob(os.sep.join([*parts[:at], ""])) if at else [""]
    found: set[str] = set()
    for top in tops:
        for folder in _folders(top, frozenset(), circles):
            found |= matches_of(os.path.join(glob.escape(folder), rest), circles)
    return found


def _folders(folder: str, above: frozenset[Any], circles: set[str]) -> Iterator[str]:
    """A folder and those below it that are not hidden."""
    try:
        status = os.stat(folder or os.curdir)
        key = (status.st_dev, status.st_ino)
        if key in above:
            circles.add(folder)
            return
        with os.scandir(folder or os.curdir) as scan:
            names = sorted(i.name for i in scan if not i.name.startswith(".") and is_folder(i))
    except OSError:  # as glob.glob; what cannot be listed matches nothing
        return
    yield folder
    for name in names:
        yield from _folders(os.path.join(folder, name), above | {key}, circles)
