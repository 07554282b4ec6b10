"""How many items go into a block."""

from __future__ import annotations

from collections.abc import Sequence

from . import layout

BLOCK_ITEMS = 1024  # that are packed together
BLOCK_BYTES = 1 << 20  # of a block, but for one long item
_SMALL = 256  # items of a small block: reading one item costs a third of that
_DEARER = 1 / 8  # bytes an item that small blocks may take more than a large one


def packed(
    streams: Sequence[bytes], ids: Sequence[str | None], block_items: int | None = None
) -> list[tuple[bytes, int]]:
    """Items as blocks of at most `block_items`, each with its number of items.

    block_items  None: small blocks, or large ones where small ones cost too much
    """
    if block_items is None:
        large, small = (packed(streams, ids, size) for size in (BLOCK_ITEMS, _SMALL))
        more = sum(len(data) for data, _ in small) - sum(len(data) for data, _ in large)
        return small if more <= _DEARER * len(streams) else large
    named = any(id is not None for id in ids)
    found = []
    for at in range(0, len(streams), block_items):
        part = streams[at : at + block_items]
        own = ids[at : at + block_items] if named else None
        found.append((layout.pack_items(part, own), len(part)))
    return found
