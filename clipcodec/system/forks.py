"""Making first use (imports, profiles, computed values) safe with threads and forks.

A forked child has only the thread that forked. A lock that another thread held at that moment stays
locked in the child for ever; so does the import lock of a module which that thread was importing.
Therefore a fork waits until nobody holds `loading`, and no other lock is held during slow work.
"""

from __future__ import annotations

# These two modules register hooks that take locks at a fork. Hooks registered last run first, and
# ours must run first: so import them before.
import concurrent.futures.thread  # noqa: F401
import logging  # noqa: F401
import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Generic, TypeVar

T = TypeVar("T")

loading = threading.RLock()
"""Held while profiles are read and modules imported, but never while waiting for a network."""

_FORK_TIMEOUT = 20.0  # seconds; profiles load in one, torch in ten
_inherited: list[str] = []  # ["torch"] in the child of a process with torch, until it is asked for
_forking = threading.local()


def inherited_torch() -> bool:
    """Whether this process was forked from one that had imported torch.

    True at the first call only, since the caller needs to adapt torch only once.
    """
    return bool(_inherited and _inherited.pop())


def _release_in_child() -> None:
    _release()
    _inherited[:] = ["torch"] if "torch" in sys.modules else []


def _acquire() -> None:
    # With a timeout, against a deadlock: the thread that holds `loading` may be waiting for a lock
    # that this fork has taken already.
    _forking.holds = loading.acquire(timeout=_FORK_TIMEOUT)


def _release() -> None:
    if getattr(_forking, "holds", False):
        loading.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_acquire, after_in_parent=_release, after_in_child=_release_in_child)


class cached_property(Generic[T]):
    """functools.cached_property as it is from Python 3.12 on: without a lock.

    A fork could leave such a lock locked for ever. Threads that ask at the same moment may each
    compute the value; all of them get the same object.
    """

    def __init__(self, compute: Callable[[Any], T]) -> None:
        self._compute, self.__doc__ = compute, compute.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: Any, owner: type) -> T:
        value: T = instance.__dict__.setdefault(self._name, self._compute(instance))
        return value


class Lock:
    """A lock that is open in a forked child, where no thread is left that could hold it."""

    def __init__(self) -> None:
        self._renew()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._renew)

    def _renew(self) -> None:
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        with suppress(RuntimeError):  # this thread held it when it forked: the child's is open
            self._lock.release()
