"""Work shared out to threads. Matrix products then take one thread each, not all the cores each.

numpy's BLAS would start as many threads as there are cores for every product; with ours beside
each other they would wait for one another, a seventh of the speed.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, TypeVar

from .forks import loading

T = TypeVar("T")
R = TypeVar("R")

_THREADS = 8  # more of them wait for the interpreter, and hold memory
_lock = threading.Lock()
_users = 0  # calls under way that want products of one thread
_limit: Any = None


def most_threads() -> int:
    """How many threads share the work of one call."""
    return min(os.cpu_count() or 1, _THREADS)


def in_threads(work: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """Results in order; several items share the cores, as numpy leaves the interpreter free."""
    if len(items) < 2:
        return [work(item) for item in items]
    with _products_of_one_thread(), ThreadPoolExecutor(min(len(items), most_threads())) as pool:
        return list(pool.map(work, items))


def shared_out(items: list[T], most: int, fewest: int = 256) -> list[list[T]]:
    """Parts of `most` items or fewer, as many parts as threads or a multiple of that.

    fewest  items that are enough work for one thread: there are no smaller parts for its sake
    """
    rounds = -(-len(items) // (most * most_threads()))
    step = max(-(-len(items) // (rounds * most_threads())), fewest)
    return [items[at : at + step] for at in range(0, len(items), step)]


@contextmanager
def _products_of_one_thread() -> Iterator[None]:
    """While any call is in here. Without threadpoolctl all is as it was, only slower."""
    global _users, _limit
    controller = _controller()
    if controller is None:
        yield
        return
    with _lock:
        if not _users:
            _limit = controller.limit(limits=1, user_api="blas")
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if not _users:
                _limit.restore_original_limits()


@lru_cache(maxsize=1)
def _controller() -> Any:
    try:
        with loading:
            from threadpoolctl import ThreadpoolController
    except ImportError:
        return None
    return ThreadpoolController()


def _after_in_child() -> None:
    """The threads that were at it are not here, and the lock may have been theirs."""
    global _lock, _users
    _lock, _users = threading.Lock(), 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_in_child)
