"""What N bytes keep of a picture: its embedding, encoded again, with its neighbours and labels."""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..carriers import extract
from ..codec import Codec
from ..embeddings import Embeddings
from ..errors import ClipcodecError, DecodeError, ImageError, OptionError
from ..images import load_rgb
from ..profile import registry
from .collection import Collection, Hit
from .encoders import Encoders
from .pictures import Pictures
from .words import DEFAULT, Words, probabilities

FEWEST, MOST = 12, 250  # bytes of the slider
NEIGHBOURS = 10
_LABELS = 6  # of the highest before, and of the highest after
_VIEWS = 4096  # kept in memory, some 3 kB each
_SUBJECTS = 256  # the same, with what is known of them before
_DROPS = 32  # images of the user

T = TypeVar("T")


@dataclass(frozen=True)
class Subject:
    """A picture at hand: an item, or an image of the user.

    name    what the page calls it by: an item's place in digits, or `drop-` and a token
    index   an item's place; None for an image of the user
    row     the embedding (D,) to compare with: of the picture itself, if there is an encoder
    origin  what made it: "picture", by the encoder; "container" or "file", decoded from a stream
    """

    name: str
    index: int | None
    row: Embeddings
    origin: str


@dataclass(frozen=True)
class Before:
    """What the embedding of a subject gives as it is: neighbours, and labels' probabilities."""

    hits: list[Hit]
    chances: NDArray[np.float32] | None


class Views:
    """Makes what the page shows of a picture at hand; keeps what it made. Thread-safe."""

    def __init__(
        self, collection: Collection, pictures: Pictures, encoders: Encoders, words: Words
    ) -> None:
        self._collection, self._pictures = collection, pictures
        self._encoders, self._words = encoders, words
        self._subjects: _Kept[Subject] = _Kept(_SUBJECTS)
        self._before: _Kept[Before] = _Kept(_SUBJECTS)
        self._views: _Kept[dict[str, Any]] = _Kept(_VIEWS)
        self._drops: _Kept[Subject] = _Kept(_DROPS)

    def subject(self, name: str) -> Subject:
        """The picture at hand that the page calls `name`. Raises LookupError if there is none."""
        if name.startswith("drop-"):
            found = self._drops.get(name)
            if found is None:
                raise LookupError("this image is not known any more: drop it again")
            return found
        place = int(name) if name.isascii() and name.isdigit() and len(name) < 16 else -1
        if not 0 <= place < len(self._collection):
            raise LookupError(f"no picture {name[:40]!r}")
        return self._subjects.made((place, self._encoders.state), lambda: self._item(place))

    def _item(self, place: int) -> Subject:
        if self._encoders.ready:
            picture = self._pictures.read(self._collection.ids[place])
            if picture is not None:
                try:
                    row = self._encoders.images([load_rgb(picture.data)])[0]
                    return Subject(str(place), place, row, "picture")
                except ClipcodecError:  # a damaged picture or weights: what the stream keeps
                    pass
        return Subject(str(place), place, self._collection.embedding(place), "container")

    def add_image(self, data: bytes) -> Subject:
        """Take an image of the user, or a stream; its embedding is kept, the image is not.

        Without an encoder, an image that carries a stream (`clipcodec attach`) is taken by that.
        Raises ImageError, DecodeError or WeightsError that says what is missing.
        """
        row, origin = self._embedded(data)
        self._collection.check_width(row[None], "this image")
        subject = Subject(f"drop-{secrets.token_hex(8)}", None, row, origin)
        self._drops.put(subject.name, subject)
        return subject

    def _embedded(self, data: bytes) -> tuple[Embeddings, str]:
        try:
            image = load_rgb(data)
        except ImageError:
            try:
                return self._collection.container.codec.decode(data), "file"
            except DecodeError:
                pass
            raise
        try:
            return self._encoders.images([image])[0], "picture"
        except ClipcodecError:
            carried = self._carried(data)
            if carried is None:
                raise
            return carried, "file"

    def _carried(self, data: bytes) -> Embeddings | None:
        """The embedding of a stream in an image file, of the container's backbone."""
        codec, own = self._collection.container.codec, self._collection.profile.backbone
        try:
            for stream in extract(data):
                parsed = codec.parse(stream)
                if own in (parsed.profile.backbone, registry.ANY_BACKBONE):
                    return codec.decode(stream)
        except ClipcodecError:
            pass
        return None

    def view(self, name: str, size: int, labels: str) -> dict[str, Any]:
        """What at most `size` bytes keep of the picture at hand `name`, as JSON for the page.

        labels  the name of a set of labels

        Raises LookupError, or OptionError for a size that cannot be.
        """
        if not FEWEST <= size <= MOST:
            raise OptionError(f"{size} bytes: expected {FEWEST} to {MOST}")
        subject = self.subject(name)
        return self._views.made(
            (name, subject.origin, size, labels), lambda: self._made(subject, size, labels)
        )

    def _made(self, subject: Subject, size: int, labels: str) -> dict[str, Any]:
        collection = self._collection
        known = self._words.labels(labels)
        if known is None and labels != DEFAULT:
            raise LookupError("these labels are not known any more: give them again")
        before = self._before.made(
            (subject.name, subject.origin, labels, known is None),
            lambda: Before(
                collection.nearest(subject.row, NEIGHBOURS, but=subject.index),
                None if known is None else probabilities(subject.row, known, collection.profile),
            ),
        )
        stream, row = encoded(collection.codec, subject.row, size)
        hits = collection.nearest(row, NEIGHBOURS, but=subject.index)
        old, new = {hit.index for hit in before.hits}, {hit.index for hit in hits}
        shown: list[dict[str, Any]] = []
        if known is not None and before.chances is not None:
            after = probabilities(row, known, collection.profile)
            shown = [
                {
                    "name": known.names[i],
                    "before": float(before.chances[i]),
                    "after": float(after[i]),
                }
                for i in _worth_showing(before.chances, after)
            ]
        return {
            "subject": subject.name,
            "index": subject.index,
            "id": None if subject.index is None else collection.ids[subject.index],
            "stored": None if subject.index is None else collection.size(subject.index),
            "origin": subject.origin,
            "asked": size,
            "bytes": len(stream),
            "profile": collection.codec.profile.name,
            "cosine": float(subject.row @ row),
            "kept": len(old & new),
            "neighbours": [{**self.hit(hit), "new": hit.index not in old} for hit in hits],
            "left": [self.hit(hit) for hit in before.hits if hit.index not in new],
            "labels": shown,
        }

    def hit(self, hit: Hit) -> dict[str, Any]:
        """A hit as JSON for the page."""
        return {"index": hit.index, "id": self._collection.ids[hit.index], "score": hit.score}


def encoded(codec: Codec, row: Embeddings, size: int) -> tuple[bytes, Embeddings]:
    """An embedding (D,) as a stream of at most `size` bytes, and decoded from it."""
    stream = codec.encode_embedding(row, max_bytes=size)
    return stream, codec.decode(stream)


def _worth_showing(before: NDArray[np.float32], after: NDArray[np.float32]) -> list[int]:
    """The highest labels before, in that order, then those that are among the highest after."""
    first, second = (
        np.argsort(-values, kind="stable")[:_LABELS].tolist() for values in (before, after)
    )
    return list(dict.fromkeys([*first, *second]))


class _Kept(Generic[T]):
    """The values that were used last, by their keys. Thread-safe."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._values: OrderedDict[Hashable, T] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable) -> T | None:
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
            return self._values.get(key)

    def put(self, key: Hashable, value: T) -> None:
        with self._lock:
            self._values[key] = value
            while len(self._values) > self._most:
                self._values.popitem(last=False)

    def made(self, key: Hashable, make: Callable[[], T]) -> T:
        """The value kept for a key, or what `make` gives for it."""
        value = self.get(key)
        if value is None:
            value = make()  # two threads may both make it, and make the same
            self.put(key, value)
        return value
