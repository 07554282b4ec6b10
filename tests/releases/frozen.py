"""What no release may change: vectors, profile files, and the streams that releases wrote.

`frozen.sha256` lists them with their digests, as `sha256sum -c` reads it. Each release adds what is
new in it (keep.py); no line is changed or removed. Why: formats/README.md.

This file needs the standard library alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LIST = Path("tests/releases/frozen.sha256")
_PATTERNS = (
    "formats/vectors/**/*", "clipcodec/profile/shipped/*.safetensors", "tests/releases/*.json",
)  # fmt: skip


def listed(root: Path = ROOT) -> dict[str, str]:
    """Digest of each frozen file, by its path."""
    lines = (root / LIST).read_text("utf-8").splitlines() if (root / LIST).exists() else []
    return {path: digest for digest, path in (line.split("  ", 1) for line in lines)}


def today(root: Path = ROOT) -> dict[str, str]:
    """The same of the files that are there."""
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(_files(root))
    }


def _files(root: Path) -> Iterator[Path]:
    for pattern in _PATTERNS:
        for path in root.glob(pattern):
            if path.is_file() and path.suffix != ".md":
                yield path


def faults(root: Path = ROOT) -> list[str]:
    """Frozen files that were changed or lost, one line each."""
    there = today(root)
    return [
        f"{path}: {'changed' if path in there else 'lost'}, and a release has it"
        for path, digest in listed(root).items()
        if there.get(path) != digest
    ]


def missing(root: Path = ROOT) -> list[str]:
    """Files of today that no release has frozen yet."""
    return sorted(set(today(root)) - set(listed(root)))


def freeze(root: Path = ROOT) -> int:
    """Add what is new to the list; returns how many files that were."""
    there, new = today(root), missing(root)
    with (root / LIST).open("a", encoding="utf-8", newline="\n") as file:
        file.writelines(f"{there[path]}  {path}\n" for path in new)
    return len(new)
