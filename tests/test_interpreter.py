"""What a person at the interpreter sees: names, completion, suggestions, one-line reprs."""

from __future__ import annotations

import inspect
import io
import pickle
import pydoc
import rlcompleter
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import clipcodec
from clipcodec.bulk import Job, JobResult, LeftOut, Plan
from clipcodec.container import merge, read_items
from clipcodec.profile import Profile
from clipcodec.tasks.locating import Located, Region

PACKAGES = {
    "bulk", "carriers", "container", "entropy", "errors", "integrations", "integrations.arrow",
    "integrations.faiss", "integrations.pandas", "integrations.parquet", "integrations.ray",
    "kinds", "models", "profile", "retrieval", "tasks", "tasks.captioning", "tasks.locating",
    "tasks.naming", "training",
}  # fmt: skip


def is_special(name: str) -> bool:
    return name.startswith("__") and name.endswith("__")


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )


# --- names ---


def test_dir_shows_the_public_names_and_no_others() -> None:
    """Before any is used and after; besides, what every module has, and the version."""
    code = "import clipcodec; print(*dir(clipcodec)); clipcodec.profiles(); print(*dir(clipcodec))"
    before, after = python(code).stdout.splitlines()
    assert before == after
    own = {name for name in before.split() if not is_special(name)}
    assert own == set(clipcodec.__all__)
    assert {"__version__", "__doc__", "__path__", "__spec__"} <= set(before.split())


@pytest.mark.parametrize("name", sorted(PACKAGES))
def test_dir_of_each_public_package_shows_what_it_exports(name: str) -> None:
    try:
        module = import_module(f"clipcodec.{name}")
    except clipcodec.MissingDependencyError as error:
        pytest.skip(str(error))
    assert {name for name in dir(module) if not is_special(name)} == set(module.__all__)
    for public in module.__all__:
        if not hasattr(module, public):  # a module of its own: it must be there
            assert (Path(next(iter(module.__path__))) / public).with_suffix(".py").exists() or (
                Path(next(iter(module.__path__))) / public / "__init__.py"
            ).exists()


def test_a_star_gives_the_public_names() -> None:
    given: dict[str, Any] = {}
    exec("from clipcodec import *", given)
    assert set(given) - {"__builtins__"} == set(clipcodec.__all__)


def test_completion_finds_names_that_were_not_used_yet() -> None:
    complete = rlcompleter.Completer({"clipcodec": clipcodec}).complete
    found = [complete("clipcodec.encode_", i) for i in range(3)]
    assert [name and name.strip("(") for name in found[:2]] == [
        "clipcodec.encode_batch", "clipcodec.encode_embedding",
    ]  # fmt: skip
    assert complete("clipcodec._LAZ", 0) is None


def test_a_misspelt_name_is_suggested() -> None:
    done = python("import clipcodec; clipcodec.encod")
    assert "module 'clipcodec' has no attribute 'encod'" in done.stderr
    assert "Did you mean: 'encode'?" in done.stderr


def test_help_and_inspect_see_the_public_names() -> None:
    text = pydoc.render_doc(clipcodec, renderer=pydoc.TextDoc())
    for name in clipcodec.__all__:
        assert name in text
    for name in ("import_module", "TYPE_CHECKING", "_LAZY ="):
        assert name not in text
    members = dict(inspect.getmembers(clipcodec))
    assert set(clipcodec.__all__) <= set(members)
    assert inspect.signature(members["encode"]).parameters["max_bytes"].default is None


@pytest.mark.parametrize("name", clipcodec.__all__)
def test_a_public_name_can_be_pickled(name: str) -> None:
    value = getattr(clipcodec, name)
    assert pickle.loads(pickle.dumps(value)) is value


# --- reprs ---


@pytest.fixture
def rows() -> np.ndarray:
    """Embeddings (20, 512) such as the default profile knows."""
    statistics = clipcodec.Codec().profile.statistics
    assert statistics is not None
    return statistics.draw(20, seed=1)


@pytest.fixture
def streams(rows: np.ndarray) -> list[bytes]:
    return clipcodec.encode_embeddings(rows, quality=20)


def test_a_codec_is_shown_without_loading_anything() -> None:
    """Neither its profile nor its backbone; torch, or numpy for a container, is not imported."""
    code = """
import sys, clipcodec
codec = clipcodec.Codec(device="cpu")
print(repr(codec), codec._profile, "torch" in sys.modules)
"""
    assert python(code).stdout.strip() == (
        "<clipcodec.Codec 'openai-vit-b-32/predictive': backbone openai-vit-b-32, device cpu, "
        "fp32> None False"
    )
    any_model = clipcodec.Codec("any/rotation", weights="w.pt", precision="bf16")
    assert repr(any_model) == (
        "<clipcodec.Codec 'any/rotation': any backbone, device chosen when needed, bf16, "
        "weights 'w.pt'>"
    )
    assert "backbone openai-vit-l-14-336" in repr(clipcodec.Codec(backbone="openai-vit-l-14-336"))


def test_profiles_say_width_and_rates(tiny: Profile) -> None:
    profile = clipcodec.Codec().profile
    assert repr(profile) == (
        "<clipcodec.profile.Profile 'openai-vit-b-32/predictive': id 7, 512 dimensions, "
        "backbone openai-vit-b-32, qualities 1 … 100>"
    )
    assert "private" in repr(tiny)
    shown = {row.name: repr(row) for row in clipcodec.profiles()}
    assert "any width" in shown["any/rotation"]
    assert "400 bits" in shown["openai-vit-b-32/pqvae-400"]
    assert repr(profile.statistics).startswith("<clipcodec.profile.Statistics: 512 dimensions, ")


def test_containers_say_what_they_hold_and_whether_they_are_open(
    tmp_path: Path, streams: list[bytes]
) -> None:
    path = tmp_path / "photos.clpc"
    with clipcodec.create(path) as writer:
        assert repr(writer) == "<clipcodec.ContainerWriter 'photos.clpc': 0 items, 8 bytes, open>"
        writer.extend(streams, ids=map(str, range(20)))
        assert ": 20 items, 8 bytes, 20 of them not written yet, open>" in repr(writer)
    assert repr(writer).endswith(f": 20 items, {path.stat().st_size} bytes, closed>")
    with clipcodec.open(path) as container:
        whole = repr(container)
        assert whole.startswith("<clipcodec.Container '")
        assert whole.endswith(f"photos.clpc': 20 items, {path.stat().st_size} bytes, open>")
        assert not container._blocks._kept  # no block was read
        assert repr(container.item(0)) == f"<clipcodec.Item '0': {len(streams[0])} bytes>"
    assert repr(container) == whole.replace("open>", "closed>")
    cut = io.BytesIO(path.read_bytes()[:-10])
    with clipcodec.open(cut, partial=True) as container:
        assert ", not complete, open>" in repr(container)
        assert repr(container.survey).endswith("not complete>")
    assert (
        repr(clipcodec.create(io.BytesIO()))
        == "<clipcodec.ContainerWriter: 0 items, 8 bytes, open>"
    )


def test_a_merge_says_what_it_made(tmp_path: Path, streams: list[bytes]) -> None:
    path, out = tmp_path / "a.clpc", tmp_path / "b.clpc"
    with clipcodec.create(path) as writer:
        writer.extend(streams, ids=map(str, range(20)))
    with clipcodec.open(path) as container:
        merged = merge([container, path], out, same_id="first")
    assert repr(merged) == (
        f"<clipcodec.container.Merged: 20 items, {out.stat().st_size} bytes, from 1 source, "
        "20 left out>"
    )


def test_what_search_and_classify_find_is_shown_without_its_arrays(
    rows: np.ndarray, streams: list[bytes]
) -> None:
    index = clipcodec.SearchIndex(streams)
    assert repr(index) == "<clipcodec.SearchIndex: 20 items, 512 dimensions, 10.3 kB, int8>"
    assert (
        repr(clipcodec.SearchIndex(exact=True))
        == "<clipcodec.SearchIndex: 0 items, 0 bytes, exact>"
    )
    hits = index.search(rows, k=3)
    assert repr(hits).startswith(
        "<clipcodec.Hits: 20 queries, 3 hits each, the first finds item 0, 0."
    )
    assert repr(index.search(rows[:0], k=3)) == "<clipcodec.Hits: 0 queries, 3 hits each>"
    texts = clipcodec.TextEmbeddings(tuple("abcd"), np.eye(4, 512, dtype=np.float32), "any")
    assert repr(texts) == (
        "<clipcodec.TextEmbeddings: 4 texts ('a', 'b', 'c' and 1 more), 512 dimensions, "
        "backbone any>"
    )
    found = clipcodec.classify(rows, texts, k=2, profile="any/rotation")
    assert "20 embeddings, the best 2 of 4 labels ('a', 'b', 'c' and 1 more)" in repr(found)


def test_what_describes_a_stream_is_one_line(streams: list[bytes]) -> None:
    assert repr(clipcodec.info(streams[0])).startswith(
        f"<clipcodec.StreamInfo: {len(streams[0])} bytes, profile 'openai-vit-b-32/predictive', "
        "quality 20, entropy coder "
    )
    assert repr(clipcodec.Codec().parse(streams[0])).startswith("<clipcodec.ParsedStream: ")


def test_a_target_shows_what_was_asked(rows: np.ndarray) -> None:
    assert repr(clipcodec.Target()) == "Target()"
    target = clipcodec.Target(quality=40, weight=1.5, entropy="rans")
    assert eval(repr(target), {"Target": clipcodec.Target}) == target
    assert (
        repr(clipcodec.Target(effort=5, texts=rows))
        == "Target(effort=5, texts=<(20, 512) float32>)"
    )


def test_a_job_says_where_from_and_to_and_its_plan_and_result_say_how_many(
    tmp_path: Path, rows: np.ndarray
) -> None:
    np.save(tmp_path / "rows.npy", rows)
    job = Job(
        str(tmp_path / "rows.npy"), tmp_path / "o.clpc", clipcodec.Target(quality=9), workers=0
    )
    assert repr(job).startswith("<clipcodec.bulk.Job: from '")
    assert "Target(quality=9.0), profile 'openai-vit-b-32/predictive', mode 'new'>" in repr(job)
    assert repr(job.plan()).startswith("<clipcodec.bulk.Plan: 20 inputs to compress, about ")
    assert repr(job.run()).startswith("<clipcodec.bulk.JobResult: 20 streams added, ")
    left_out = [LeftOut("hidden", 1200, [".a"] * 1000)]
    assert repr(Plan(["x"], 3, [], None, left_out)) == (
        "<clipcodec.bulk.Plan: 1 input to compress, of unknown size, 3 there already, "
        "1,200 left out>"
    )
    assert (
        repr(left_out[0]) == "<clipcodec.bulk.LeftOut: 1,200 hidden: '.a', '.a', '.a' and 997 more>"
    )
    assert (
        repr(JobResult(1, 0, [], 50, 2.0))
        == "<clipcodec.bulk.JobResult: 1 stream added, 50 bytes, 2.0 s>"
    )


def test_regions_are_shown_without_their_masks() -> None:
    masked = Region((0, 0, 4, 4), np.eye(4, dtype=bool))
    assert repr(Region((0, 0, 4, 4))) == "Region((0, 0, 4, 4))"
    assert repr(masked) == "Region((0, 0, 4, 4), mask of 4 pixels)"
    found = Located(("a",), ((),), (masked,), (b"x" * 50,))
    assert repr(found) == "<clipcodec.tasks.locating.Located: 1 text ('a'), 1 region, 50 bytes>"


@pytest.mark.parametrize(
    "kind",
    [
        clipcodec.Codec, clipcodec.Container, clipcodec.ContainerWriter, clipcodec.SearchIndex,
        clipcodec.StreamInfo, clipcodec.TextEmbeddings, clipcodec.ProfileInfo, Profile, Job,
    ],
)  # fmt: skip
def test_an_object_that_is_not_made_yet_is_shown_too(kind: type[Any]) -> None:
    """A debugger shows it in the middle of __init__."""
    assert repr(object.__new__(kind)).startswith("<clipcodec.")


def test_sizes_and_numbers_read_well() -> None:
    from clipcodec.system.shown import counted, filed, named, shown, sized

    assert [sized(n) for n in (0, 1, 999, 1000, 61_230, 999_949, 999_950, 3 * 10**15)] == [
        "0 bytes", "1 byte", "999 bytes", "1.0 kB", "61.2 kB", "999.9 kB", "1.0 MB", "3,000.0 TB",
    ]  # fmt: skip
    assert [counted(1, "axis", "axes"), counted(1204, "axis", "axes")] == ["1 axis", "1,204 axes"]
    assert named(["a" * 60, 2]) == f"'{'a' * 39}…', 2"
    assert filed("/a" * 30 + "/photos.clpc").endswith("/photos.clpc'")

    def fails() -> list[object]:
        raise OSError

    parts: Callable[[], list[object]] = lambda: ["'x'", None, "", 1]  # noqa: E731
    assert [shown("A", fails), shown("A", parts)] == ["<clipcodec.A>", "<clipcodec.A 'x': 1>"]


def test_items_of_a_pipe_are_shown_too(streams: list[bytes]) -> None:
    file = io.BytesIO()
    with clipcodec.create(file) as writer:
        writer.append(streams[0])
    file.seek(0)
    assert repr(next(read_items(file))) == f"<clipcodec.Item: {len(streams[0])} bytes>"
