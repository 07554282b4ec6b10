"""What people do with decoded embeddings: name, caption and point."""

__all__ = ["captioning", "locating", "naming"]


def __dir__() -> list[str]:
    """The public names alone."""
    return [*__all__, *(name for name in globals() if name.startswith("__"))]
