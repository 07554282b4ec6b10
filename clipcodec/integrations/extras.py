"""Optional dependencies: imported when needed, with the remedy when missing."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from ..errors import MissingDependencyError


def need(module: str, extra: str) -> Any:
    """Import `module`, or raise MissingDependencyError naming the pip line."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise  # it is there, and lacks something itself
        missing = MissingDependencyError(
            f"{error.name} is not installed: pip install 'clipcodec[{extra}]'"
        )
        missing.name = error.name
        raise missing from error
