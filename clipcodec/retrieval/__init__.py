"""Search by inner product: float queries against compressed embeddings (docs/search.md).

    streams ─sources─▶ parts of streams ─blocks─▶ numbers ─hits─▶ the best of each query

Streams of `any/rotation` are searched by their symbols. A rotation keeps inner products, so the
queries are rotated instead of all rows, and as rows are of unit norm, the step cancels. Streams of
all other profiles are decoded. What an index keeps of these numbers (content.py), with what it was
made of (made.py), can be in a file: layout.py has its bytes, reading.py and writing.py the file.
"""

from .adding import Updated
from .building import IndexBuild
from .found import Hits
from .index import SearchIndex
from .passes import search
from .sources import codec_of, decoded

__all__ = ["Hits", "IndexBuild", "SearchIndex", "Updated", "codec_of", "decoded", "search"]


def __dir__() -> list[str]:
    """The public names alone."""
    return [*__all__, *(name for name in globals() if name.startswith("__"))]
