"""clipcodec in other systems, one module each; what they need are optional extras.

arrow, parquet  columns of Arrow tables and Parquet files: `pip install "clipcodec[arrow]"`
pandas          Series, also for Spark: the same
datasets        a feature of Hugging Face datasets: `pip install "clipcodec[datasets]"`
duckdb          functions of SQL: `pip install "clipcodec[duckdb]"`
sql             rows of any database, decoded and searched: nothing more
ray             Ray Data: `pip install "clipcodec[ray]"`
faiss           indexes of faiss: `pip install "clipcodec[faiss]"`
usearch, hnswlib  indexes of these: `pip install "clipcodec[usearch]"`, `…[hnswlib]"`
"""

__all__ = [
    "arrow", "datasets", "duckdb", "faiss", "hnswlib", "pandas", "parquet", "ray", "sql", "usearch",
]  # fmt: skip


def __dir__() -> list[str]:
    """The public names alone."""
    return [*__all__, *(name for name in globals() if name.startswith("__"))]
