"""Any inputs of a verb → their embeddings, in blocks: streams, containers, embeddings and images.

For verbs that do something with every embedding. Memory is bounded: no more than a block of a
container or of a file of embeddings is held at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..container import Container
from ..embeddings import Embeddings, as_rows, forget_pages, normalise
from ..errors import (
    ClipcodecError,
    DecodeError,
    EmbeddingError,
    ImageError,
    InputError,
    MissingDependencyError,
    OptionError,
    UnknownProfileError,
    WeightsError,
    each_row,
)
from .common import STDIO, read_stream, report
from .containers import opened
from .formats import ARRAY, CONTAINER, EMBEDDINGS, PICTURES, STREAM, Format, known, refuse_foreign
from .inputs import embedding_rows, label_of, path_or_bytes
from .terminal import say

if TYPE_CHECKING:
    from ..codec import Codec
    from ..stream import ParsedStream

ROWS = 1024  # embeddings in a block, at most
_IMAGES = 64  # embedded at a time
_TAKEN = "an image, embeddings, a stream or a container"


class Place(NamedTuple):
    """Where an embedding comes from.

    file  the input, as it was given
    item  its number in a container or in a file of embeddings; None: it is the whole input
    id    of the item of a container, if it has one
    """

    file: str
    item: int | None = None
    id: str | None = None

    @property
    def name(self) -> str:
        """The id; else the input, followed by the number of the item."""
        if self.id is not None:
            return self.id
        label = label_of(self.file)
        return label if self.item is None else f"{label}/{self.item}"


class Block(NamedTuple):
    """Embeddings of one model.

    places      where each row comes from
    embeddings  (n, D) float32, unit norm, n > 0
    backbone    of the profile that the streams were made with, or what embedded the images, which
                may be "any"; None for a file of embeddings, which does not say it
    """

    places: list[Place]
    embeddings: Embeddings
    backbone: str | None

    @property
    def names(self) -> list[str]:
        """What each row is called in the output."""
        return [place.name for place in self.places]


class Embedded:
    """The embeddings of all inputs, in order: iterate over it once.

    inputs   files, or "-" for stdin
    codec    decodes streams, and embeds images by its backbone
    profile  the profile file of private streams in containers, as given on the command line
    partial  read also containers that are not complete
    rows     embeddings in a block, at most

    An input or an item that fails is named on stderr, and the others go on; `failed` counts them.
    What every other input would lack, too (a backbone, a package), is raised.

    >>> embedded = Embedded(args.inputs, codec_of(args), profile=args.profile)
    >>> for block in embedded:
    ...     work(block.names, block.embeddings)
    >>> return 1 if embedded.failed else 0
    """

    def __init__(
        self,
        inputs: Sequence[str],
        codec: Codec,
        *,
        profile: str | None = None,
        partial: bool = False,
        rows: int = ROWS,
    ) -> None:
        if list(inputs).count(STDIO) > 1:
            raise OptionError("stdin (-) can be read only once: give it once")
        self._inputs, self._codec, self._profile = list(inputs), codec, profile
        self._partial, self._rows = partial, rows
        self.failed = 0
        self.expected = len(self._inputs)
        """How many embeddings there are, as far as it is known: an input not yet opened is one."""

    def __iter__(self) -> Iterator[Block]:
        held: list[Block] = []  # small blocks that can become one
        for block in self._blocks():
            if held and not _fit(held[0], block, sum(len(b.places) for b in held), self._rows):
                yield _joined(held)
                held = []
            held.append(block)
        if held:
            yield _joined(held)

    def _blocks(self) -> Iterator[Block]:
        images: list[tuple[str, str | bytes]] = []  # that wait, to be embedded together
        for name in self._inputs:
            try:
                what, source = self._look(name)
            except (ClipcodecError, OSError) as error:
                self._fail(name, error)
                continue
            if what is None and source is not None:
                images.append((name, source))
            if what is not None or len(images) >= min(_IMAGES, self._rows):
                yield from self._embedded(images)
                images = []
            if what is not None:
                yield from self._tried(name, self._opened(name, what, source))
        yield from self._embedded(images)

    def _look(self, name: str) -> tuple[Format | None, Any]:
        """What an input is, None for an image; its rows or the image. Raises InputError."""
        what = known(name, self._codec)
        if what in (STREAM, CONTAINER):
            return what, None
        refuse_foreign(name, _TAKEN, *EMBEDDINGS, *PICTURES, error=InputError)
        source = path_or_bytes(name)
        rows = embedding_rows(source, name)
        return (None, source) if rows is None else (ARRAY, rows)

    def _opened(self, name: str, what: Format, rows: Any) -> Iterator[Block]:
        if what == STREAM:
            yield self._stream(name)
        elif what == CONTAINER:
            yield from self._container(name)
        else:
            yield from self._array(name, rows)

    def _tried(self, name: str, blocks: Iterator[Block]) -> Iterator[Block]:
        """The blocks of one input. An error ends them, and is named."""
        try:
            yield from blocks
        except (WeightsError, MissingDependencyError, OptionError):
            raise  # others would fail alike
        except (ClipcodecError, OSError) as error:
            self._fail(name, error)

    def _fail(self, name: str, error: Exception) -> None:
        report(name, error)
        self.failed += 1

    def _stream(self, name: str) -> Block:
        parsed = self._codec.parse(read_stream(name, self._codec))
        embeddings = self._codec.decode_parsed([parsed])
        return Block([Place(name)], embeddings, parsed.profile.backbone)

    def _embedded(self, images: list[tuple[str, str | bytes]]) -> Iterator[Block]:
        if not images:
            return

        def work(rows: list[int]) -> Embeddings:
            return self._codec.embed_images([images[i][1] for i in rows])

        found = each_row(work, len(images), ImageError)
        places = [Place(name) for name, _ in images]
        for place, fault in zip(places, found, strict=True):
            if isinstance(fault, ClipcodecError):
                self._fail(place.file, type(fault)(fault.reason))
        yield from _block(places, found, self._codec.backbone_name)

    def _array(self, name: str, source: NDArray[Any]) -> Iterator[Block]:
        rows = as_rows(source)
        numbered = len(rows) > 1
        self.expected += len(rows) - 1
        for at in range(0, len(rows), self._rows):
            part = rows[at : at + self._rows]
            found = _normalised(part)
            places = [Place(name, at + i if numbered else None) for i in range(len(part))]
            self._say_faults(places, found)
            yield from _block(places, found, None)
            forget_pages(source)

    def _container(self, name: str) -> Iterator[Block]:
        with opened(name, profile=self._profile, partial=self._partial) as container:
            self.expected += len(container) - 1
            yield from self._items(name, container)

    def _items(self, name: str, container: Container) -> Iterator[Block]:
        """The items of a container, which must be of one model."""
        items, first = container.items(), 0
        model: tuple[int, str] | None = None
        while part := list(islice(items, self._rows)):
            places = [Place(name, first + i, item.id) for i, item in enumerate(part)]
            found, models = _decoded(container.codec, [item.stream for item in part])
            self._say_faults(places, found)
            model = model or next((one for one in models if one is not None), None)
            for i, one in enumerate(models):
                if one is not None and model is not None and one != model:
                    yield from _block(places[:i], found[:i], model[1])
                    raise InputError(_mixed(first + i, one, model))
            if model is not None:
                yield from _block(places, found, model[1])
            first += len(part)

    def _say_faults(self, places: list[Place], found: Sequence[object]) -> None:
        for place, fault in zip(places, found, strict=True):
            if isinstance(fault, ClipcodecError):
                id = "" if place.id is None else f" ({place.id})"
                say(f"{label_of(place.file)}, item {place.item or 0}{id}: {fault.reason}")
                self.failed += 1


def _decoded(
    codec: Codec, streams: list[bytes]
) -> tuple[list[Embeddings | ClipcodecError], list[tuple[int, str] | None]]:
    """Each stream's embedding or its error; its width and backbone, None where it has an error."""
    parsed = each_row(lambda rows: codec.parse_batch([streams[i] for i in rows]), len(streams),
                      DecodeError)  # fmt: skip
    if all(isinstance(one, UnknownProfileError) for one in parsed):
        raise next(one for one in parsed if isinstance(one, UnknownProfileError))  # said once
    found: list[Embeddings | ClipcodecError] = []
    models: list[tuple[int, str] | None] = [None] * len(streams)
    groups: dict[tuple[int, str], list[int]] = {}
    for i, one in enumerate(parsed):
        if isinstance(one, ClipcodecError):
            found.append(one)
            continue
        found.append(np.empty(0, np.float32))  # decoded below
        groups.setdefault((one.dim, one.profile.backbone), []).append(i)
    for model, members in groups.items():
        chosen = [one for i in members if not isinstance(one := parsed[i], ClipcodecError)]
        rows = _decoded_alike(codec, chosen)
        for i, row in zip(members, rows, strict=True):
            found[i] = row
            models[i] = None if isinstance(row, ClipcodecError) else model
    return found, models


def _decoded_alike(codec: Codec, parsed: list[ParsedStream]) -> list[Any]:
    def work(rows: list[int]) -> Embeddings:
        return codec.decode_parsed([parsed[i] for i in rows])

    return each_row(work, len(parsed), DecodeError)


def _normalised(rows: NDArray[Any]) -> list[Any]:
    """Each row at unit norm, or its error."""
    return each_row(lambda chosen: normalise(rows[chosen]), len(rows), EmbeddingError)


def _mixed(item: int, odd: tuple[int, str], usual: tuple[int, str]) -> str:
    return (
        f"item {item} is an embedding of {odd[1]!r} ({odd[0]} dimensions), those before it are of "
        f"{usual[1]!r} ({usual[0]} dimensions), and only these were used: make a container for "
        "each model, and give each by itself"
    )


def _block(places: list[Place], found: Sequence[object], backbone: str | None) -> Iterator[Block]:
    """A block of the rows that have no error, if there is one."""
    good = [(p, row) for p, row in zip(places, found, strict=True) if isinstance(row, np.ndarray)]
    if good:
        yield Block([place for place, _ in good], np.stack([row for _, row in good]), backbone)


def _fit(one: Block, other: Block, held: int, most: int) -> bool:
    return (
        one.backbone == other.backbone
        and one.embeddings.shape[1] == other.embeddings.shape[1]
        and held + len(other.places) <= most
    )


def _joined(blocks: list[Block]) -> Block:
    if len(blocks) == 1:
        return blocks[0]
    places = [place for block in blocks for place in block.places]
    return Block(places, np.concatenate([b.embeddings for b in blocks]), blocks[0].backbone)
