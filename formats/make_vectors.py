"""Write formats/vectors/1: streams of every registered profile and coder, and streams to reject.

    python formats/make_vectors.py

Run by hand when a profile is registered, never by a test. Existing vectors of registered profiles
must come out unchanged.
"""

from __future__ import annotations

import json
from pathlib import Path

import clipcodec
from clipcodec.bitstream import CODERS
from clipcodec.registry import by_name

FOLDER = Path(__file__).parent / "vectors" / "1"
PER_CODER = 2


def accept() -> list[dict[str, object]]:
    """Streams, their symbols, and the first values of the embedding that each one holds."""
    rows: list[dict[str, object]] = []
    for info in clipcodec.profiles():
        samples = by_name(info.name).statistics.draw(PER_CODER, seed=info.id)
        for coder in CODERS:
            for sample in samples:
                stream = clipcodec.encode_embedding(sample, profile=info.name, entropy=coder)
                symbols = clipcodec.Codec().symbols(stream).tolist()
                head = [round(float(v), 6) for v in clipcodec.decode(stream)[:8]]
                rows.append({"profile": info.name, "entropy": coder, "stream": stream.hex(),
                             "symbols": symbols, "embedding": head})  # fmt: skip
    return rows


def reject(good: list[dict[str, object]]) -> list[dict[str, str]]:
    """Streams that are none: one scenario a row."""
    by_coder = {str(row["entropy"]): bytes.fromhex(str(row["stream"])) for row in good}
    raw, huffman, rans = (by_coder[coder] for coder in CODERS)
    scenarios = [
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
    return [{"comment": c, "expect": e, "stream": s.hex()} for c, e, s in scenarios]


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    good = accept()
    for name, rows in (("accept", good), ("reject", reject(good))):
        text = ",\n".join(json.dumps(row) for row in rows)
        (FOLDER / f"{name}.json").write_text(f"[\n{text}\n]\n", "utf-8")


if __name__ == "__main__":
    main()
