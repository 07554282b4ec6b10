"""One page for each verb of the command line, from the same words as its `--help`."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = re.compile(r"https://clipcodec\.github\.io/clipcodec/((?:[\w-]+/)*)([\w.-]+)/")
WIDTH = "84"  # of usage lines, in characters


def parsers() -> dict[str, argparse.ArgumentParser]:
    """The parser of each verb, in the order of the help."""
    sys.path.insert(0, str(ROOT))  # this checkout's, not an installed one
    try:
        from clipcodec.cli.arguments.parser import build_parser
    finally:
        sys.path.remove(str(ROOT))
    return dict(build_parser().verbs)


def pages() -> dict[str, str]:
    """The pages, by their place in the site."""
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = WIDTH  # argparse asks the terminal otherwise
    try:
        return {f"commands/{verb}.md": page(verb, parser) for verb, parser in parsers().items()}
    finally:
        if before is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = before


def titles(places: Iterable[str]) -> list[dict[str, str]]:
    """The pages for the navigation, each called after its verb."""
    return [{Path(place).stem: place} for place in places]


def page(verb: str, parser: argparse.ArgumentParser) -> str:
    """What `clipcodec VERB --help` says, as a page."""
    parts = [f"# clipcodec {verb}", _words(parser.description or "")]
    usage = parser.format_usage().removeprefix("usage: ").strip()
    usage = re.sub(r"\n {7}", "\n", usage)  # the room that "usage: " takes
    parts.append(f"```text\n{usage}\n```")
    named = [group for group in parser._action_groups if group is not parser._optionals]
    for group in [*named, parser._optionals]:
        actions = [one for one in group._group_actions if one.help is not argparse.SUPPRESS]
        actions = [one for one in actions if not isinstance(one, argparse._HelpAction)]
        if not actions:
            continue
        title = {"positional arguments": "Arguments"}.get(group.title or "", group.title or "")
        parts.append(f"## {title[:1].upper()}{title[1:]}")
        if group.description:
            parts.append(_words(group.description))
        parts += [_option(parser, action) for action in actions]
    if parser.epilog:
        parts.append(_epilog(parser.epilog % {"prog": parser.prog}))
    return "\n\n".join(parts) + "\n"


def _option(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    formatter = parser._get_formatter()
    name = formatter._format_action_invocation(action)
    meaning = formatter._expand_help(action) if action.help else ""
    return f"`{name}`\n:   {_words(meaning) or '…'}"


def _epilog(text: str) -> str:
    """What follows the options: words, examples as code, and links to pages of this site."""
    parts = []
    for block in re.split(r"\n\s*\n", text.strip("\n")):
        title, *lines = block.splitlines()
        if title.endswith(":") and lines and all(line.startswith(" ") for line in lines):
            parts.append(f"## {title[:1].upper()}{title[1:-1]}\n\n{_code(lines)}")
        elif all(line.startswith("  ") for line in [title, *lines]):
            parts.append(_code([title, *lines]))
        else:
            words = _words(block)
            parts.append(PAGE.sub(r"[\2](../\1\2.md)", words))
    return "\n\n".join(parts)


def _code(lines: list[str]) -> str:
    """Commands as code. Where they are indented under words, the words become comments."""
    indents = [len(line) - len(line.lstrip()) for line in lines]
    commented = min(indents) < max(indents)
    found: list[str] = []
    for line, indent in zip(lines, indents, strict=True):
        if commented and indent == min(indents):
            found += ["", f"# {line.strip().rstrip(':')}"]
        else:
            found.append(line.strip())
    return "```sh\n" + "\n".join(found).strip("\n") + "\n```"


def _words(text: str) -> str:
    """Plain text for Markdown: stars and underscores as they are, options as code."""
    text = re.sub(r"([*_<|\[\]\\])", r"\\\1", " ".join(text.split()))
    return re.sub(r"(?<![\w`-])(--?[a-zA-Z][\w-]*)(?![\w`])", r"`\1`", text)
