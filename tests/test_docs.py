"""The pages of the documentation: links lead somewhere, and the site is staged whole."""

from __future__ import annotations

import argparse
import importlib
import re
from pathlib import Path
from types import ModuleType

import pytest

import clipcodec
from tests.helpers.paths import ROOT
from tests.helpers.public import MODULES
from tests.helpers.scripts import load

CHECK = ROOT / "docs" / "check.py"


@pytest.fixture
def check() -> ModuleType:
    return load(CHECK)


def test_links_are_sound(check: ModuleType) -> None:
    assert check.faults() == []


def test_the_check_can_fail(check: ModuleType, tmp_path: Path) -> None:
    """Each kind of fault is found; links to the web and into code blocks are left alone."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "other.md").write_text("# One *thing*\n\n# One thing\n")
    (tmp_path / "page.md").write_text(
        "[a](docs/other.md#one-thing) [b](docs/other.md#one-thing-1) [c](https://example.org/x)\n"
        "[d](docs/none.md) [e](docs/other.md#two) [f](#nothing)\n"
        "```python\nx = (\n```\n```sh\n[g](none.md)\n```\n"
    )
    assert [fault.split(":")[1].strip() for fault in check.faults(tmp_path)] == [
        "docs/none.md",
        "docs/other.md#two",
        "#nothing",
    ]


@pytest.fixture
def staging(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    pytest.importorskip("yaml")
    monkeypatch.syspath_prepend(ROOT / "docs")
    return importlib.import_module("building.staging")


def test_links_lead_to_pages_of_the_site_or_to_the_repository(
    staging: ModuleType, tmp_path: Path
) -> None:
    """Pages keep their places; code, folders and results are on GitHub; code is left as it is."""
    for name in ("README.md", "docs/a.md", "docs/sub/b.md", "docs/data/x y.json", "src/code.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    places = {
        "docs/index.md": "index.md",
        "docs/a.md": "docs/a.md",
        "docs/sub/b.md": "docs/sub/b.md",
    }
    github = "https://github.com/clipcodec/clipcodec"
    for page, place, link, expected in (
        ("docs/sub/b.md", "docs/sub/b.md", "../a.md#part", "../a.md#part"),
        ("docs/index.md", "index.md", "sub/b.md", "docs/sub/b.md"),
        ("docs/a.md", "docs/a.md", "#here", "#here"),
        ("docs/a.md", "docs/a.md", "https://example.org/a.md", "https://example.org/a.md"),
        ("docs/a.md", "docs/a.md", "mailto:a@example.org", "mailto:a@example.org"),
        ("docs/a.md", "docs/a.md", "../README.md#install", "../install.md"),
        ("docs/a.md", "docs/a.md", "../README.md", f"{github}/blob/main/README.md"),
        ("docs/a.md", "docs/a.md", "../src/code.py#L3", f"{github}/blob/main/src/code.py#L3"),
        ("docs/a.md", "docs/a.md", "data/x%20y.json", f"{github}/blob/main/docs/data/x%20y.json"),
        ("docs/a.md", "docs/a.md", "data/", f"{github}/tree/main/docs/data"),
        ("docs/a.md", "docs/a.md", "..", f"{github}/tree/main"),
    ):
        text = staging.relinked(f"![x]({link}) `[y](no.md)`", page, place, places, tmp_path)
        assert text == f"![x]({expected}) `[y](no.md)`"
    for words, expected in (("a.md", "Title"), ("docs/a.md", "Title"), ("how a.md", "how a.md")):
        text = staging.relinked(
            f"[{words}](a.md#x)", "docs/b.md", "docs/b.md", places, tmp_path, {"docs/a.md": "Title"}
        )
        assert text == f"[{expected}](a.md#x)"
    code = "```sh\n[g](none.md)\n```\n"
    assert staging.relinked(code, "docs/a.md", "docs/a.md", places, tmp_path) == code
    for link in ("none.md", "../README.md#nothing"):
        with pytest.raises(staging.Broken, match=re.escape(link)):
            staging.relinked(f"[x]({link})", "docs/a.md", "docs/a.md", places, tmp_path)


def test_the_front_page_begins_as_the_readme(staging: ModuleType) -> None:
    pages = staging.pages()
    assert staging.OPENING not in pages["index.md"]
    assert "embedding = decode(stream)" in pages["index.md"]
    assert pages["install.md"].startswith("# Install\n")
    assert "pip install" in pages["install.md"]


def test_every_page_is_in_the_navigation_once(staging: ModuleType) -> None:
    sidebar, commands, python = (
        importlib.import_module(f"building.{name}") for name in ("sidebar", "commands", "python")
    )
    verbs, modules = commands.pages(), python.pages(ROOT)
    made = {"commands": commands.titles(verbs), "python": python.titles(modules)}
    listed = sidebar.listed(sidebar.filled(sidebar.read(), made))
    assert sorted(listed) == sorted([*staging.pages(), *verbs, *modules])


def test_every_verb_has_a_page_with_its_options(staging: ModuleType) -> None:
    """Options with their meanings, examples as commands, the link as one that is checked."""
    commands = importlib.import_module("building.commands")
    pages = commands.pages()
    assert {"commands/compress.md", "commands/search.md"} <= set(pages)
    assert "`--max-bytes N`\n:   " in pages["commands/compress.md"]
    parser = argparse.ArgumentParser("clipcodec do", description="Does it.", epilog=(
        "Examples:\n  One:\n    clipcodec do a_b\n  Two:\n    clipcodec do *\n\n"
        "More: https://clipcodec.github.io/clipcodec/docs/a-page/"
    ))  # fmt: skip
    parser.add_argument("a_b", help="*one* --dry-run", metavar="A_B")
    page = commands.page("do", parser)
    assert "\nDoes it.\n" in page
    assert "`A_B`\n:   \\*one\\* `--dry-run`\n" in page
    assert "```sh\n# One\nclipcodec do a_b\n\n# Two\nclipcodec do *\n```\n" in page
    assert page.endswith("More: [a-page](../docs/a-page.md)\n")


def test_every_public_name_has_a_page(staging: ModuleType) -> None:
    """All modules whose names are for users; functions that hide a module of their name, too."""
    python = importlib.import_module("building.python")
    assert set(MODULES) <= set(python.MODULES)
    pages = python.pages(ROOT)
    assert "::: clipcodec.models.spec.spec\n" in pages["python/clipcodec.models.md"]
    text = "\n".join(pages.values())
    for name in clipcodec.__all__:
        assert f"::: clipcodec.{name}\n" in text or f"::: clipcodec.errors.{name}\n" in text, name


def test_pages_that_come_out_differently_on_github_are_found(staging: ModuleType) -> None:
    pytest.importorskip("markdown")
    pytest.importorskip("pymdownx")
    pytest.importorskip("markdown_it")
    differences = importlib.import_module("building.alike").differences
    assert differences("# A\n\n- one\n- two\n\n    more\n\n| a |\n|---|\n| b |\n") == ""
    assert differences("- one\n  - two\n") == "ul 1 instead of 2"
    assert differences("words\n1. of a sentence\n") == "li 0 instead of 1, ol 0 instead of 1"


def test_requests_to_other_hosts_are_found(staging: ModuleType, tmp_path: Path) -> None:
    """What a browser fetches by itself; links that people follow are allowed."""
    requests = importlib.import_module("building.outside").requests
    (tmp_path / "page.html").write_text(
        '<a href="https://a.org"></a><script src="/own.js"></script><img src="../b.png">'
        '<link rel="canonical" href="https://c.org/">'
    )
    assert requests(tmp_path) == []
    (tmp_path / "page.html").write_text(
        '<script src="https://d.org/x.js"></script><link href="//e.org/f.css" rel=stylesheet>'
    )
    (tmp_path / "s.css").write_text('@import "https://g.org/h.css"; a { b: url(//i.org/j) }')
    assert requests(tmp_path) == [
        "page.html: asks for https://d.org/x.js",
        "page.html: asks for //e.org/f.css",
        "s.css: asks for https://g.org/h.css",
        "s.css: asks for //i.org/j",
    ]


def test_examples_in_docstrings_become_code(staging: ModuleType) -> None:
    pytest.importorskip("griffe")
    fenced = importlib.import_module("building.examples").fenced
    assert fenced("A.\n\n>>> 1 + 1\n2\n\nB.") == "A.\n\n```pycon\n>>> 1 + 1\n2\n```\n\nB."
    assert fenced("Example:\n    >>> 1 + 1\n    2\n") == "Example:\n    >>> 1 + 1\n    2\n"
