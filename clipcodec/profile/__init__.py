"""Profiles: the file that holds one, the registry of those that ship, and where their data lie.

A profile is all that a stream relies on: tables, and the numbers of a transform.
"""

from .file import Profile, read_profile, write_profile

__all__ = ["Profile", "read_profile", "write_profile"]


def __dir__() -> list[str]:
    """The public names alone."""
    return [*__all__, *(name for name in globals() if name.startswith("__"))]
