"""Values of options: read from text, or refused in a word about what is expected.

Only limits that are plain are here; what depends on a profile or a file is checked by the library.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable

from .usage import near


def whole(least: int | None = None, most: int | None = None) -> Callable[[str], int]:
    """A type for argparse: whole numbers from `least` to `most`."""
    words = "" if least is None else f" of at least {least}"
    if most is not None:
        words = f" from {least} to {most}"

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = None
        good = value is not None and (least is None or value >= least)
        if value is None or not good or (most is not None and value > most):
            raise argparse.ArgumentTypeError(f"{text}: expected a whole number{words}")
        return value

    return read


def number(
    least: float | None = None, most: float | None = None, *, above: float | None = None
) -> Callable[[str], float]:
    """A type for argparse: finite numbers from `least` to `most`, or above `above`."""
    words = "" if least is None else f" of at least {least:g}"
    if above is not None:
        words = f" above {above:g}"
    if most is not None:
        words = f" from {least:g} to {most:g}" if above is None else f"{words} and at most {most:g}"

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        good = math.isfinite(value)
        good &= (least is None or value >= least) and (most is None or value <= most)
        if not good or (above is not None and value <= above):
            raise argparse.ArgumentTypeError(f"{text}: expected a number{words}")
        return value

    return read


def one_of(*names: str) -> Callable[[str], str]:
    """A type for argparse, beside `choices`: one of these words."""

    def read(text: str) -> str:
        if text not in names:
            words = f"{', '.join(names[:-1])} or {names[-1]}"
            raise argparse.ArgumentTypeError(f"{text}: expected {words}{near(text, names)}")
        return text

    return read
