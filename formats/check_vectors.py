"""Check the installed clipcodec against formats/vectors/1. Needs what decoding needs, no more.

    python formats/check_vectors.py

Exit 1 and one line for each vector that is not met.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

import clipcodec

FOLDER = Path(__file__).parent / "vectors" / "1"
CLASSES = {
    "truncated": clipcodec.TruncatedError,
    "unsupported": clipcodec.UnsupportedError,
    "unknown-profile": clipcodec.UnknownProfileError,
    "corrupt": clipcodec.CorruptError,
}


def failures() -> list[str]:
    """One line for each vector that the package does not meet."""
    lines = []
    for row in json.loads((FOLDER / "accept.json").read_text("utf-8")):
        stream = bytes.fromhex(row["stream"])
        found = clipcodec.info(stream)
        said = (row["profile"], row["entropy"], row.get("quality"))
        if (found.profile, found.entropy, found.quality) != said:
            lines.append(
                f"{row['stream']}: {found.profile}, {found.entropy}, quality {found.quality}"
            )
        if clipcodec.Codec().symbols(stream).tolist() != row["symbols"]:
            lines.append(f"{row['stream']}: other symbols")
        if not np.allclose(clipcodec.decode(stream)[:8], row["embedding"], atol=1e-5):
            lines.append(f"{row['stream']}: another embedding")
    for row in json.loads((FOLDER / "reject.json").read_text("utf-8")):
        try:
            clipcodec.decode(bytes.fromhex(row["stream"]))
            lines.append(f"{row['comment']}: decoded")
        except clipcodec.DecodeError as error:
            if type(error) is not CLASSES[row["expect"]]:
                lines.append(f"{row['comment']}: {type(error).__name__}, not {row['expect']}")
    return lines


if __name__ == "__main__":
    bad = failures()
    print("\n".join(bad) or "all vectors are met")
    sys.exit(1 if bad else 0)
