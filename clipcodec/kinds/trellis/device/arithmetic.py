"""What torch must be told so that its arithmetic is numpy's, to the bit.

All sums of products are of whole numbers that float32 or float64 holds (network.py, exact.py), so
they come out the same in any order. But torch may round the factors of a float32 product, to TF32
or bfloat16, if the program has allowed that, or while autocast is on. All else is done one
operation at a time, which IEEE 754 rounds alike everywhere; nothing is compiled into one kernel,
where a product and a sum would be rounded once instead of twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ....system.forks import Lock

_lock = Lock()
_users = 0  # running calls that need full precision
_before: Any = None  # what the program had set


@contextmanager
def exact(device: torch.device) -> Iterator[None]:
    """Full precision, no autocast, no gradients. What the program has set comes back afterwards.

    The precision is a setting of the whole process: while this lasts, products of other threads
    are in full precision, too.
    """
    _enter()
    try:
        with torch.inference_mode(), torch.autocast(device.type, enabled=False):
            yield
    finally:
        _leave()


def _enter() -> None:
    global _users, _before
    with _lock:
        if not _users:
            _before = _set(None)
        _users += 1


def _leave() -> None:
    global _users
    with _lock:
        _users -= 1
        if not _users:
            _set(_before)


def _set(wanted: Any) -> Any:
    """Set the precision of float32 products, None: full; returns what it was."""
    backends: Any = torch.backends
    places = backends.cuda.matmul, backends.mkldnn.matmul
    if all(hasattr(place, "fp32_precision") for place in places):  # since torch 2.9
        before: Any = tuple(place.fp32_precision for place in places)
        for place, precision in zip(places, wanted or ("ieee", "ieee"), strict=True):
            if place.fp32_precision != precision:
                place.fp32_precision = precision
        return before
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(wanted or "highest")
    return before


def tensor(array: NDArray[Any], device: torch.device) -> Tensor:
    """An array on the device; torch warns of one that cannot be written, so that is copied."""
    array = np.ascontiguousarray(array)
    return torch.from_numpy(array if array.flags.writeable else array.copy()).to(device)
