"""Whether a page comes out alike on GitHub and on the site, whose Markdown differ in details.

The site needs four spaces before what belongs to an item of a list, and an empty line before a
list; GitHub sees a list where a line within a paragraph begins with "1.".
"""

from __future__ import annotations

import re
from collections import Counter

import markdown
from markdown_it import MarkdownIt

KINDS = re.compile(r"<(h[1-6]|li|ul|ol|table|tr|td|pre|code|blockquote|img|strong|em|a)[\s>]")
COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)


def differences(text: str) -> str:
    """The elements that a page has more or fewer of on the site: "ul 2 instead of 3"; or ""."""
    github = MarkdownIt("commonmark").enable("table").render(text)
    site = markdown.markdown(text, extensions=["tables", "toc", "pymdownx.superfences"])
    there, here = (Counter(KINDS.findall(COMMENT.sub("", html))) for html in (github, site))
    kinds = sorted(kind for kind in there | here if there[kind] != here[kind])
    return ", ".join(f"{kind} {here[kind]} instead of {there[kind]}" for kind in kinds)
