"""What an input of a verb is: an image, or the embeddings of a .npy file."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import EmbeddingError, brief
from .common import STDIO

_NPY = b"\x93NUMPY"


def path_or_bytes(name: str) -> str | bytes:
    """The path of a file, or all bytes of stdin or a pipe, which can be read only once."""
    if name == STDIO:
        return sys.stdin.buffer.read()
    return name if os.path.isfile(name) else Path(name).read_bytes()


def npy_rows(source: bytes | str) -> NDArray[Any] | None:
    """The rows (N, D) of a .npy file, or None if it is another file: then it must be an image."""
    with io.BytesIO(source) if isinstance(source, bytes) else open(source, "rb") as file:
        if file.read(len(_NPY)) != _NPY:
            return None
        file.seek(0)
        try:
            rows = np.load(file, allow_pickle=False)
        except Exception as error:  # a damaged header makes numpy raise nearly anything
            raise EmbeddingError(f"not a readable .npy file: {brief(error)}") from error
    if rows.ndim not in (1, 2) or not len(rows):
        raise EmbeddingError(f"an array of shape {rows.shape}: expected (D,) or (N, D), N > 0")
    return np.atleast_2d(rows)
