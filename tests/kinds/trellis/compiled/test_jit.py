"""How loops are compiled: rounded as numpy does it, and with or without a cache on disk."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
import pytest

from tests.helpers.paths_of_loops import needs_numba

pytestmark = needs_numba


def _multiply_add(x: Any, y: Any, z: Any, out: Any) -> None:
    for i in range(len(x)):
        out[i] = x[i] * y[i] + z[i]


def made(function: Any) -> Any:
    jit = import_module("clipcodec.kinds.trellis.compiled.jit")
    read, write = jit.array("float32", 1), jit.array("float32", 1, out=True)
    return jit.compiled(read, read, read, write)(function)


def test_a_product_is_rounded_before_it_is_added() -> None:
    rng = np.random.default_rng(0)
    x, y, z = rng.standard_normal((3, 100_000)).astype(np.float32)
    out = np.empty_like(x)
    made(_multiply_add)(x, y, z, out)
    assert (out == x * y + z).all()


def test_an_array_that_may_not_be_written_is_taken() -> None:
    x = np.frombuffer(np.ones(4, np.float32).tobytes(), np.float32)
    out = np.empty(4, np.float32)
    made(_multiply_add)(x, x, x, out)
    assert out.tolist() == [2.0] * 4


def test_without_a_folder_for_the_cache_it_is_compiled_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """numba refuses to keep what it can write nowhere, or fails at the disk."""
    numba = import_module("numba")
    real = numba.njit
    for error in (RuntimeError("no locator available"), OSError("no space left on device")):

        def njit(*given: Any, error: Exception = error, **options: Any) -> Any:
            if options.get("cache"):
                raise error
            return real(*given, **options)

        monkeypatch.setattr(numba, "njit", njit)
        out = np.empty(3, np.float32)
        made(_multiply_add)(*np.ones((3, 3), np.float32), out)
        assert out.tolist() == [2.0] * 3
