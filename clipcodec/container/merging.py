"""Several containers and single streams made one container: `merge`."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from ..errors import DecodeError, InputError, LockedError, OptionError, placed
from ..system.remote import located, open_source
from . import layout
from .growing import refuse_itself
from .layout import Item
from .metadata import common
from .reader import Container, codec_for
from .repeats import SAME_ID, Found, Repeats, SameId
from .streams import id_of_stream, profile_name, read_stream
from .writer import ContainerWriter

if TYPE_CHECKING:
    from ..profile.registry import ProfileLike
    from .embedded import Embedded

OnBad = Callable[[DecodeError], object]
Mergeable = str | os.PathLike[str] | BinaryIO | Container
_SHOWN = 3  # ids that are named


@dataclass(frozen=True)
class Merged:
    """What `merge` has made of its sources.

    Attributes:
        items: How many items the new container has.
        bytes: The size of its file; of what was written, for a file object.
        inputs: How many items the sources have, by their names.
        same_ids: How many ids several items of the sources have.
        differ: How many of these have streams that are not all the same.
        examples: A few of these ids.
        left_out: How many items were left out because of that.
        damaged: What could not be read, with `partial=True`.
        metadata: What the new container has.
        carries: The SHA-256, in hex, of the profile that the new container carries; None: none.
        not_common: Keys of the sources' metadata that were left out.
        profiles: How many streams of the sources each profile has made.

    Examples:
        >>> from clipcodec.container import merge
        >>> merged = merge(["photos.clpc", "photos.clpc"], "all.clpc", same_id="first")
        >>> merged.items, merged.left_out
        (100, 100)
    """

    items: int
    bytes: int
    inputs: dict[str, int]
    same_ids: int
    differ: int
    examples: tuple[str, ...]
    left_out: int
    damaged: tuple[str, ...]
    metadata: dict[str, Any]
    carries: str | None
    not_common: tuple[str, ...]
    profiles: dict[str, int]

    def __repr__(self) -> str:
        from ..system.shown import counted, shown, sized

        def parts() -> list[object]:
            found = [(self.left_out, "left out"), (len(self.damaged), "damaged")]
            return [counted(self.items, "item"), sized(self.bytes),
                    f"from {counted(len(self.inputs), 'source')}",
                    *(f"{count:,} {what}" for count, what in found if count)]  # fmt: skip

        return shown("container.Merged", parts)


def merge(
    sources: Iterable[Mergeable],
    out: str | os.PathLike[str] | BinaryIO,
    *,
    same_id: SameId = "keep",
    metadata: dict[str, Any] | None = None,
    overwrite: bool = False,
    partial: bool = False,
    profile: ProfileLike = None,
    block_items: int | None = None,
) -> Merged:
    """Write one container of the items of several sources, in order, their streams byte for byte.

    Items keep their ids; the stream of a file gets its path as its id, without `.clip`. Metadata
    are kept where no two sources contradict each other; the keys that begin with `clipcodec`,
    which say how all items were made, only if all sources have the same. A profile that sources
    carry goes with their streams; two different ones are refused. Each source is read
    twice, a block at a time: what is wrong with one is known before anything is written.

    Args:
        sources: Containers, open or as paths or binary files; or files of one stream each.
        out: The path of the new container, or a binary file.
        same_id: What becomes of items with the same id: `"keep"` all (by its id, the last is
            found), only the `"first"`, only the `"last"`, or `"refuse"` to merge.
        metadata: A JSON object for the new container, instead of the sources' own.
        overwrite: Whether a file at `out` may be replaced.
        partial: Whether to take what is good of containers that are cut or damaged.
        profile: The profile of private streams in files of their own, or its file: so that they
            can be checked.
        block_items: As in `clipcodec.create`.

    Returns:
        What was found and done.

    Raises:
        OptionError: There are no sources, or `out` is one of them.
        InputError: Ids are the same, and that is refused; or the path of a stream cannot be an id;
            or two sources carry different profiles.
        DecodeError: A source is no container and no stream, or damaged. Nothing is written.
        OutputExistsError: `out` exists, and may not be replaced.
        LockedError: Another process writes `out`, or wrote a source meanwhile.
        OSError: A source cannot be read, or `out` cannot be written; nothing is left of it.

    Examples:
        >>> from clipcodec.container import merge
        >>> with clipcodec.create("more.clpc") as writer:
        ...     writer.append(clipcodec.encode("cat.jpg"), id="cat.jpg")
        >>> merge(["photos.clpc", "more.clpc"], "all.clpc").items
        101
    """
    sources = [sources] if isinstance(sources, (str, os.PathLike, Container)) else [*sources]
    if not sources:
        raise OptionError("nothing to merge: give at least one container or stream")
    if same_id not in SAME_ID:
        raise OptionError(f"same_id={same_id!r}: expected {', '.join(map(repr, SAME_ID))}")
    refuse_itself(sources, out)
    reading = _Reading(sources, profile, partial=partial)
    found = reading.survey()
    if found.ids and same_id == "refuse":
        what = same_ids(found.ids, found.differ, reading.ids_of(found))
        raise InputError(f"{what}: refused, nothing is written")
    kept, not_common = (metadata, ()) if metadata is not None else common(reading.metadata)
    left_out, examples = found.left_out(same_id), reading.ids_of(found)
    writer = ContainerWriter(
        out, "w" if overwrite else "x", metadata=kept or None, profile=reading.embedded,
        block_items=block_items,
    )  # fmt: skip
    try:
        dropped = iter(left_out.tolist())
        next_dropped = next(dropped, None)
        for place, item in reading.items():
            if place == next_dropped:
                next_dropped = next(dropped, None)
            else:
                writer.append(item)
        items = len(writer)
        writer.close()
    except BaseException:
        writer.discard()
        raise
    return Merged(
        items=items, bytes=writer.size, inputs=dict(reading.counts), same_ids=found.ids,
        differ=found.differ, examples=examples, left_out=len(left_out),
        damaged=tuple(reading.damaged), metadata=kept or {},
        carries=None if reading.embedded is None else reading.embedded.digest.hex(),
        not_common=not_common,
        profiles=dict(reading.profiles),
    )  # fmt: skip


def same_ids(ids: int, differ: int, examples: Iterable[str]) -> str:
    """In words: how many ids several items have."""
    named = ", ".join(map(repr, examples))
    if ids == 1:
        streams = "different" if differ else "equal"
        return f"the id {named} is used more than once, for {streams} streams"
    streams = f"{differ:,} of them for different" if differ else "for equal"
    more = ", …" if ids > _SHOWN else ""
    return f"{ids:,} ids are used more than once, {streams} streams: {named}{more}"


class _Reading:
    """The sources, read from the first to the last, twice.

    counts    items of each source, by its name
    metadata  of each source, after `survey`; None: a stream, which has none
    embedded  the profile that some of them carry
    damaged   what was passed over, in words
    profiles  streams of each profile
    """

    def __init__(self, sources: list[Mergeable], profile: ProfileLike, *, partial: bool) -> None:
        self._sources, self._profile, self._partial = sources, profile, partial
        self._codec = codec_for(profile)
        self._lengths: list[int] = []  # items of each source
        self.counts: Counter[str] = Counter()
        self.metadata: list[dict[str, Any] | None] = []
        self.embedded: Embedded | None = None
        self._carrier = ""  # the source that it is from
        self.damaged: list[str] = []
        self.profiles: Counter[str] = Counter()

    def survey(self) -> Found:
        """Read everything once. Raises what is wrong with a source, naming it."""
        repeats, place = Repeats(), 0
        for source in self._sources:
            begin = place
            with self._opened(source) as (name, container):
                if container is None:
                    self.metadata.append(None)
                else:
                    self.metadata.append(container.metadata)
                    if not container.complete:
                        why = container.survey.why
                        self.damaged.append(f"{name}: {'' if why is None else why.reason}")
                    self._take_profile(name, container)
                for item in self._read(source, name, container, self._note):
                    with placed(source=f"{name}, item {place - begin}"):
                        self.profiles[profile_name(item.stream)] += 1
                    repeats.add(place, item)
                    place += 1
            self.counts[name] += place - begin
            self._lengths.append(place - begin)
        return repeats.found()

    def _take_profile(self, name: str, container: Container) -> None:
        found = container.embedded(self._note if self._partial else None)
        if found is None or found == self.embedded:
            return
        if self.embedded is not None:
            raise InputError(
                f"{self._carrier} and {name} carry different profiles, of SHA-256 "
                f"{self.embedded.digest.hex()[:8]}… and {found.digest.hex()[:8]}…, and a container "
                "has room for one: merge those of each profile apart, or decompress one of them "
                "and compress its embeddings with the profile of the other"
            )
        self.embedded, self._carrier = found, name

    def items(self) -> Iterator[tuple[int, Item]]:
        """Every item with its position among all."""
        place = 0
        for source, length in zip(self._sources, self._lengths, strict=True):
            end = place + length
            with self._opened(source) as (name, container):
                for item in self._read(source, name, container, None):
                    if place < end:
                        yield place, item
                    place += 1
            if place != end:
                raise LockedError(f"{name} was written by another process meanwhile: try again")

    def ids_of(self, found: Found) -> tuple[str, ...]:
        """A few of the ids that several items have."""
        wanted = {*np.sort(found.again)[:_SHOWN].tolist()}
        names: dict[str, None] = {}
        if wanted:
            last = max(wanted)
            for place, item in self.items():
                if place in wanted and item.id is not None:
                    names[item.id] = None
                if place == last:
                    break
        return tuple(names)

    def _note(self, error: DecodeError) -> None:
        self.damaged.append(str(error))

    @contextmanager
    def _opened(self, source: Mergeable) -> Iterator[tuple[str, Container | None]]:
        """The name of a source, and the container if it is one."""
        if isinstance(source, Container):
            yield source.name, source
            return
        if isinstance(source, (str, os.PathLike)):
            name = os.fspath(source)
            with open_source(located(source), 0) as file:
                begins = file.read(len(layout.MAGIC))
        else:
            name = str(getattr(source, "name", "container"))
            source.seek(0)
            begins = source.read(len(layout.MAGIC))
        if begins != layout.MAGIC:
            yield name, None
            return
        with Container(source, profile=self._profile, partial=self._partial) as container:
            yield name, container

    def _read(
        self, source: Mergeable, name: str, container: Container | None, on_bad: OnBad | None
    ) -> Iterator[Item]:
        """The items of one source. on_bad: of damaged blocks; None: it was all read before."""
        if container is not None:
            ignore = on_bad or (lambda error: None)
            for _, items in container.blocks(ignore if self._partial else None):
                yield from items
            return
        assert not isinstance(source, Container)
        stream = read_stream(source, self._codec if on_bad else None)
        with placed(source=name):
            named = isinstance(source, (str, os.PathLike))
            yield Item(stream, id_of_stream(name) if named else None)
