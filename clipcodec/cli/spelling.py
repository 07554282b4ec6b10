"""Python's spellings of options in messages of the library, as they are typed in a shell.

The library says `max_bytes=0`; a person at a shell typed `--max-bytes 0`. Which names are options,
and how each is typed, the parser of the verb says.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache

_VALUE = r"""(?:'[^']*'|"[^"]*"|…|\((?:[^()]*)\)|[\w.+-]*[\w+-])?"""
_ONLY_PYTHON = re.compile(r" \(in Python: [^()]*\)")
_PHRASES = {
    "overwrite=True, or mode='w' of clipcodec.create": "-f",
    "mode='w'": "-f",
    "overwrite=True": "-f",
    "clipcodec.container.merge(…, partial=True)": "`clipcodec merge --partial`",
}
_ELSEWHERE = {"partial": "`clipcodec merge --partial`", "mode": "`clipcodec compress --resume`"}
"""What an option is called in a message of a verb that does not have it."""


class Spelling:
    """How the options of one verb are typed.

    flags  the flag of each option by its name in Python, such as {"max_bytes": "--max-bytes"};
           of one that the verb does not have, perhaps a command that has it
    kept   what the command line gave: names of files in it stay as they are
    """

    def __init__(self, flags: Mapping[str, str] | None = None, kept: Iterable[str] = ()):
        self._flags = dict(flags or {})
        self._kept = [text for text in kept if "=" in text or "_" in text]
        names = "|".join(sorted(map(re.escape, self._flags), key=len, reverse=True)) or "(?!)"
        long = "|".join(re.escape(name) for name in self._flags if "_" in name) or "(?!)"
        before = r"(?<![\w@:;,./'\"-])"
        self._assigned = re.compile(rf"{before}({names})=({_VALUE})(?![\w'\"])")
        self._named = re.compile(rf"{before}({long})\b(?![=.(/])")
        # two of them, of which one shows that the other is none of English
        self._pair = re.compile(
            rf"{before}(?:({long})|({names})) (and|or) (?:({long})|({names}))\b(?![=.(/])"
        )
        # said twice: `--scale (scale=)`, `weights=, --weights`, `into=NAME or --into NAME`
        self._flag_first = re.compile(rf"((?<!\w)--?[\w-]+(?: [A-Z]+)?) \(\w+={_VALUE}\)")
        self._flag_last = re.compile(rf"{before}\w+={_VALUE}(?:,? or|,) (?=--)")
        self._flag_in_brackets = re.compile(rf"{before}(?:{names})={_VALUE} \((--[^()]*)\)")

    def __call__(self, text: str) -> str:
        if not self._kept:
            return self._typed(text)
        pieces = re.split(f"({'|'.join(map(re.escape, self._kept))})", text)
        return "".join(p if i % 2 else self._typed(p) for i, p in enumerate(pieces))

    def _typed(self, text: str) -> str:
        text = _ONLY_PYTHON.sub("", text)
        for python, shell in _PHRASES.items():
            text = text.replace(python, shell)
        text = self._flag_first.sub(r"\1", text)
        text = self._flag_in_brackets.sub(r"\1", text)
        text = self._flag_last.sub("", text)
        text = self._assigned.sub(self._with_value, text)
        text = self._pair.sub(self._both, text)
        return self._named.sub(lambda found: self._flags[found[1]], text)

    def _both(self, found: re.Match[str]) -> str:
        first_long, first, word, second_long, second = found.groups()
        if not first_long and not second_long:
            return found[0]
        return f"{self._flags[first_long or first]} {word} {self._flags[second_long or second]}"

    def _with_value(self, found: re.Match[str]) -> str:
        value = found[2]
        if value == "True" or found[1] == "mode":
            value = ""
        elif re.fullmatch(r"-?\d+\.0", value):  # a whole number, which argparse made a float
            value = value[:-2]
        elif value[:1] == value[-1:] and value[:1] in ("'", '"') and " " not in value:
            value = value[1:-1]
        return f"{self._flags[found[1]]} {value}".rstrip()


_verb: tuple[argparse.ArgumentParser, argparse.Namespace] | None = None


def speak(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """From now on `typed` is about the verb that these `args` are for."""
    global _verb
    _verb = parser, args
    _spelling.cache_clear()


def typed(text: str) -> str:
    """A message of the library about the verb that runs, with its options as they are typed."""
    return _spelling()(text)


@cache
def _spelling() -> Spelling:
    """Made when there is a message."""
    if _verb is None:
        return Spelling()
    parser, args = _verb
    flags = dict(_ELSEWHERE)
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction) and args.verb in action.choices:
            for option in action.choices[args.verb]._actions:
                long = [flag for flag in option.option_strings if flag.startswith("--")]
                if long:
                    flags[option.dest] = long[0]
    return Spelling(flags, _texts(vars(args).values()))


def _texts(values: object) -> Iterator[str]:
    """Every text among the values of arguments."""
    if isinstance(values, str):
        yield values
    elif hasattr(values, "__iter__"):
        for value in values:
            yield from _texts(value)
