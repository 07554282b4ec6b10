"""Arguments of the verbs for containers."""

from __future__ import annotations

from .options import Verbs


def add(verbs: Verbs) -> None:
    """None yet."""
