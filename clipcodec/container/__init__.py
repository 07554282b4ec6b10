"""Many streams in one file, `.clpc` (formats/container-1.md): written, appended to, read anywhere.

layout.py has bytes ↔ blocks and no I/O, survey.py finds blocks; the others use them.
"""

from .layout import Item
from .reader import Container, open_container, read_items
from .writer import ContainerWriter, create

__all__ = ["Container", "ContainerWriter", "Item", "create", "open_container", "read_items"]


def __dir__() -> list[str]:
    """The public names alone."""
    return [*__all__, *(name for name in globals() if name.startswith("__"))]
