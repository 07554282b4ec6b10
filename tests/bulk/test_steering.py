"""clipcodec.bulk.steering: mean_bytes of a container, ids, check values and index counted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import clipcodec
from clipcodec import Codec, RateError
from clipcodec.bulk import Job, Target, array_files, pipeline, steering
from clipcodec.bulk.entries import Entry
from clipcodec.bulk.steering import ContainerSize, Steering, StreamSize, counted

PROFILE = "any/rotation"
DIM = 96


def drawn(count: int, seed: int = 0) -> np.ndarray:
    x: np.ndarray = np.random.default_rng(seed).normal(size=(count, DIM)) + np.linspace(1, 0, DIM)
    return x.astype(np.float32)


def save(path: Path, x: np.ndarray) -> Path:
    np.save(path, x)
    return path


def make(*inputs: Path, out: Path, asked: float, **options: Any) -> Job:
    target = Target(mean_bytes=asked)
    return Job(inputs, out, target, **{"profile": PROFILE, "workers": 0, **options})


def per_item(path: Path) -> float:
    """Bytes of a container's items."""
    with clipcodec.open(path) as container:
        return counted(container.survey) / len(container)


def streams(path: Path) -> dict[str | None, bytes]:
    with clipcodec.open(path) as container:
        return {item.id: item.stream for item in container.items()}


@pytest.fixture
def as_a_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    """Arrays are taken as if they were images, whose embeddings come bit by bit."""
    monkeypatch.setattr(array_files.Array, "images", True)
    monkeypatch.setattr(Codec, "backbone", lambda self: None)
    monkeypatch.setattr(Job, "_backbone_identity", lambda self: {})


# --- known in whole ---


@pytest.mark.parametrize("asked", [16, 25, 50, 70])
def test_the_file_has_so_many_bytes_per_item(tmp_path: Path, asked: float) -> None:
    rows = save(tmp_path / "rows.npy", drawn(2000))
    out = tmp_path / "o.clpc"
    result = make(rows, out=out, asked=asked).run()
    assert per_item(out) == pytest.approx(asked, 0.01)
    assert result.bytes_per_item == per_item(out)
    assert not result.adapted


def test_a_dozen_rows_have_no_share_of_the_metadata(tmp_path: Path) -> None:
    """A container's metadata take some 400 bytes: few rows would get next to nothing."""
    rows = save(tmp_path / "rows.npy", drawn(12))
    out = tmp_path / "o.clpc"
    make(rows, out=out, asked=50).run()
    assert sum(map(len, streams(out).values())) > 12 * 40
    assert per_item(out) == pytest.approx(50, 0.03)


def test_the_number_of_workers_does_not_show(tmp_path: Path) -> None:
    rows = save(tmp_path / "rows.npy", drawn(700))
    for count in (0, 2):
        make(rows, out=tmp_path / f"{count}.clpc", asked=30, workers=count).run()
    assert (tmp_path / "0.clpc").read_bytes() == (tmp_path / "2.clpc").read_bytes()


def test_a_row_has_the_same_stream_in_any_order_of_the_inputs(tmp_path: Path) -> None:
    a, b = save(tmp_path / "a.npy", drawn(200)), save(tmp_path / "bb.npy", drawn(100, seed=1))
    make(a, b, out=tmp_path / "ab.clpc", asked=30).run()
    make(b, a, out=tmp_path / "ba.clpc", asked=30).run()
    assert streams(tmp_path / "ab.clpc") == streams(tmp_path / "ba.clpc")


def test_bad_rows_are_passed_over_and_fail(tmp_path: Path) -> None:
    x = drawn(300)
    x[5], x[77] = np.nan, 0
    result = make(save(tmp_path / "r.npy", x), out=tmp_path / "o.clpc", asked=30).run()
    assert (result.compressed, result.failed) == (298, 2)
    assert per_item(tmp_path / "o.clpc") == pytest.approx(30, 0.01)


def test_an_interrupted_job_goes_on_as_never_interrupted(tmp_path: Path) -> None:
    rows = save(tmp_path / "rows.npy", drawn(900))
    make(rows, out=tmp_path / "whole.clpc", asked=30).run()

    def interrupt(done: int, total: int | None) -> None:
        if done > 300:
            raise KeyboardInterrupt

    out = tmp_path / "o.clpc"
    with pytest.raises(KeyboardInterrupt):
        make(rows, out=out, asked=30).run(progress=interrupt)
    assert 0 < make(rows, out=out, asked=30, mode="resume").run().compressed < 900
    assert streams(out) == streams(tmp_path / "whole.clpc")
    with pytest.raises(clipcodec.OptionError, match="begun with mean_bytes"):
        make(rows, out=out, asked=31, mode="resume").run()


def test_new_rows_get_the_quality_of_those_before(tmp_path: Path) -> None:
    rows, more = (save(tmp_path / n, drawn(200, s)) for n, s in (("a.npy", 0), ("b.npy", 9)))
    out = tmp_path / "o.clpc"
    make(rows, out=out, asked=30).run()
    before = streams(out)
    assert not make(rows, more, out=out, asked=30, mode="resume").run().adapted
    found = streams(out)
    with clipcodec.open(out) as container:
        point = Target(**container.metadata["clipcodec"]["settled"])
    assert found.items() >= before.items()
    made = Codec(PROFILE).encode_embeddings(np.load(more), point)
    assert [found[f"b.npy/{i}"] for i in range(200)] == made


def test_out_of_reach_makes_no_file(tmp_path: Path) -> None:
    rows = save(tmp_path / "rows.npy", drawn(50))
    for asked in (2, 4000):
        with pytest.raises(RateError, match=r"reaches [\d.]+ to [\d.]+ bytes on average"):
            make(rows, out=tmp_path / "o.clpc", asked=asked).run()
    assert [path.name for path in tmp_path.iterdir()] == ["rows.npy"]


def test_a_plan_counts_what_was_asked(tmp_path: Path) -> None:
    rows = save(tmp_path / "rows.npy", drawn(50))
    assert make(rows, out=tmp_path / "o.clpc", asked=30.5).plan().bytes == 1525


# --- known bit by bit ---


@pytest.mark.usefixtures("as_a_stream")
@pytest.mark.parametrize(("count", "asked"), [(300, 25), (2000, 25), (2000, 60)])
def test_a_stream_comes_to_the_average_as_it_goes(tmp_path: Path, count: int, asked: float) -> None:
    rows = save(tmp_path / "rows.npy", drawn(count))
    result = make(rows, out=tmp_path / "o.clpc", asked=asked).run()
    assert result.adapted == (count > steering.FIRST + steering.CHUNK)
    assert per_item(tmp_path / "o.clpc") == pytest.approx(asked, 0.01)


@pytest.mark.usefixtures("as_a_stream")
def test_a_stream_that_changes_is_steered_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its second half is narrower: with the quality of the first the whole would be far off."""
    a = save(tmp_path / "a.npy", drawn(1200))
    b = save(tmp_path / "b.npy", drawn(1800)[:, :72])
    make(a, b, out=tmp_path / "o.clpc", asked=30).run()
    assert per_item(tmp_path / "o.clpc") == pytest.approx(30, 0.01)
    with monkeypatch.context() as patch:
        patch.setattr(steering, "_STEP", 0.0)
        make(a, b, out=tmp_path / "never.clpc", asked=30).run()
    assert per_item(tmp_path / "never.clpc") < 28


def test_what_is_steered_does_not_depend_on_workers_or_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steering, "FIRST", 64)
    monkeypatch.setattr(steering, "CHUNK", 32)
    target = Target(mean_bytes=30)
    codec = Codec(PROFILE)
    x = drawn(400)
    found = []
    for workers, group in ((0, 256), (2, 256), (0, 50)):
        monkeypatch.setattr(pipeline, "GROUP", group)
        steered = Steering(codec, target, ContainerSize(100))
        entries = [Entry(str(i), str(i), row) for i, row in enumerate(x)]
        results = pipeline.compress(codec, entries, target, workers=workers, steering=steered)
        made = [result.stream for some in results for result in some]
        found.append([stream for stream in made if isinstance(stream, bytes)])
    assert found[0] == found[1] == found[2]
    assert len({clipcodec.info(stream).quality for stream in found[0]}) > 1


@pytest.mark.usefixtures("as_a_stream")
def test_a_resumed_stream_comes_to_the_average_of_the_whole(tmp_path: Path) -> None:
    x = drawn(1200)
    out = tmp_path / "o.clpc"
    make(save(tmp_path / "a.npy", x[:600]), out=out, asked=30).run()
    save(tmp_path / "b.npy", x[600:])
    job = make(tmp_path / "a.npy", tmp_path / "b.npy", out=out, asked=30, mode="resume")
    assert job.run().compressed == 600
    assert per_item(out) == pytest.approx(30, 0.01)


@pytest.mark.usefixtures("as_a_stream")
@pytest.mark.parametrize("count", [1, 4])
def test_a_few_that_are_added_are_as_good_as_those_before(tmp_path: Path, count: int) -> None:
    """The forty bytes of a new block are not theirs to pay."""
    x, out = drawn(60 + 3 * count), tmp_path / "o.clpc"
    make(save(tmp_path / "a.npy", x[:60]), out=out, asked=50).run()
    names = [tmp_path / "a.npy"]
    for i in range(3):
        at = 60 + i * count
        names.append(save(tmp_path / f"{i}.npy", x[at : at + count]))
        assert make(*names, out=out, asked=50, mode="resume").run().compressed == count
    assert per_item(out) == pytest.approx(50, 0.02)
    added = [len(stream) for stream in list(streams(out).values())[60:]]
    assert 40 < min(added) < max(added) < 60


def test_chunks_without_streams_change_nothing() -> None:
    codec, x = Codec(PROFILE), drawn(600)
    steered = Steering(codec, Target(mean_bytes=30), StreamSize())
    names = [str(i) for i in range(600)]
    assert steered.next(["bad"], [np.full(DIM, np.nan)], last=False) == Target()
    steered.add([], [])
    first = steered.next(names, [*x], last=False)
    steered.add(names, codec.encode_embeddings(x, first))
    steered.next([], [], last=False)
    steered.add([], [])
    again = codec.encode_embeddings(x, steered.next(names, [*x], last=True))
    assert sum(map(len, again)) / 600 == pytest.approx(30, 0.01)


def test_the_size_of_a_container_is_foreseen(tmp_path: Path) -> None:
    """To a few bytes, whatever the number of blocks."""
    made = Codec(PROFILE).encode_embeddings(drawn(100), quality=20) * 23
    ids = [f"rows.npy/{i}" for i in range(len(made))]
    size = ContainerSize()
    before = size.total
    assert size.more(made, ids) > 0
    assert size.total == before, "only asked"
    size.add(made[:900], ids[:900])
    size.add(made[900:], ids[900:])
    with clipcodec.create(tmp_path / "x.clpc", metadata={"a": 1}) as writer:
        writer.extend(made, ids)
    assert size.items == 2300
    with clipcodec.open(tmp_path / "x.clpc") as container:
        assert size.total == counted(container.survey)
        around = container.size - size.total
        assert 0 < around < 300, "opening, metadata, three blocks, index"
