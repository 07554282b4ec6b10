"""Loops over symbols, compiled by numba where it is installed: the same bytes, in less time.

Every loop has a plain twin in numpy, which says what it does and which all installations have.
`loops` gives the compiled ones, or None:

    fast = compiled.loops(seconds)
    if fast is None: ...  # the plain path

Importing numba and reading its cache takes the better part of a second, which a short program
would never get back. So the plain path is taken until it has taken that long.
CLIPCODEC_COMPILED=always loads the loops at once, =never does without them.
"""

from __future__ import annotations

import os
import warnings
from importlib import import_module
from typing import TYPE_CHECKING

from ....errors import brief
from ....system.forks import loading

if TYPE_CHECKING:
    from types import ModuleType

VARIABLE = "CLIPCODEC_COMPILED"
LOOPS = f"{__name__}.numba_loops"
LEAST = (0, 60)  # version of numba: the first for NumPy 2
_LOADING = 0.75  # seconds

_spent = 0.0  # seconds of the plain path
_loops: ModuleType | None = None
_reason: str | None = None  # why there are none


def loops(seconds: float) -> ModuleType | None:
    """The compiled loops, if they are loaded, or if the plain path has taken long enough by now.

    seconds  that the plain path will take for what the caller is about to do, by experience
    """
    global _spent
    if _loops is not None or _reason is not None:
        return _loops
    _spent += seconds
    mode = os.environ.get(VARIABLE, "auto")
    if mode == "always" or (mode != "never" and _spent > _LOADING):
        _load(asked=mode == "always")
    return _loops


def state() -> str:
    """What is used, or why nothing is, in a few words."""
    if os.environ.get(VARIABLE) == "never":
        return f"not used ({VARIABLE}=never)"
    if _loops is None and _reason is None:
        _load(asked=False)
    if _loops is not None:
        return f"by numba {import_module('numba').__version__}"
    return f"not used: {_reason}"


def _load(*, asked: bool) -> None:
    """Load the loops. Where that fails, say why in one line: numba is there, or was asked for."""
    global _loops, _reason
    with loading:
        if _loops is not None or _reason is not None:
            return
        missing = "numba is not installed (pip install 'clipcodec[fast]')"
        try:
            numba = import_module("numba")
            version = tuple(map(int, numba.__version__.split(".")[:2]))
            if version >= LEAST:
                _loops = import_module(LOOPS)
                return
            reason = f"numba {numba.__version__} is too old: at least {LEAST[0]}.{LEAST[1]}"
        except ModuleNotFoundError as error:
            asked = asked or error.name != "numba"
            reason = missing if error.name == "numba" else f"numba cannot be loaded: {error}"
        except Exception as error:  # another NumPy, a processor that its compiler does not know, …
            asked, reason = True, f"numba cannot be used ({type(error).__name__}: {brief(error)})"
        else:
            asked = True
        _reason = reason
    if asked:
        warnings.warn(
            f"loops are not compiled: {reason}. The results are the same, but come later",
            RuntimeWarning,
            stacklevel=2,
        )
