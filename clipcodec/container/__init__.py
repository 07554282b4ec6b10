"""Many streams in one file, `.clpc` (formats/container-1.md): written, appended to, read anywhere.

layout.py has bytes ↔ blocks and no I/O. To read: survey.py finds the blocks, file_blocks.py reads
them, reader.py has what users see. To write: growing.py has the file, writer.py what users see, and
resuming.py and mending.py what is there of a container that is appended to. embedded.py and
profiles.py are about the profile that a container may carry; deletions.py and marking.py about
items that are deleted. merging.py, splitting.py, filtering.py, deduping.py and compacting.py make
containers of containers.
"""

from .compacting import Compacted, compact
from .deduping import Deduped, dedupe
from .filtering import Filtered, filter_items
from .layout import Item
from .merging import Merged, merge
from .piped import ItemReader, read_items
from .reader import Container, open_container
from .splitting import split, split_streams
from .writer import ContainerWriter, create

__all__ = [
    "Compacted",
    "Container",
    "ContainerWriter",
    "Deduped",
    "Filtered",
    "Item",
    "ItemReader",
    "Merged",
    "compact",
    "create",
    "dedupe",
    "filter_items",
    "merge",
    "open_container",
    "read_items",
    "split",
    "split_streams",
]


def __dir__() -> list[str]:
    """The public names alone."""
    return [*__all__, *(name for name in globals() if name.startswith("__"))]
