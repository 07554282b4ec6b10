"""The bytes of an index: a table that somebody made wrong is damage."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clipcodec import SearchIndex
from clipcodec.errors import CorruptError
from clipcodec.profile.file import Profile
from clipcodec.retrieval import layout

from .stores import opened


@pytest.mark.parametrize(
    "change",
    [{"rows": float("inf")}, {"rows": "300"}, {"rows": -300}, {"blocks": 10**30}, {"blocks": -1},
     {"gone": -1}, {"name": 5}, {"name": "[" * 100_000}],
)  # fmt: skip
def test_a_table_that_somebody_made_wrong_is_noticed(
    photos_path: Path, rates: Profile, tmp_path: Path, change: dict[str, Any]
) -> None:
    """With check values that fit."""
    content = SearchIndex(opened(photos_path, rates))._content
    kept = layout.Table(np.empty(0, layout.PART), content.made, content.profiles).to_bytes()
    assert layout.unpack_table(kept).made[0].equals(content.made[0])
    size = int.from_bytes(kept[4:8], "little")
    known = json.loads(kept[8 : 8 + size])
    known["sources"][0].update(change)
    text = json.dumps(known).replace(f'"{"[" * 100_000}"', "[" * 100_000).encode()
    table = kept[:4] + len(text).to_bytes(4, "little") + text + kept[8 + size :]
    with pytest.raises(CorruptError, match="its table is not as one is written"):
        layout.unpack_table(table)
