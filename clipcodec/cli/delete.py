"""`clipcodec delete`: items of a container, by id, list, pattern or position."""

from __future__ import annotations

import argparse

import numpy as np
from numpy.typing import NDArray

from ..container import Container, ContainerWriter
from ..container.filtering import Criteria, choose
from ..errors import OptionError
from .chosen import places, read_chosen
from .containers import in_place, opened, require_container
from .results import Results
from .terminal import counted, say, tell


def run(args: argparse.Namespace) -> int:
    name = args.container
    if not (args.ids or args.id_list or args.match or args.index):
        raise OptionError("no items: name them by id, --ids FILE, --match PATTERN or --index N")
    in_place(name)
    ids = [*args.ids, *([] if args.id_list is None else read_chosen(args.id_list))]
    require_container(name)
    with opened(name, profile=None) as container:
        chosen = _chosen(container, name, ids, args)
        if chosen is None:
            return 1
        if args.dry_run:
            for place in chosen.tolist():
                tell(container.item(place).id or f"item {place}")
            say(f"{name}: {counted(len(chosen), 'item')} of {len(container):,} would be deleted")
            return 0
        writer = ContainerWriter(name, "a", survey=container.survey)
        try:
            count = writer.delete(chosen.tolist())
            writer.close()
        finally:
            writer.discard()
    Results(args, 1).done(
        name, name, writer.size, words=f"{counted(count, 'item')} deleted, {len(writer):,} left",
        more="`clipcodec compact` takes them out of the file",
    )  # fmt: skip
    return 0


def _chosen(
    container: Container, name: str, ids: list[str], args: argparse.Namespace
) -> NDArray[np.int64] | None:
    """Positions of all items that are named; None if some are not there, which stderr says."""
    if places(container, name, ids, args.index) is None:
        return None
    chosen = np.zeros(len(container), bool)
    chosen[args.index] = True
    if ids:
        chosen |= choose(container, ids=ids)[0]
    if args.match:
        chosen |= choose(container, how=Criteria(args.match, (), None))[0]
    return np.flatnonzero(chosen)
