"""clipcodec in other systems, one module each; what they need are optional extras."""

__all__ = ["arrow", "faiss", "pandas", "parquet", "ray"]


def __dir__() -> list[str]:
    """The public names alone."""
    return [*__all__, *(name for name in globals() if name.startswith("__"))]
