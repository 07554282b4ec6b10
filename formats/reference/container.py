"""A reader of containers in the standard library, from container-1.md alone.

    python formats/reference/container.py FILE.clpc [PROFILE]

Prints one line per item: the stream in hexadecimal, and its id. Writes the profile file that the
container carries to PROFILE, which decoder.py takes as --profile. Sections are those of the text.
"""

from __future__ import annotations

import json
import sys
import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO


class Rejected(Exception):
    """What is wrong, and its class (section 9)."""

    def __init__(self, kind: str, why: str) -> None:
        super().__init__(f"{kind}: {why}")
        self.kind = kind


def corrupt_if(wrong: bool, why: str) -> None:
    if wrong:
        raise Rejected("corrupt", why)


class Fields:
    """Takes fields off a body in turn."""

    def __init__(self, body: bytes) -> None:
        self.body, self.at = body, 0

    def take(self, size: int) -> bytes:
        corrupt_if(self.at + size > len(self.body), "a field reaches beyond its body")
        self.at += size
        return self.body[self.at - size : self.at]

    def varint(self) -> int:  # section 1
        value = 0
        for i in range(5):
            byte = self.take(1)[0]
            value |= (byte & 127) << 7 * i
            if byte < 128:
                corrupt_if(byte == 0 and i > 0, "a varint that is not in its shortest form")
                return value
        raise Rejected("corrupt", "a varint above 2^35")

    def packed(self, count: int, width: int) -> list[int]:
        data = self.take((count * width + 7) // 8)
        number, spare = int.from_bytes(data, "big"), 8 * len(data) - count * width
        corrupt_if(number & ((1 << spare) - 1) != 0, "padding bits are not zero")
        digits = bin(number >> spare)[2:].zfill(count * width) if count * width else ""
        return [int(digits[i * width : (i + 1) * width] or "0", 2) for i in range(count)]

    def end(self) -> None:
        corrupt_if(self.at != len(self.body), "a body has more than its fields")


def items(body: bytes, count: int) -> list[tuple[bytes, str | None]]:
    """Streams and ids of a DATA block (section 4)."""
    fields = Fields(body)
    flags = fields.take(1)[0]
    corrupt_if(flags > 1, "unknown flags")
    distinct = fields.varint()
    corrupt_if(not 1 <= distinct <= count, "number of starts")
    starts = [(fields.take(fields.varint()), fields.varint()) for _ in range(distinct)]
    corrupt_if(max(len(start) for start, _ in starts) > 255, "length of a start")
    corrupt_if(max(least for _, least in starts) > 1 << 17, "length of a rest")
    which = fields.packed(count, (distinct - 1).bit_length())
    corrupt_if(max(which) >= distinct, "no such start")
    width = fields.take(1)[0]
    corrupt_if(width > 18, "width of lengths")
    chosen = [starts[s] for s in which]
    more = fields.packed(count, width)
    lengths = [least + n for (_, least), n in zip(chosen, more, strict=True)]
    sizes = [len(start) + n for (start, _), n in zip(chosen, lengths, strict=True)]
    corrupt_if(min(sizes) < 1 or max(sizes) > 1 << 17, "length of a stream")
    streams = [start + fields.take(n) for (start, _), n in zip(chosen, lengths, strict=True)]
    if not flags:
        fields.end()
        return [(stream, None) for stream in streams]
    return list(zip(streams, ids(fields.body[fields.at :], count), strict=True))


def ids(deflated: bytes, count: int) -> list[str | None]:
    """The ids of a DATA block (section 4)."""
    inflate = zlib.decompressobj(-15)
    try:
        fields = Fields(inflate.decompress(deflated, 1 << 24))
    except zlib.error as error:
        raise Rejected("corrupt", str(error)) from None
    corrupt_if(not inflate.eof or inflate.unused_data != b"", "ids do not end with their block")
    end = fields.take(fields.varint())
    steps = [fields.varint() for _ in range(count)]
    shares = [fields.varint() for step in steps if step == 1]
    lengths = [fields.varint() for step in steps if step == 1]
    fresh = zip(shares, lengths, strict=True)
    found: list[str | None] = []
    name, total = b"", 0
    for step in steps:
        if step == 0:
            found.append(None)
            continue
        if step == 1:
            share, length = next(fresh)
            corrupt_if(share > len(name), "more is shared than there is")
            name = name[:share] + fields.take(length)
        else:
            name = raised(name, step - 1)
        id = name + end
        total += len(id)
        corrupt_if(not 1 <= len(id) <= 1 << 12 or total > 1 << 24, "length of an id")
        try:
            found.append(id.decode("utf-8"))
        except UnicodeDecodeError as error:
            raise Rejected("corrupt", str(error)) from None
    fields.end()
    return found


def raised(name: bytes, by: int) -> bytes:
    """A name with the number at its end raised (section 4)."""
    digits = 0
    while digits < min(15, len(name)) and 0x30 <= name[-1 - digits] <= 0x39:
        digits += 1
    corrupt_if(digits == 0, "no number to raise")
    number = str(int(name[-digits:]) + by).zfill(digits)
    corrupt_if(len(number) > 15, "a long number")
    return name[:-digits] + number.encode()


def profile(body: bytes) -> bytes:
    """The profile file in a prof block (section 12)."""
    inflate = zlib.decompressobj(-15)
    try:
        data = inflate.decompress(body, (1 << 25) + 1)
    except zlib.error as error:
        raise Rejected("corrupt", str(error)) from None
    corrupt_if(len(data) > 1 << 25, "size of a profile")
    corrupt_if(not inflate.eof or inflate.unused_data != b"", "a profile does not end its block")
    return data


def deleted(body: bytes, at: int, there: dict[int, tuple[int, int]]) -> set[int]:
    """What a GONE block at byte `at` deletes (section 13).

    there: where each block with items before it begins → number of its first item, and its count
    """
    corrupt_if(len(body) % 12 != 0, "size of a GONE block")
    gone: set[int] = set()
    for i in range(0, len(body), 12):
        back, first, last = (
            int.from_bytes(body[i + a : i + b], "big") for a, b in ((0, 8), (8, 10), (10, 12))
        )
        corrupt_if(not 0 < back <= at or first > last, "a run of deleted items")
        if at - back in there:
            number, count = there[at - back]
            corrupt_if(last >= count, "deleted items beyond their block")
            gone.update(range(number + first, number + last + 1))
    return gone


def blocks(file: BinaryIO) -> Iterator[tuple[bytes, int, bytes]]:
    """Kind, count and body of every block, checked (sections 2 and 3); indexes too (section 5)."""
    beginning = file.read(8)
    corrupt_if(not b"\x89CLPC\r\n".startswith(beginning[:7]), "no container")
    if len(beginning) < 8:
        raise Rejected("truncated", "ends in its first 8 bytes")
    if beginning[7] != 1:
        raise Rejected("unsupported", f"version {beginning[7]}")
    kind, pairs = b"", b""
    while head := file.read(16):
        if len(head) < 16:
            raise Rejected("truncated", "ends inside a head")
        kind, size, count, check = (
            head[:4],
            *(int.from_bytes(head[i : i + 4], "big") for i in (4, 8, 12)),
        )
        corrupt_if(zlib.crc32(head[:12]) != check, "check value of a head")
        corrupt_if(size > 1 << 26, "size of a body")
        corrupt_if(kind != b"DATA" and count != 0, "items in a block that has none")
        corrupt_if(kind == b"DATA" and not 1 <= count <= 1 << 16, "count of items")
        if kind not in (b"DATA", b"GONE") and 65 <= kind[0] <= 90:
            raise Rejected("unsupported", f"block {kind!r}")
        rest = file.read(size + 4)
        if len(rest) < size + 4:
            raise Rejected("truncated", "ends inside a block")
        body = rest[:size]
        corrupt_if(zlib.crc32(head + body) != int.from_bytes(rest[size:], "big"), "check value")
        if kind == b"indx":
            corrupt_if(body != pairs + (len(pairs) + 4).to_bytes(4, "big"), "index")
        pairs += (size + 20).to_bytes(4, "big") + count.to_bytes(4, "big")
        yield kind, count, body
    if kind != b"indx":
        raise Rejected("truncated", "ends without an index")


Item = tuple[bytes, str | None]


def read(file: BinaryIO) -> tuple[dict[str, Any], list[Item]]:
    """Metadata and items of a container that is read front to back (sections 6 and 7)."""
    return read_all(file)[:2]


def read_all(file: BinaryIO) -> tuple[dict[str, Any], list[Item], bytes | None]:
    """Metadata, items, and the profile file that is carried, or None (section 12)."""
    metadata: dict[str, Any] = {}
    found: list[Item] = []
    carried: bytes | None = None
    before: list[bytes] = []
    there: dict[int, tuple[int, int]] = {}
    gone: set[int] = set()
    at = 8
    for number, (kind, count, body) in enumerate(blocks(file)):
        if kind == b"prof":
            corrupt_if(before not in ([], [b"meta"]), "a profile that is not at the front")
            carried = profile(body)
        before.append(kind)
        if kind == b"DATA":
            there[at] = len(found), count
            found += items(body, count)
        elif kind == b"GONE":
            gone |= deleted(body, at, there)
        elif kind == b"meta" and number == 0:
            corrupt_if(len(body) > 1 << 20, "long metadata")
            try:
                metadata = json.loads(body.decode("utf-8"))
            except (ValueError, RecursionError) as error:
                raise Rejected("corrupt", f"metadata: {error}") from None
            corrupt_if(not isinstance(metadata, dict), "metadata are no object")
        at += len(body) + 20
    return metadata, [item for i, item in enumerate(found) if i not in gone], carried


def main(path: str, to: str = "") -> int:
    with open(path, "rb") as file:
        _, found, carried = read_all(file)
    for stream, name in found:
        print(stream.hex(), name or "")
    if not to:
        return 0
    if carried is None:
        print(f"{path} carries no profile", file=sys.stderr)
        return 1
    with open(to, "xb") as out:
        out.write(carried)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
