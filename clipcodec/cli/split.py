"""`clipcodec split`: a container to several, or to a file for each stream."""

from __future__ import annotations

import argparse
import os

from ..container import split, split_streams
from ..errors import OptionError
from .common import STDIO, is_directory
from .containers import opened, require_container
from .results import Results
from .terminal import counted


def run(args: argparse.Namespace) -> int:
    name = args.container
    if args.output == STDIO:
        raise OptionError("-o -: many files are written: name a directory")
    is_directory(args.output, "many files")
    require_container(name)
    with opened(name, profile=None, partial=args.partial) as container:
        options = {"overwrite": args.force, "partial": args.partial}
        if args.streams:
            made, thing = split_streams(container, args.output, **options), "stream"
        else:
            thing = "container"
            made = split(container, args.output, items=args.items, parts=args.parts, **options)
        items = len(container)
    Results(args, 1).done(
        name, os.path.join(args.output, ""), sum(map(os.path.getsize, made)),
        was=counted(items, "item"), made=counted(len(made), thing),
    )  # fmt: skip
    return 0
