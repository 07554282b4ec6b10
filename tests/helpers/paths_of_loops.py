"""The plain path and the compiled loops, each for certain, whatever was loaded before."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec

import pytest

from clipcodec.kinds.trellis import compiled

needs_numba = pytest.mark.skipif(find_spec("numba") is None, reason="numba is not installed")


@contextmanager
def path(name: str) -> Iterator[None]:
    """Everything inside takes the "plain" path, or the "compiled" one."""
    with pytest.MonkeyPatch.context() as patch:
        fast = name == "compiled"
        patch.setattr(compiled, "_loops", import_module(compiled.LOOPS) if fast else None)
        patch.setattr(compiled, "_reason", None if fast else "the plain path is wanted")
        yield
