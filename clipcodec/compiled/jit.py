"""How loops are compiled: at once, for one signature each, kept in numba's cache on disk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba
from numba import types

F = TypeVar("F", bound=Callable[..., Any])


def array(dtype: str, dimensions: int, *, out: bool = False) -> Any:
    """The type of a contiguous array; out: it is written to."""
    return types.Array(getattr(types, dtype), dimensions, "C", readonly=not out)


def compiled(*arguments: Any) -> Callable[[F], F]:
    """Compile a function that gives nothing back, for arguments of these types.

    Every operation is rounded by itself, as numpy does it: no fused ones, no other order. Other
    threads run meanwhile.
    """
    signature = types.void(*arguments)
    options = {"nogil": True, "error_model": "numpy", "fastmath": False}

    def decorate(function: F) -> F:
        try:
            return numba.njit(signature, cache=True, **options)(function)  # type: ignore[no-any-return]
        except (OSError, RuntimeError):  # no folder for the cache can be written
            return numba.njit(signature, **options)(function)  # type: ignore[no-any-return]

    return decorate
