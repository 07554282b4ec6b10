"""Docstrings of the public names: every one has what a reader looks for, where the site puts it.

Sections are Google's, in Markdown: Args, Returns or Yields, Raises, Warns, Attributes, Examples.
"""

from __future__ import annotations

import inspect
import re
from typing import Any

import pytest

import clipcodec
from tests.helpers.public import MODULES, Public, fields_of, public_names

SECTIONS = ("Args", "Returns", "Yields", "Raises", "Warns", "Attributes", "Examples")


def sections(doc: str) -> dict[str, str]:
    """The text of each section; "" is what stands before them."""
    parts = re.split(rf"^({'|'.join(SECTIONS)}):$", doc, flags=re.MULTILINE)
    return {"": parts[0], **dict(zip(parts[1::2], parts[2::2], strict=True))}


def entries(section: str) -> list[str]:
    """The names that a section describes."""
    return re.findall(r"^    (\**\w+): ", section, flags=re.MULTILINE)


def parameters(function: Any) -> list[str]:
    found = []
    for name, one in inspect.signature(function).parameters.items():
        stars = {"VAR_POSITIONAL": "*", "VAR_KEYWORD": "**"}.get(one.kind.name, "")
        if name not in ("self", "cls"):
            found.append(stars + name)
    return found


def faults(public: Public) -> list[str]:
    """What is missing in the docstring of a public name, or too much."""
    found = []
    parts = sections(public.doc)
    lines = public.doc.splitlines() or [""]
    if not lines[0].endswith(".") or (len(lines) > 1 and lines[1]):
        found.append("begins with one sentence on a line of its own")
    value = public.value
    if inspect.ismodule(value) or public.is_property:
        return found
    examples = ">>> " in parts.get("Examples", "")
    if inspect.isclass(value) and issubclass(value, (Exception, Warning)):
        if value is not clipcodec.ClipcodecError and len(parts[""].split("\n\n")) < 2:
            found.append("says when it is raised, and what to do")
        return found
    if not examples:
        found.append("has an example")
    if inspect.isclass(value):
        fields = fields_of(value)
        described = "Args" if fields is None else "Attributes"
        names = parameters(value.__init__) if fields is None else fields
        if fields is None and "Args" not in parts and "`load`" in parts[""]:
            names = []  # others make it
    else:
        described, names = "Args", parameters(value)
        gives = inspect.signature(value).return_annotation
        if gives not in ("None", None) and not {"Returns", "Yields"} & set(parts):
            found.append("says what it returns")
        if gives in ("None", None) and {"Returns", "Yields"} & set(parts):
            found.append("returns nothing")
    if entries(parts.get(described, "")) != names:
        found.append(f"{described} describes {', '.join(names)}, in this order")
    return found


@pytest.fixture(params=MODULES)
def names(request: pytest.FixtureRequest) -> list[Public]:
    """The public names of one module; skipped if it needs what is not installed."""
    try:
        return public_names(request.param)
    except clipcodec.MissingDependencyError as error:
        pytest.skip(str(error))


def test_a_docstring_has_what_a_reader_looks_for(names: list[Public]) -> None:
    """A summary, every parameter or field, what is returned, and an example."""
    assert {public.name: found for public in names if (found := faults(public))} == {}


def test_all_public_names_are_looked_at() -> None:
    names = {public.name for public in public_names("clipcodec")}
    assert {f"clipcodec.{name}" for name in clipcodec.__all__} <= names
    assert {"clipcodec.Container.decode", "clipcodec.TextEmbeddings.load"} <= names


def example(x: int, **more: str) -> int:
    """Do this.

    Args:
        x: A number.
        **more: Words.

    Returns:
        A number.

    Examples:
        >>> example(1)
        1
    """
    return x


def test_the_check_can_fail() -> None:
    """Each thing that may be missing is found."""
    doc = inspect.cleandoc(example.__doc__ or "")

    def found(old: str = "", new: str = "") -> list[str]:
        def copy(x: int, **more: str) -> int:
            return x

        copy.__doc__ = doc.replace(old, new)
        return [fault.split()[0] for fault in faults(Public("example", copy))]

    assert found() == []
    assert found("Do this.", "Do this") == ["begins"]
    assert found("Do this.", "Do\nthis.") == ["begins"]
    assert found("    x: A number.\n") == ["Args"]
    assert found("**more", "more") == ["Args"]
    assert found("Returns:", "Gives:") == ["says"]
    assert found(">>> ", "") == ["has"]


def test_griffe_reads_the_sections(names: list[Public]) -> None:
    """The site's pages are made with it."""
    griffe = pytest.importorskip("griffe")
    kinds = {
        "Args": "parameters", "Returns": "returns", "Yields": "yields", "Raises": "raises",
        "Warns": "warns", "Attributes": "attributes", "Examples": "examples",
    }  # fmt: skip
    for public in names:
        read = griffe.Docstring(public.doc, lineno=1, parser="google").parse(warnings=False)
        found = {part.kind.value for part in read} - {"text"}
        assert found == {kinds[name] for name in sections(public.doc) if name}, public.name
