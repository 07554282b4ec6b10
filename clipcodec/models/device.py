"""Where a network runs, and in which precision: chosen, and tried out before it is used."""

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING, Any

from ..errors import OptionError
from ..system.forks import inherited_torch
from .spec import load_module

if TYPE_CHECKING:
    import torch

    Device = str | torch.device | None
    Weights = str | os.PathLike[str] | None

PRECISIONS = ("fp32", "bf16", "fp16")


def device_of(device: Device) -> torch.device:
    """The torch device that is asked for; OptionError if it cannot be used. It is tried out."""
    library = load_module("torch")
    one_thread_in_a_fork()
    if device is None:
        mps = library.backends.mps.is_available()
        device = "cuda" if library.cuda.is_available() else "mps" if mps else "cpu"
    try:
        chosen: torch.device = library.device(device)
        library.zeros(1, device=chosen).cpu()  # fails for "meta" and for absent hardware
    except (RuntimeError, AssertionError, ValueError, TypeError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise OptionError(
            f"device {str(device)!r} cannot be used ({reason}): give 'cpu', 'cuda', 'cuda:1',"
            " 'mps' or None"
        ) from error
    return chosen


def check_precision(precision: str, device: torch.device) -> None:
    """Raise OptionError unless the device can compute so. It is tried: torch would only warn."""
    if precision not in PRECISIONS:
        raise OptionError(f"precision={precision!r}: expected {', '.join(PRECISIONS)}")
    if precision == "fp32":
        return
    torch = load_module("torch")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with torch.inference_mode(), autocast(precision, str(device)):
                one = torch.ones(8, 8, device=device)
                done = torch.nn.functional.linear(one, one)
        works = done.dtype == _dtype(precision) and float(done.float().sum()) == 512
        reason = "it computes in another precision"
    except (RuntimeError, ValueError, TypeError, UserWarning) as error:
        works, reason = False, (str(error).strip() or type(error).__name__).splitlines()[0]
    if not works:
        raise OptionError(
            f"precision {precision!r} does not work on device {str(device)!r} ({reason}): give"
            " fp32, or another device"
        )


def autocast(precision: str, device: str) -> Any:
    torch = load_module("torch")
    return torch.autocast(torch.device(device).type, dtype=_dtype(precision))


def _dtype(precision: str) -> Any:
    torch = load_module("torch")
    return {"bf16": torch.bfloat16, "fp16": torch.float16}[precision]


def one_thread_in_a_fork() -> None:
    """OpenMP in a forked child would wait for ever for its threads, which a fork does not copy."""
    if inherited_torch():
        load_module("torch").set_num_threads(1)
