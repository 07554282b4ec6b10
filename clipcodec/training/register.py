"""Add trained profile files to the registry (for maintainers; see formats/README.md).

    python -m clipcodec.training.register FILE ID [FILE ID …]

Copies each file beside the registry and writes its row. An id or a name that belongs to another
profile is refused. A profile may be replaced under its own id and name until it is released.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from ..profile.file import read_profile
from ..system.files import write_atomic

FOLDER = Path(__file__).resolve().parents[1] / "profile" / "shipped"


def register(path: Path, number: int, folder: Path = FOLDER) -> dict[str, Any]:
    """Register one profile file under the id `number`; returns its row of the registry.

    Exits with a message if the id or the name belongs to another profile.
    """
    profile = read_profile(path)
    registry = folder / "registry.json"
    content = json.loads(registry.read_text("utf-8"))
    for row in content["profiles"]:
        if (row["id"] == number) != (row["name"] == profile.name):
            sys.exit(f"id {row['id']} belongs to {row['name']}: ids and names are never reused")
    row = {
        "name": profile.name,
        "id": number,
        "kind": profile.kind.name,
        "backbone": profile.backbone,
        "dim": profile.dim,
        "bits": None if profile.qualities else profile.kind.bits,
        "sha256": profile.digest.hex(),
        "file": profile.name.replace("/", ".") + ".safetensors",
    }
    others = [other for other in content["profiles"] if other["id"] != number]
    content["profiles"] = sorted([*others, row], key=lambda r: int(r["id"]))
    write_atomic(folder / str(row["file"]), path.read_bytes(), overwrite=True)
    write_atomic(registry, (json.dumps(content, indent=2) + "\n").encode(), overwrite=True)
    return row


if __name__ == "__main__":
    arguments = sys.argv[1:]
    if not arguments or len(arguments) % 2:
        sys.exit(__doc__)
    for file, number in zip(arguments[::2], arguments[1::2], strict=True):
        print(json.dumps(register(Path(file), int(number))))
