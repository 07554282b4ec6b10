"""clipcodec.container.merge: items as they were, in order; what is not kept is said."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import clipcodec
from clipcodec import (
    CorruptError,
    InputError,
    Item,
    LockedError,
    OptionError,
    OutputExistsError,
    TruncatedError,
    UnknownProfileError,
    UnsupportedError,
)
from clipcodec.container import merge, merging
from clipcodec.container.growing import PART
from clipcodec.container.repeats import SAME_ID
from tests.helpers.profiles import drawn

STREAMS = [bytes([0x69, i, 0]) for i in range(6)]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: a.clpc and b.clpc, which share one id."""
    monkeypatch.chdir(tmp_path)
    write("a.clpc", STREAMS[:3], ["x", "y", None])
    write("b.clpc", STREAMS[3:5], ["z", "x"])
    return tmp_path


def write(path: str, streams: list[bytes], ids: list[Any] | None = None, **options: Any) -> None:
    with clipcodec.create(path, "w", block_items=2, **options) as writer:
        writer.extend(streams, ids)


def items(path: str = "out.clpc") -> list[Item]:
    with clipcodec.open(path) as container:
        assert container.complete
        return list(container.items())


def test_items_stay_in_order_byte_for_byte_with_their_ids(here: Path) -> None:
    done = merge(["a.clpc", "b.clpc"], "out.clpc")
    assert items() == items("a.clpc") + items("b.clpc")
    assert (done.items, done.inputs) == (5, {"a.clpc": 3, "b.clpc": 2})
    assert done.bytes == os.path.getsize("out.clpc")


def test_a_stream_gets_its_path_as_id(here: Path) -> None:
    """Without .clip, as `compress` names the image beside it."""
    stream = clipcodec.encode_embedding(drawn(1)[0])
    os.mkdir("photos")
    for name in ("photos/a.jpg.clip", "plain", ".clip"):
        Path(name).write_bytes(stream)
    merge(["photos/a.jpg.clip", Path("plain"), ".clip"], "out.clpc")
    assert items() == [Item(stream, id) for id in ("photos/a.jpg", "plain", ".clip")]


def test_sources_may_be_open(here: Path) -> None:
    """A container stays open; a stream from a file object has no id."""
    stream = clipcodec.encode_embedding(drawn(1)[0])
    with clipcodec.open("a.clpc") as container, open("b.clpc", "rb") as file:
        merge([container, file, io.BytesIO(stream)], "out.clpc")
        assert container[0] == STREAMS[0]
    assert items() == [*items("a.clpc"), *items("b.clpc"), Item(stream, None)]


def test_one_path_is_one_source(here: Path) -> None:
    assert merge("a.clpc", "out.clpc").items == 3


def test_the_output_may_be_a_file_object(here: Path) -> None:
    buffer = io.BytesIO()
    done = merge(["a.clpc", "b.clpc"], buffer)
    assert len(clipcodec.open(io.BytesIO(buffer.getvalue()))) == 5
    assert done.bytes == len(buffer.getvalue())


# ids


@pytest.mark.parametrize(
    ("same_id", "left"),
    [("keep", [0, 1, 2, 3, 4]), ("first", [0, 1, 2, 3]), ("last", [1, 2, 3, 4])],
)
def test_items_of_the_same_id(here: Path, same_id: Any, left: list[int]) -> None:
    """All are kept unless another rule is given. Items without an id are never the same."""
    done = merge(["a.clpc", "b.clpc"], "out.clpc", same_id=same_id)
    assert [stream for stream, _ in items()] == [STREAMS[i] for i in left]
    assert (done.same_ids, done.differ, done.examples) == (1, 1, ("x",))
    assert done.left_out == 5 - len(left)


def test_equal_items_are_told_from_different_ones(here: Path) -> None:
    done = merge(["a.clpc", "a.clpc"], "out.clpc", same_id="first")
    assert (done.same_ids, done.differ, done.items) == (2, 0, 4)


def test_the_same_id_can_be_refused(here: Path) -> None:
    with pytest.raises(InputError, match="the id 'x' is used more than once, for different"):
        merge(["a.clpc", "b.clpc"], "out.clpc", same_id="refuse")
    assert not os.path.exists("out.clpc")
    write("c.clpc", STREAMS[5:])
    assert merge(["a.clpc", "c.clpc"], "out.clpc", same_id="refuse").items == 4


def test_of_many_same_ids_a_few_are_named(here: Path) -> None:
    write("c.clpc", STREAMS, list("abcdef"))
    done = merge(["c.clpc", "c.clpc", "c.clpc"], "out.clpc", same_id="last")
    assert (done.same_ids, done.left_out) == (6, 12)
    assert merging.same_ids(done.same_ids, done.differ, done.examples) == (
        "6 ids are used more than once, for equal streams: 'a', 'b', 'c', …"
    )


# metadata


@pytest.mark.parametrize(
    ("found", "kept", "left_out"),
    [
        ([{"k": [1]}, {"k": [1]}], {"k": [1]}, ()),
        ([{"k": 1}, {"k": 2}], {}, ("k",)),
        ([{"k": 1}, {"k": True}], {}, ("k",)),
        ([{"k": 1}, {"m": 2}], {"k": 1, "m": 2}, ()),
        ([{"clipcodec": {"q": 1}}, {"clipcodec": {"q": 1}}], {"clipcodec": {"q": 1}}, ()),
        ([{"clipcodec": {"q": 1}}, {}], {}, ("clipcodec",)),
        ([{"clipcodec.x": 1}, {"clipcodecs": 1}], {"clipcodecs": 1}, ("clipcodec.x",)),
    ],
)
def test_metadata_are_kept_where_no_source_contradicts(
    here: Path, found: list[dict[str, Any]], kept: dict[str, Any], left_out: tuple[str, ...]
) -> None:
    """The package's own only if all have them: they say how all items were made."""
    for name, metadata in zip("ab", found, strict=True):
        write(f"{name}.clpc", STREAMS[:1], metadata=metadata)
    done = merge(["a.clpc", "b.clpc"], "out.clpc")
    assert (done.metadata, done.not_common) == (kept, left_out)
    with clipcodec.open("out.clpc") as container:
        assert container.metadata == kept


def test_a_stream_has_no_metadata(here: Path) -> None:
    write("a.clpc", STREAMS[:1], metadata={"clipcodec": 1, "k": 1})
    Path("s.clip").write_bytes(clipcodec.encode_embedding(drawn(1)[0]))
    assert merge(["a.clpc", "s.clip"], "out.clpc").metadata == {"k": 1}


def test_metadata_may_be_given(here: Path) -> None:
    write("a.clpc", STREAMS[:1], metadata={"k": 1})
    done = merge(["a.clpc", "b.clpc"], "out.clpc", metadata={"m": 2})
    assert (done.metadata, done.not_common) == ({"m": 2}, ())


# what is wrong with a source


def damage(path: str, at: int) -> None:
    data = bytearray(Path(path).read_bytes())
    data[at] ^= 1
    Path(path).write_bytes(data)


def test_a_damaged_source_leaves_no_output(here: Path) -> None:
    damage("b.clpc", 40)
    with pytest.raises(CorruptError, match=r"b\.clpc: items 0 to 1: check value"):
        merge(["a.clpc", "b.clpc"], "out.clpc")
    assert sorted(os.listdir()) == ["a.clpc", "b.clpc"]


def test_partial_takes_every_good_block_and_says_the_rest(here: Path) -> None:
    whole = items("a.clpc")
    damage("a.clpc", 40)
    done = merge(["a.clpc", "b.clpc"], "out.clpc", partial=True)
    assert items() == whole[2:] + items("b.clpc")
    assert done.damaged == ("a.clpc: items 0 to 1: check value of a block does not match: damaged",)


@given(st.integers(0, 10_000), st.integers(1, 255), st.booleans())
@settings(max_examples=40, deadline=None)
def test_no_damage_goes_by_unsaid(at: int, change: int, cut: bool) -> None:
    """Whatever byte is changed, or wherever the file ends: an error, and no output; if partial,
    items of the source in order, and what is missing is said."""
    with tempfile.TemporaryDirectory() as folder:
        path, out = os.path.join(folder, "a.clpc"), os.path.join(folder, "out.clpc")
        write(path, STREAMS, list("abcdef"), metadata={"k": 1})
        whole = items(path)
        data = bytearray(Path(path).read_bytes())
        at %= len(data)
        data[at] ^= change
        Path(path).write_bytes(data[:at] if cut else data)
        os.utime(path, (0, 0))  # not just written, so that nobody waits for the writer
        with pytest.raises(clipcodec.DecodeError):
            merge([path], out)
        assert os.listdir(folder) == ["a.clpc"]
        try:
            done = merge([path], out, partial=True)
        except clipcodec.DecodeError:  # no container any more, by its first bytes
            assert os.listdir(folder) == ["a.clpc"]
            return
        left = items(out)
        assert left == [item for item in whole if item in left]
        assert done.damaged


def test_a_source_that_was_cut(here: Path) -> None:
    data = Path("a.clpc").read_bytes()
    Path("a.clpc").write_bytes(data[:-50])
    with pytest.raises(TruncatedError, match=r"a\.clpc"):
        merge(["a.clpc", "b.clpc"], "out.clpc")
    done = merge(["a.clpc", "b.clpc"], "out.clpc", partial=True)
    assert done.inputs == {"a.clpc": 2, "b.clpc": 2}
    assert "a.clpc: " in done.damaged[0]


def test_other_files_are_refused_by_name(here: Path) -> None:
    Path("x.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    Path("x.txt").write_text("Photos of mine")  # begins as a private stream may
    Path("x.clip").write_bytes(clipcodec.encode_embedding(drawn(1)[0])[:-2])
    with pytest.raises(UnsupportedError, match=r"x\.jpg: first byte 0xff"):
        merge(["a.clpc", "x.jpg"], "out.clpc")
    with pytest.raises(UnknownProfileError, match=r"x\.txt"):
        merge(["a.clpc", "x.txt"], "out.clpc")
    with pytest.raises(clipcodec.DecodeError, match=r"x\.clip"):
        merge(["a.clpc", "x.clip"], "out.clpc")
    with pytest.raises(FileNotFoundError, match=r"none\.clip"):
        merge(["a.clpc", "none.clip"], "out.clpc")
    assert not os.path.exists("out.clpc")


def test_a_private_stream_is_known_by_the_name_of_its_file(here: Path) -> None:
    Path("x.clip").write_bytes(b"\x50abcdefgh")
    assert merge(["x.clip"], "out.clpc").profiles == {"private, 61626364": 1}


def test_a_source_that_grows_meanwhile_is_noticed(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def common(found: Any) -> Any:  # called between the two times that sources are read
        write("a.clpc", STREAMS)
        return {}, ()

    monkeypatch.setattr(merging, "common", common)
    with pytest.raises(LockedError, match=r"a\.clpc was written by another process"):
        merge(["a.clpc", "b.clpc"], "out.clpc")
    assert sorted(os.listdir()) == ["a.clpc", "b.clpc"]


def test_profiles_are_counted(here: Path) -> None:
    streams = clipcodec.encode_embeddings(drawn(2))
    streams += clipcodec.encode_embeddings(drawn(1), profile="any/rotation")
    write("c.clpc", streams)
    assert merge(["c.clpc"], "out.clpc").profiles == {
        "openai-vit-b-32/predictive": 2, "any/rotation": 1,
    }  # fmt: skip


# the output


def test_no_source_is_written_over(here: Path) -> None:
    """Neither under its name, nor under another, nor as the `.part` of the output."""
    os.symlink("a.clpc", "link.clpc")
    os.link("a.clpc", "hard.clpc")
    write("new.clpc" + PART, STREAMS)
    before = items("a.clpc")
    for sources, out in (
        (["a.clpc"], "a.clpc"), (["link.clpc"], "a.clpc"), (["a.clpc"], "link.clpc"),
        (["b.clpc", "hard.clpc"], "./a.clpc"), (["new.clpc" + PART], "new.clpc"),
        ([clipcodec.open("a.clpc")], "a.clpc"), (["a.clpc"], (here / "a.clpc").as_uri()),
        ([(here / "a.clpc").as_uri()], "link.clpc"),
    ):  # fmt: skip
        with pytest.raises(OptionError, match="is an input, and would be written over"):
            merge(sources, out, overwrite=True)
    assert items("a.clpc") == before
    assert len(items("new.clpc" + PART)) == 6


def test_an_output_that_exists_is_kept_unless_it_may_be_replaced(here: Path) -> None:
    write("out.clpc", STREAMS)
    with pytest.raises(OutputExistsError, match=r"out\.clpc exists"):
        merge(["a.clpc"], "out.clpc")
    assert len(items()) == 6
    merge(["a.clpc"], "out.clpc", overwrite=True)
    assert items() == items("a.clpc")


def test_another_writer_of_the_output_is_left_alone(here: Path) -> None:
    with clipcodec.create("out.clpc") as writer:
        writer.append(STREAMS[0])
        with pytest.raises(OutputExistsError, match=r"out\.clpc\.part"):
            merge(["a.clpc"], "out.clpc")
        with pytest.raises(LockedError):
            merge(["a.clpc"], "out.clpc", overwrite=True)
    assert len(items()) == 1


@pytest.mark.parametrize("there", [False, True])
def test_a_full_disk_leaves_what_was_there(here: Path, there: bool) -> None:
    pytest.importorskip("resource")
    if there:
        write("out.clpc", STREAMS[:1])
    before = sorted(os.listdir())
    code = (
        "import resource, signal\n"
        "from clipcodec.container import merge\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (40, resource.RLIM_INFINITY))\n"
        f"merge(['a.clpc', 'b.clpc'], 'out.clpc', overwrite={there})\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "out.clpc" in done.stderr
    assert "cannot be written" in done.stderr
    assert sorted(os.listdir()) == before
    assert not there or len(items()) == 1


def test_wrong_options_are_refused(here: Path) -> None:
    with pytest.raises(OptionError, match="nothing to merge"):
        merge([], "out.clpc")
    with pytest.raises(OptionError, match="same_id='all': expected 'keep', 'first'"):
        merge(["a.clpc"], "out.clpc", same_id="all")  # type: ignore[arg-type]
    assert SAME_ID == ("keep", "first", "last", "refuse")
