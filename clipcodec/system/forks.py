"""What threads and forks ask of everything that is made on first use.

A forked child has one thread. A lock that another thread held at that moment stays locked in the
child for ever, and so does a module which that thread was importing. So a fork waits for `loading`,
and nothing else here is locked while it works.
"""

from __future__ import annotations

# these two lock at a fork, too: the last registered goes first, and that must be ours
import concurrent.futures.thread  # noqa: F401
import logging  # noqa: F401
import os
import sys
import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

T = TypeVar("T")

loading = threading.RLock()
"""Held while profiles are read and modules imported. Never while waiting for a network."""

_PATIENCE = 20.0  # seconds; profiles load in one, torch in ten
_inherited: list[str] = []
_forking = threading.local()


def inherited_torch() -> bool:
    """Was this process forked from one with torch in it? True once, for whoever minds it."""
    return bool(_inherited and _inherited.pop())


def _after_in_child() -> None:
    _after()
    _inherited[:] = ["torch"] if "torch" in sys.modules else []


def _before() -> None:
    # not for ever: what a thread loads here may wait for a lock that this fork holds already
    _forking.holds = loading.acquire(timeout=_PATIENCE)


def _after() -> None:
    if getattr(_forking, "holds", False):
        loading.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_after, after_in_child=_after_in_child)


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
