"""Items of a container that a command line names: by id, by position, by patterns, by a list."""

from __future__ import annotations

from ..container import Container
from ..container.choosing import did_you_mean, each_id, positions
from ..container.id_lists import parse_ids
from ..container.keys import no_id, no_place
from ..errors import InputError, OptionError, placed
from .common import STDIO, report
from .inputs import label_of, open_input


def read_ids(name: str) -> list[str | None]:
    """The ids in a text, one per line; None for an empty line. "-": of stdin.

    Raises InputError naming it if it is not text, or OSError.
    """
    with open_input(name) as file, placed(source=label_of(name)):
        return parse_ids(file.read())


def read_chosen(name: str) -> list[str]:
    """The same, of items to choose: empty lines are passed over."""
    found = [id for id in read_ids(name) if id is not None]
    if not found:
        raise InputError(f"{label_of(name)} names no ids: expected one per line")
    return found


def refuse_two_stdin(*names: str | None) -> None:
    """Raise OptionError if two inputs are stdin."""
    if names.count(STDIO) > 1:
        raise OptionError("stdin can be only one input")


def places(container: Container, name: str, ids: list[str], indices: list[int]) -> list[int] | None:
    """Positions of items by id, then by position; None if there is none for some: stderr says."""
    found = positions(container, ids) if ids else {}
    faults: list[Exception] = [
        no_id([id], remedy=_remedy(container, id)) for id in dict.fromkeys(ids) if id not in found
    ]
    chosen = [found[id] for id in ids if id in found]
    for index in indices:
        try:
            chosen.append(range(len(container))[index])
        except IndexError:
            faults.append(no_place(index, len(container)))
    for fault in faults[:_MOST]:
        report(name, fault)
    if len(faults) > _MOST:
        report(name, InputError(f"{len(faults) - _MOST:,} more items are not there"))
    return None if faults else chosen


_MOST = 10  # faults that are named


def _remedy(container: Container, id: str) -> str:
    if id.isascii() and id.isdigit() and int(id) < len(container):
        return f": for the item at this position give --index {id}"
    if any(letter in id for letter in "*?["):
        return ": a pattern needs --match, which `delete` and `filter` have"
    return did_you_mean(each_id(container), id) or ": `clipcodec ids` lists them"
