"""The same call by the plain path and by the compiled loops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar
from unittest.mock import patch

import numpy as np
import pytest

from clipcodec.kinds.trellis import compiled

T = TypeVar("T")


def loops() -> Any:
    """The compiled loops; skips the test where there are none."""
    pytest.importorskip("numba", reason="numba is not installed: nothing is compiled")
    from clipcodec.kinds.trellis.compiled import numba_loops

    return numba_loops


def both(call: Callable[[], T]) -> tuple[T, T]:
    """What a call gives by the plain path, and by the compiled loops."""
    fast, asked = loops(), list[float]()

    def given(seconds: float) -> Any:
        asked.append(seconds)
        return fast

    with patch.object(compiled, "loops", lambda seconds: None):
        plain = call()
    with patch.object(compiled, "loops", given):
        quick = call()
    assert asked, "no compiled loop was asked for"
    return plain, quick


def same(plain: Any, quick: Any) -> None:
    """Two arrays have the same type, shape and bits: -0.0 is not 0.0."""
    assert (quick.dtype, quick.shape) == (plain.dtype, plain.shape)
    assert np.ascontiguousarray(quick).tobytes() == np.ascontiguousarray(plain).tobytes()
