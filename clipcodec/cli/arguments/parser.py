"""The parser of the whole command line."""

from __future__ import annotations

import argparse
from typing import NoReturn

from ... import __version__
from ..terminal import shown
from . import captions, compressing, containers, inside_images, measuring, profiles, words

FAMILIES = (compressing, containers, inside_images, words, captions, measuring, profiles)


class Parser(argparse.ArgumentParser):
    """Of the command and of each verb."""

    def error(self, message: str) -> NoReturn:
        super().error(shown(message))


def build_parser() -> argparse.ArgumentParser:
    """The parser with all verbs, in the order of `clipcodec --help`."""
    parser: argparse.ArgumentParser = Parser(
        prog="clipcodec",
        description="Turn images into a few dozen bytes of meaning, and back into CLIP embeddings.",
    )
    parser.add_argument("--version", action="version", version=f"clipcodec {__version__}")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for family in FAMILIES:
        family.add(verbs)
    return parser
