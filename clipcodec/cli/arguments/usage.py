"""A parser that explains itself: help in groups, and two lines for a command line that is wrong."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

from ..terminal import note

DOCS = "https://clipcodec.github.io/clipcodec"

INPUT_OUTPUT = "Input and output"
TEXT = "Words"
REGIONS = "Regions"
PAGE = "Page"
ITEMS = "Items"
RATE = "Rate"
MODEL = "Model"
TRAINING = "Training"
MEASURED = "What is measured"
TABLES = "Tables (.parquet)"
MANY = "Many images (with -o OUT.clpc)"
FORM = "Output form"
OTHER = "Other"
GROUPS = (
    INPUT_OUTPUT, ITEMS, TEXT, REGIONS, PAGE, MEASURED, RATE, MODEL, TRAINING, TABLES, MANY, FORM,
    OTHER,
)  # fmt: skip
"""The groups of options, in the order of every `--help`; those without options are left out."""

_NEGATIVE = re.compile(r"-(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
_REQUIRED = "the following arguments are required: "  # argparse's, in every version
_ONE_OF = re.compile("one of the arguments (.*) is required")
_CONTRADICTS = "not allowed with argument "


class Parser(argparse.ArgumentParser):
    """The arguments of one verb.

    examples  what each is for, and the command
    page      of the documentation, below `DOCS`/docs/
    """

    def __init__(
        self, *, examples: Sequence[tuple[str, str]] = (), page: str = "", **options: Any
    ) -> None:
        self.examples = tuple(examples)
        self.page = page
        self._groups: dict[str, argparse._ArgumentGroup] = {}
        super().__init__(
            add_help=False, allow_abbrev=False, exit_on_error=False,
            formatter_class=_Formatter, epilog=self._epilog(), **options,
        )  # fmt: skip
        self._groups = {title: self.add_argument_group(title) for title in GROUPS}
        self.group(OTHER).add_argument(
            "-h", "--help", action="help", help="show this and end"
        )  # fmt: skip

    def group(self, title: str) -> argparse._ArgumentGroup:
        """One of `GROUPS`, to add arguments to."""
        return self._groups[title]

    def add_argument(self, *args: Any, **kwargs: Any) -> argparse.Action:
        """An argument of the group "Input and output"."""
        return self.group(INPUT_OUTPUT).add_argument(*args, **kwargs)

    @property
    def url(self) -> str:
        """The page of the documentation about this verb."""
        return f"{DOCS}/docs/{self.page}/" if self.page else f"{DOCS}/"

    # --- help ---

    def format_help(self) -> str:
        self.usage = self._usage().replace("%", "%%")
        return super().format_help()

    def format_usage(self) -> str:
        self.usage = self._usage().replace("%", "%%")
        return super().format_usage()

    def _usage(self) -> str:
        """What must be given, in full; options in a word."""
        words = [self.prog]
        for action in self._get_positional_actions():
            words.append(_with_nargs(action))
        needed = [action for action in self._get_optional_actions() if action.required]
        words += [f"{action.option_strings[0]} {_with_nargs(action)}" for action in needed]
        return " ".join([*words, "[options]"])

    def _epilog(self) -> str:
        lines = ["Examples:"] if self.examples else []
        for words, command in self.examples:
            lines += [f"  # {words}", f"  {command}"]
        return "\n".join([*lines, "", f"More: {self.url}"]).lstrip("\n")

    # --- command lines that are wrong ---

    def error(self, message: str) -> NoReturn:
        if message.startswith(_REQUIRED):
            names = message[len(_REQUIRED) :].split(", ")
            message = f"{' and '.join(names)} {'are' if names[1:] else 'is'} missing"
        elif match := _ONE_OF.fullmatch(message):
            message = f"one of {', '.join(match[1].split())} is missing"
        note(f"{self.prog}: {message}")
        note(f"{self.prog} --help shows its options and examples")
        raise SystemExit(2)

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[Any, list[str]]:
        """All arguments, in any order; those that are not known are an error of this verb."""
        given = list(sys.argv[1:] if args is None else args)
        try:
            found, left = super().parse_known_args(self._arranged(given), namespace)
        except argparse.ArgumentError as error:
            self.error(_in_words(error))
        if left:
            self.error(f"{left[0]}: one argument too many")
        return found, []

    def _arranged(self, given: list[str]) -> list[str]:
        """Options first: argparse takes no inputs both before and after an option.

        An option that there is not is an error here, before what is missing is looked for.
        """
        options: list[str] = []
        inputs: list[str] = []
        room = 0  # values that the option before may still take
        for i, word in enumerate(given):
            if word == "--":
                inputs += given[i + 1 :]
                break
            if not self._is_option(word):
                (options if room else inputs).append(word)
                room -= room > 0
                continue
            options.append(word)
            before = given[i - 1] if i and room else None
            action, has_value = self._action(word, before)
            manifold = action.nargs in (argparse.ONE_OR_MORE, argparse.ZERO_OR_MORE)
            room = len(given) if manifold else action.nargs is None
            room *= not has_value
        return [*options, "--", *inputs] if inputs else options

    def _is_option(self, word: str) -> bool:
        if not word.startswith("-") or word == "-" or _NEGATIVE.fullmatch(word):
            return False
        return " " not in word or self._has(word.partition("=")[0])

    def _has(self, option: str) -> bool:
        return option in self._option_string_actions

    def _action(self, word: str, before: str | None) -> tuple[argparse.Action, bool]:
        """What an option does, and whether its value is in the same word."""
        table = self._option_string_actions
        name, equals, _ = word.partition("=")
        if name in table:
            return table[name], bool(equals)
        if word.startswith("--") or f"-{name}" in table:
            self._no_option(word, before)
        for end, letter in enumerate(word[1:], 2):  # -qf, -k5
            action = table.get(f"-{letter}")
            if action is None:
                self._no_option(word, before)
            if action.nargs != 0 or end == len(word):
                return action, end < len(word)
        raise AssertionError(word)

    def _no_option(self, word: str, before: str | None) -> NoReturn:
        name = word.partition("=")[0]
        if os.path.lexists(word):
            self.error(f"{word}: no such option; for the file of that name write ./{word}")
        words = near(name, [option for option in self._option_string_actions if len(option) > 2])
        if not words and before is not None and self._has(before):
            words = f"; to give it as a value write {before}={word}"
        self.error(f"{name}: no such option{words}")


def near(word: str, known: Iterable[str]) -> str:
    """The end of a message about a word that is not known: "; did you mean …?", or nothing."""
    from difflib import get_close_matches

    names = sorted(known)
    found = [name for name in names if name.startswith(word) and len(word.strip("-")) > 1]
    found += [name for name in get_close_matches(word, names, n=1) if name not in found]
    return f"; did you mean {' or '.join(found)}?" if 0 < len(found) < 4 else ""


def _with_nargs(action: argparse.Action) -> str:
    name = action.metavar if isinstance(action.metavar, str) else action.dest.upper()
    more = {argparse.ONE_OR_MORE: f"{name} ...", argparse.ZERO_OR_MORE: f"[{name} ...]",
            argparse.OPTIONAL: f"[{name}]"}  # fmt: skip
    return more.get(str(action.nargs), name)


def _in_words(error: argparse.ArgumentError) -> str:
    """What argparse found, in the words of our other messages."""
    name, text = error.argument_name, error.message
    if name is None:
        return text
    if text.startswith(_CONTRADICTS):
        return f"{name} and {text[len(_CONTRADICTS) :]} contradict each other: give one of them"
    if text.startswith("expected "):  # one argument, at least one argument
        return f"{name} needs a value"
    if text.startswith("ignored explicit argument "):
        return f"{name} takes no value"
    return f"{name} {text}"  # of our types, arguments/values.py: "0: expected …"


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Lines of at most 100 characters, with room for `--language-model DIR_OR_NAME`."""

    def __init__(self, prog: str, **options: Any) -> None:
        width = min(shutil.get_terminal_size().columns, 102) - 2
        super().__init__(prog, **{"max_help_position": 27, "width": width, **options})

    def _split_lines(self, text: str, width: int) -> list[str]:
        return textwrap.wrap(" ".join(text.split()), width, break_on_hyphens=False)
