"""Paths as callers give them."""

from __future__ import annotations

from typing import Any

AS_TEXT = "bytes are the content of a file: give a path as str, os.fsdecode(path)"
"""The remedy where `is_path_of_bytes`."""

_LONGEST = 4096  # bytes


def is_path_of_bytes(given: Any) -> bool:
    """Whether these bytes seem to be a path, where the content of an image file is expected.

    No image file is short and without a single control character.
    """
    if not isinstance(given, (bytes, bytearray, memoryview)):
        return False
    size = given.nbytes if isinstance(given, memoryview) else len(given)
    return 0 < size <= _LONGEST and min(bytes(given)) >= 32
