"""Work divided among threads. Meanwhile every matrix product takes one thread.

numpy's BLAS starts as many threads as there are cores for each product. In several threads of ours
at once, these would wait for one another: work would run at a seventh of the speed. So would those
of many short products, one after the other, as soon as another program uses one of the cores.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

from .forks import loading

if TYPE_CHECKING:
    from numpy.typing import NDArray

T = TypeVar("T")
R = TypeVar("R")

_MAX_THREADS = 8  # more would wait for the interpreter lock, and take memory
_lock = threading.Lock()
_users = 0  # running calls that need products of one thread
_limit: Any = None  # threadpoolctl's object that restores the former number of threads


def most_threads() -> int:
    """The largest number of threads that share the work of one call."""
    return min(os.cpu_count() or 1, _MAX_THREADS)


def in_threads(work: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """[work(item) for item in items], several items at once.

    This is faster if the work is mostly in numpy, which releases the interpreter lock.
    """
    if len(items) < 2:
        return [work(item) for item in items]
    with products_of_one_thread(), ThreadPoolExecutor(min(len(items), most_threads())) as pool:
        return list(pool.map(work, items))


def thin_product(a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
    """a @ b where one of them is a vector, or nearly: too little work for several threads."""
    with products_of_one_thread():
        product: NDArray[Any] = a @ b
        return product


def share(count: int, most: int, fewest: int = 256) -> int:
    """How many of `count` items one part holds: as many parts as threads, or a multiple of that.

    most    items in a part
    fewest  items that are enough work for one thread: parts are not made smaller than that
    """
    rounds = -(-count // (most * most_threads()))
    return max(-(-count // max(rounds * most_threads(), 1)), fewest)


@contextmanager
def products_of_one_thread() -> Iterator[None]:
    """Limit BLAS to one thread until the last call leaves: takes some 10 µs.

    Does nothing without threadpoolctl.
    """
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


def _reset_in_child() -> None:
    """The parent's threads are not in the child, and one of them may have held the lock."""
    global _lock, _users
    _lock, _users = threading.Lock(), 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_in_child)
