"""The items of a container: their ids, their embeddings, their neighbours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..codec import Codec
from ..container import Container
from ..embeddings import Embeddings
from ..errors import EmbeddingError
from ..profile import Profile, registry
from ..retrieval import SearchIndex
from ..texts import TextEmbeddings

_EXACT = 100_000  # items up to which float32 rows are kept: 200 MB at width 512


@dataclass(frozen=True)
class Hit:
    """An item that a search found: its place in the container, and the cosine to the query."""

    index: int
    score: float


class Collection:
    """An open container, with an index in memory to search it. Thread-safe.

    name      what people call it
    profile   that of its first stream: what images and words are embedded for
    codec     what re-encodes embeddings: of that profile, or, if that has one rate only, of the one
              of all rates that fits best
    backbone  what made the embeddings; None: the profile does not say
    """

    def __init__(self, container: Container, name: str, *, backbone: str | None = None) -> None:
        self.container, self.name = container, name
        self.ids = container.ids
        exact = len(container) <= _EXACT
        self.index = SearchIndex(container, exact=exact)
        self.profile: Profile = (
            container.codec.parse(container[0]).profile
            if len(container)
            else container.profile or container.codec.profile
        )
        own = self.profile.backbone
        self.backbone = backbone or (None if own == registry.ANY_BACKBONE else own)
        self.codec = Codec(self._of_all_rates())

    def _of_all_rates(self) -> Profile:
        if self.profile.kind.qualities:
            return self.profile
        best = registry.by_name(registry.for_backbone(self.profile.backbone))
        if best.dim in (None, self.dim):
            return best
        return registry.by_name(registry.UNTRAINED)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def dim(self) -> int | None:
        """Width D of the embeddings; None if there are no items."""
        return self.index.dim

    def size(self, i: int) -> int:
        """Bytes of stream i."""
        return len(self.container[i])

    def embedding(self, i: int) -> Embeddings:
        """The embedding (D,) that stream i keeps."""
        return self.container.decode(i)

    def check_width(self, rows: Any, what: str) -> None:
        """Raise EmbeddingError unless embeddings (N, D) of `what` have the items' width."""
        width = np.shape(rows)[1]
        if self.dim not in (None, width):
            raise EmbeddingError(
                f"{what}: {width} dimensions, the container's embeddings have {self.dim}: both must"
                " come from one backbone"
            )

    def check_texts(self, texts: TextEmbeddings, what: str) -> None:
        """Raise EmbeddingError unless these are text embeddings of the items' backbone."""
        self.check_width(texts.embeddings, what)
        if texts.backbone is not None and self.backbone not in (None, texts.backbone):
            raise EmbeddingError(
                f"{what}: made by {texts.backbone}, the container's embeddings by {self.backbone}: "
                "texts and images must come from one backbone"
            )

    def nearest(self, row: Embeddings, k: int, *, but: int | None = None) -> list[Hit]:
        """The k items nearest to an embedding (D,), best first, without item `but`."""
        scores, places = self.index.search(row, k + (but is not None))
        hits = map(Hit, places[0].tolist(), scores[0].tolist())
        return [hit for hit in hits if hit.index != but][:k]
