"""The order of the pages: nav.yml, with the generated ones filled in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

NAV = Path(__file__).resolve().parent / "nav.yml"


def read(path: Path = NAV) -> list[Any]:
    """The navigation as MkDocs has it: a list of pages and of sections, {title: page or list}."""
    return list(yaml.safe_load(path.read_text("utf-8")))


def filled(order: list[Any], made: dict[str, list[Any]]) -> list[Any]:
    """The same with `made: NAME` replaced by the items of that name."""
    found: list[Any] = []
    for item in order:
        if isinstance(item, dict):
            ((title, value),) = item.items()
            if title == "made":
                found += made[value]
            else:
                found.append({title: filled(value, made) if isinstance(value, list) else value})
        else:
            found.append(item)
    return found


def listed(order: list[Any]) -> list[str]:
    """All pages of a navigation, in its order."""
    found: list[str] = []
    for item in order:
        value = next(iter(item.values())) if isinstance(item, dict) else item
        found += listed(value) if isinstance(value, list) else [value]
    return found


def titles(order: list[Any]) -> dict[str, str]:
    """What a navigation calls its pages, where it does."""
    found: dict[str, str] = {}
    for item in order:
        for title, value in item.items() if isinstance(item, dict) else ():
            found |= titles(value) if isinstance(value, list) else {value: title}
    return found
