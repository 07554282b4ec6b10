"""README's lines that install, as it has them: `<!-- install: WAY -->` stands before each.

    python tests/helpers/readme.py light     # prints the line, for a shell to run

This file needs the standard library alone.
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

README = Path(__file__).resolve().parents[2] / "README.md"
_BLOCK = re.compile(r"<!-- install: (\w+) -->\n(?:<!--[^\n]*-->\n)?```sh\n(.*?)\n```", re.DOTALL)


def lines(readme: Path = README) -> dict[str, str]:
    """The commands of each way, in the order of the page."""
    return dict(_BLOCK.findall(readme.read_text("utf-8")))


def pip_arguments(command: str) -> Iterator[list[str]]:
    """What follows `pip install` in a command, each time."""
    for part in re.split(r"&&|\n", command):
        words = shlex.split(part)
        if words[:1] and words[0].endswith("pip") and words[1] == "install":
            yield words[2:]


if __name__ == "__main__":
    print(lines()[sys.argv[1]])
