"""Items that are deleted: container/deletions.py, marking.py, compacting.py, and all readers."""

from __future__ import annotations

import io
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import clipcodec
from clipcodec import (
    CorruptError,
    Item,
    LockedError,
    OptionError,
    UnknownItemError,
    UnsupportedError,
)
from clipcodec.container import compact, layout, locking, marking, merge
from clipcodec.container import writer as writer_module
from clipcodec.container.blocks import streams_of
from clipcodec.container.deletions import Deletions, Places, pack_deletions, unpack_deletions
from formats.reference import container as reference


def named(count: int, first: int = 0) -> list[Item]:
    numbers = range(first, first + count)
    return [Item(bytes([0x69, i % 256, i // 256]) * 9, f"{i}.jpg") for i in numbers]


def made(path: Path, items: list[Item], block_items: int = 4, **options: Any) -> Path:
    with clipcodec.create(path, "w", block_items=block_items, **options) as writer:
        writer.extend(items)
    return path


def deleted(path: Path, keys: Any) -> Path:
    with clipcodec.create(path, "a", block_items=4) as writer:
        writer.delete(keys)
    return path


def read(path: Path) -> list[Item]:
    """What every reader finds; all must agree."""
    with clipcodec.open(path) as container:
        items = list(container.items())
        assert list(container) == [stream for stream, _ in items]
        assert container.ids == [id for _, id in items]
        assert len(container) == len(items)
        assert [container.item(i) for i in range(len(items))] == items
        assert container.take(range(len(items))) == items
        assert [item for _, some in container.blocks() for item in some] == items
        pieces = [streams_of(piece) for _, piece in container._blocks.pieces(3)]
        assert [s for part in pieces for s in part] == [s for s, _ in items]
    assert [Item(*item) for item in reference.read(io.BytesIO(path.read_bytes()))[1]] == items
    return items


ITEMS = named(20)


@pytest.mark.parametrize(
    ("keys", "gone"),
    [
        ("7.jpg", {7}),
        (7, {7}),
        (-1, {19}),
        (["0.jpg", "19.jpg"], {0, 19}),
        ([3, "4.jpg", -1], {3, 4, 19}),
        (slice(3, 9), {*range(3, 9)}),
        (range(0, 20, 3), {*range(0, 20, 3)}),
        (np.arange(20) % 2 == 0, {*range(0, 20, 2)}),
        (np.array([5, 5, 6]), {5, 6}),
        (np.int64(5), {5}),
        (slice(None), {*range(20)}),
        ([], set()),
        (iter(["1.jpg"]), {1}),
    ],
)
def test_items_that_are_deleted_are_not_found_any_more(
    tmp_path: Path, keys: Any, gone: set[int]
) -> None:
    path = made(tmp_path / "a.clpc", ITEMS)
    with clipcodec.create(path, "a") as writer:
        assert writer.delete(keys) == len(gone)
        assert len(writer) == 20 - len(gone)
    assert read(path) == [item for i, item in enumerate(ITEMS) if i not in gone]
    with clipcodec.open(path) as container:
        assert container.deleted == len(gone)
        for i in gone:
            assert f"{i}.jpg" not in container


def test_nothing_is_written_where_nothing_is_deleted(tmp_path: Path) -> None:
    path = made(tmp_path / "a.clpc", ITEMS)
    before = path.read_bytes()
    assert deleted(path, []).read_bytes() == before


def test_positions_count_what_is_there(tmp_path: Path) -> None:
    """Also after several deletions, and among items that wait to be written."""
    path = made(tmp_path / "a.clpc", ITEMS)
    expected = [*ITEMS]
    with clipcodec.create(path, "a", block_items=4) as writer:
        for more, at in ((named(3, 20), 0), (named(2, 23), 5), ([], -1), (named(9, 25), -1)):
            writer.extend(more)
            expected += more
            writer.delete(at)
            del expected[at]
        assert len(writer) == len(expected)
    assert read(path) == expected
    expected = expected[2:]
    assert read(deleted(path, [0, 1])) == expected


@given(st.lists(st.tuples(st.integers(0, 5), st.lists(st.integers(0, 99), max_size=4)), max_size=6),
       st.integers(1, 5))  # fmt: skip
def test_any_order_of_appends_and_deletions(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, list[int]]], size: int
) -> None:
    path = tmp_path_factory.mktemp("any") / "a.clpc"
    made(path, [], size)
    expected: list[Item] = []
    for number, (count, chosen) in enumerate(steps):
        with clipcodec.create(path, "a", block_items=size) as writer:
            more = named(count, len(expected) + 100 * number)
            writer.extend(more)
            expected += more
            places = [i % len(expected) for i in chosen] if expected else []
            assert writer.delete(places) == len({*places})
            expected = [item for i, item in enumerate(expected) if i not in places]
        assert read(path) == expected
    with clipcodec.create(path, "a") as writer:
        assert len(writer) == len(expected)
    compact(path)
    assert read(path) == expected


def test_an_id_means_all_items_that_have_it(tmp_path: Path) -> None:
    path = made(tmp_path / "a.clpc", [*ITEMS[:6], Item(b"i1234", "1.jpg"), Item(b"i123", None)])
    expected = [item for item in ITEMS[:6] if item.id != "1.jpg"]
    assert read(deleted(path, "1.jpg")) == [*expected, Item(b"i123", None)]


@pytest.mark.parametrize(
    ("keys", "error", "words"),
    [
        ("none.jpg", UnknownItemError, "no item has the id 'none.jpg'"),
        (["1.jpg", "x", "y", "z"], UnknownItemError, "no items have the ids 'x', 'y', 'z'"),
        ([1, 20], UnknownItemError, "no item 20: there are 20, counted"),
        ([True, False], OptionError, "2 booleans for 20 items"),
        ([1, 1.5], OptionError, "float is no key"),
        (None, OptionError, "NoneType is no key"),
        (b"3.jpg", OptionError, "bytes is no key of an item: an id is text"),
        (bytearray(b"\0"), OptionError, "bytearray is no key"),
    ],
)
def test_keys_that_mean_no_item_delete_none(
    tmp_path: Path, keys: Any, error: type[Exception], words: str
) -> None:
    path = made(tmp_path / "a.clpc", ITEMS)
    before = path.read_bytes()
    with clipcodec.create(path, "a") as writer:
        with pytest.raises(error, match=words):
            writer.delete(keys)
        assert len(writer) == 20
    assert path.read_bytes() == before


def test_what_is_deleted_stays_deleted(tmp_path: Path) -> None:
    path = deleted(made(tmp_path / "a.clpc", ITEMS), "3.jpg")
    with clipcodec.create(path, "a") as writer, pytest.raises(KeyError):
        writer.delete("3.jpg")


def test_an_update_takes_the_place_of_the_old_item(tmp_path: Path) -> None:
    path = made(tmp_path / "a.clpc", ITEMS)
    new = Item(b"inew", "3.jpg")
    with clipcodec.create(path, "a") as writer:
        assert writer.update(Item(b"iother", "3.jpg")) is True
        assert writer.update(*new) is True  # the one before waits to be written
        assert writer.update(b"ifresh", "fresh.jpg") is False
        assert len(writer) == 21
    assert read(path) == [*ITEMS[:3], *ITEMS[4:], new, Item(b"ifresh", "fresh.jpg")]
    with clipcodec.create(path, "a") as writer:
        for bad in (Item(b"ix", None), b"ix"):
            with pytest.raises(OptionError, match="give an id"):
                writer.update(bad)
        with pytest.raises(OptionError, match="id 5 is int"):
            writer.update(b"ix", 5)  # type: ignore[arg-type]
        with pytest.raises(clipcodec.DecodeError):
            writer.update(b"", "3.jpg")
        assert len(writer) == 21


def test_a_crash_between_an_update_and_what_deletes_the_old_item_loses_neither(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At any byte of the file: the id finds the old stream or the new one."""
    path = made(tmp_path / "a.clpc", ITEMS[:6])
    start = path.stat().st_size
    with clipcodec.create(path, "a") as writer:
        writer.update(b"inew", "1.jpg")
    whole = path.read_bytes()
    for end in range(start - 60, len(whole)):
        path.write_bytes(whole[:end])
        with clipcodec.create(path, "a") as writer:
            assert len(writer) >= 4
        with clipcodec.open(path) as container:
            if "1.jpg" in container:
                assert container["1.jpg"] in (ITEMS[1].stream, b"inew")
            ids = [id for id in container.ids if id != "1.jpg"]
            assert ids == [id for _, id in ITEMS[:6] if id != "1.jpg"][: len(ids)]


@pytest.mark.parametrize("change", ["delete", "append", "update"])
def test_a_write_that_stops_at_any_byte_loses_nothing(
    tmp_path: Path, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where it takes the place of the index, whose end is still there then."""
    path = deleted(made(tmp_path / "a.clpc", ITEMS), [1])
    before, there, writes = path.read_bytes(), read(path), list[tuple[int, bytes]]()
    write = locking._Locked.write

    def noted(file: Any, data: Any) -> int:
        writes.append((file.tell(), bytes(data)))
        return write(file, data)

    with monkeypatch.context() as patch, clipcodec.create(path, "a") as writer:
        patch.setattr(locking._Locked, "write", noted)
        if change != "append":
            writer.delete(["3.jpg", "9.jpg", "17.jpg"])
        if change != "delete":
            writer.update(b"inew", "12.jpg")
        writer.flush()
    after, data = read(path), bytearray(before)
    kept = [item for item in there if item in after]
    for at, new in writes:
        for end in range(len(new)):
            torn = data.copy()
            torn[at : at + end] = new[:end]
            path.write_bytes(torn)
            with clipcodec.create(path, "a") as writer:
                writer.append(b"imore")
            found = read(path)
            assert found.pop() == Item(b"imore", None)
            assert [item for item in found if item in kept] == kept
            assert all(item in there or item in after for item in found)
        data[at : at + len(new)] = new
    path.write_bytes(data)
    assert read(path) == after


def test_deletions_of_more_items_than_a_block_can_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = named(40)
    path = made(tmp_path / "a.clpc", items)
    monkeypatch.setattr(layout, "MAX_BODY", 200)  # sixteen runs
    with clipcodec.create(path, "a") as writer:
        writer.delete(range(0, 40, 2))
        writer.append(*items[0])
    assert read(path) == [*items[1::2], items[0]]
    assert [kind for kind, _, _ in blocks(path.read_bytes())].count(b"GONE") == 2


def test_positions_need_no_ids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So nothing is read for them, however large the container is."""
    path = made(tmp_path / "a.clpc", ITEMS)
    monkeypatch.delattr(writer_module, "named_items")
    for keys in ([0], np.array([0, 1]), range(2), iter([0]), slice(0, 1), np.arange(13) < 2):
        with clipcodec.create(path, "a") as writer:
            writer.delete(keys)
    assert read(path) == ITEMS[9:]


def test_deleting_one_by_one_orders_nothing_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By id; by position what is noted is ordered once, with what is new."""
    path = made(tmp_path / "a.clpc", named(300), block_items=64)
    sizes = list[int]()
    ordered = marking._sorted

    def noted(some: set[int]) -> Any:
        sizes.append(len(some))
        return ordered(some)

    monkeypatch.setattr(marking, "_sorted", noted)
    with clipcodec.create(path, "a") as writer:
        for i in range(100):
            writer.delete(f"{i}.jpg")
        assert sizes == []
        for _ in range(50):
            writer.delete(0)
        assert sizes == [100, *[1] * 49]
    assert read(path) == named(150, 150)


def test_a_pipe_cannot_be_deleted_from() -> None:
    with clipcodec.create(io.BytesIO()) as writer:
        writer.extend(ITEMS)
        with pytest.raises(OptionError, match="has a path, not in a pipe"):
            writer.delete(0)
        with pytest.raises(OptionError, match="has a path"):
            writer.update(b"ix", "a")


def test_a_new_container_may_delete_too(tmp_path: Path) -> None:
    with clipcodec.create(tmp_path / "a.clpc", block_items=4) as writer:
        writer.extend(ITEMS[:7])
        writer.delete(["0.jpg", "6.jpg"])
    assert read(tmp_path / "a.clpc") == ITEMS[1:6]


def test_an_error_that_ends_the_block_keeps_what_was_deleted_until_then(tmp_path: Path) -> None:
    path = made(tmp_path / "a.clpc", ITEMS)
    with pytest.raises(KeyError), clipcodec.create(path, "a") as writer:
        writer.delete(writer.delete("0.jpg") * ["no such"])
    assert read(path) == ITEMS[1:]


def test_a_reader_keeps_seeing_what_it_has_opened(tmp_path: Path) -> None:
    """Also a copy of it in another process, by its path."""
    path = made(tmp_path / "a.clpc", ITEMS)
    with clipcodec.open(path) as container:
        deleted(path, slice(0, 5))
        assert list(container.items()) == ITEMS
        assert list(pickle.loads(pickle.dumps(container)).items()) == ITEMS


def test_a_pipe_says_that_items_it_gave_are_deleted(tmp_path: Path) -> None:
    path = deleted(made(tmp_path / "a.clpc", ITEMS), 3)
    items: list[Item] = []
    with open(path, "rb") as pipe, pytest.raises(UnsupportedError, match="deleted further on"):
        items.extend(clipcodec.read_items(pipe))
    assert items == ITEMS


def test_merge_leaves_deleted_items_out(tmp_path: Path) -> None:
    path = deleted(made(tmp_path / "a.clpc", ITEMS), slice(0, 18))
    assert merge([path, path], tmp_path / "b.clpc").inputs == {str(path): 4}
    assert read(tmp_path / "b.clpc") == ITEMS[18:] * 2


# compact


def test_compact_makes_the_file_that_would_have_been_written_without_them(tmp_path: Path) -> None:
    options: dict[str, Any] = {"metadata": {"a": 1}}
    path = deleted(made(tmp_path / "a.clpc", ITEMS, **options), slice(2, 15))
    before = path.stat().st_size
    done = compact(path, block_items=4)
    plain = made(tmp_path / "b.clpc", ITEMS[:2] + ITEMS[15:], **options)
    assert path.read_bytes() == plain.read_bytes()
    assert (done.items, done.deleted) == (7, 13)
    assert (done.before, done.bytes) == (before, path.stat().st_size)
    assert sorted(os.listdir(tmp_path)) == ["a.clpc", "b.clpc"]


def test_compact_takes_a_path_alone(tmp_path: Path) -> None:
    path = made(tmp_path / "a.clpc", ITEMS)
    with clipcodec.open(path) as opened, pytest.raises(OptionError, match="give its path"):
        compact(opened)  # type: ignore[arg-type]


def test_compact_is_refused_while_another_writes(tmp_path: Path) -> None:
    path = deleted(made(tmp_path / "a.clpc", ITEMS), 0)
    with clipcodec.create(path, "a"), pytest.raises(LockedError):
        compact(path)
    with pytest.raises(FileNotFoundError):
        compact(tmp_path / "none.clpc")
    assert os.listdir(tmp_path) == ["a.clpc"]


def test_compact_leaves_a_damaged_container_as_it_is(tmp_path: Path) -> None:
    path = deleted(made(tmp_path / "a.clpc", ITEMS), 0)
    data = bytearray(path.read_bytes())
    data[60] ^= 1
    path.write_bytes(data)
    with pytest.raises(CorruptError):
        compact(path)
    assert path.read_bytes() == data
    assert os.listdir(tmp_path) == ["a.clpc"]


# the block


def blocks(data: bytes) -> list[tuple[bytes, int, int]]:
    """Kind of each block of a whole container, and where it begins and ends."""
    found, at = [], len(layout.OPENING)
    while at < len(data):
        head = layout.parse_head(data[at:])
        found.append((head.kind, at, at + head.whole))
        at += head.whole
    return found


def test_the_bytes_of_deletions(tmp_path: Path) -> None:
    """A run in each block: how far back it begins, the first and the last item."""
    path = deleted(made(tmp_path / "a.clpc", ITEMS[:8]), [1, 3, 4, 5])
    data = path.read_bytes()
    kinds = blocks(data)
    assert [kind for kind, _, _ in kinds] == [b"DATA", b"DATA", b"GONE", b"indx"]
    (_, first, _), (_, second, _), (_, start, end), _ = kinds
    body = data[start + 16 : end - 4]
    assert body.hex() == (
        f"{start - first:016x}00010001{start - first:016x}00030003{start - second:016x}00000001"
    )


def test_unpacked_deletions_are_checked() -> None:
    places = Places.of(np.array([8, 100, 200]), np.array([5, 0, 7]))

    def unpack(*runs: tuple[int, int, int]) -> Deletions:
        body = b"".join(b.to_bytes(8, "big") + f.to_bytes(2, "big") + e.to_bytes(2, "big")
                        for b, f, e in runs)  # fmt: skip
        return unpack_deletions(body, places, 300)

    found = unpack((100, 2, 3), (292, 0, 0), (100, 3, 6), (292, 0, 4))
    assert (found.starts.tolist(), found.ends.tolist()) == ([0, 7], [5, 12])
    assert len(unpack((200, 0, 3), (1, 0, 0), (300, 0, 0))) == 0  # no blocks of items
    for bad in ((100, 3, 2), (100, 0, 7), (292, 5, 5), (0, 0, 0), (301, 0, 0), (1 << 63, 0, 0)):
        with pytest.raises(CorruptError):
            unpack(bad)
    with pytest.raises(CorruptError, match="13 bytes: expected 12 for each"):
        unpack_deletions(bytes(13), places, 300)
    assert len(unpack_deletions(b"", places, 300)) == 0


@given(st.sets(st.integers(0, 29)), st.lists(st.integers(1, 5), min_size=6, max_size=6))
def test_deletions_come_back(chosen: set[int], counts: list[int]) -> None:
    total = sum(counts)
    there = sorted(place for place in chosen if place < total)
    places = Places.of(np.arange(6) * 50 + 8, np.array(counts))
    gone = Deletions.of(np.array(there, np.int64))
    body = b"".join(pack_deletions(gone, places, 1000))
    back = unpack_deletions(body, places, 1000)
    assert (back.starts.tolist(), back.ends.tolist()) == (gone.starts.tolist(), gone.ends.tolist())
    assert len(back) == len(there)
    everywhere = np.arange(total + 1)
    assert back.before(everywhere).tolist() == [sum(p < i for p in there) for i in everywhere]
    living = [place for place in range(total) if place not in there]
    assert back.places(np.arange(len(living))).tolist() == living
    kept = back.kept(0, total)
    assert living == ([*range(total)] if kept is None else np.flatnonzero(kept).tolist())


# damage


def test_damaged_deletions_are_noticed(tmp_path: Path) -> None:
    """When the container is opened; with partial=True its items are there, and it says so.

    Whichever byte it is, of the head too, nothing is appended: the items would be there for good.
    """
    path = deleted(made(tmp_path / "a.clpc", ITEMS), [1, 6])
    data = path.read_bytes()
    start, end = next((start, end) for kind, start, end in blocks(data) if kind == b"GONE")
    for at in range(start, end):
        spoilt = bytearray(data)
        spoilt[at] ^= 4
        path.write_bytes(spoilt)
        os.utime(path, (1, 1))  # what was just written is read again for a while
        with pytest.raises((CorruptError, UnsupportedError)):
            clipcodec.open(path)
        with clipcodec.open(path, partial=True) as container:
            assert not container.complete
            assert list(container.items()) == ITEMS
        with pytest.raises(CorruptError, match="which items are deleted is damaged"):
            clipcodec.create(path, "a")


def test_deletions_behind_damage_hold(tmp_path: Path) -> None:
    """A damaged block does not bring back what was deleted of others, also once it is mended."""
    path = deleted(made(tmp_path / "a.clpc", ITEMS), [1, 6, 17])
    data = bytearray(path.read_bytes())
    data[blocks(bytes(data))[1][1] + 20] ^= 1  # items 4 … 7
    data = data[:-1]  # and no index
    path.write_bytes(data)
    expected = [*ITEMS[:1], *ITEMS[2:4], *ITEMS[8:17], *ITEMS[18:]]
    with clipcodec.open(path, partial=True) as container:
        assert list(container.items()) == expected
    with clipcodec.create(path, "a") as writer:
        writer.append(b"inew", "new")
    assert read(path) == [*expected, Item(b"inew", "new")]


def test_deletions_of_what_is_missing_are_not_appended_after(tmp_path: Path) -> None:
    """Bytes were cut out before: it would be a container that cannot be opened."""
    path = deleted(made(tmp_path / "a.clpc", ITEMS), [1, 6])
    data = path.read_bytes()
    _, start, end = blocks(data)[0]
    path.write_bytes(data[:start] + data[end:])
    with clipcodec.open(path, partial=True) as container:
        assert list(container.items())[-12:] == ITEMS[8:]
    with pytest.raises(CorruptError, match="which items are deleted is damaged"):
        clipcodec.create(path, "a")


def test_runs_of_many_items_take_no_memory(tmp_path: Path) -> None:
    """What a block says is kept as runs, not item by item."""
    gone = Deletions(np.array([0, 1 << 40]), np.array([1 << 39, 1 << 41]))
    assert len(gone) == (1 << 39) + (1 << 40)
    assert gone.before(np.array([1 << 42])).tolist() == [len(gone)]
