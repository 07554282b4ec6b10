"""What a built page would ask another host for. It should be nothing."""

from __future__ import annotations

import re
from pathlib import Path

# addresses that a browser fetches on its own; links that people click are none
FETCHED = re.compile(
    r"<(?:script|img|iframe|source|video|audio|embed)\b[^>]*?\bsrc=[\"']?((?:https?:)?//[^\"'\s>]+)"
    r"|<link\b(?=[^>]*\brel=[\"']?(?:stylesheet|preconnect|preload|icon|manifest))[^>]*?"
    r"\bhref=[\"']?((?:https?:)?//[^\"'\s>]+)",
    re.IGNORECASE,
)
IN_STYLE = re.compile(r"(?:url\(|@import\s+)[\"']?((?:https?:)?//[^\"')\s]+)", re.IGNORECASE)


def requests(site: Path) -> list[str]:
    """One line for each address of another host in the pages and styles of a site."""
    found = []
    for path in sorted(site.rglob("*")):
        if path.suffix not in (".html", ".css", ".svg"):
            continue
        text = path.read_text("utf-8")
        hits = [a or b for a, b in FETCHED.findall(text)] if path.suffix == ".html" else []
        found += [
            f"{path.relative_to(site)}: asks for {hit}" for hit in hits + IN_STYLE.findall(text)
        ]
    return found
