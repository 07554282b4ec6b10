"""Every command and snippet of the pages runs (docs/run.py), and what does not is found."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from tests.helpers.paths import ROOT
from tests.helpers.scripts import load

PAGES = [page.relative_to(ROOT).as_posix() for page in load(ROOT / "docs" / "run.py").pages()]


@pytest.fixture(scope="module")
def running() -> ModuleType:
    return import_module("snippets.running")


@pytest.mark.parametrize("page", [page for page in PAGES if "```" in (ROOT / page).read_text()])
def test_the_page_runs(page: str, running: ModuleType) -> None:
    report = running.run_page(ROOT / page, ROOT)
    assert not report.faults, "\n".join(report.faults)


def test_a_page_is_run_in_order_with_what_it_takes_for_granted(
    running: ModuleType, tmp_path: Path
) -> None:
    """Blocks share names and files; ways to make one file follow each other; a pipe works."""
    page = tmp_path / "page.md"
    page.write_text(
        "```python\nimport clipcodec\n\nstreams = clipcodec.encode_embeddings(my_embeddings)\n```\n"
        "* in a list:\n\n"
        "  ```python\n  assert len(streams) == len(my_embeddings)\n  open('x', 'w').write('1')\n"
        "  ```\n\n"
        "```sh\n"
        "# a comment\n"
        "clipcodec compress photo.jpg   # photo.jpg.clip\n"
        "clipcodec compress photo.jpg \\\n    --max-bytes 34\n"
        "clipcodec info *.clip | grep -c bytes; cat x\n"
        "clipcodec info none.clpc   # not there: exit 1\n"
        "pip install something\n"
        "```\n"
        "```pycon\n>>> len(streams) > 3\nTrue\n```\n"
        "```console\n$ cat x\n1\n```\n"
        "```text\nclipcodec nothing\n```\n"
        "<!-- not run: a reason -->\n```sql\nSELECT 1\n```\n"
    )
    report = running.run_page(page, tmp_path)
    assert report.faults == []
    assert report.ran == 8
    assert [what[1:] for what in report.left] == [
        ("pip install something", "pip installs packages"),
        ("sql block 7", "a reason"),
    ]


def test_what_does_not_run_is_named_by_page_line_and_block(
    running: ModuleType, tmp_path: Path
) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "```python\nx = 1\nprint(y)\n```\n"
        "```sh\nclipcodec compress photo.jpg --nothing\ntrue\nfalse | true\n"
        "clipcodec profiles  # exit 1\n```\n"
        "```cobol\nSTOP RUN.\n```\n"
        "```pycon\n>>> 1 + 1\n3\n```\n"
        "<!-- not run: even then it must compile -->\n```python\nx = (\n```\n"
    )
    faults = running.run_page(page, tmp_path).faults
    assert [fault.partition("\n")[0] for fault in faults] == [
        "page.md:2: block 1: line 3: print(y)",
        "page.md:6: block 2: clipcodec compress photo.jpg --nothing",
        "page.md:6: block 2: false | true",
        "page.md:6: block 2: clipcodec profiles  # exit 1",
        "page.md:12: block 3: cobol: no known language; mark it as not run, and why",
        faults[5].partition("\n")[0],
        "page.md:20: block 5: SyntaxError: '(' was never closed",
    ]
    assert "NameError: name 'y' is not defined" in faults[0]
    assert "--nothing" in faults[1]
    assert "page.md:15: block 4" in faults[5]
    assert "Expected:" in faults[5]
