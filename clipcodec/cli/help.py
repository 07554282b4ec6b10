"""`clipcodec help`: the same texts as `--help`."""

from __future__ import annotations

import argparse

from .arguments.parser import build_parser
from .terminal import tell


def run(args: argparse.Namespace) -> int:
    parser = build_parser()
    if args.name is None:
        text = parser.format_help()
    elif args.name in parser.verbs:
        text = parser.verbs[args.name].format_help()
    else:
        parser.refuse_verb(args.name)
    for line in text.splitlines():
        tell(line)
    return 0
