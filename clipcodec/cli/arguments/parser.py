"""The parser of the whole command line, and its first pages."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from ... import __version__
from ..terminal import note
from . import (
    captions,
    changing,
    compressing,
    containers,
    converting,
    inside_images,
    measuring,
    profiles,
    training,
    words,
)
from .usage import DOCS, Parser, near

FAMILIES = {
    "Compress and read": (compressing, inside_images),
    "Containers": (containers, changing, converting),
    "Words and pictures": (words, captions),
    "Measure and train": (measuring, training),
    "About": (profiles,),
}
_OTHER_NAMES = {
    "append": "merge or update", "add": "merge or update", "decode": "decompress",
    "encode": "compress", "export": "convert", "find": "search", "grep": "filter",
    "import": "convert", "list": "ids or head", "ls": "ids or head", "query": "search",
    "remove": "delete", "rm": "delete", "select": "filter", "show": "info or head",
    "unique": "dedupe", "vacuum": "compact",
}  # fmt: skip
"""What other programs call our verbs."""
_WIDTH = 17  # of the longest verb, and two spaces


class Command(argparse.ArgumentParser):
    """The command, whose first argument is a verb.

    families  the verbs, by what people do with them: title, then name, then parser
    verbs     the same without the titles
    """

    def __init__(self) -> None:
        super().__init__(
            prog="clipcodec",
            usage="clipcodec VERB ...",
            description="Turn images into a few dozen bytes of meaning, and back into CLIP "
            "embeddings.",
            allow_abbrev=False,
        )
        self.add_argument(
            "-V", "--version", action="version", version=f"clipcodec {__version__}",
            help="show the version and end",
        )  # fmt: skip
        verbs = self.add_subparsers(
            dest="verb", metavar="VERB", prog=self.prog, parser_class=Parser
        )
        self.families: dict[str, dict[str, Parser]] = {}
        self.verbs: dict[str, Parser] = {}
        for title, modules in FAMILIES.items():
            for module in modules:
                module.add(verbs)
            self.families[title] = {
                name: p for name, p in verbs.choices.items() if name not in self.verbs
            }
            self.verbs |= self.families[title]
        self.families = {title: verbs for title, verbs in self.families.items() if verbs}
        self._lines = {action.dest: str(action.help) for action in verbs._choices_actions}

    def format_help(self) -> str:
        """The verbs in groups, a line each."""
        lines = [f"usage: {self.usage}", "", str(self.description)]
        for title, verbs in self.families.items():
            lines += ["", f"{title}:"]
            lines += [f"  {name:<{_WIDTH}}{self._lines[name]}" for name in verbs]
        lines += ["", "Options:", f"  {'-h, --help':<{_WIDTH}}show this and end",
                  f"  {'-V, --version':<{_WIDTH}}show the version and end", "",
                  "clipcodec help VERB shows the options of a verb, with examples.",
                  f"More: {DOCS}/docs/command-line/"]  # fmt: skip
        return "\n".join(lines) + "\n"

    def _start(self) -> str:
        """What a bare `clipcodec` says."""
        lines = [str(self.description), ""]
        width = max(map(len, self.families)) + 2
        for title, verbs in self.families.items():
            lines.append(f"  {title:<{width}}{' '.join(verbs)}")
        lines += ["", "Start with:",
                  "  clipcodec demo                                what is kept, in how many bytes",
                  "  clipcodec compress photo.jpg --max-bytes 50   a photo of yours", "",
                  "clipcodec help lists all verbs; clipcodec help VERB shows one, with examples.",
                  f"More: {DOCS}/"]  # fmt: skip
        return "\n".join(lines)

    def error(self, message: str) -> NoReturn:
        note(f"{self.prog}: {message}")
        note(f"{self.prog} help lists the verbs")
        raise SystemExit(2)

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[Any, list[str]]:
        given = list(sys.argv[1:] if args is None else args)
        if not given:  # the command line is not complete, and stdout is for data
            for line in self._start().splitlines():
                note(line)
            raise SystemExit(2)
        if given[0] not in self.verbs and given[0] not in self._option_string_actions:
            self._unknown(given[0])
        return super().parse_known_args(given, namespace)

    def refuse_verb(self, word: str) -> NoReturn:
        """Say that there is no such verb, and end."""
        other = _OTHER_NAMES.get(word)
        words = f"; did you mean {other}?" if other else near(word, self.verbs)
        if not words and os.path.exists(word):
            words = f"; to compress this file: clipcodec compress {word}"
        self.error(f"{word}: no such verb{words}")

    def _unknown(self, word: str) -> NoReturn:
        if not word.startswith("-"):
            self.refuse_verb(word)
        name = word.partition("=")[0]
        if any(name in p._option_string_actions for p in self.verbs.values()):
            self.error(f"{name}: options come after the verb, as in clipcodec VERB {word}")
        self.error(f"{name}: no such option{near(name, self._option_string_actions)}")


def build_parser() -> Command:
    """The parser with all verbs, in the order of `clipcodec --help`."""
    return Command()
