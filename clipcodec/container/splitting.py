"""One container cut into several, or into files of one stream each: `split`, `split_streams`."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterable, Iterator
from itertools import accumulate, repeat
from pathlib import Path

from ..errors import DecodeError, OptionError, OutputExistsError
from ..system.folders import filling
from .copying import Source, opened
from .layout import SUFFIX, Item
from .locking import ReplacedLock
from .names import FileNames
from .reader import Container
from .writer import ContainerWriter


def split(
    source: Source,
    folder: str | os.PathLike[str],
    *,
    items: int | None = None,
    parts: int | None = None,
    name: str | None = None,
    overwrite: bool = False,
    partial: bool = False,
    block_items: int | None = None,
) -> list[Path]:
    """Cut a container into containers `NAME.0000.clpc`, `NAME.0001.clpc`, … in a folder.

    Each has whole items in their order, with their ids, all of the metadata, and the profile that
    the container carries: `merge` of the parts gives the same again. All parts are there in the
    end, or none.

    Args:
        source: A container, open or as a path or a binary file.
        folder: Where the parts go; it is made if it is not there.
        items: How many items each part has; the last may have fewer. Either this or `parts`.
        parts: How many parts there are, whose numbers of items differ by 1 at most.
        name: What the parts are called; without it, as the source's file.
        overwrite: Whether files in `folder` may be replaced.
        partial: Whether to take what is good of a container that is cut or damaged; a block that
            is left out is named in a warning.
        block_items: As in `clipcodec.create`.

    Returns:
        The paths of the parts, in order. An empty container has one part.

    Raises:
        OptionError: Not one of `items` and `parts`, or a number that cannot be.
        DecodeError: The source is no container, or damaged.
        OutputExistsError: A part exists and may not be replaced, or `folder` has parts of this
            name that would stay beside the new ones.
        LockedError: Another process appends to a part that is to be replaced.
        OSError: The source cannot be read, or the folder cannot be written.

    Examples:
        >>> from clipcodec.container import split
        >>> [path.name for path in split("photos.clpc", "parts", items=50)]
        ['photos.0000.clpc', 'photos.0001.clpc']
    """
    if (items is None) == (parts is None):
        raise OptionError("say how to split: give either items or parts")
    for option, number in (("items", items), ("parts", parts)):
        if number is not None and number < 1:
            raise OptionError(f"{option}={number}: at least 1")
    with opened(source, partial=partial) as container:
        sizes = _sizes(len(container), items, parts)
        name = _stem(container.name) if name is None else name
        digits = max(4, len(str(len(sizes) - 1)))
        embedded = container.embedded(_warn if partial else None)
        names = [f"{name}.{i:0{digits}d}{SUFFIX}" for i in range(len(sizes))]
        _refuse_others(Path(folder), name, names, overwrite=overwrite)
        with filling(folder, overwrite=overwrite) as made:
            ends = accumulate(sizes)
            numbered = _good_items(container, partial=partial)
            place, waiting = -1, next(numbered, None)
            for path, end in zip(names, ends, strict=True):
                with ContainerWriter(
                    made / path, metadata=container.metadata or None, profile=embedded,
                    block_items=block_items,
                ) as writer:  # fmt: skip
                    while waiting is not None:
                        place, item = waiting
                        if place >= end:
                            break
                        writer.append(item)
                        waiting = next(numbered, None)
            for path in names:  # nobody appends to those that are replaced now
                ReplacedLock(Path(os.path.realpath(folder)) / path).close()
    return [Path(folder) / path for path in names]


def split_streams(
    source: Source,
    folder: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    partial: bool = False,
) -> list[Path]:
    """Write each stream of a container to a file of its own, `ID.clip`, in a folder.

    Slashes in ids become folders. What a file name cannot hold becomes `_`, and if the name of
    another item is the same then, the item's position is added. All files are there in the end, or
    none.

    Args:
        source: A container, open or as a path or a binary file.
        folder: Where the files go; it is made if it is not there.
        overwrite: Whether files in `folder` may be replaced.
        partial: Whether to take what is good of a container that is cut or damaged; a block that
            is left out is named in a warning.

    Returns:
        The paths of the files, in the order of the items.

    Raises:
        DecodeError: The source is no container, or damaged.
        OutputExistsError: A file exists and may not be replaced.
        OSError: The source cannot be read, or the folder cannot be written.

    Examples:
        >>> from clipcodec.container import split_streams
        >>> split_streams("photos.clpc", "streams")[0].name
        '0.jpg.clip'
    """
    with opened(source, partial=partial) as container:
        return write_streams(_good_items(container, partial=partial), folder, overwrite=overwrite)


def write_streams(
    items: Iterable[tuple[int, Item]], folder: str | os.PathLike[str], *, overwrite: bool = False
) -> list[Path]:
    """The same for items with their positions, which name those without an id."""
    names, found = FileNames(), list[Path]()
    with filling(folder, overwrite=overwrite) as made:
        for place, item in items:
            path = names.name(item.id, place)
            (made / path).parent.mkdir(parents=True, exist_ok=True)
            with open(made / path, "xb") as file:
                file.write(item.stream)
                file.flush()
                os.fsync(file.fileno())
            found.append(Path(folder) / path)
    return found


def _good_items(container: Container, *, partial: bool) -> Iterator[tuple[int, Item]]:
    """Items with their positions; if `partial`, damaged blocks are passed over with a warning."""
    for first, items in container.blocks(_warn if partial else None):
        yield from enumerate(items, first)


def _warn(error: DecodeError) -> None:
    warnings.warn(f"left out: {error}", stacklevel=2)


def _sizes(count: int, items: int | None, parts: int | None) -> list[int]:
    """How many items each part has."""
    if items is not None:
        whole, rest = divmod(count, items)
        return [*repeat(items, whole), *([rest] if rest or not whole else [])]
    assert parts is not None
    if parts > max(count, 1):
        raise OptionError(f"{parts} parts of {count} items: some would be empty")
    each, more = divmod(count, parts)
    return [each + (i < more) for i in range(parts)]


def _stem(name: str) -> str:
    """What the file of a container is called, without its suffix."""
    base = os.path.basename(name)
    short = base[: -len(SUFFIX)] if base.lower().endswith(SUFFIX) else base
    return short or "container"


def _refuse_others(folder: Path, name: str, names: list[str], *, overwrite: bool) -> None:
    """Raise OutputExistsError if parts of an earlier run would be taken for parts of this one."""
    part = re.compile(re.escape(name) + r"\.\d{4,}" + re.escape(SUFFIX))
    there = {path for path in (os.listdir(folder) if folder.is_dir() else ())}
    old = sorted(path for path in there if part.fullmatch(path))
    if overwrite:
        old = [path for path in old if path not in {*names}]
    if old:
        remedy = "remove it" if overwrite else "replace it (-f)"
        raise OutputExistsError(
            f"{folder / old[0]} is a part of another run: {remedy}, or name another directory"
        )
