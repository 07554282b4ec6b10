"""Check readers of containers against formats/vectors/container-1.

    python formats/tools/check_containers.py [pipe] [file] [reference]

Without a name, all: the installed clipcodec front to back, by its index, and the reference reader.
Prints one line for each vector that is not met; exit 1 if there is one.
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

FORMATS = Path(__file__).resolve().parents[1]
FOLDER = FORMATS / "vectors" / "container-1"


@dataclass(frozen=True)
class Vector:
    """One container, and what is expected of it: "accept", or the class it is rejected with."""

    name: str
    expect: str
    container: bytes
    items: list[tuple[str, str | None]]  # streams in hexadecimal, ids
    metadata: dict[str, Any]
    profile: str | None = None  # the profile file that it carries, in hexadecimal
    in_order: bool = False  # is it only for readers that go from block to block?
    piped: str | None = None  # what a reader says that gives items as it reads, if it is another


Found = tuple[str, list[tuple[str, str | None]], dict[str, Any] | None, str | None]
Reader = Callable[[bytes], Found]


def vectors() -> Iterator[Vector]:
    """All of them, in the order of their files; those of one damage file one by one."""
    for path in sorted(FOLDER.glob("*/*.json")):
        content = json.loads(path.read_text("utf-8"))
        data = bytes.fromhex(content["container"])
        if isinstance(content["expect"], str):
            items = [(stream, id) for stream, id in content.get("items", [])]
            yield Vector(
                path.stem, content["expect"], data, items, content.get("metadata", {}),
                content.get("profile"), content.get("in_order", False), content.get("piped"),
            )  # fmt: skip
            continue
        for i, expect in enumerate(content["expect"]):
            damaged = data[:i]
            if content["damage"] == "bit-flips":
                flipped = data[i // 8] ^ 0x80 >> i % 8
                damaged = data[: i // 8] + bytes([flipped]) + data[i // 8 + 1 :]
            yield Vector(f"{path.stem} {i}", expect, damaged, [], {})


def package(*, by_index: bool) -> Reader:
    """The installed clipcodec."""
    import clipcodec

    classes = {
        clipcodec.TruncatedError: "truncated",
        clipcodec.UnsupportedError: "unsupported",
        clipcodec.CorruptError: "corrupt",
    }

    def read(data: bytes) -> Found:
        metadata = None
        try:
            if by_index:
                with clipcodec.open(io.BytesIO(data)) as container:
                    items, metadata = list(container.items()), container.metadata
                    carried = container.embedded()
                    assert [container[i] for i in range(-len(items), 0)] == [s for s, _ in items]
            else:
                reading = clipcodec.read_items(io.BytesIO(data))
                items = list(reading)
                carried = reading.embedded()
        except clipcodec.DecodeError as error:
            return classes[type(error)], [], None, None
        profile = None if carried is None else carried.data.hex()
        return "accept", [(stream.hex(), id) for stream, id in items], metadata, profile

    return read


def reference() -> Reader:
    """The reference reader, formats/reference/container.py."""
    sys.path.insert(0, str(FORMATS))
    from reference import container

    def read(data: bytes) -> Found:
        try:
            metadata, items, carried = container.read_all(io.BytesIO(data))
        except container.Rejected as rejection:
            return rejection.kind, [], None, None
        profile = None if carried is None else carried.hex()
        return "accept", [(stream.hex(), id) for stream, id in items], metadata, profile

    return read


READERS: dict[str, Callable[[], Reader]] = {
    "pipe": lambda: package(by_index=False),
    "file": lambda: package(by_index=True),
    "reference": reference,
}


def fault(vector: Vector, found: Found) -> str | None:
    """How a reader's answer differs from what the vector says, if it does."""
    expect, items, metadata, profile = found
    if expect != vector.expect:
        return f"{expect}, not {vector.expect}"
    if items != vector.items:
        return "other items"
    if expect == "accept" and metadata is not None and metadata != vector.metadata:
        return f"metadata {metadata}"
    if expect == "accept" and profile != vector.profile:
        return f"profile {profile}"
    return None


def failures(reader: Reader, *, by_index: bool = False, piped: bool = False) -> list[str]:
    """One line for each vector that a reader does not meet.

    by_index  it goes to single items, and need not notice what stands between them
    piped     it gives items as it reads, and cannot know that they are deleted further on
    """
    lines = []
    for vector in vectors():
        if by_index and vector.in_order:
            continue
        if piped and vector.piped is not None:
            vector = replace(vector, expect=vector.piped, items=[])
        problem = fault(vector, reader(vector.container))
        if problem is not None:
            lines.append(f"{vector.name}: {problem}")
    return lines


if __name__ == "__main__":
    bad = []
    for name in sys.argv[1:] or READERS:
        kind = {"by_index": name == "file", "piped": name == "pipe"}
        bad += [f"{name}: {line}" for line in failures(READERS[name](), **kind)]
    count = sum(1 for _ in vectors())
    print("\n".join(bad) or f"all {count} vectors of containers are met")
    sys.exit(1 if bad else 0)
