"""clipcodec.bulk.Job: many inputs into one container, from Python.

Jobs here compress arrays, which need no backbone; tests of the command line have images.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import clipcodec
from clipcodec import Codec, EmbeddingError, InputError, LockedError, OptionError, OutputExistsError
from clipcodec.bulk import Failure, Job, LeftOut, Target, pipeline, workers
from clipcodec.bulk.entries import FOLDER, NO_IMAGE, Entry
from clipcodec.cli import main
from clipcodec.container import Container, ContainerWriter, files, reader, resuming, survey

PROFILE = "any/rotation"
COUNT = 40


@pytest.fixture(autouse=True)
def small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "GROUP", 8)


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    return save(tmp_path / "rows.npy", COUNT)


def save(path: Path, count: int, dim: int = 16) -> Path:
    x = np.random.default_rng(count).normal(size=(count, dim)) + np.linspace(1, 0, dim)
    np.save(path, x.astype(np.float32))
    return path


def make(*sources: Path, out: Path, target: Target | None = None, **options: Any) -> Job:
    return Job(sources, out, target, **{"profile": PROFILE, "workers": 0, **options})


def items(path: Path) -> list[tuple[str | None, bytes]]:
    with clipcodec.open(path) as container:
        return [(item.id, item.stream) for item in container.items()]


# --- run ---


def test_a_job_compresses_every_row_and_counts(rows: Path, tmp_path: Path) -> None:
    out = tmp_path / "o.clpc"
    result = make(rows, out=out, target=Target(max_bytes=12)).run()
    streams = Codec(PROFILE).encode_embeddings(np.load(rows), max_bytes=12)
    assert items(out) == [(f"rows.npy/{i}", stream) for i, stream in enumerate(streams)]
    assert (result.compressed, result.there_already, result.failed) == (COUNT, 0, 0)
    assert result.bytes == sum(map(len, streams))
    assert result.failures == []
    assert result.seconds > 0


def test_a_single_source_may_be_a_path_or_its_name(rows: Path, tmp_path: Path) -> None:
    assert Job(rows, tmp_path / "a.clpc", profile=PROFILE, workers=0).run().compressed == COUNT
    other = Job(str(rows), str(tmp_path / "b.clpc"), profile=PROFILE, workers=0)
    assert other.run().compressed == COUNT


def test_bytes_are_those_of_the_command_line_with_any_number_of_workers(
    rows: Path, tmp_path: Path
) -> None:
    """Also where Python gives a whole number for an option that the command line reads as float."""
    for count in (0, 1, 2):
        make(rows, out=tmp_path / f"{count}.clpc", target=Target(quality=30), workers=count).run()
    command = ["compress", str(rows), "--profile", PROFILE, "--quality", "30", "--workers", "0"]
    assert main([*command, "-o", str(tmp_path / "cli.clpc")]) == 0
    assert len({path.read_bytes() for path in tmp_path.glob("*.clpc")}) == 1


def test_progress_is_told_from_none_to_all(rows: Path, tmp_path: Path) -> None:
    calls: list[tuple[int, int | None]] = []
    make(rows, out=tmp_path / "o.clpc").run(
        progress=lambda done, total: calls.append((done, total))
    )
    assert calls[0] == (0, COUNT)
    assert calls[-1] == (COUNT, COUNT)
    assert len(calls) > 3, "while it works, not only at its end"
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)


# --- plan ---


def test_a_plan_says_what_a_run_would_do_and_writes_nothing(rows: Path, tmp_path: Path) -> None:
    out = tmp_path / "o.clpc"
    make(rows, out=out, target=Target(max_bytes=12)).run()
    more = save(tmp_path / "more.npy", 5)
    before = sorted(tmp_path.iterdir()), out.read_bytes()
    plan = make(rows, more, tmp_path / "none.png", out=out, target=Target(max_bytes=12),
                mode="resume").plan()  # fmt: skip
    assert plan.ids == [f"more.npy/{i}" for i in range(5)]
    assert plan.there_already == COUNT
    assert plan.failed == 1
    (failure,) = plan.failures
    assert failure.name == str(tmp_path / "none.png")
    assert isinstance(failure.error, clipcodec.ImageFileError)
    assert plan.bytes == 5 * 12
    assert (sorted(tmp_path.iterdir()), out.read_bytes()) == before


@pytest.mark.parametrize("target", [Target(), Target(max_bytes=12), Target(quality=90)])
def test_a_plan_measures_rows_that_are_at_hand(rows: Path, tmp_path: Path, target: Target) -> None:
    """Few rows exactly; of many some, which are as large within a tenth."""
    job = make(rows, out=tmp_path / "o.clpc", target=target)
    assert job.plan().bytes == job.run().bytes
    job = make(save(tmp_path / "many.npy", 700), out=tmp_path / "many.clpc", target=target)
    estimate = job.plan().bytes
    assert estimate is not None
    assert abs(estimate / job.run().bytes - 1) < 0.1


def test_a_plan_knows_no_size_of_images_without_statistics(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"an image, perhaps")
    assert make(tmp_path / "a.png", out=tmp_path / "o.clpc").plan().bytes is None


# --- failures ---


def test_failures_are_told_by_name_when_found_and_in_the_result(rows: Path, tmp_path: Path) -> None:
    x = np.load(rows)
    x[3], x[21] = 0, np.nan
    np.save(rows, x)
    for count in (0, 1):
        told: list[Failure] = []
        out = tmp_path / f"{count}.clpc"
        result = make(rows, out=out, workers=count).run(on_failure=told.append)
        assert [(name, type(error), n) for name, error, n in result.failures] == [
            ("rows.npy/3", EmbeddingError, 1),
            ("rows.npy/21", EmbeddingError, 1),
        ]
        assert told == result.failures
        assert (result.compressed, result.failed) == (COUNT - 2, 2)
        assert "zero" in str(told[0].error)
        assert "NaN" in str(told[1].error)
        assert all(error.index is None for _, error, _ in told), "the name says which row"
        assert all(error.__traceback__ is None for _, error, _ in told), "keeps no image alive"
        assert [id for id, _ in items(out)] == [
            f"rows.npy/{i}" for i in range(COUNT) if i not in (3, 21)
        ]


def test_what_is_not_taken_is_counted_named_and_warned_of(rows: Path, tmp_path: Path) -> None:
    for i in range(7):
        (tmp_path / f"{i}.txt").touch()
    (tmp_path / "d").mkdir()
    job = make(tmp_path / "*", out=tmp_path / "d" / "o.clpc")
    with pytest.warns(UserWarning, match="not taken") as told:
        plan = job.plan()
    names = [str(tmp_path / f"{i}.txt") for i in range(7)]
    assert [str(one.message) for one in told] == [
        "not taken: 7 without the suffix of an image format that Pillow reads: "
        f"{', '.join(names[:5])} and 2 more",
        "not taken: 1 folders that match the pattern (FOLDER/* or ** takes what is in them): "
        f"{tmp_path / 'd'}",
    ]
    with pytest.warns(UserWarning, match="not taken: 7 without"):
        result = job.run()
    assert result.compressed == COUNT
    assert result.left_out == plan.left_out
    assert result.left_out == [LeftOut(NO_IMAGE, 7, names), LeftOut(FOLDER, 1, [f"{tmp_path}/d"])]


def test_if_nothing_is_compressed_it_is_said_what_was_not_taken(
    tmp_path: Path,
) -> None:
    np.save(tmp_path / "one.npy", np.zeros((3, 16), np.float32))
    (tmp_path / "a.txt").touch()
    job = make(tmp_path / "[ao]*", out=tmp_path / "out.clpc")
    with (
        pytest.warns(UserWarning, match=r"not taken: 1 without the suffix .*a\.txt"),
        pytest.raises(InputError, match="nothing was compressed"),
    ):
        job.run()


def test_an_array_of_the_wrong_width_is_one_failure_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wide, good = save(tmp_path / "wide.npy", 3000, 768), save(tmp_path / "good.npy", 4, 512)
    encoded: list[tuple[int, ...]] = []

    def encode(rows: np.ndarray, **options: Any) -> workers.Encoded:
        encoded.append(rows.shape)
        return workers.encode(rows, **options)

    monkeypatch.setattr(pipeline, "encode", encode)
    calls: list[tuple[int, int | None]] = []
    result = Job([wide, good], tmp_path / "o.clpc", workers=0).run(
        progress=lambda done, total: calls.append((done, total))
    )
    (failure,) = result.failures
    assert (failure.name, failure.rows) == (str(wide), 3000)
    assert isinstance(failure.error, EmbeddingError)
    for part in ("3000", "768", "512", Codec().profile.name, PROFILE):
        assert part in str(failure.error)
    assert (result.compressed, result.failed) == (4, 3000)
    assert encoded == [(4, 512)]
    assert (calls[0], calls[-1]) == ((0, 3004), (3004, 3004))
    again = Job([wide, good], tmp_path / "p.clpc").plan()
    assert (len(again.ids), again.failed) == (4, 3000)
    assert str(again.failures[0].error) == str(failure.error)

    command = ["compress", str(wide), str(good), "-o", str(tmp_path / "q.clpc"), "--workers", "0"]
    assert main(command) == 1
    first, last = capsys.readouterr().err.splitlines()
    assert first == f"clipcodec: {wide}: {failure.error}"
    assert "2 inputs: 4 embeddings, " in last
    assert last.endswith(", 3,000 failed)")


@pytest.mark.parametrize("x", [np.full((7, 4), "text"), np.empty((7, 0), np.float32)])
def test_an_array_that_holds_no_embeddings_is_one_failure(x: np.ndarray, tmp_path: Path) -> None:
    np.save(tmp_path / "bad.npy", x)
    plan = make(tmp_path / "bad.npy", out=tmp_path / "o.clpc").plan()
    (failure,) = plan.failures
    assert (plan.ids, failure.rows) == ([], 7)
    assert "7" in str(failure.error)


def test_rows_that_are_wrong_alike_each_fail() -> None:
    """Entries that no source has checked, given to the pipeline by a program of its own."""
    entries = [Entry(str(i), f"row {i}", row) for i, row in enumerate(np.ones((3, 7)))]
    ((*results,),) = pipeline.compress(Codec(), entries, workers=0)
    assert [r.name for r in results] == ["row 0", "row 1", "row 2"]
    assert all(isinstance(r.stream, EmbeddingError) for r in results)


def test_nothing_to_put_into_a_new_container_is_an_error_and_leaves_none(tmp_path: Path) -> None:
    np.save(tmp_path / "zero.npy", np.zeros((2, 16)))
    told: list[Failure] = []
    with pytest.raises(InputError, match="nothing was compressed") as caught:
        make(tmp_path / "zero.npy", out=tmp_path / "o.clpc").run(on_failure=told.append)
    assert len(told) == 2
    assert caught.value.__cause__ is told[0].error
    assert [path.name for path in tmp_path.iterdir()] == ["zero.npy"]


# --- modes ---


def test_resume_adds_what_is_missing_and_surveys_once_before_and_once_after(
    rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Afterwards by the index at the end of the file, for the size of its items."""
    out = tmp_path / "o.clpc"
    make(rows, out=out).run()
    before = items(out)
    surveys: list[str] = []

    def read_survey(file: files.SeekableFile, **options: Any) -> survey.Survey:
        surveys.append(file.name)
        return survey.read_survey(file, **options)

    for module in (reader, resuming):
        monkeypatch.setattr(module, "read_survey", read_survey)
    more = save(tmp_path / "more.npy", 5)
    result = make(rows, more, out=out, mode="resume").run()
    assert surveys == [str(out)] * 2
    assert (result.compressed, result.there_already, result.failed) == (5, COUNT, 0)
    assert items(out)[:COUNT] == before
    assert [id for id, _ in items(out)[COUNT:]] == [f"more.npy/{i}" for i in range(5)]


@pytest.mark.parametrize(
    ("target", "word"),
    [
        (Target(quality=31), "quality"),
        (Target(max_bytes=12), "quality"),
        (Target(quality=30, entropy="rans"), "entropy"),
    ],
)
def test_resume_with_other_options_is_refused(
    rows: Path, tmp_path: Path, target: Target, word: str
) -> None:
    out = tmp_path / "o.clpc"
    make(rows, out=out, target=Target(quality=30.0)).run()
    before = out.read_bytes()
    more = save(tmp_path / "more.npy", 5)
    for work in (Job.run, Job.plan):
        with pytest.raises(OptionError, match=f"was begun with {word}="):
            work(make(more, out=out, target=target, mode="resume"))
    assert out.read_bytes() == before
    same = Target(quality=30)
    assert make(more, out=out, target=same, mode="resume").run().compressed == 5


def test_a_run_that_was_interrupted_can_be_resumed(rows: Path, tmp_path: Path) -> None:
    out = tmp_path / "o.clpc"

    def interrupt(done: int, total: int | None) -> None:
        if done >= COUNT // 2:
            raise KeyboardInterrupt

    first = make(rows, out=out)
    with pytest.raises(KeyboardInterrupt):
        first.run(progress=interrupt)
    assert first.unfinished == tmp_path / "o.clpc.part"
    assert not out.exists()
    again = make(rows, out=out, mode="resume")
    result = again.run()
    assert again.unfinished is None
    assert result.there_already >= COUNT // 2
    assert result.compressed + result.there_already == COUNT
    make(rows, out=tmp_path / "whole.clpc").run()
    assert items(out) == items(tmp_path / "whole.clpc")


def test_an_existing_container_is_kept_unless_it_is_to_be_replaced(
    rows: Path, tmp_path: Path
) -> None:
    out = tmp_path / "o.clpc"
    make(rows, out=out).run()
    before = out.read_bytes()
    for work in (Job.run, Job.plan):
        with pytest.raises(OutputExistsError, match='mode="resume"'):
            work(make(rows, out=out))
    assert out.read_bytes() == before
    make(save(tmp_path / "more.npy", 5), out=out, mode="replace").run()
    assert [id for id, _ in items(out)] == [f"more.npy/{i}" for i in range(5)]


def test_a_container_that_was_written_after_the_survey_is_not_written(
    rows: Path, tmp_path: Path
) -> None:
    """What another process has added meanwhile is neither cut off nor added twice."""
    out = tmp_path / "o.clpc"
    make(rows, out=out).run()
    with Container(out) as container:
        found = container.survey
    stream = items(out)[0][1]
    with ContainerWriter(out, "a", survey=found) as first:
        first.append(stream, "new")
    before = out.read_bytes()
    with pytest.raises(LockedError, match="meanwhile"):
        ContainerWriter(out, "a", survey=found)
    assert out.read_bytes() == before


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"mode": "append"}, "mode"),
        ({"workers": -1}, "workers"),
        ({"batch_size": 0}, "batch_size"),
        ({"profile": "openai-vit-b-32/pqvae-400", "target": Target(quality=3)}, "fixed rate"),
    ],
)
def test_wrong_options_are_told_before_anything_is_read(
    options: dict[str, Any], word: str, tmp_path: Path
) -> None:
    with pytest.raises(OptionError, match=word):
        make(tmp_path / "none.npy", out=tmp_path / "o.clpc", **options)
    with pytest.raises(OptionError, match="no sources"):
        make(out=tmp_path / "o.clpc")
