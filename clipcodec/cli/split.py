"""`clipcodec split`: a container to several, or to a file for each stream."""

from __future__ import annotations

import argparse
import os

from ..container import split, split_streams
from ..errors import OptionError
from .common import STDIO
from .containers import opened, require_container
from .h2 import ARROW, counted, is_directory, label_of, size_text
from .terminal import note


def run(args: argparse.Namespace) -> int:
    for option, number in (("items", args.items), ("parts", args.parts)):
        if number is not None and number < 1:
            raise OptionError(f"--{option} {number}: at least 1")
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
    if not args.quiet:
        size = size_text(sum(path.stat().st_size for path in made))
        note(f"{label_of(name)}: {counted(items, 'item')} {ARROW} {counted(len(made), thing)}, "
             f"{size}, {os.path.join(args.output, '')}")  # fmt: skip
    return 0
