"""What threads and forks ask of everything that is made on first use.

A forked child has one thread. A lock that another thread held at that moment stays locked in the
child for ever, and so does a module which that thread was importing. So a fork waits for `loading`,
and nothing else here is locked while it works.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

T = TypeVar("T")

loading = threading.RLock()
"""Held while profiles are read and modules imported. Never while waiting for a network."""

_inherited: list[str] = []


def inherited_torch() -> bool:
    """Was this process forked from one with torch in it? True once, for whoever minds it."""
    return bool(_inherited and _inherited.pop())


def _after_in_child() -> None:
    loading.release()
    _inherited[:] = ["torch"] if "torch" in sys.modules else []


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=loading.acquire, after_in_parent=loading.release, after_in_child=_after_in_child
    )


class cached_property(Generic[T]):
    """functools.cached_property as it is from Python 3.12 on: without a lock that a fork may cut.

    Threads that ask at the same moment may each compute the value; all get the same one.
    """

    def __init__(self, compute: Callable[[Any], T]) -> None:
        self._compute, self.__doc__ = compute, compute.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: Any, owner: type) -> T:
        value: T = instance.__dict__.setdefault(self._name, self._compute(instance))
        return value
