"""The metadata of several containers, as those of one."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

RESERVED = "clipcodec"  # this key, and those that begin with it and a dot, are the package's own


def named_keys(keys: Iterable[str]) -> str:
    """Keys for a message, in which the package's own, which no user has written, is explained."""
    return ", ".join(f"{key} (how the items were made)" if key == RESERVED else key for key in keys)


def common(found: Sequence[dict[str, Any] | None]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """What the metadata of all sources say together, and the keys that are left out.

    found  of each source; None: a single stream, which has none

    A key is kept if all sources that have it say the same. The package's own say how all items
    were made, so they are kept only if every source has them.
    """
    kept: dict[str, Any] = {}
    left_out: list[str] = []
    keys = dict.fromkeys(key for one in found for key in one or {})
    for key in keys:
        values = [one[key] for one in found if one is not None and key in one]
        everywhere = len(values) == len(found)
        same = len({json.dumps(value, sort_keys=True) for value in values}) == 1
        if same and (everywhere or not _reserved(key)):
            kept[key] = values[0]
        else:
            left_out.append(key)
    return kept, tuple(left_out)


def _reserved(key: str) -> bool:
    return key == RESERVED or key.startswith(RESERVED + ".")
