"""clipcodec.container.filter_items: the items that are chosen, as they were; all or nothing."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import clipcodec
from clipcodec import (
    CorruptError,
    InputError,
    Item,
    OptionError,
    OutputExistsError,
    UnknownItemError,
)
from clipcodec.container import filter_items
from tests.helpers.profiles import drawn, write_tiny_profile

STREAMS = [bytes([0x69, i, 0]) for i in range(7)]
IDS = ["a.jpg", "b/c.jpg", None, "b/c.jpg", "d.png", "e", "f.JPG"]
META = {"clipcodec": {"q": 1}, "k": [2]}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: a.clpc, of seven items in blocks of two."""
    monkeypatch.chdir(tmp_path)
    with clipcodec.create("a.clpc", metadata=META, block_items=2) as writer:
        writer.extend(STREAMS, IDS)
    return tmp_path


def kept(**how: Any) -> list[int]:
    """The numbers of the items that are kept, which are what they were."""
    done = filter_items("a.clpc", "out.clpc", overwrite=True, **how)
    with clipcodec.open("out.clpc") as container:
        items = list(container.items())
        assert container.metadata == META
    numbers = [STREAMS.index(stream) for stream, _ in items]
    assert items == [Item(STREAMS[i], IDS[i]) for i in numbers]
    assert (done.items, done.left_out) == (len(items), 7 - len(items))
    assert done.bytes == os.path.getsize("out.clpc")
    return numbers


def even(item: Item) -> object:
    return np.bool_(item.stream[1] % 2 == 0)


@pytest.mark.parametrize(
    ("how", "numbers"),
    [
        ({"ids": ["e", "a.jpg"]}, [0, 5]),
        ({"ids": "b/c.jpg"}, [1, 3]),
        ({"ids": np.array(["e", "a.jpg", "e"])}, [0, 5]),
        ({"ids": iter(["b/c.jpg"])}, [1, 3]),
        ({"where": even}, [0, 2, 4, 6]),
        ({"where": [True] * 2 + [False] * 5}, [0, 1]),
        ({"where": np.arange(7) > 4}, [5, 6]),
        ({"where": [6, 0, -1]}, [0, 6]),
        ({"where": range(2, 4)}, [2, 3]),
        ({"where": slice(None, None, 3)}, [0, 3, 6]),
        ({"where": []}, []),
        ({"ids": ["b/c.jpg", "d.png"], "where": even}, [4]),
        ({"match": "*.jpg"}, [0, 1, 3]),
        ({"match": ["?", "d*"]}, [4, 5]),
        ({"match": "b*g"}, [1, 3]),
        ({"match": "[ad].*"}, [0, 4]),
        ({"not_match": ["*.jpg", "e"]}, [2, 4, 6]),
        ({"match": "*.*", "not_match": "b/*", "where": even}, [0, 4, 6]),
    ],
)
def test_what_is_kept(here: Path, how: dict[str, Any], numbers: list[int]) -> None:
    """In the order of the container, whatever the order of ids and positions."""
    assert kept(**how) == numbers


def test_by_the_name_of_the_profile(here: Path) -> None:
    first = clipcodec.encode_embeddings(drawn(1), quality=30)
    other = clipcodec.encode_embeddings(drawn(2), profile="any/rotation", quality=30)
    with clipcodec.create("b.clpc") as writer:
        writer.extend([*first, *other])
    filter_items("b.clpc", "out.clpc", profile_name="any/rotation")
    assert clipcodec.open("out.clpc")[:] == other
    with pytest.raises(InputError, match="of profile none; there are: openai-vit-b-32/predictive"):
        filter_items("b.clpc", "none.clpc", profile_name="none")


@pytest.mark.parametrize(
    ("how", "error", "words"),
    [
        ({}, OptionError, "nothing to choose by"),
        ({"ids": ["e", "x.jpg"]}, UnknownItemError, "a.clpc: no item has the id 'x.jpg'"),
        ({"ids": ["a.jp"]}, UnknownItemError, "did you mean 'a.jpg'"),
        ({"ids": [str(i) for i in range(9)]}, UnknownItemError, "'0', '1', '2' and 6 more"),
        ({"ids": b"e"}, OptionError, "expected the ids of items"),
        ({"ids": 5}, OptionError, "expected the ids of items"),
        ({"ids": "none"}, UnknownItemError, "a.clpc: no item has the id 'none'"),
        ({"ids": [5]}, OptionError, "5 is no id: expected texts"),
        ({"where": [True]}, OptionError, "1 booleans for 7 items"),
        ({"where": [7]}, UnknownItemError, "no item 7: there are 7, counted from 0"),
        ({"where": 2.5}, OptionError, "float is no key"),
        (
            {"match": ["*.jpg", "*.gif", "x"]},
            InputError,
            r"no id in a.clpc matches '\*.gif' or 'x'",
        ),
    ],
)
def test_what_cannot_be_chosen(
    here: Path, how: dict[str, Any], error: type[Exception], words: str
) -> None:
    """Nothing is written, and what is there stays."""
    Path("out.clpc").write_bytes(b"old")
    with pytest.raises(error, match=words):
        filter_items("a.clpc", "out.clpc", overwrite=True, **how)
    assert Path("out.clpc").read_bytes() == b"old"
    assert sorted(os.listdir()) == ["a.clpc", "out.clpc"]


def test_outputs(here: Path) -> None:
    with pytest.raises(OptionError, match="is an input"):
        filter_items("a.clpc", "a.clpc", where=[0], overwrite=True)
    with clipcodec.open("a.clpc") as container, pytest.raises(OptionError, match="is an input"):
        filter_items(container, os.path.abspath("a.clpc"), where=[0], overwrite=True)
    file = io.BytesIO()
    done = filter_items("a.clpc", file, where=[2])
    assert len(file.getvalue()) == done.bytes
    assert clipcodec.open(file)[:] == STREAMS[2:3]
    filter_items("a.clpc", "out.clpc", where=[2])
    with pytest.raises(OutputExistsError):
        filter_items("a.clpc", "out.clpc", where=[2])


def test_a_function_that_fails_leaves_nothing(here: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        filter_items("a.clpc", "out.clpc", where=lambda item: 1 // 0)
    assert os.listdir() == ["a.clpc"]


def test_of_a_damaged_container_nothing_or_what_is_good(here: Path) -> None:
    data = bytearray(Path("a.clpc").read_bytes())
    data[data.index(b"DATA", data.index(b"DATA") + 1) + 20] ^= 1
    Path("a.clpc").write_bytes(data)
    with pytest.raises(CorruptError):
        filter_items("a.clpc", "out.clpc", not_match="e")
    assert os.listdir() == ["a.clpc"]
    done = filter_items("a.clpc", "out.clpc", not_match="e", partial=True)
    assert clipcodec.open("out.clpc").ids == ["a.jpg", "b/c.jpg", "d.png", "f.JPG"]
    assert len(done.damaged) == 1
    assert "items 2 to 3" in done.damaged[0]


def test_the_profile_goes_along(here: Path) -> None:
    profile = write_tiny_profile(here / "p.safetensors")
    rows = np.random.default_rng(0).normal(size=(3, 8))
    with clipcodec.create("own.clpc", profile=profile) as writer:
        writer.extend(clipcodec.encode_embeddings(rows, profile=profile))
    filter_items("own.clpc", "out.clpc", where=[2])
    with clipcodec.open("own.clpc") as own, clipcodec.open("out.clpc") as out:
        assert (out.decode(0) == own.decode(2)).all()
        assert out.embedded() == own.embedded()
