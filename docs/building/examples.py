"""A Griffe extension: examples that stand freely in a docstring become blocks of code.

Within a section `Example:` Griffe finds them itself; in front of the sections a line that begins
with `>>>` would be a quotation in Markdown.
"""

from __future__ import annotations

import re
from typing import Any

import griffe

# up to the next empty line; indented ones belong to a section
EXAMPLE = re.compile(r"^>>> .*(?:\n(?!\s*$).*)*", re.MULTILINE)


def fenced(docstring: str) -> str:
    if "```" in docstring:
        return docstring
    return EXAMPLE.sub(lambda found: f"```pycon\n{found[0]}\n```", docstring)


class Examples(griffe.Extension):
    def on_object(self, *, obj: griffe.Object, **others: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = fenced(obj.docstring.value)

    def on_package(self, *, pkg: griffe.Module, **others: Any) -> None:
        self.on_object(obj=pkg)
