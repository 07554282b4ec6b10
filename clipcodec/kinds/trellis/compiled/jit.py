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
    jit: Any = numba.njit
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": False}

    def decorate(function: F) -> F:
        try:
            made: F = jit(signature, cache=True, **options)(function)
        except (OSError, RuntimeError):  # no folder for the cache can be written
            made = jit(signature, **options)(function)
        return made

    return decorate


def inner(function: F) -> F:
    """A function that compiled loops call: it becomes a part of theirs."""
    jit: Any = numba.njit
    made: F = jit(error_model="numpy")(function)
    return made
