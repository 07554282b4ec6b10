"""Write formats/vectors/1: streams of every registered profile and coder, and streams to reject.

    python formats/make_vectors.py

Run by hand when a profile is registered, never by a test. Existing vectors of registered profiles
must come out unchanged.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import clipcodec
from clipcodec.bitstream import CODERS, VERSION, check_seed, check_value
from clipcodec.entropy.rans import PRECISION, BatchWriter
from clipcodec.profile import Profile
from clipcodec.quantizers.trellis import NEXT
from clipcodec.registry import by_id, by_name

FOLDER = Path(__file__).parent / "vectors" / "1"
PER_CODER = 2
QUALITIES = (1, 20, 50, 80, 100)
MAX_BYTES = 50
WIDTHS = (3, 64, 768)  # of embeddings for a profile that takes any

Row = dict[str, Any]
Scenario = tuple[str, str, bytes]


def accept() -> list[Row]:
    """Streams, their symbols, and the first values of the embedding that each one holds."""
    rows: list[Row] = []
    for info in clipcodec.profiles():
        profile = by_name(info.name)
        for coder in profile.scheme.coders:
            for sample, options in _wanted(profile, info.id):
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", clipcodec.BackboneWarning)
                    stream = clipcodec.encode_embedding(
                        sample, profile=info.name, entropy=coder, **options
                    )
                symbols = clipcodec.Codec().symbols(stream).tolist()
                head = [round(float(v), 6) for v in clipcodec.decode(stream)[:8]]
                row = {"profile": info.name, "entropy": coder, "stream": stream.hex(),
                       "symbols": symbols, "embedding": head}  # fmt: skip
                if profile.scheme.qualities:
                    row["quality"] = clipcodec.info(stream).quality
                rows.append(row)
    return rows


def _wanted(profile: Profile, seed: int) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Embeddings, and what to ask for on encoding each of them."""
    if not profile.scheme.qualities:
        assert profile.statistics is not None
        for sample in profile.statistics.draw(PER_CODER, seed=seed):
            yield sample, {}
        return
    asked: list[dict[str, Any]] = [{"quality": q} for q in QUALITIES]
    asked.append({"max_bytes": MAX_BYTES})
    if profile.statistics is not None:
        yield from zip(profile.statistics.draw(len(asked), seed=seed), asked, strict=True)
        outlier = -profile.statistics.mean  # where no image lies
    else:
        rng = np.random.default_rng(seed)
        for width in WIDTHS:
            yield from zip(rng.standard_normal((len(asked), width)), asked, strict=True)
        # all in one coefficient: its level is escaped
        one = np.eye(1, WIDTHS[1], dtype=np.float32)
        outlier = -profile.scheme.engine(WIDTHS[1]).transform.synthesise(one)[0]
    yield outlier, {"quality": QUALITIES[-1]}


def reject(good: list[Row]) -> list[dict[str, str]]:
    """Streams that are none: one scenario a row."""
    scenarios = _reject_fixed({r["entropy"]: r["stream"] for r in good if "quality" not in r})
    for info in clipcodec.profiles():
        rows = [r for r in good if r["profile"] == info.name and r.get("quality") == QUALITIES[2]]
        if rows:
            stream = bytes.fromhex(rows[-1]["stream"])
            own = _reject_levels(info, stream) + _reject_forms(info.id)
            scenarios += [(f"{info.name}, {comment}", e, s) for comment, e, s in own]
    return [{"comment": c, "expect": e, "stream": s.hex()} for c, e, s in scenarios]


def _reject_fixed(by_coder: dict[str, str]) -> list[Scenario]:
    """Of the header, and of bodies of kind pqvae."""
    raw, huffman, rans = (bytes.fromhex(by_coder[coder]) for coder in CODERS)
    return [
        ("empty", "truncated", b""),
        ("a text", "unsupported", b"\x0ahello"),
        ("a JPEG file", "unsupported", bytes.fromhex("ffd8ffe000104a464946")),
        ("format version 2", "unsupported", bytes([raw[0] ^ 0xC0]) + raw[1:]),
        ("coder 3", "unsupported", bytes([raw[0] | 0x30]) + raw[1:]),
        ("header alone", "truncated", raw[:1]),
        ("profile id cut short", "truncated", b"\x4f"),
        ("profile id not in its shortest form", "corrupt", b"\x4f\x80\x00" + raw[1:]),
        ("profile id 16397, unregistered", "unknown-profile", b"\x4f\xfe\x7f" + raw[1:]),
        ("private profile", "unknown-profile", b"\x40\x00\x00\x00\x00" + raw[1:]),
        ("raw, last byte missing", "truncated", raw[:-1]),
        ("raw, one byte more", "corrupt", raw + b"\0"),
        ("raw, one bit flipped", "corrupt", raw[:9] + bytes([raw[9] ^ 1]) + raw[10:]),
        ("raw, check value changed", "corrupt", raw[:-1] + bytes([raw[-1] ^ 1])),
        ("raw, two bytes swapped", "corrupt", raw[:5] + raw[6:7] + raw[5:6] + raw[7:]),
        ("Huffman, cut in half", "truncated", huffman[: len(huffman) // 2]),
        ("Huffman, one byte more", "corrupt", huffman + b"\0"),
        ("Huffman, no check value", "corrupt", huffman[:-2] + b"\0\0"),
        ("rANS, ends in a zero byte", "corrupt", rans + b"\0"),
        ("rANS, one byte more", "corrupt", rans + b"\1"),
        ("rANS, one bit flipped", "corrupt", rans[:5] + bytes([rans[5] ^ 1]) + rans[6:]),
    ]


def _reject_levels(info: clipcodec.ProfileInfo, good: bytes) -> list[Scenario]:
    """Damage to a stream of levels whose profile has one of the ids 1 … 14."""
    highest = by_id(info.id).scheme.qualities
    scenarios = [
        ("ends before its quality", "truncated", good[:1]),
        ("quality 0", "corrupt", good[:1] + b"\0" + good[2:]),
        (f"quality {highest + 1}", "corrupt", good[:1] + bytes([highest + 1]) + good[2:]),
        ("another quality", "corrupt", good[:1] + bytes([good[1] ^ 1]) + good[2:]),
        ("coder raw", "corrupt", bytes([good[0] & 0xCF]) + good[1:]),
        ("coder Huffman", "corrupt", bytes([good[0] & 0xCF | 0x10]) + good[1:]),
        ("last byte missing", "corrupt", good[:-1]),
        ("cut in half", "corrupt", good[: len(good) // 2]),
        ("ends in a zero byte", "corrupt", good + b"\0"),
        ("one byte more", "corrupt", good + b"\1"),
        ("one bit flipped", "corrupt", good[:9] + bytes([good[9] ^ 1]) + good[10:]),
    ]
    if info.dim is not None:
        return [*scenarios, ("no body", "truncated", good[:2])]
    assert good[2] & 0x80  # a width of two bytes
    low, high, body = good[2:3], good[3], good[4:]
    return [
        *scenarios,
        ("ends before its width", "truncated", good[:2]),
        ("ends inside its width", "truncated", good[:3]),
        ("no body", "truncated", good[:4]),
        ("width 0", "corrupt", good[:2] + b"\0" + body),
        ("another width", "corrupt", good[:2] + bytes([low[0] ^ 1, high]) + body),
        ("width in three bytes for two", "corrupt",
         good[:2] + low + bytes([high | 0x80, 0]) + body),
        ("width in two bytes for one", "corrupt", good[:2] + b"\x83\0" + body),
        ("width 16385", "corrupt", good[:2] + b"\x81\x80\x01" + body),
        ("width in four bytes", "corrupt", good[:2] + low + b"\x80\x80\x01" + body),
    ]  # fmt: skip


def _reject_forms(number: int) -> list[Scenario]:
    """Levels in forms that are never written, with a check value that matches all the same."""
    good = _forged(number, 1, signs=1)
    assert clipcodec.Codec().symbols(good)[0] == -1  # forged well: only the form is wrong below
    scenarios = [
        ("flag 2", "corrupt", _forged(number, 0, flag=2)),
        ("a full group of zeros", "corrupt", _forged(number, 0)),
        ("level 32768", "corrupt", _forged(number, 32768)),
        ("the sign of no level", "corrupt", _forged(number, 1, signs=2)),
        ("check value changed", "corrupt", _forged(number, 1, change=1)),
        ("a seed above 2^24", "corrupt", _forged(number, 1, change=1 << 16)),
    ]
    if by_id(number).dim is None:
        scenarios.append(("no level but zeros", "corrupt", _forged(number, 0, flag=0)))
    return scenarios


def _forged(number: int, level: int, *, flag: int = 1, signs: int = 0, change: int = 0) -> bytes:
    """A stream of one level and zeros, in the first group; its check value, plus `change`."""
    scheme, quality = by_id(number).scheme, QUALITIES[-1]
    size = scheme.dim or WIDTHS[0]
    tables = scheme.engine(size).tables
    classes, flags = tables.class_of[quality - 1], tables.flag_of[quality - 1]
    entries = []  # (left, width) in the order of decoding

    def put(row: int, symbol: int) -> None:
        entries.append((tables.left[row, symbol], tables.width[row, symbol]))

    put(flags[1], flag)
    state, magnitude = 0, level
    for i in range(tables.groups[0][0][1] if flag == 1 else 0):
        put(classes[i] + state % 2, min(magnitude, tables.escape))
        if magnitude >= tables.escape:
            rest = magnitude - tables.escape + 1
            length = rest.bit_length() - 1
            for value, bits in ((length, 4), (rest - (1 << length), length)):
                entries.append((value << PRECISION - bits, 1 << PRECISION - bits))
        state, magnitude = NEXT[state, magnitude % 2], 0
    full = int(flag > 0)
    for group in range(1, sum(map(len, tables.groups))):
        put(flags[2 * group + full], 0)
        full = 0
    first = VERSION << 6 | CODERS.index("rans") << 4 | number
    start: bytes = bytes([first]) + scheme.parameters(quality, size)
    signed = -level if signs & 1 else level
    packed = (signed % (1 << 16)).to_bytes(2, "big") + bytes(2 * size - 2)
    check = check_value(check_seed(start, None), packed)
    writer = BatchWriter(np.array([(check + change << 8) + signs + 1]), len(entries))
    for left, width in reversed(entries):
        writer.push(np.array([left]), np.array([width]))
    return start + writer.bodies()[0]


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    good = accept()
    for name, rows in (("accept", good), ("reject", reject(good))):
        text = ",\n".join(json.dumps(row) for row in rows)
        (FOLDER / f"{name}.json").write_text(f"[\n{text}\n]\n", "utf-8")


if __name__ == "__main__":
    main()
