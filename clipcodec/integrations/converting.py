"""Containers from and to files of other programs: `convert`.

Each form of files is a module of integrations/forms, imported when a file of this form is named.
This one knows containers, and what all forms have in common.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, cast

from ..container.copying import opened, refuse_own
from ..container.layout import SUFFIX, Item
from ..container.profiles import is_container
from ..container.reader import Container
from ..container.streams import profile_name
from ..container.writer import ContainerWriter
from ..errors import DecodeError, InputError, OptionError, placed
from ..system.stores import is_url
from ..target import Target, TargetOptions

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ..container.embedded import Embedded
    from ..profile import Profile
    from ..profile.registry import ProfileLike

PathLike = str | os.PathLike[str]
FORMS = {
    ".parquet": "parquet",
    ".npy": "numpy",
    ".faiss": "faiss",
    ".lance": "lance",
    ".tar": "shards",
}
"""The modules of integrations/forms, by the suffixes of their files."""
_KNOWN = (
    "….clpc, a container; ….parquet, a Parquet table; ….npy, an array; ….faiss, an index of faiss; "
    "….lance or URI#TABLE, a table of LanceDB; ….tar or …-{000000..}.tar, shards of WebDataset"
)


@dataclass(frozen=True)
class Converted:
    """What `convert` has made.

    Attributes:
        items: How many items were written.
        bytes: The size of all files written; 0 for a table on another machine.
        notes: What was not kept as it was, a sentence each.

    Examples:
        >>> done = clipcodec.convert("photos.clpc", "photos.npy")
        >>> done.items, done.notes
        (100, ('ids are not kept: ids=FILE writes them to a text, one per line',))
    """

    items: int
    bytes: int
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        from ..system.shown import counted, shown, sized

        def parts() -> list[object]:
            notes = counted(len(self.notes), "note") if self.notes else None
            return [counted(self.items, "item"), sized(self.bytes), notes]

        return shown("integrations.converting.Converted", parts)


@dataclass(frozen=True)
class How:
    """What `convert` is asked, for a form. `notes` grows while it works."""

    ids: PathLike | None
    column: str | None
    id_column: str | None
    embeddings: bool
    shard_items: int | None
    profile: ProfileLike
    target: Target
    overwrite: bool
    notes: list[str] = field(default_factory=list)

    def refuse(self, words: str, *names: str) -> None:
        """Raise OptionError for options that mean nothing to a form."""
        for name in names:
            if getattr(self, name):
                raise OptionError(f"{name}={getattr(self, name)!r} is not for {words}")

    def refuse_rate(self) -> None:
        """Raise OptionError if a rate is asked of streams that stay as they are."""
        if self.target != Target():
            raise OptionError(
                "streams are copied as they are, so no size or quality can be asked: leave it out"
            )


@dataclass
class Incoming:
    """What a form reads, for a container. profile: that it is to carry."""

    items: Iterator[Item]
    metadata: dict[str, Any] | None = None
    profile: Embedded | Profile | None = None


class Form(Protocol):
    """A module of integrations/forms."""

    WORDS: str  # what messages call its files

    def read(self, name: str, how: How) -> AbstractContextManager[Incoming]:
        """What a file holds. Raises InputError, DecodeError, OptionError or OSError."""

    def write(self, container: Container, name: str, how: How) -> int:
        """Write all items; bytes of what is written. Whole, or not at all."""


def convert(
    source: PathLike | Container,
    target: PathLike,
    *,
    ids: PathLike | None = None,
    column: str | None = None,
    id_column: str | None = None,
    embeddings: bool = False,
    shard_items: int | None = None,
    profile: ProfileLike = None,
    overwrite: bool = False,
    **options: Unpack[TargetOptions],
) -> Converted:
    """Write a container as a file of another program, or such a file as a container.

    What a file is, its suffix says; one of the two is a container, `.clpc`.

    * `.parquet`: a table with a column `stream`, marked as streams are (docs/tables.md), and a
      column `id`. Streams, ids, metadata and a profile that is carried are kept. A column of
      embeddings is encoded.
    * `.npy`: the decoded embeddings (N, D), float32. Ids go to a text beside it, if `ids` names
      one. Rows are encoded.
    * `.faiss`: a faiss IndexFlatIP of the decoded embeddings; ids as for `.npy`. From flat indexes,
      whose vectors are encoded.
    * `.lance`, or `URI#TABLE`: a table of LanceDB, as for Parquet.
    * `.tar`: shards of WebDataset, with `KEY.clip` for each stream, and `KEY.json` where the key is
      not the id; `name-{000000..}.tar` are several. A profile that is carried becomes a file beside
      them.

    Args:
        source: A container, open or as a path; or a file of another form.
        target: The file to write.
        ids: For `.npy` and `.faiss`, which have no room for ids: a text with one per line, read for
            a container, else written.
        column: Of a table: the column of streams. To read, by default the one that is marked, else
            the only one of embeddings; to write, `"stream"`.
        id_column: Of a table: the column of ids; by default `"id"`, which may be missing.
        embeddings: Whether a table is also given a column `embedding`, of the decoded embeddings.
        shard_items: For `.tar`: items of each shard; None: 10,000.
        profile: To encode, as for `clipcodec.encode_embeddings`; to decode, that of private streams
            whose container does not carry it.
        overwrite: Whether `target` may be replaced.
        **options: To encode, the fields of `clipcodec.Target` by name.

    Returns:
        What was written, and what could not be kept.

    Raises:
        OptionError: A suffix is not known, or none of both is a container, or both; or an option
            does not fit.
        InputError: The source is no file of its form, or another number of ids is given.
        DecodeError: A stream is damaged.
        EmbeddingError: A row cannot be encoded; nothing is written. So with RateError.
        OutputExistsError: `target` exists, and may not be replaced.
        MissingDependencyError: A form needs a package that is not installed.
        OSError: A file cannot be read or written; nothing is left of it.

    Examples:
        >>> clipcodec.convert("photos.clpc", "photos.tar").items
        100
        >>> clipcodec.convert("embeddings.npy", "from-numpy.clpc", mean_bytes=50).items
        100
    """
    how = How(
        ids, column, id_column, embeddings, shard_items, profile, Target(**options), overwrite
    )
    if shard_items is not None and shard_items < 1:
        raise OptionError(f"shard_items={shard_items}: at least 1")
    name = os.fspath(target)
    to, form = _form_of(name), None
    if not isinstance(source, Container):
        source = os.fspath(source)
        form = None if is_container(source) else _form_of(source)
    if to is None and form is None:
        raise OptionError(
            "both are containers: filter, cat, merge and split make containers of containers"
        )
    if to is not None and form is not None:
        raise OptionError(
            f"one of both must be a container: convert {source} to ….clpc, and that to {name}"
        )
    if to is None:
        assert form is not None
        assert isinstance(source, str)
        return _to_container(form, source, name, how)
    with opened(source) as container:
        refuse_own(container, name)
        how.refuse_rate()
        own = container.codec
        try:
            if profile is not None:
                container.codec = own.with_profile(profile)
            size = to.write(container, name, how)
        finally:
            container.codec = own  # the caller's stays as it was
        return Converted(len(container), size, tuple(how.notes))


def _to_container(form: Form, source: str, target: str, how: How) -> Converted:
    with form.read(source, how) as incoming:
        writer = ContainerWriter(
            target, "w" if how.overwrite else "x", metadata=incoming.metadata or None,
            profile=incoming.profile,
        )  # fmt: skip
        try:
            with placed(source=source):
                writer.extend(incoming.items)
            writer.close()
        except BaseException:
            writer.discard()
            raise
    return Converted(len(writer), writer.size, tuple(how.notes))


def _form_of(name: str) -> Form | None:
    """The form of a file by its name; None: a container. Raises OptionError."""
    path = name.rstrip("/" + os.sep).lower()
    if path.endswith(SUFFIX):
        return None
    module = FORMS.get(os.path.splitext(path)[1])
    if module is None and "#" in name:
        module = FORMS[".lance"]
    if module is None:
        raise OptionError(f"{name}: its suffix is none of those that are known: {_KNOWN}")
    if is_url(name) and module != FORMS[".lance"]:
        raise OptionError(
            f"{name}: of files in an object store only containers and tables of LanceDB are "
            "converted: name a file on this machine, and copy it"
        )
    return cast(Form, import_module(f"..integrations.forms.{module}", __package__))


# for forms that keep streams


def one_profile(container: Container, how: How) -> Profile | None:
    """The profile of all streams; None if it is not at hand, or they are of several: then noted."""
    names = Counter(map(profile_name, container))
    if len(names) > 1:
        what = ", ".join(f"{name} ({count:,})" for name, count in names.items())
        how.notes.append(f"streams of several profiles, of which the column names none: {what}")
        return None
    for stream in container:
        try:
            return container.codec.parse(stream).profile
        except DecodeError:
            return None
    return None


def note_lost(container: Container, how: How, *, ids: bool, metadata: bool) -> None:
    """Note what a form has no room for, of what the container has."""
    if metadata and container.metadata:
        how.notes.append(f"metadata are not kept: {', '.join(container.metadata)}")
    if ids and any(id is not None for id in container.ids):
        how.notes.append("ids are not kept: ids=FILE writes them to a text, one per line")


def with_ids(items: Iterator[bytes], ids: list[str | None] | None, count: int) -> Iterator[Item]:
    """Streams with the ids of a list. Raises InputError unless there is one for each."""
    if ids is not None and len(ids) != count:
        raise InputError(f"{len(ids):,} ids for {count:,} rows: give one for each, in their order")
    for number, stream in enumerate(items):
        yield Item(stream, None if ids is None else ids[number])
