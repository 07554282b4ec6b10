"""Imports optional dependencies; the error about a missing one says how to install it."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from ..errors import MissingDependencyError


def need(module: str, extra: str) -> Any:
    """Import `module`, or raise MissingDependencyError with the pip command for `extra`."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise  # the module is installed, but a dependency of its own is missing
        raise MissingDependencyError(
            f'{error.name} is not installed: pip install "clipcodec[{extra}]"', name=error.name
        ) from error
