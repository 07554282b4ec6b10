"""Damage: to any bytes, to a stream's header, to JSON."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

BYTES = (0x00, 0x01, 0x7F, 0x80, 0x81, 0xFE, 0xFF)
WIDTHS = (0, 1, 2, 3, 7, 8, 15, 16, 17, 24, 64, 127, 128, 129, 768, 2048, 16383, 16384, 16385)

FEW = (1, 2, 3, 8, 16, 17, 24, 33)  # of which all else is quick


def damaged(r: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """`data` after one, two or three kinds of damage; `others` are spliced in."""
    for _ in range(r.choice((1, 1, 1, 2, 3))):
        data = r.choice(_DAMAGE)(r, data, others)
    return data


def _flips(r: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    out = bytearray(data)
    for _ in range(r.randint(1, 8) if out else 0):
        out[r.randrange(len(out))] ^= 1 << r.randrange(8)
    return bytes(out)


def _burst(r: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    length = r.randint(2, 32)
    if len(data) * 8 < length:
        return data
    bits = 1 | 1 << length - 1 | r.getrandbits(length)
    number = int.from_bytes(data, "big") ^ bits << r.randint(0, len(data) * 8 - length)
    return number.to_bytes(len(data), "big")


def _cut(r: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    return data[: r.randint(0, len(data))] if r.random() < 0.5 else data[:-1]


def _longer(r: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    count = r.choice((1, 1, 2, 3, 4, 5, 8, 64))
    return data + (bytes(count) if r.random() < 0.3 else r.randbytes(count))


def _splice(r: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    other = r.choice(others)
    if r.random() < 0.5:
        at = r.randint(0, min(len(data), len(other)))
        return data[:at] + other[at:]
    return data[: r.randint(0, len(data))] + other[r.randint(0, len(other)) :]


def _swap(r: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    out = bytearray(data)
    if len(out) > 1:
        a = r.randrange(len(out) - 1)
        b = a + 1 if r.random() < 0.5 else r.randrange(len(out))
        out[a], out[b] = out[b], out[a]
    return bytes(out)


def _replace(r: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    out = bytearray(data)
    if out:
        # the header is where a byte says most
        at = r.randrange(min(len(out), 9) if r.random() < 0.3 else len(out))
        out[at] = r.choice(BYTES) if r.random() < 0.5 else r.randrange(256)
    return bytes(out)


def _slice(r: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """A piece left out, doubled, or set to one value."""
    at, count = r.randint(0, len(data)), r.choice((1, 2, 4, 8))
    piece = data[at : at + count]
    into = r.choice((b"", piece * 2, bytes([r.choice(BYTES)]) * len(piece)))
    return data[:at] + into + data[at + count :]


_DAMAGE: tuple[Callable[[Random, bytes, Sequence[bytes]], bytes], ...] = (
    _flips, _flips, _burst, _cut, _longer, _splice, _swap, _replace, _replace, _slice,
)  # fmt: skip


def varint(value: int, length: int | None = None) -> bytes:
    """Seven bits a byte, the least significant first; to `length` bytes, against the rules."""
    out: list[int] = []
    while value >= 0x80 or (length is not None and len(out) < length - 1):
        out.append(0x80 | value & 0x7F)
        value >>= 7
    return bytes([*out, value])


def header(r: Random, digests: Sequence[bytes]) -> bytes:
    """A header drawn at random: well-formed more often than not, of any profile and parameters."""
    if r.random() < 0.1:
        return bytes([r.choice((0x80, 0xE3, 0xE4, r.randrange(0x80, 0x100)))])  # the short form
    version = 1 if r.random() < 0.95 else r.randrange(4)
    coder = 2 if r.random() < 0.6 else r.randrange(4)
    low = r.choice((0, 7, 8, 8, 9, 15, r.randrange(16)))
    out = bytes([version << 6 | coder << 4 | low])
    if low == 0:
        out += r.choice(digests) if r.random() < 0.9 else r.randbytes(4)
    if low == 15:
        out += varint(r.choice((0, 1, 127, 128, 255, 16383, 16384)), r.choice((None, None, 2, 3)))
    out += bytes([r.choice((0, 1, 2, 50, 100, 101, 255, r.randrange(256)))])
    width = r.choice(WIDTHS) if r.random() < 0.2 else r.choice(FEW)
    return out + varint(width, r.choice((None, None, None, 2, 3, 4)))


VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, 2, 3, -1, 15, 16, 255, 256, 257, 1 << 14, (1 << 14) + 1, 1 << 15,
    1 << 31, (1 << 63) - 1, 1 << 63, (1 << 64) - 1, 1 << 64, 10**400, 0.5, 1.0, 1e18, 1e308, -0.0,
    float("nan"), float("inf"), "", "8", "pqvae", "predictive", "compact", "rotation", "a\x1b[31m",
    "\ud800", "é" * 70, [], [0], {}, {"a": 1}, [[]], [0, 1, 2], [0, 8], "F16", "F64", "U16", "I64",
    "BOOL", "F8_E4M3", "BF16", "I32", "U8", "C64", [0, 0], [1 << 62, 0], [0, 1 << 63], [0] * 70,
)  # fmt: skip


def damaged_json(r: Random, value: Any) -> Any:
    """A copy with one place, at any depth, replaced, left out, doubled or wrapped."""
    if isinstance(value, dict) and value and r.random() < 0.8:
        key = r.choice(sorted(value, key=str))
        out = dict(value)
        way = r.random()
        if way < 0.1:
            del out[key]
        elif way < 0.2:
            out[r.choice(("extra", "", *sorted(value, key=str)))] = r.choice(VALUES)
        else:
            out[key] = damaged_json(r, value[key])
        return out
    if isinstance(value, list) and value and r.random() < 0.7:
        at = r.randrange(len(value))
        if r.random() < 0.2:
            return value[:at] + value[at + 1 :] if r.random() < 0.5 else [*value, r.choice(VALUES)]
        return [*value[:at], damaged_json(r, value[at]), *value[at + 1 :]]
    if type(value) is int and r.random() < 0.5:
        return value + r.choice((-1, 1, -value, value))
    if r.random() < 0.02:
        return _nested(r.choice((100, 900, 990, 3000, 100_000)))
    return r.choice(VALUES)


class _nested:
    """So many lists in each other; `json.dumps` could not write them, `Nested.text` does."""

    def __init__(self, depth: int) -> None:
        self.text = "[" * depth + "]" * depth


def dumps(value: Any) -> str:
    """JSON text; nested lists as deep as they were asked for."""
    import json

    marks: list[str] = []

    def mark(item: Any) -> str:
        marks.append(item.text)
        return f"@nested {len(marks) - 1}@"

    text = json.dumps(value, default=mark)
    for i, nested in enumerate(marks):
        text = text.replace(f'"@nested {i}@"', nested)
    return text
