"""Codecs of others, and the simplest ones, to measure ours beside; see `evaluation.codecs`."""

from __future__ import annotations

from ...errors import OptionError


def whole(spec: str, argument: str, expected: str) -> int:
    """The argument as a whole number above zero. Raises OptionError saying what was expected."""
    if argument.isascii() and argument.isdigit() and int(argument):
        return int(argument)
    raise OptionError(f"codec {spec!r}: {argument!r}: expected {expected}")


def positive(spec: str, argument: str, expected: str) -> float:
    """The argument as a finite number above zero. Raises OptionError, as `whole` does."""
    try:
        value = float(argument)
    except ValueError:
        value = 0.0
    if 0 < value < float("inf"):
        return value
    raise OptionError(f"codec {spec!r}: {argument!r}: expected {expected}")
