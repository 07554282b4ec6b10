"""clipcodec in other systems, one module each; what they need are optional extras.

arrow, parquet  columns of Arrow tables and Parquet files: `pip install "clipcodec[arrow]"`
pandas          Series, also for Spark: the same
ray             Ray Data: `pip install "clipcodec[ray]"`
faiss           indexes of faiss: `pip install "clipcodec[faiss]"`
usearch, hnswlib  indexes of these: `pip install "clipcodec[usearch]"`, `…[hnswlib]"`
"""

__all__ = ["arrow", "faiss", "hnswlib", "pandas", "parquet", "ray", "usearch"]


def __dir__() -> list[str]:
    """The public names alone."""
    return [*__all__, *(name for name in globals() if name.startswith("__"))]
