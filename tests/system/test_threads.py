"""clipcodec.system.threads: products of one thread while ours run, and as before afterwards."""

from __future__ import annotations

import subprocess
import sys
from typing import Any, cast

import numpy as np
import pytest

from clipcodec.system import threads
from tests.helpers.processes import blas_threads, products_of_two_threads


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

    with threads.products_of_one_thread():
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


def test_a_thin_product_takes_one_thread() -> None:
    inside: list[list[int]] = []

    class Rows:
        def __matmul__(self, other: object) -> object:
            inside.append(blas_threads())
            return other

    vector = np.ones(3)
    with products_of_two_threads():
        before = blas_threads()
        assert threads.thin_product(cast("Any", Rows()), vector) is vector
        assert blas_threads() == before
    assert inside == [[1] * len(before)]
    assert threads.thin_product(np.eye(3), vector).tolist() == [1, 1, 1]
