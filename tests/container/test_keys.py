"""clipcodec.container.keys: what chooses items says in one way that there is no such item."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import clipcodec
from clipcodec import InputError, UnknownItemError
from clipcodec.container import filter_items


@pytest.mark.parametrize("key", ["none", 7, -7])
def test_an_unknown_item_is_caught_as_of_a_mapping_and_of_a_list(tmp_path: Path, key: Any) -> None:
    """Wherever items are chosen: by keys, take, search, filter_items and delete."""
    path = tmp_path / "a.clpc"
    with clipcodec.create(path) as writer:
        streams = clipcodec.encode_embeddings(np.eye(3, 512, dtype=np.float32), quality=10)
        writer.extend(streams, ids=["a", "b", "c"])
    photos, query = clipcodec.open(path), np.ones(512)
    index = clipcodec.SearchIndex(photos)
    given: dict[str, Any] = {"ids": [key]} if isinstance(key, str) else {"where": [key]}
    calls: list[Callable[[], object]] = [
        lambda: photos[key],
        lambda: photos[[0, key]],
        lambda: photos.item(key),
        lambda: photos.decode(key),
        lambda: photos.take([0, key]),
        lambda: photos.decode_many([0, key]),
        lambda: clipcodec.search(photos, query, **given),
        lambda: clipcodec.search([photos, photos], query, **given),
        lambda: index.search(query, **given),
        lambda: filter_items(path, tmp_path / "b.clpc", **given),
        lambda: writer.delete([0, key]),
    ]
    with clipcodec.create(path, "a") as writer:
        for call in calls:
            for kind in (KeyError, IndexError, InputError, UnknownItemError):
                with pytest.raises(kind, match="no item"):
                    call()
    assert len(clipcodec.open(path)) == 3
