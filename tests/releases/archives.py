"""What the wheel and the source archive of a release must hold, and what they must not.

This file needs the standard library alone.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import stat
import tarfile
import zipfile
from collections.abc import Sequence
from email.parser import BytesParser
from pathlib import Path

MOST_BYTES = 40 << 20  # of a wheel
# of the checkout, but of no use in a source archive
_LEFT_OUT = (".github/",)


def wheel_faults(path: Path, version: str, tracked: Sequence[str]) -> list[str]:
    """What is wrong with a wheel: it holds the package's files and metadata, and nothing else."""
    info = f"clipcodec-{version}.dist-info"
    with zipfile.ZipFile(path) as file:
        content = {name: file.read(name) for name in file.namelist()}
        modes = {i.filename: i.external_attr >> 16 for i in file.infolist()}
    wanted = {name for name in tracked if name.startswith("clipcodec/")}
    wanted |= {f"{info}/{name}" for name in
               ("METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE")}  # fmt: skip
    found = _differ(path, set(content), wanted)
    for needed in ("clipcodec/py.typed", "clipcodec/profile/shipped/registry.json"):
        if needed not in content:
            found.append(f"{path.name}: {needed} is not in it")
    recorded = csv.reader(io.StringIO(content.get(f"{info}/RECORD", b"").decode()))
    for name, digest, *_ in recorded:
        if digest and digest != _urlsafe(content.get(name, b"")):
            found.append(f"{path.name}: RECORD has another digest of {name}")
    metadata = BytesParser().parsebytes(content.get(f"{info}/METADATA", b""))
    if (metadata["Name"], metadata["Version"]) != ("clipcodec", version):
        found.append(f"{path.name}: it says {metadata['Name']} {metadata['Version']}")
    if metadata["License-Expression"] != "Apache-2.0":
        found.append(f"{path.name}: its licence is {metadata['License-Expression']}")
    found += [f"{path.name}: {name} has mode {mode:o}" for name, mode in modes.items()
              if stat.S_IMODE(mode) not in (0o644, 0o755, 0o664)]  # fmt: skip
    if path.stat().st_size > MOST_BYTES:
        found.append(f"{path.name}: {path.stat().st_size:,} bytes, more than {MOST_BYTES:,}")
    return found


def source_faults(path: Path, version: str, tracked: Sequence[str]) -> list[str]:
    """What is wrong with a source archive: it holds the checkout, to build and to test it."""
    head = f"clipcodec-{version}/"
    with tarfile.open(path) as file:
        members = file.getmembers()
    found = [f"{path.name}: {m.name} lies outside" for m in members if not m.name.startswith(head)]
    found += [f"{path.name}: {m.name} belongs to {m.uname or m.uid}" for m in members
              if m.uid or m.gid or m.uname or m.gname]  # fmt: skip
    names = {member.name.removeprefix(head) for member in members if not member.isdir()}
    wanted = {name for name in tracked if not name.startswith(_LEFT_OUT)}
    return found + _differ(path, names, wanted | {"PKG-INFO"})


def _differ(path: Path, names: set[str], wanted: set[str]) -> list[str]:
    missing = [f"{path.name}: {name} is missing" for name in sorted(wanted - names)]
    return missing + [f"{path.name}: {n} does not belong into it" for n in sorted(names - wanted)]


def _urlsafe(data: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
    return f"sha256={digest}"
