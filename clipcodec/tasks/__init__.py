"""What people do with decoded embeddings: name, caption and point.

naming      zero-shot classes: `classify` (docs/words.md)
captioning  sentences about images, by ClipCap (docs/captions.md)
locating    the regions that words mean (docs/pointing.md)
"""

__all__ = ["captioning", "locating", "naming"]


def __dir__() -> list[str]:
    """The public names alone."""
    return [*__all__, *(name for name in globals() if name.startswith("__"))]
