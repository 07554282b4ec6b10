"""A decoder of clipcodec streams, format version 1, written from the text alone.

It shares no code with the package and needs the standard library only: it exists to test the text.
Sections in comments are those of ../clipcodec-1.md, or of the page that is named.

    python formats/reference/decoder.py HEX_OR_FILE [--profile FILE ...]

prints profile, coder, quality, symbols and embedding; or `class: reason`, and exits with 1.

Bytes become symbols in integers. Symbols become an embedding as the text says, to the last bit, for
profiles of kinds predictive and compact; in double precision for the others, where the text says
float32 and promises 1e-5. Speed is no aim. A profile's first embedding takes up to a second, others
less; a rotation of an odd width near 16384 takes a minute.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import struct
import sys
from array import array
from binascii import crc_hqx
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import accumulate, pairwise
from operator import add, mul
from pathlib import Path
from typing import Any

CODERS = ("raw", "huffman", "rans")


class Rejected(Exception):
    """The stream holds nothing. kind: truncated, unsupported, unknown-profile or corrupt."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(f"{kind}: {reason}")
        self.kind, self.reason = kind, reason


def need(holds: bool, kind: str, reason: str) -> None:
    if not holds:
        raise Rejected(kind, reason)


# --- profiles: profile-file.md --------------------------------------------------------------------

# The tensors that a decoder reads and their shapes; Profile.open knows the sizes by these names.
STAGED = """scale n, log_step qualities,
    predict.hidden stages n hidden, predict.bias stages hidden,
    predict.quality stages hidden, predict.unit stages hidden, predict.out hidden changed,
    predict.scale changed, predict.gain qualities stages, restore.hidden n restore,
    restore.bias restore, restore.quality restore, restore.unit restore,
    restore.out restore n, restore.scale n, restore.gain qualities,
    steps qualities, tables.frequencies rows alphabet,
    tables.class_of qualities n, tables.flag_of qualities flags"""
TENSORS = {
    "pqvae": """codebook codewords sub_dim, center dim, scale 1, synthesis.lower sub_dim rank,
        synthesis.linear inputs dim, synthesis.bias dim, synthesis.hidden blocks dim synthesis,
        synthesis.hidden_bias blocks synthesis, synthesis.out blocks synthesis dim,
        tables.frequencies tables codewords, tables.lengths tables codewords, tables.table_of n""",
    "predictive": f"center dim, synthesis n dim, {STAGED}",
    "compact": f"center dim, basis n dim, shift n, {STAGED}",
    "rotation": """steps qualities, tables.frequencies rows alphabet, tables.class_of qualities 1,
        tables.flag_of qualities 2""",
}
TYPES = {"F16": "e", "F32": "f", "F64": "d", "U8": "B", "U16": "H", "I8": "b", "I32": "i"}
WHOLE = {
    "U8 U16": ("tables",),
    "U8": ("shift",),
    "I8": ("hidden", "out", "basis"),
    "I32": ("bias", "quality", "log_step"),
}  # tensors of whole numbers by a part of their names; all others are floats


class Profile:
    """A profile file, read when first needed; `id` and `sha256` are what the registry has of it.

    Of what the text demands of a file this checks what a decoder leans on: limits, the tensors
    above with their shapes, types and (once they are needed) values, tables and code lengths. It
    looks neither at names, `card` and statistics nor for unknown keys and tensors, nor at what
    serves an encoder. A file that fails is not at hand: `unknown-profile`.
    """

    def __init__(self, path: Path | str, id: int | None = None, sha256: str = "") -> None:
        self.path, self.id, self.kind = Path(path), id, ""
        self.digest = bytes.fromhex(sha256) or hashlib.sha256(self.path.read_bytes()).digest()

    def open(self) -> None:
        try:
            self.kind = self.kind or self.read(self.path.read_bytes())
        except (OSError, ValueError, LookupError, TypeError, struct.error) as error:
            raise Rejected("unknown-profile", f"{self.path}: {error}") from error

    def read(self, data: bytes) -> str:
        end = 8 + int.from_bytes(data[:8], "little")  # safetensors: a length, JSON, values
        self.rule(len(data) <= 256 << 20 and end <= 8 + (1 << 20), "size of the file")
        self.rule(hashlib.sha256(data).digest() == self.digest, "SHA-256")
        self.header, self.values = json.loads(data[8:end]), data[end:]
        about = json.loads(self.header["__metadata__"]["clipcodec"])
        kind, c, dim = about["kind"], about["config"], about["dim"]
        self.rule(about["version"] == 1 and kind in TENSORS, "version or kind")
        self.rule(dim == 0 if kind == "rotation" else 1 <= dim <= 16384, "dim")
        self.name, self.config, self.n, sizes = (
            about["name"],
            c,
            dim,
            {"dim": dim, "1": 1, "2": 2, **c},
        )
        if kind == "pqvae":
            self.rule(min(c.values()) >= 1 and max(c.values()) <= 32768, "sizes")
            self.rule(c["codewords"] >= 2 and c["channels"] % c["sub_dim"] == 0, "sizes")
            self.n, self.k = c["positions"] * c["channels"] // c["sub_dim"], c["codewords"]
            tables = sizes["tables"] = about["tables"]
            self.rule(1 <= tables <= self.n <= 4096 and tables * self.k <= 1 << 21, "sizes")
            sizes |= {"n": self.n, "inputs": self.n * c["rank"]}
        else:
            self.k, tables, bands = c["alphabet"], c["rows"], c.get("bands", [0])
            self.rule(1 <= c["qualities"] <= 255 and 2 <= tables <= 1024, "sizes")
            self.rule(4 <= self.k <= 256 and 0 <= c.get("seed", 0) <= 2**64 - 2, "sizes")
            self.n = n = bands[-1] if kind == "compact" else dim
            self.rule(bands == sorted({0, *bands, n}) and c.get("hidden", 0) <= 16384, "sizes")
            self.rule(c.get("restore", 0) <= 16384, "sizes")
            self.rule(kind != "compact" or (1 <= n <= dim and n * dim <= 2**24), "sizes")
            sizes |= {"n": n, "stages": len(bands) - 2, "flags": 2 * len(groups(bands))}
            sizes["changed"] = sum(n - end for end in bands[1:-1])
        staged = kind in ("predictive", "compact")
        for name, *shape in map(str.split, TENSORS[kind].split(",")):
            part, last = name.split(".")[0], name.split(".")[-1] if staged else ""
            word = "tables" if part == "tables" else last
            types = next((t for t, words in WHOLE.items() if word in words), "F16 F32 F64").split()
            right = [sizes[word] for word in shape]
            self.rule(self.header[name]["shape"] == right, f"shape of {name}")
            self.rule(self.header[name]["dtype"] in types, f"type of {name}")
            self.rule(name not in ("steps", "scale") or min(self.tensor(name)) > 0, name)
            if staged and name == "scale":
                self.rule(min(self.tensor(name)) >= 1e-18, name)
        if staged:
            self.rule(kind != "compact" or max(self.tensor("shift")) <= 30, "shift")
            self.rule(self.sums_are_exact(), "range of the sums")
        for t in range(tables):
            f = self.tensor("tables.frequencies", t)
            self.rule(sum(f) == 1 << 16 and (kind != "pqvae" or min(f) > 0), f"table {t}")
            if kind == "pqvae":
                lengths = self.tensor("tables.lengths", t)
                self.rule(min(lengths) >= 1 and max(lengths) <= 24, f"lengths {t}")
                self.rule(sum(2.0**-length for length in lengths) == 1, f"lengths {t}")
        ends = {"tables.class_of": tables - 1, "tables.flag_of": tables, "tables.table_of": tables}
        for name in ends.keys() & self.header.keys():
            self.rule(max(self.tensor(name)) < ends[name], name)
        return str(kind)

    def sums_are_exact(self) -> bool:
        """The end of section 8 of predictive.md, and the range of the gains."""
        most, unit = max(map(abs, self.tensor("log_step"))), self.grid()
        for part in ("predict", "restore"):
            hidden, out, bias, quality, gain = (
                f"{part}.{name}" for name in ("hidden", "out", "bias", "quality", "gain")
            )
            stages = range(self.header[hidden]["shape"][0]) if part == "predict" else [-1]
            columns = [c for i in stages for c in self.columns(hidden, i)]
            into, after = (
                255 * max((sum(map(abs, c)) for c in some), default=0)
                for some in (columns, self.columns(out))
            )
            added = (
                abs(b) + abs(q) * most
                for b, q in zip(self.tensor(bias), self.tensor(quality), strict=True)
            )
            if into + max(added, default=0) >= 2**24 or after >= 2**24:
                return False
            if not all(0 <= g <= 4 for g in self.tensor(gain)):
                return False
        return all(
            2**22 * (self.n + 2**28 * sum(map(mul, unit, map(abs, column)))) + 2**37 * abs(c)
            < 2**53
            for column, c in zip(self.synthesis(), self.tensor("center"), strict=True)
        )

    @cache  # noqa: B019
    def synthesis(self) -> list[array[Any]]:
        """The columns of the matrix of section 4 of predictive.md, or of compact.md."""
        if "basis" not in self.header:
            return self.columns("synthesis")
        unit = [2.0**-shift for shift in self.tensor("shift")]
        return [array("f", map(mul, column, unit)) for column in self.columns("basis")]

    def grid(self) -> list[float]:
        """The unit g of each coefficient: section 4 of predictive.md."""
        return [math.ldexp(1, math.frexp(v)[1] - 6) for v in self.tensor("scale")]

    @cache  # noqa: B019
    def whole_synthesis(self) -> list[list[int]]:
        """The columns of V: section 4 of predictive.md."""
        grid = self.grid()
        return [
            [round(v * g * 2**28) for v, g in zip(column, grid, strict=True)]
            for column in self.synthesis()
        ]

    def rule(self, holds: bool, what: str) -> None:
        need(holds, "unknown-profile", f"{self.path}: {what}")

    @cache  # noqa: B019 - profiles live as long as the program
    def tensor(self, name: str, index: int = -1) -> array[Any]:
        """All values of a tensor, its last axis first; or those at one index of its first axis."""
        shape, code = self.header[name]["shape"], TYPES[self.header[name]["dtype"]]
        if index >= 0:
            size = math.prod(shape[1:])
            return self.tensor(name)[index * size : (index + 1) * size]
        first, end = self.header[name]["data_offsets"]
        found = struct.unpack(f"<{math.prod(shape)}{code}", self.values[first:end])
        values = array("f" if code in "efd" else "i" if code in "bi" else "H", found)
        # the sum is NaN if a value is, whatever the greatest and the least are said to be
        finite = not values or (max(values) <= 1e18 and min(values) >= -1e18)
        self.rule(finite and not math.isnan(sum(values)), f"{name} is not finite")
        return values

    @cache  # noqa: B019
    def columns(self, name: str, index: int = -1) -> list[array[Any]]:
        """The columns of a matrix, or of one matrix of a stack."""
        width = self.header[name]["shape"][-1]
        return [self.tensor(name, index)[i::width] for i in range(width)]

    @cache  # noqa: B019
    def left(self, t: int) -> list[int]:
        """left(t, 0), … left(t, K): section 4.3, and section 4.1 of trellis.md."""
        c = accumulate(self.tensor("tables.frequencies", t)[:-1], initial=0)
        return [(v * (2**24 - self.k) >> 16) + s for s, v in enumerate(c)] + [2**24]

    @cache  # noqa: B019
    def codes(self, t: int) -> dict[tuple[int, int], int]:
        """Symbols by the length and the value of their canonical codes: section 4.2."""
        codes, code, before = {}, -1, 0
        for length, s in sorted((v, s) for s, v in enumerate(self.tensor("tables.lengths", t))):
            code = code + 1 << length - before
            codes[length, code], before = s, length
        return codes


@cache
def registered() -> tuple[Profile, ...]:
    """The profiles of registry.json, where the package keeps it or beside the texts."""
    texts = Path(__file__).resolve().parents[1]
    folder = texts.parent / "clipcodec" / "profile" / "shipped"
    folder = folder if folder.is_dir() else texts
    entries = json.loads((folder / "registry.json").read_bytes())["profiles"]
    return tuple(Profile(folder / e["file"], e["id"], e["sha256"]) for e in entries)


# --- stream and header: sections 2, 3 and 5 -------------------------------------------------------


class Stream:
    """A stream that was not rejected: profile, coder, quality, n, header, payload, symbols."""

    def __init__(self, stream: bytes, profiles: Iterable[Profile]) -> None:
        at = 0

        def take(what: str) -> int:
            nonlocal at
            need(at < len(stream), "truncated", f"ends before its {what}")
            at += 1
            return stream[at - 1]

        first = take("first byte")
        need(0x40 <= first <= 0xE3, "unsupported", f"first byte {first:02x}, of no known form")
        short, digest = first >= 0x80, b""
        self.coder, number = (2, 7) if short else (first >> 4 & 3, first & 15)
        need(self.coder < 3, "unsupported", "coder 3")
        need(first != 0x67, "corrupt", "the long form of a header that has a short one")
        if number == 0:
            digest = bytes(take("profile") for _ in range(4))
            found = [p for p in profiles if p.digest.startswith(digest)]
        else:
            if number == 15:
                low = take("profile")
                high = take("profile") if low >= 128 else 0
                need(low < 128 or 1 <= high < 128, "corrupt", "profile not in its shortest form")
                number += low % 128 + high * 128
            found = [p for p in profiles if p.id == number]
        need(bool(found), "unknown-profile", f"profile {digest.hex() or number} is not at hand")
        self.profile = found[0]
        digest = digest and self.profile.digest
        self.profile.open()
        self.quality, self.n, kind = 0, self.profile.n, self.profile.kind
        if kind != "pqvae":
            self.quality = first - 0x7F if short else take("quality")
            largest = self.profile.config["qualities"]
            need(1 <= self.quality <= largest, "corrupt", f"quality {self.quality}")
        if kind == "rotation":
            last = 128
            for place in (1, 128, 128 * 128):
                if last >= 128:
                    last = take("width")
                    self.n += last % 128 * place
            need(0 < last < 128, "corrupt", "width not in its shortest form")
            need(self.n <= 16384, "corrupt", f"width {self.n}")
        need(self.coder == 2 or kind == "pqvae", "corrupt", f"coder {self.coder} of kind {kind}")
        self.header, self.payload, self.symbols = stream[:at], stream[at:], [0] * self.n
        self.bands = self.profile.config.get("bands", [0, self.n])
        read = levels if kind != "pqvae" else (raw, huffman, rans)[self.coder]
        check = read(self)  # fills in the symbols
        if kind == "pqvae":
            packed = pack(self.symbols, (self.profile.k - 1).bit_length())
        else:
            signs = [int(k < 0) for k in self.symbols if k]
            packed = struct.pack(f">{self.n}H", *map(abs, self.symbols)) + pack(signs, 1)
        right = crc_hqx(self.header + digest + packed, 0xFFFF)
        need(check == right, "corrupt", f"check value {check:04x}, not {right:04x}")
        need(kind != "rotation" or any(self.symbols), "corrupt", "levels that are all zero")


# --- payload of kind pqvae: section 4 -------------------------------------------------------------


def pack(symbols: Sequence[int], b: int) -> bytes:
    bits = "".join(format(s, f"0{b}b") for s in symbols)
    bits += "0" * (-len(bits) % 8)
    return int(bits or "0", 2).to_bytes(len(bits) // 8, "big")


def raw(stream: Stream) -> int:
    payload, b = stream.payload, (stream.profile.k - 1).bit_length()
    used = b * stream.n
    size = (used + 7) // 8 + 2
    need(len(payload) >= size, "truncated", f"{len(payload)} bytes of {size}")
    need(len(payload) == size, "corrupt", f"{len(payload)} bytes for {size}")
    bits = "".join(format(byte, "08b") for byte in payload[:-2])
    need("1" not in bits[used:], "corrupt", "padding that is not zero")
    stream.symbols = [int(bits[i : i + b], 2) for i in range(0, used, b)]
    need(max(stream.symbols) < stream.profile.k, "corrupt", "a symbol outside the alphabet")
    return int.from_bytes(payload[-2:], "big")


def huffman(stream: Stream) -> int:
    payload, at = stream.payload, 0
    need(len(payload) >= 2, "truncated", "ends before its check value")
    need(len(payload) <= 3 + 3 * stream.n, "corrupt", "payload too long")
    size = 8 * len(payload) - 16
    bits = "".join(format(byte, "08b") for byte in payload[:-2]) + "0" * (24 * stream.n)
    for i, t in enumerate(stream.profile.tensor("tables.table_of")):
        codes, length, code = stream.profile.codes(t), 0, 0
        while (length, code) not in codes:
            code, length = 2 * code + int(bits[at]), length + 1
            at += 1
        stream.symbols[i] = codes[length, code]
    need(at <= size, "truncated", "ends before its last symbol")
    need(size - at < 8, "corrupt", "bytes after the last symbol")
    need("1" not in bits[at:], "corrupt", "padding that is not zero")
    return int.from_bytes(payload[-2:], "big")


class State:
    """The state of section 4.3 and the words that are left."""

    def __init__(self, payload: bytes, limit: int) -> None:
        need(len(payload) > 0, "truncated", "no payload")
        need(len(payload) <= limit, "corrupt", "payload too long")
        need(payload[-1] > 0, "corrupt", "payload ends in a zero byte")
        payload += bytes(-len(payload) % 4)
        self.x, self.words = 0, list(struct.unpack(f"<{len(payload) // 4}I", payload))
        self.fill()

    def fill(self) -> None:
        while self.x < 2**32 and self.words:
            self.x = self.x << 32 | self.words.pop()

    def take(self, left: int, width: int) -> None:
        self.x = width * (self.x >> 24) + self.x % 2**24 - left
        self.fill()

    def symbol(self, left: list[int]) -> int:
        s = bisect_right(left, self.x % 2**24) - 1
        self.take(left[s], left[s + 1] - left[s])
        return s

    def plain(self, bits: int) -> int:
        """A number of `bits` bits without a table: section 4.1 of trellis.md."""
        width = 2**24 >> bits
        value = self.x % 2**24 // width
        self.take(value * width, width)
        return value

    def rest(self, limit: int) -> int:
        need(not self.words and 1 <= self.x <= limit, "corrupt", f"no state of 1 … {limit} is left")
        return self.x - 1


def rans(stream: Stream) -> int:
    profile, n, k = stream.profile, stream.n, stream.profile.k
    table_of = profile.tensor("tables.table_of")
    highest = [max(profile.tensor("tables.frequencies", t)) for t in table_of]
    flattest = sorted(range(n), key=lambda i: (highest[i], -i))
    seed = flattest[: max(m for m in range(9) if m <= n and k**m <= 256)]
    state = State(stream.payload, 8 + 3 * n)
    for i in sorted(set(range(n)) - set(seed)):
        stream.symbols[i] = state.symbol(profile.left(table_of[i]))
    v = state.rest(2**32 - 1)
    for i in sorted(seed, reverse=True):
        v, stream.symbols[i] = divmod(v, k)
    need(v < 65536, "corrupt", "no check value")
    return v


# --- levels: trellis.md ---------------------------------------------------------------------------

NEXT = ((0, 3, 5, 6, 1, 2, 4, 7), (1, 2, 4, 7, 0, 3, 5, 6))  # by the level's parity


def groups(bands: Sequence[int]) -> list[range]:
    return [range(i, min(i + 16, b)) for a, b in pairwise(bands) for i in range(a, b, 16)]


def levels(stream: Stream) -> int:
    """Section 4 of trellis.md."""
    profile, cut, level = stream.profile, groups(stream.bands), stream.symbols
    class_of = profile.tensor("tables.class_of", stream.quality - 1)
    flag_of = profile.tensor("tables.flag_of", stream.quality - 1)
    if profile.kind == "rotation":  # one column for all coefficients, two for all groups
        class_of, flag_of = class_of * stream.n, flag_of * len(cut)
    state = State(stream.payload, 8 + 6 * len(cut) + 6 * stream.n)
    s, full = 0, 1
    for g, group in enumerate(cut):
        s = 0 if group.start in stream.bands else s
        full = state.symbol(profile.left(flag_of[2 * g + full]))
        need(full <= 1, "corrupt", "a flag that is neither 0 nor 1")
        for i in group:
            if full:
                level[i] = state.symbol(profile.left(class_of[i] + s % 2))
                if level[i] == profile.k - 1:
                    size = state.plain(4)
                    level[i] += 2**size + state.plain(size) - 1
                    need(level[i] <= 32767, "corrupt", "a magnitude above 32767")
            s = NEXT[level[i] % 2][s]
        need(not full or any(level[i] for i in group), "corrupt", "a full group of zeros")
    signed = [i for i, k in enumerate(level) if k]
    signs: list[tuple[int, list[int]]] = []  # 1 for a negative level, the first in the lowest bit
    for j in range(8, len(signed), 16):
        some = signed[j : j + 16]
        signs.append((state.plain(len(some)), some))
    check, value = divmod(state.rest(2**24), 256)
    need(value < 2 ** len(signed), "corrupt", "the sign of no level")
    for bits, some in [*signs, (value, signed[:8])]:
        for j, i in enumerate(some):
            level[i] *= 1 - 2 * (bits >> j & 1)
    return check


def multiples(stream: Stream) -> list[float]:
    """r·step of section 3 of trellis.md, in float32."""
    step, values, s = stream.profile.tensor("steps")[stream.quality - 1], array("f"), 0
    for i, k in enumerate(stream.symbols):
        s = 0 if i in stream.bands else s
        values.append((2 * k - (s % 2) * ((k > 0) - (k < 0))) * step)
        s = NEXT[k % 2][s]
    return values.tolist()


# --- from symbols to an embedding -----------------------------------------------------------------


def times(v: Sequence[float], columns: list[array[Any]]) -> list[float]:
    """The row v times a matrix."""
    return [sum(map(mul, v, column)) for column in columns]


def plus(a: Iterable[float], b: Iterable[float]) -> list[float]:
    return list(map(add, a, b))


def pqvae(stream: Stream) -> list[float]:
    p = stream.profile
    lower = p.columns("synthesis.lower")
    q = [v for symbol in stream.symbols for v in times(p.tensor("codebook", symbol), lower)]
    y = plus(times(q, p.columns("synthesis.linear")), p.tensor("synthesis.bias"))
    for k in range(p.config["blocks"]):
        u = times(y, p.columns("synthesis.hidden", k))
        u = [max(0.0, v) for v in plus(u, p.tensor("synthesis.hidden_bias", k))]
        y = plus(y, times(u, p.columns("synthesis.out", k)))
    scale = p.tensor("scale")[0]
    return plus((v * scale for v in y), p.tensor("center"))


def single(values: Iterable[float]) -> list[float]:
    """Each value rounded to float32."""
    return array("f", values).tolist()


def network(p: Profile, part: str, index: int, y: list[float], quality: int, at: int) -> None:
    """Apply a network of section 4 of predictive.md to y; its columns of `out` begin at `at`."""

    def tensor(name: str) -> array[Any]:
        return p.tensor(f"{part}.{name}", index)

    first = p.config["bands"][index + 1] if index >= 0 else 0
    own = slice(at, at + len(y) - first)
    a = [max(-255, min(255, round(v / g))) for v, g in zip(y, p.grid(), strict=True)]
    t = plus(times(a, p.columns(f"{part}.hidden", index)), tensor("bias"))
    t = plus(t, (p.tensor("log_step")[quality - 1] * v for v in tensor("quality")))
    u = [max(0, min(255, round(v))) for v in single(map(mul, t, tensor("unit")))]
    c = times(u, p.columns(f"{part}.out")[own])
    c = single(map(mul, c, p.tensor(f"{part}.scale")[own]))
    gain = p.tensor(f"{part}.gain", quality - 1)[max(index, 0)]
    y[first:] = single(plus(y[first:], single(gain * v for v in c)))


def staged(stream: Stream) -> list[float]:
    p, values, y, at = stream.profile, multiples(stream), [0.0] * stream.n, 0
    for band, (begin, end) in enumerate(pairwise(stream.bands)):
        y[begin:end] = single(plus(y[begin:end], values[begin:end]))
        if p.config["hidden"] and end < stream.n:
            network(p, "predict", band, y, stream.quality, at)
            at += stream.n - end
    if p.config["restore"]:
        network(p, "restore", -1, y, stream.quality, 0)
    grid = p.grid()
    fine = [v * 2**9 / g for v, g in zip(y, grid, strict=True)]
    shift = max(0, math.frexp(max(map(abs, fine)))[1] - 22)
    whole = [round(v / 2**shift) for v in fine]
    sums = (sum(map(mul, whole, column)) for column in p.whole_synthesis())
    return [
        (z * 2**shift + round(c * 2**37)) / 2**37
        for z, c in zip(sums, p.tensor("center"), strict=True)
    ]


def splitmix(a: int, count: int) -> list[int]:
    """Section "Signs" of rotation.md."""
    found: list[int] = []
    while len(found) < count:
        a = (a + 0x9E3779B97F4A7C15) % 2**64
        z = (a ^ a >> 30) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ z >> 27) * 0x94D049BB133111EB % 2**64
        z ^= z >> 31
        found += [1 - 2 * (z >> j & 1) for j in range(64)]
    return found[:count]


def cosines(v: list[float]) -> list[float]:
    """Σ_k v_k·cos(π·k·(2j + 1)/(2·D)) for all j; an even D is halved first, as Lee found."""
    d = len(v)
    if d % 2:
        cos = [math.cos(math.pi * i / (2 * d)) for i in range(4 * d)]
        return [sum(a * cos[k * (2 * j + 1) % (4 * d)] for k, a in enumerate(v)) for j in range(d)]
    even, odd = cosines(v[::2]), cosines(plus(v[1::2], [0.0, *v[1:-1:2]]))
    odd = [a / (2 * math.cos(math.pi * (2 * j + 1) / (2 * d))) for j, a in enumerate(odd)]
    return plus(even, odd) + plus(reversed(even), (-a for a in reversed(odd)))


def inverse_dct(v: Iterable[float], d: int) -> list[float]:
    first, other = math.sqrt(1 / d), math.sqrt(2 / d)
    return cosines([a * (other if k else first) for k, a in enumerate(v)])


def rotation(stream: Stream) -> list[float]:
    n, seed = stream.n, stream.profile.config["seed"]
    y = inverse_dct((v / math.sqrt(n) for v in multiples(stream)), n)
    y = inverse_dct(map(mul, splitmix(seed + 1, n), y), n)
    return list(map(mul, splitmix(seed, n), y))


def length(x: Sequence[float]) -> float:
    """The norm; its order of additions is that of section 4 of predictive.md."""
    squares = [v * v for v in x]
    while len(squares) > 1:
        half = (len(squares) + 1) // 2
        squares = plus(squares[:half], [*squares[half:], 0.0][:half])
    return math.sqrt(squares[0])


def unit(stream: Stream) -> list[float]:
    synthesise = {"pqvae": pqvae, "rotation": rotation}.get(stream.profile.kind, staged)
    x = array("f", synthesise(stream))
    norm = length(x)
    need(0 < norm < math.inf, "corrupt", f"an embedding of norm {norm}")
    return [v / norm for v in x]


# --- the interface --------------------------------------------------------------------------------


def symbols(stream: bytes, profiles: Iterable[Profile]) -> list[int]:
    """The symbols of a stream, by the profiles at hand: [*registered(), Profile(path)], say."""
    return Stream(stream, profiles).symbols


def embedding(stream: bytes, profiles: Iterable[Profile]) -> list[float]:
    """The embedding of a stream, of unit norm."""
    return unit(Stream(stream, profiles))


def main() -> int:
    parser = argparse.ArgumentParser(description="Decode one clipcodec stream by the text.")
    parser.add_argument("stream", metavar="HEX_OR_FILE", help="a file, or hexadecimal digits")
    parser.add_argument("--profile", metavar="FILE", action="append", default=[], help="private")
    asked = parser.parse_args()
    try:
        is_file = Path(asked.stream).is_file()
        data = Path(asked.stream).read_bytes() if is_file else bytes.fromhex(asked.stream)
        profiles = [*registered(), *map(Profile, asked.profile)]
    except (OSError, ValueError) as error:
        parser.error(str(error))
    try:
        stream = Stream(data, profiles)
        vector = unit(stream)
    except Rejected as error:
        print(error)
        return 1
    print("profile  ", stream.profile.name)
    print("coder    ", CODERS[stream.coder])
    print("quality  ", stream.quality or "none")
    print("symbols  ", *stream.symbols)
    print("embedding", *(f"{v:.6f}" for v in vector))
    return 0


if __name__ == "__main__":
    sys.exit(main())
