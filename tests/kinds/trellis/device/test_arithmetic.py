"""clipcodec.kinds.trellis.device.arithmetic: settings of the program neither count nor change."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Barrier
from typing import Any

import pytest
import torch

from clipcodec.kinds.trellis.device.arithmetic import exact

CPU = torch.device("cpu")


def precision() -> str:
    return torch.get_float32_matmul_precision()


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    yield
    torch.set_float32_matmul_precision("highest")


def in_effect() -> tuple[str, ...]:
    """What products of float32 are computed with, on GPUs and on the processor."""
    backends: Any = torch.backends
    if hasattr(backends.cuda.matmul, "fp32_precision"):
        return backends.cuda.matmul.fp32_precision, backends.mkldnn.matmul.fp32_precision
    return (precision(),)


@pytest.mark.parametrize("wanted", ["highest", "high", "medium"])
def test_products_are_full_inside_and_as_before_outside(wanted: str) -> None:
    """TF32 and bfloat16 that the program has allowed; also after an error, and nested."""
    torch.set_float32_matmul_precision(wanted)
    before = in_effect()
    inside: list[str] = []
    with suppress(ZeroDivisionError), exact(CPU):
        with exact(CPU):
            inside += in_effect()
        inside += in_effect()
        raise ZeroDivisionError
    assert {*inside} <= {"ieee", "highest"}
    assert (precision(), in_effect()) == (wanted, before)


def test_the_last_thread_restores() -> None:
    torch.set_float32_matmul_precision("high")
    before, together = in_effect(), Barrier(4)

    def work(_: int) -> set[str]:
        with exact(CPU):
            together.wait(20)
            return {*in_effect()}

    with ThreadPoolExecutor(4) as pool:
        assert set.union(*pool.map(work, range(4))) <= {"ieee", "highest"}
    assert in_effect() == before


def test_autocast_is_off() -> None:
    one = torch.full((4, 4), 1 + 2.0**-12)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert (one @ one).dtype == torch.bfloat16
        with exact(CPU):
            assert (one @ one).dtype == torch.float32
