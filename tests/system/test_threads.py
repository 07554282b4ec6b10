"""clipcodec.system.threads: products of one thread while ours run, and as before afterwards."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from clipcodec.system import threads


def blas_threads() -> list[int]:
    """Of the library that numpy brings, if it does."""
    threadpoolctl = pytest.importorskip("threadpoolctl")
    np.ones((4, 4)) @ np.ones((4, 4))
    pools = threadpoolctl.threadpool_info()
    return [pool["num_threads"] for pool in pools if "numpy" in pool["filepath"]]


def test_results_are_in_order() -> None:
    assert threads.in_threads(lambda i: i * i, range(100)) == [i * i for i in range(100)]
    assert threads.in_threads(lambda i: -i, [3]) == [-3]
    assert threads.in_threads(lambda i: -i, []) == []


def test_an_error_is_raised_and_the_limit_lifted() -> None:
    before = blas_threads()
    with pytest.raises(ZeroDivisionError):
        threads.in_threads(lambda i: 1 // i, [1, 0, 2])
    assert blas_threads() == before


def test_products_take_one_thread_until_the_last_call_ends() -> None:
    before, inside = blas_threads(), []

    def look(_: object) -> None:
        inside.append(blas_threads())

    with threads._products_of_one_thread():
        threads.in_threads(look, range(4))
        look(None)
    assert inside == [[1] * len(before)] * 5
    assert blas_threads() == before


def test_without_threadpoolctl_batches_work_all_the_same() -> None:
    code = (
        "import sys; sys.modules['threadpoolctl'] = None\n"
        "from clipcodec.system import threads\n"
        "assert threads._controller() is None\n"
        "assert threads.in_threads(lambda i: i, range(9)) == [*range(9)]\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
