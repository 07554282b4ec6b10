"""`clipcodec filter`: a container of those items that fit."""

from __future__ import annotations

import argparse

from ..container import filter_items
from ..errors import OptionError
from .chosen import read_chosen, refuse_two_stdin
from .common import refuse_no_folder, refuse_terminal_or_existing
from .containers import binary, opened, require_container
from .formats import CONTAINER, refuse_other_format
from .results import Results
from .terminal import counted, say


def run(args: argparse.Namespace) -> int:
    name = args.container
    if args.ids is None and not (args.match or args.not_match or args.index or args.profile_name):
        raise OptionError(
            "nothing to choose by: give --ids, --match, --not-match, --index or --profile-name"
        )
    refuse_two_stdin(name, args.ids)
    refuse_other_format(args.output, CONTAINER)
    refuse_no_folder(args.output)
    refuse_terminal_or_existing(args.output, force=args.force)
    ids = None if args.ids is None else read_chosen(args.ids)
    require_container(name)
    with opened(name, profile=None, partial=args.partial) as container, binary(args.output) as out:
        items = len(container)
        done = filter_items(
            container, out, ids=ids, where=args.index, match=args.match, not_match=args.not_match,
            profile_name=args.profile_name, overwrite=args.force, partial=args.partial,
        )  # fmt: skip
    for reason in done.damaged:
        say(f"left out: {reason}")
    Results(args, 1).done(
        name, args.output, done.bytes, was=counted(items, "item"), made=counted(done.items, "item")
    )
    return 0
