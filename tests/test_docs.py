"""The pages of the documentation: links lead somewhere, and Python examples compile."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from tests.helpers.paths import ROOT
from tests.helpers.scripts import load

CHECK = ROOT / "docs" / "check.py"


@pytest.fixture
def check() -> ModuleType:
    return load(CHECK)


def test_links_and_examples_are_sound(check: ModuleType) -> None:
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
        "code block 1, line 1",
    ]
