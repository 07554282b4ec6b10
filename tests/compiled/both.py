"""The same call by the plain path and by the compiled loops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from tests.helpers.paths_of_loops import path

T = TypeVar("T")


def both(call: Callable[[], T]) -> tuple[T, T]:
    """What a call gives by the plain path, and by the compiled loops."""
    with path("plain"):
        plain = call()
    with path("compiled"):
        return plain, call()


def same(plain: Any, quick: Any) -> None:
    """Two arrays have the same type, shape and bits: -0.0 is not 0.0."""
    assert (quick.dtype, quick.shape) == (plain.dtype, plain.shape)
    assert np.ascontiguousarray(quick).tobytes() == np.ascontiguousarray(plain).tobytes()
