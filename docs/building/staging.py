"""The pages of this repository in one folder, as the site has them.

Pages keep their places, so that links between them stay as they are: docs/, formats/, and those
at the top. Two are made of others: the front page, docs/index.md, has the first words and the
example of the README, and install.md is a section of it. Links to what the site does not have
(code, folders, results) lead to the repository on GitHub.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from functools import partial
from pathlib import Path, PurePosixPath
from urllib.parse import quote, unquote

from . import commands, python, sidebar

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
REPOSITORY = "https://github.com/clipcodec/clipcodec"
PAGES = ("docs/**/*.md", "formats/*.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
PICTURES = ("docs/figures/*.svg", "docs/figures/*.png")
FRONT = "docs/index.md"
OPENING = "<!-- README: opening -->"
# where the site has the sections of the README that other pages link to
SECTIONS = {"install": "install.md"}

# what stands in the site for a file of the code
MADE = {
    "clipcodec/__init__.py": "python/clipcodec.md",
    "clipcodec/errors/__init__.py": "python/clipcodec.errors.md",
}

# a fenced block, code in a line, or the address of a link, with its words if they are a file's name
PARTS = re.compile(
    r"(?P<code>^(?P<fence>```|~~~).*?^(?P=fence)|(?P<tick>`+)(?!`).*?(?P=tick))"
    r"|(?:\[(?P<name>[\w./-]+\.md))?\]\((?P<link>[^()\s]+)\)",
    re.MULTILINE | re.DOTALL,
)


class Broken(Exception):
    """A link that leads nowhere, or a page without the part that another one shows."""


def sources(root: Path = ROOT) -> dict[str, str]:
    """Where each page and picture goes: path in the repository → path in the site."""
    found = {
        path.relative_to(root).as_posix(): path.relative_to(root).as_posix()
        for pattern in (*PAGES, *PICTURES)
        for path in sorted(root.glob(pattern))
    }
    if FRONT in found:
        found[FRONT] = "index.md"
    return found


def section(text: str, title: str) -> str:
    """One section of a page, with its heading as that of a page."""
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    if found is None:
        raise Broken(f"README.md: no section {title!r}")
    return f"# {title}\n{found[1]}"


def opening(text: str) -> str:
    """What the README begins with: from its title to the first list."""
    found = re.match(r"# [^\n]*\n(.*?)(?=^- )", text, re.MULTILINE | re.DOTALL)
    if found is None:
        raise Broken("README.md: does not begin with a title, some words and a list")
    return found[1].strip()


def titles(root: Path = ROOT) -> dict[str, str]:
    """What the navigation calls each page, or else its heading; by its place in the site."""
    found = {}
    for page, place in sources(root).items():
        if page.endswith(".md"):
            heading = re.search(r"^# (.+)$", (root / page).read_text("utf-8"), re.MULTILINE)
            if heading is not None:
                found[place] = heading[1]
    return {**found, **sidebar.titles(sidebar.read())}


def relinked(
    text: str,
    page: str,
    place: str,
    places: dict[str, str],
    root: Path = ROOT,
    names: dict[str, str] | None = None,
) -> str:
    """A page's text with its links as the site needs them.

    page    where it is in the repository; its relative links are meant from there
    place   where it is in the site
    places  as `sources` gives them
    names   of pages, as `titles` gives them: where a link's words are the name of a file, they are
            replaced by the page's title
    """

    def target(link: str) -> tuple[str, str]:
        """The address, and the page's title if it is a page of the site."""
        if re.match(r"[a-z]+:", link) or link.startswith("#"):  # https:, mailto:
            return link, ""
        path, _, anchor = unquote(link).partition("#")
        full = os.path.normpath(PurePosixPath(page).parent / path)
        if full == "README.md" and anchor:
            if anchor not in SECTIONS:
                raise Broken(f"{page}: {link}: the site has no such section of the README")
            goal, anchor = SECTIONS[anchor], ""
        elif full in MADE:
            goal = MADE[full]
        elif full in places:
            goal = places[full]
        elif (root / full).exists():
            kind = "tree" if (root / full).is_dir() else "blob"
            name = "" if full == "." else "/" + quote(full)
            return f"{REPOSITORY}/{kind}/main{name}" + (f"#{anchor}" if anchor else ""), ""
        else:
            raise Broken(f"{page}: {link}: no such file")
        short = os.path.relpath(goal, PurePosixPath(place).parent)
        return short + (f"#{anchor}" if anchor else ""), (names or {}).get(goal, "")

    def change(found: re.Match[str]) -> str:
        if found["code"]:
            return found[0]
        address, title = target(found["link"])
        words = f"[{title or found['name']}" if found["name"] else ""
        return f"{words}]({address})"

    return PARTS.sub(change, text)


def pages(root: Path = ROOT) -> dict[str, str]:
    """The text of every page that the site takes from this repository, by its place in the site."""
    places = sources(root)
    readme = (root / "README.md").read_text("utf-8")
    link = partial(relinked, places=places, root=root, names=titles(root))
    texts = {"install.md": link(section(readme, "Install"), "README.md", "install.md")}
    for page, place in places.items():
        if page.endswith(".md"):
            text = link((root / page).read_text("utf-8"), page, place)
            if OPENING in text:
                text = text.replace(OPENING, link(opening(readme), "README.md", place))
            texts[place] = text
    return texts


def stage(folder: Path, site: Path, root: Path = ROOT) -> None:
    """Write all that MkDocs needs into a folder; it is to write into `site`.

    Files that are as they were are left alone, so that a server builds only for what has changed.
    """
    verbs = commands.pages()
    modules = python.pages(root)
    texts = {**pages(root), **verbs, **modules}
    made = {"commands": commands.titles(verbs), "python": python.titles(modules)}
    order = sidebar.filled(sidebar.read(), made)
    config = (HERE / "mkdocs.yml").read_text("utf-8")
    own = {
        "docs_dir": "pages",
        "site_dir": str(site),
        "nav": order,
        "repo_url": REPOSITORY,
    }
    config += "".join(f"{name}: {json.dumps(value)}\n" for name, value in own.items())
    config = config.replace("ROOT", str(root))
    _write(folder / "mkdocs.yml", config.encode())
    for place, text in texts.items():
        _write(folder / "pages" / place, text.encode())
    for page, place in sources(root).items():
        if not page.endswith(".md"):
            _write(folder / "pages" / place, (root / page).read_bytes())
    for name in ("style.css", "favicon.svg"):
        _write(folder / "pages" / name, (HERE / name).read_bytes())
    for path in (folder / "pages").rglob("*.md"):
        if path.relative_to(folder / "pages").as_posix() not in texts:
            path.unlink()
    shutil.copytree(HERE / "overrides", folder / "overrides", dirs_exist_ok=True)


def newest(root: Path = ROOT) -> float:
    """When something was last changed that the site is made of."""
    patterns = (*PAGES, *PICTURES, "README.md", "docs/building/**/*", "clipcodec/**/*.py")
    return max(path.stat().st_mtime for pattern in patterns for path in root.glob(pattern))


def _write(path: Path, data: bytes) -> None:
    if not path.exists() or path.read_bytes() != data:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
