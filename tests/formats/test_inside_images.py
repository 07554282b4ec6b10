"""formats/vectors/inside-images: the package and a reader written from the text alone agree."""

from __future__ import annotations

import ast
import json
import re
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import clipcodec
from clipcodec.carriers import extract, xmp
from tests.helpers.paths import FORMATS, REFERENCE
from tests.helpers.scripts import load

READER = REFERENCE / "extract.py"
VECTORS = sorted((FORMATS / "vectors" / "inside-images").glob("*.json"))


reference = load(READER)


def by_package(file: bytes) -> tuple[str, list[str]]:
    try:
        return "accept", [stream.hex() for stream in extract(file)]
    except clipcodec.CorruptError:
        return "corrupt", []
    except clipcodec.ImageError:
        return "damaged", []


def by_reference(file: bytes) -> tuple[str, list[str]]:
    try:
        return "accept", [stream.hex() for stream in reference.extract(file)]
    except reference.Rejected as rejected:
        return rejected.kind, []


@pytest.mark.parametrize("reader", [by_package, by_reference])
@pytest.mark.parametrize("path", VECTORS, ids=lambda path: path.stem)
def test_vectors_are_met(path: Path, reader: object) -> None:
    said = json.loads(path.read_text("utf-8"))
    assert callable(reader)
    assert reader(bytes.fromhex(said["file"])) == (said["expect"], said.get("streams", []))


def test_every_format_and_class_has_a_vector() -> None:
    names = {path.stem.split("-")[0] for path in VECTORS}
    assert names == {"jpeg", "png", "webp", "avif", "heif", "packet"}
    said = [json.loads(path.read_text("utf-8"))["expect"] for path in VECTORS]
    assert {*said} == {"accept", "damaged", "corrupt"}


def test_the_reader_imports_the_standard_library_only() -> None:
    tree = ast.parse(READER.read_text("utf-8"))
    names = {
        name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for name in (
            [a.name for a in node.names] if isinstance(node, ast.Import) else [node.module or ""]
        )
    }
    assert names <= sys.stdlib_module_names


def test_the_text_says_what_the_package_writes() -> None:
    """Identifiers and the example packet are those of the code."""
    text = (FORMATS / "inside-images.md").read_text("utf-8")
    assert f"    {xmp.PREFIX}\n" in text
    assert f"these {len(xmp.PREFIX)} characters" in text
    (example,) = re.findall("(?s)```xml\n(.*?)\n```", text)
    stream = bytes.fromhex("683c0432d7458602")
    assert xmp.attach(b"", stream).decode() == example.replace("&#xFEFF;", "\ufeff")


_pieces = st.sampled_from([
    xmp.PREFIX, "aAA=", "aAE=", "aQAA", "sQA=", "gAA=", "ZzIA", "Pw==", "aA", "x", " ",
    "<!-- x -->", "<x/>", "&#97;",
    "<r:li>x</r:li>", f"<r:li>{xmp.PREFIX}aQAA</r:li>", "<r:Bag><r:li>x</r:li></r:Bag>",
    f"<d:relation><r:Bag><r:li>{xmp.PREFIX}aAA=</r:li></r:Bag></d:relation>", "<x>",
])  # fmt: skip


def _wrapped(inner: str) -> bytes:
    head = '<r:RDF xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:d="'
    return f'{head}http://purl.org/dc/elements/1.1/">{inner}</r:RDF>'.encode()


@given(st.lists(st.lists(_pieces, max_size=4).map("".join), max_size=4))
@settings(max_examples=400)
def test_both_read_the_same_in_any_packet(items: list[str]) -> None:
    """Items of any sort in an array, as well as they fit together."""
    inner = "".join(
        f"<r:li>{xmp.PREFIX if i % 2 else ''}{item}</r:li>" for i, item in enumerate(items)
    )
    packet = _wrapped(
        f"<r:Description><d:relation><r:Bag>{inner}</r:Bag></d:relation></r:Description>"
    )
    found: list[object] = []
    for read, errors in (
        (xmp.streams, (clipcodec.ImageError, clipcodec.CorruptError)),
        (reference.streams, (reference.Rejected,)),
    ):
        try:
            found.append(read(packet))
        except errors as error:
            is_corrupt = isinstance(error, clipcodec.CorruptError) or (
                getattr(error, "kind", "") == "corrupt"
            )
            found.append("corrupt" if is_corrupt else "damaged")
    assert found[0] == found[1]


_starts = st.binary(max_size=7) | st.integers(0, 255).map(lambda first: bytes([first, 5, 0]))


@given(st.lists(_starts.filter(bool), min_size=2, max_size=2))
@settings(max_examples=400)
def test_both_say_alike_whether_two_streams_are_of_one_profile(pair: list[bytes]) -> None:
    one, other = pair
    assert (xmp.owner(one) == xmp.owner(other)) == (
        reference.profile(one) == reference.profile(other)
    )
