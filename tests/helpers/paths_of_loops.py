"""The plain path and the compiled loops, each for certain, whatever was loaded before."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import Any, TypeVar

import numpy as np
import pytest

from clipcodec.kinds.trellis import compiled

T = TypeVar("T")

needs_numba = pytest.mark.skipif(find_spec("numba") is None, reason="numba is not installed")


@contextmanager
def path(name: str) -> Iterator[None]:
    """Everything inside takes the "plain" path, or the "compiled" one."""
    with pytest.MonkeyPatch.context() as patch:
        fast = name == "compiled"
        patch.setattr(compiled, "_loops", import_module(compiled.LOOPS) if fast else None)
        patch.setattr(compiled, "_reason", None if fast else "the plain path is wanted")
        yield


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
