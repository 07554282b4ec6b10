"""What `repr` says of an object: one line, without its data, and never an error."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

_MOST = 3  # values that are named; the others are counted
_LONGEST = 40  # characters of one value


def shown(name: str, parts: Callable[[], Iterable[object]]) -> str:
    """`<clipcodec.NAME: PART, PART>`; a first part in quotes stands before the colon.

    parts  gives them; those that are None or empty are left out. If it raises, as for an object
           that a debugger shows before it is made, the name is all that is said.
    """
    whole = f"clipcodec.{name}"
    try:
        words = [str(part) for part in parts() if part not in (None, "")]
    except Exception:  # of whatever type: to show an object must not fail
        words = []
    if words and words[0][:1] in "'\"":
        whole, words = f"{whole} {words[0]}", words[1:]
    return f"<{whole}: {', '.join(words)}>" if words else f"<{whole}>"


def counted(count: int, one: str, many: str | None = None) -> str:
    """`1 item`, `1,204 items`."""
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"


def sized(count: int) -> str:
    """A number of bytes: `812 bytes`, `61.2 kB`, `1.4 GB`; of 1000 each."""
    if count < 1000:
        return counted(count, "byte")
    size = float(count)
    units = ["kB", "MB", "GB", "TB"]
    size /= 1000
    while size >= 999.95 and len(units) > 1:
        size /= 1000
        units.pop(0)
    return f"{size:,.1f} {units[0]}"


def named(values: Iterable[Any]) -> str:
    """The first values, and how many more there are: `'cat', 'dog', 'horse' and 7 more`."""
    found = list(values)
    text = ", ".join(brief(value) for value in found[:_MOST])
    return f"{text} and {len(found) - _MOST} more" if len(found) > _MOST else text


def brief(value: object) -> str:
    """A value in quotes if it is text; the end of a long one is left out."""
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…{text[0]}"


def filed(name: str) -> str:
    """The name of a file in quotes; the beginning of a long one is left out."""
    return repr(name if len(name) <= _LONGEST else f"…{name[-_LONGEST:]}")


def array(value: Any) -> str:
    """Shape and type of an array: `(4, 512) float32`."""
    return f"{tuple(value.shape)} {value.dtype}"


def fields(value: object, names: Iterable[str]) -> str:
    """`a=1, b='x'`, of the attributes that are not None."""
    pairs = ((name, getattr(value, name)) for name in names)
    return ", ".join(f"{name}={found!r}" for name, found in pairs if found is not None)
