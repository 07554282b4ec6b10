"""`compress --train`: embeddings of a model that no profile is made for, in one file.

Real commands where a file is made, without networks, so that each takes about a second.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

import clipcodec
from clipcodec.bulk import Job, Target, sampling
from clipcodec.container.embedded import embedded_at
from clipcodec.training import learn as learning
from clipcodec.training.learn import Learned
from tests.helpers import tiny_models
from tests.helpers.low_rank import low_rank
from tests.helpers.processes import exit_code, run
from tests.helpers.profiles import write_tiny_profile

COUNT = 1200
TRAIN = ["--train", "--minutes", "0", "--mean-bytes", "12"]
FIGURES = re.compile(r"profile: [\d.,]+ (?:kB|bytes), ([\d.]+) bytes for each of ([\d,]+) items")


def unit(rows: np.ndarray) -> np.ndarray:
    x = rows.astype(np.float64)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def cosine(rows: np.ndarray, decoded: np.ndarray) -> float:
    return float((unit(rows) * decoded).sum(axis=1).mean())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows, and the container that a real command makes of them."""
    folder = tmp_path_factory.mktemp("learned")
    np.save(folder / "mine.npy", low_rank(COUNT))
    done = run("compress", folder / "mine.npy", *TRAIN)
    assert done.returncode == 0, done.stderr
    (folder / "said.txt").write_bytes(done.stderr)
    assert done.stdout == b""
    return folder


@pytest.fixture
def here(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("mine.npy", "mine.clpc"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    np.save(tmp_path / "more.npy", low_rank(50, seed=1))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def learned(folder: Path) -> Learned:
    rows = unit(np.load(folder / "mine.npy")).astype(np.float32)
    return learning.learn(rows, target=Target(mean_bytes=12), minutes=0, name="private/mine")


@pytest.fixture
def before(learned: Learned, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What is learned is what was learned before, in less time; what was asked of it each time."""
    asked: list[dict[str, Any]] = []

    def learn(rows: Any, **options: Any) -> Learned:
        asked.append({"rows": rows, **options})
        return replace(learned, size=learned.size, share=learned.size / options["items"],
                       rows=len(rows))  # fmt: skip

    monkeypatch.setattr(learning, "learn", learn)
    return asked


@pytest.fixture
def never(monkeypatch: pytest.MonkeyPatch) -> None:
    """To learn is a failure."""

    def fail(*_: object, **__: object) -> None:
        raise AssertionError("a profile was learned")

    monkeypatch.setattr(learning, "learn", fail)


def said(capsys: pytest.CaptureFixture[str], *args: object) -> tuple[object, str]:
    code = exit_code(*args)
    return code, capsys.readouterr().err


def made() -> list[str]:
    """What a command has left here, without what was there before."""
    return sorted({*os.listdir()} - {"mine.npy", "mine.clpc", "more.npy"})


# --- what comes out ---


def test_the_container_decodes_with_nothing_else(folder: Path, tmp_path: Path) -> None:
    """In another folder and process; near to the rows, each by its id."""
    (tmp_path / "alone.clpc").write_bytes((folder / "mine.clpc").read_bytes())
    done = run("decompress", tmp_path / "alone.clpc", "-o", tmp_path / "x.npy", "--ids",
               tmp_path / "ids.txt")  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = np.load(folder / "mine.npy")
    assert cosine(rows, np.load(tmp_path / "x.npy")) > 0.95
    assert (tmp_path / "ids.txt").read_text().split() == [f"mine.npy/{i}" for i in range(COUNT)]


def test_it_keeps_more_than_rotation_in_a_file_of_the_same_size(
    folder: Path, tmp_path: Path
) -> None:
    size = (folder / "mine.clpc").stat().st_size
    rows = np.load(folder / "mine.npy")
    Job(folder / "mine.npy", tmp_path / "r.clpc", Target(mean_bytes=size / COUNT),
        profile="any/rotation", workers=0).run()  # fmt: skip
    assert (tmp_path / "r.clpc").stat().st_size > 0.98 * size
    found = [clipcodec.open(path).decode_all() for path in (folder / "mine.clpc",
             tmp_path / "r.clpc")]  # fmt: skip
    assert 1 - cosine(rows, found[0]) < 0.7 * (1 - cosine(rows, found[1]))


def test_what_the_profile_costs_and_brings_is_said(folder: Path) -> None:
    """The figures are those of the file."""
    text = (folder / "said.txt").read_text()
    lines = text.splitlines()
    assert all(f"{folder}/mine.npy: " in line for line in lines)
    assert f"learned from {COUNT:,} embeddings: " in lines[0]
    match = FIGURES.search(lines[1])
    assert match is not None, text
    with clipcodec.open(folder / "mine.clpc") as container:
        block = int(container.survey.entries[1, 0])  # after the metadata
        profile = container.profile
    assert float(match[1]) == pytest.approx(block / COUNT, abs=0.05)
    assert match[2] == f"{COUNT:,}"
    assert re.search(r"held out(?: in turn)?: cosine 0\.\d+ at [\d.]+ bytes; "
                     r"any/rotation in the same file: 0\.", lines[2])  # fmt: skip
    assert f"bytes each and {match[1]} for the profile, asked 12" in lines[3]
    assert len(lines) == 4
    assert profile is not None
    assert (profile.name, profile.backbone, profile.dim) == ("private/mine", "any", 32)


def test_a_container_may_go_to_stdout(
    here: Path, before: list[Any], capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert exit_code("compress", "mine.npy", "-o", "-", *TRAIN) == 0
    done = capfdbinary.readouterr()
    (here / "out.clpc").write_bytes(done.out)
    with clipcodec.open("out.clpc") as container:
        assert container.profile is not None
        assert container.ids[:2] == ["mine.npy/0", "mine.npy/1"]
    assert b"mine.npy: profile: " in done.err


def test_a_pipe_of_rows_goes_into_the_container_that_is_named(
    here: Path, before: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with open("mine.npy", "rb") as file:
        monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=file))
        assert exit_code("compress", "-", "-o", "o.clpc", *TRAIN) == 0
    with clipcodec.open("o.clpc") as container:
        assert container.ids[0] == "stdin/0"
        assert len(container) == COUNT


def test_files_together_have_one_profile(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, text = said(capsys, "compress", "mine.npy", "more.npy", "-o", "all.clpc", *TRAIN)
    assert code == 0, text
    assert f"2 inputs: learned from {COUNT + 50:,} embeddings: " in text
    with clipcodec.open("all.clpc") as container:
        assert len(container) == COUNT + 50
        rows = np.concatenate([np.load("mine.npy"), np.load("more.npy")])
        assert cosine(rows, container.decode_all()) > 0.95


def test_files_apart_have_a_profile_each(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And what goes wrong with one names it, and does not stop the other."""
    np.save("few.npy", low_rank(3))
    code, text = said(capsys, "compress", "few.npy", "mine.npy", "-f", *TRAIN)
    assert code == 1
    assert "clipcodec: few.npy: " in text
    assert made() == ["few.npy"]
    with clipcodec.open("mine.clpc") as container:
        assert container.profile is not None


def test_of_a_large_input_a_sample_is_enough(
    here: Path, before: list[dict[str, Any]], capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(sampling, "MOST_ROWS", 800)
    code, text = said(capsys, "compress", "mine.npy", "-o", "s.clpc", *TRAIN)
    assert code == 0, text
    assert f"learned from 800 embeddings of {COUNT:,}, chosen at random: " in text
    assert (len(before[0]["rows"]), before[0]["items"]) == (800, COUNT)
    match = FIGURES.search(text)
    assert match is not None
    assert match[2] == f"{COUNT:,}"


def test_a_limit_for_each_stream_holds(
    here: Path, before: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    code, text = said(
        capsys, "compress", "mine.npy", "-o", "m.clpc", "--train", "--minutes", "0",
        "--max-bytes", "16",
    )  # fmt: skip
    assert code == 0, text
    assert before[0]["target"] == Target(max_bytes=16)
    with clipcodec.open("m.clpc") as container:
        assert max(len(stream) for stream in container) <= 16


def test_the_same_from_python(here: Path, learned: Learned) -> None:
    assert learned.better
    Path("mine.safetensors").write_bytes(learned.data)
    result = Job("mine.npy", "job.clpc", Target(mean_bytes=12), profile="mine.safetensors",
                 workers=0, embed_profile=True).run()  # fmt: skip
    assert result.profile_bytes == learned.size
    assert result.bytes_per_item == pytest.approx(learned.bytes, rel=0.05)
    codec, rows = clipcodec.Codec("mine.safetensors"), np.load("mine.npy")
    with clipcodec.open("job.clpc") as container:
        assert container.decode_all() == pytest.approx(codec.decode_batch([*container]), abs=1e-6)
    streams = codec.encode_embeddings(rows, mean_bytes=18)  # alone, each has its header
    assert cosine(rows, codec.decode_batch(streams)) > 0.95


# --- where it stops ---


def noise(count: int, dim: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(count, dim)).astype(np.float32)


def bad_rows() -> dict[str, np.ndarray]:
    one = low_rank(1)
    return {
        "few": low_rank(3),
        "constant": np.ones((500, 32), np.float32),
        "alike": np.repeat(one, 500, axis=0),
        "not finite": np.full((500, 32), np.nan, np.float32),
        "zero": np.zeros((500, 32), np.float32),
    }


@pytest.mark.parametrize("name", bad_rows())
def test_rows_that_teach_nothing_are_an_error_that_names_the_file(
    here: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is made, and nothing replaced."""
    np.save("bad.npy", bad_rows()[name])
    old = Path("mine.clpc").read_bytes()
    for out in ([], ["-o", "o.clpc"], ["-o", "mine.clpc", "-f"]):
        code, text = said(capsys, "compress", "bad.npy", *out, *TRAIN)
        assert code == 1, text
        assert text.count("bad.npy: ") == 1, text
        assert len(text.splitlines()) == 1
        assert made() == ["bad.npy"]
    assert Path("mine.clpc").read_bytes() == old


def test_it_stops_where_rotation_would_keep_as_much(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Directions all over the sphere; the message has figures and remedies."""
    np.save("noise.npy", noise(200, 40))
    for options in ([], ["-q"]):
        code, text = said(capsys, "compress", "noise.npy", *TRAIN, *options)
        assert code == 1
        last = text.splitlines()[-1]
        assert last.startswith("clipcodec: noise.npy: a profile of its own does not pay (")
        assert re.search(
            r"bytes for each of 200 items\): with it the cosine would be -?[\d.]+, with "
            r"any/rotation in the same file [\d.]+: leave out --train", last,
        )  # fmt: skip
        for remedy in ("--profile any/rotation", "more rows", "clipcodec train"):
            assert remedy in last
        assert made() == ["noise.npy"]


def test_single_rows_that_fail_are_named_and_the_others_done(
    here: Path, before: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    rows = np.load("mine.npy")
    rows[5], rows[9] = np.nan, 0
    np.save("holes.npy", rows)
    code, text = said(capsys, "compress", "holes.npy", *TRAIN)
    assert code == 1
    assert "holes.npy/5: " in text
    assert "holes.npy/9: " in text
    part = f"learned from {COUNT - 2:,} embeddings of {COUNT:,}, the others cannot be encoded: "
    assert part in text
    with clipcodec.open("holes.clpc") as container:
        assert len(container) == COUNT - 2


def test_rows_of_two_widths_are_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save("wide.npy", low_rank(100, dim=40))
    code, text = said(capsys, "compress", "mine.npy", "wide.npy", "-o", "o.clpc", *TRAIN)
    assert code == 1
    assert "mine.npy has 32 dimensions, wide.npy 40" in text
    assert made() == ["wide.npy"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("mine.npy --train --profile any/rotation", "--train learns a profile, and --profile"),
        ("mine.npy -o out/ --train", "--train is for a container, and -o out/ is none"),
        ("photo.png --train", "--train is for a container, and photo.png becomes one stream"),
        ("one.npy --train", "--train is for a container, and one.npy becomes one stream"),
        ("mine.npy --minutes 3", "--minutes is of --train"),
        ("photo.png -o o.clpc --train", "say what embeds them, --backbone NAME"),
        ("mine.npy -o o.clpc --train --resume -f", "give one of them"),
    ],
)
def test_usage(here: Path, line: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("RGB", (8, 8)).save("photo.png")
    np.save("one.npy", low_rank(1)[0])
    code, text = said(capsys, "compress", *line.split())
    assert code == 2, text
    assert words in text
    assert made() == ["one.npy", "photo.png"]


def test_a_container_that_exists_is_refused_before_anything_is_learned(
    here: Path, never: None, capsys: pytest.CaptureFixture[str]
) -> None:
    code, text = said(capsys, "compress", "mine.npy", *TRAIN)
    assert code == 1
    assert "mine.clpc exists" in text
    Path("part.clpc.part").write_bytes(Path("mine.clpc").read_bytes())
    code, text = said(capsys, "compress", "mine.npy", "-o", "part.clpc", *TRAIN)
    assert code == 1
    assert "was not finished" in text


def test_force_replaces_and_quiet_says_nothing(
    here: Path, before: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    np.save("mine.npy", low_rank(1100, seed=4))
    assert said(capsys, "compress", "mine.npy", "-f", "-q", *TRAIN) == (0, "")
    with clipcodec.open("mine.clpc") as container:
        assert len(container) == 1100


def test_a_dry_run_learns_nothing(
    here: Path, never: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code("compress", "mine.npy", "-o", "o.clpc", "--dry-run", *TRAIN) == 0
    done = capsys.readouterr()
    assert done.out.split() == [f"mine.npy/{i}" for i in range(COUNT)]
    assert f"a profile would be learned from {COUNT:,} embeddings and put into it" in done.err
    assert made() == []


def test_interrupted_while_it_learns_leaves_nothing(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(learning, "learn", interrupt)
    assert said(capsys, "compress", "mine.npy", "-o", "o.clpc", *TRAIN) == (
        130, "clipcodec: interrupted\n",
    )  # fmt: skip
    assert made() == []


# --- a container to go on with ---


@contextmanager
def room_for(size: int) -> Iterator[None]:
    """A disk on which no file gets larger."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.skipif(sys.platform == "win32", reason="Unix")
def test_resume_goes_on_with_the_profile_of_a_job_that_was_cut(
    here: Path, before: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """On a full disk what was written stays, with its profile, and none is learned again."""
    with clipcodec.open("mine.clpc") as container:
        room = int(container.survey.offsets[3]) + 100  # in the second block of items
    with room_for(room):
        code, text = said(capsys, "compress", "mine.npy", "-o", "o.clpc", *TRAIN)
    assert code == 1, text
    assert "--resume goes on" in text
    assert made() == ["o.clpc.part"]
    with clipcodec.open("o.clpc.part", partial=True) as container:
        assert container.profile is not None
        kept, digest = len(container), container.profile.digest
    assert 0 < kept < COUNT
    code, text = said(capsys, "compress", "mine.npy", "-o", "o.clpc", "--resume", *TRAIN)
    assert code == 0, text
    assert "o.clpc: goes on with the profile that it carries; none is learned" in text
    assert len(before) == 1
    with clipcodec.open("o.clpc") as container:
        assert len(container) == COUNT
        assert container.profile is not None
        assert container.profile.digest == digest
        assert cosine(np.load("mine.npy"), container.decode_all()) > 0.95
    assert made() == ["o.clpc"]


@pytest.mark.skipif(sys.platform == "win32", reason="Unix")
def test_a_disk_that_has_no_room_for_the_profile(
    here: Path, before: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    with room_for(300):
        code, text = said(capsys, "compress", "mine.npy", "-o", "o.clpc", *TRAIN)
    assert code == 1
    assert text.splitlines()[-1].endswith("o.clpc.part: cannot be written: File too large")
    assert made() == []


def test_a_job_that_was_killed_while_it_wrote_the_profile(
    here: Path, never: None, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is in it, so nothing is lost by beginning anew."""
    with clipcodec.open("mine.clpc") as container:
        cut = int(container.survey.offsets[1]) + 50
    Path("o.clpc.part").write_bytes(Path("mine.clpc").read_bytes()[:cut])
    code, text = said(capsys, "compress", "mine.npy", "-o", "o.clpc", "--resume", *TRAIN)
    assert code == 2
    assert "o.clpc.part was cut before its profile was whole, and has no items: give -f" in text


def test_new_rows_are_added_with_the_profile_that_is_there(
    here: Path, never: None, capsys: pytest.CaptureFixture[str]
) -> None:
    with clipcodec.open("mine.clpc") as container:
        old = [*container]
    for options in (["--mean-bytes", "12"], TRAIN):
        code, text = said(capsys, "compress", "more.npy", "-o", "mine.clpc", "--resume", *options)
        assert code == 0, text
        assert "mine.clpc: goes on with the profile that it carries" in text
    with clipcodec.open("mine.clpc") as container:
        assert [*container][:COUNT] == old
        assert len(container) == COUNT + 50
        assert cosine(np.load("more.npy"), container.decode_all()[COUNT:]) > 0.95


def test_a_container_without_one_is_not_given_one(
    here: Path, never: None, capsys: pytest.CaptureFixture[str]
) -> None:
    Job("more.npy", "plain.clpc", profile="any/rotation").run()
    before = Path("plain.clpc").read_bytes()
    code, text = said(capsys, "compress", "mine.npy", "-o", "plain.clpc", "--resume", *TRAIN)
    assert code == 2
    assert "plain.clpc was begun without a profile of its own: leave out --train" in text
    assert Path("plain.clpc").read_bytes() == before


def test_another_profile_is_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_tiny_profile(here / "other.safetensors")
    before = Path("mine.clpc").read_bytes()
    code, text = said(
        capsys, "compress", "more.npy", "-o", "mine.clpc", "--resume", "--profile",
        "other.safetensors",
    )  # fmt: skip
    assert code == 2
    assert "mine.clpc carries profile private/mine, with which it goes on" in text
    assert Path("mine.clpc").read_bytes() == before


# --- images ---

IMAGES = ["--train", "--minutes", "0", "--quality", "50"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    pytest.importorskip("open_clip")
    folder = tmp_path_factory.mktemp("model")
    spec = tiny_models.make_folder(folder / "model")
    weights = tiny_models.save(tiny_models.make_model(spec), folder / "model.safetensors")
    return ["--backbone", spec.name, "--weights", str(weights), "--device", "cpu"]


@pytest.fixture
def photos(here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Images in four folders; one is damaged. What is learned counts as better than rotation.

    The embeddings of a small random network are nearly one, which rotation keeps as well.
    """
    real = learning.learn
    monkeypatch.setattr(learning, "learn", lambda *a, **k: replace(real(*a, **k), better=True))
    rng = np.random.default_rng(0)
    for i in range(400):
        path = here / "photos" / f"{i % 4}" / f"{i:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (2, 2, 3), dtype=np.uint8)).save(path)
    (here / "photos" / "0" / "bad.png").write_bytes(b"no image")
    return here / "photos"


def test_images_of_any_backbone_are_embedded_once(
    photos: Path, model: list[str], capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    from clipcodec.models import Backbone

    seen: list[int] = []
    embed: Any = Backbone.embed_pixels

    def count(self: Any, pixels: Any) -> Any:
        seen.append(len(pixels))
        return embed(self, pixels)

    monkeypatch.setattr(Backbone, "embed_pixels", count)
    code, text = said(capsys, "compress", "photos", "-o", "o.clpc", *model, *IMAGES,
                      "--workers", "0")  # fmt: skip
    assert code == 1  # the damaged one
    assert "0/bad.png: " in text
    assert "400 images of them embedded" in text
    assert sum(seen) == 400
    with clipcodec.open("o.clpc") as container:
        assert container.profile is not None
        assert container.profile.backbone == "any"  # no file opens folders of another machine
        recorded = container.metadata["clipcodec"]
        assert recorded["backbone"] == model[1]
        assert recorded["precision"] == "fp32"
        assert len(container) == 400
        digest = container.profile.digest
    block = embedded_at("o.clpc")
    assert block is not None
    assert json.dumps(model[1])[1:-1].encode() in block.data
    # the second time, as the first 400 are there, nothing is embedded but what is new
    seen.clear()
    Image.new("RGB", (9, 9), (1, 2, 3)).save(photos / "0" / "new.png")
    code, text = said(capsys, "compress", "photos", "-o", "o.clpc", *model, *IMAGES,
                      "--workers", "0", "--resume")  # fmt: skip
    assert sum(seen) == 1
    with clipcodec.open("o.clpc") as container:
        assert container.profile is not None
        assert (len(container), container.profile.digest) == (401, digest)


def test_of_many_images_some_are_embedded_before(
    photos: Path, model: list[str], capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(sampling, "MOST_IMAGES", 200)
    (photos / "0" / "bad.png").unlink()
    code, text = said(capsys, "compress", "photos", "-o", "o.clpc", *model, *IMAGES,
                      "--workers", "0")  # fmt: skip
    assert code == 0, text
    assert "learned from 200 embeddings of 400, chosen at random, 200 images of them" in text
    with clipcodec.open("o.clpc") as container:
        assert len(container) == 400
        assert [*container.ids] == sorted(str(id) for id in container.ids)


def test_an_archive_in_a_pipe_is_refused(photos: Path, model: list[str]) -> None:
    """It would have to be read twice."""
    with tarfile.open("s.tar", "w") as archive:
        archive.add(photos / "1", "1")
    done = run("compress", "-", "-o", "o.clpc", *model, *TRAIN, stdin=Path("s.tar").read_bytes())
    assert done.returncode == 2, done.stderr
    assert b"stdin: --train reads images twice" in done.stderr


def test_info_knows_it(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("info", "mine.clpc", "--json") == 0
    assert "private/mine" in json.dumps(json.loads(capsys.readouterr().out))
