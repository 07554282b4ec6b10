"""clipcodec.evaluation: codecs by their names, measured point by point, and the report."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import clipcodec
from clipcodec.errors import EmbeddingError, OptionError, ProfileError
from clipcodec.evaluation import evaluate as module
from clipcodec.evaluation import report
from clipcodec.evaluation.bench import Bench, bench_of
from clipcodec.evaluation.codecs import Coded, MeasuredCodec, Training, parse_codec
from clipcodec.evaluation.evaluate import evaluate
from clipcodec.evaluation.results import Results
from clipcodec.evaluation.sets import EmbeddingSet
from tests.helpers.sets import TRAINED, unit, write_folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "data")


@pytest.fixture
def bench(data: Path) -> Bench:
    return bench_of([data])


class Counted:
    """A codec that adds noise, and counts how often it is asked for how many rows."""

    def __init__(self, noise: float = 0.1, *, apart: bool = True) -> None:
        self.noise, self.apart = noise, apart
        self.calls: list[int] = []

    def code(self, x: np.ndarray, _: Training) -> Coded:
        self.calls.append(len(x))
        noise = self.noise * np.arange(x.shape[1], dtype=np.float32)
        return Coded(x + noise, np.full(len(x), 3.0))

    def codec(self, weights: str = "") -> MeasuredCodec:
        return MeasuredCodec(
            "noise:1", "noise", "1", self.code, ("evaluation/table.py",), weights, self.apart
        )


# names of codecs


def test_a_profile_is_measured_as_its_users_would_use_it(tiny_path: Path, data: Path) -> None:
    """Whole streams of the public API, header and check value included."""
    bench = bench_of([data])
    codec = parse_codec(str(tiny_path))
    assert (codec.series, codec.setting, codec.apart, codec.fitted) == (
        "private/tiny", "", True, False,
    )  # fmt: skip
    coded = codec.code(bench.rows, Training(None))
    streams = clipcodec.encode_embeddings(bench.rows, profile=str(tiny_path))
    assert coded.rows is not None
    assert (coded.bytes == [len(stream) for stream in streams]).all()
    assert (coded.rows == clipcodec.decode_batch(streams, profile=str(tiny_path))).all()


def test_targets_follow_the_profile() -> None:
    codec = parse_codec("any/rotation@max_bytes=30,effort=2")
    assert (codec.series, codec.setting) == ("any/rotation", "max_bytes=30 effort=2")
    rows = unit(np.random.default_rng(0).normal(size=(3, 32)))
    coded = codec.code(rows, Training(None))
    assert coded.bytes.max() <= 30
    assert not parse_codec("any/rotation@mean_bytes=20.5").apart  # a row's bytes depend on others


@pytest.mark.parametrize(
    ("spec", "error", "said"),
    [
        ("no/such", ProfileError, "no profile 'no/such'"),
        ("any/rotation@bytes=3", OptionError, "'bytes=3' is no target"),
        ("any/rotation@max_bytes", OptionError, "'max_bytes' is no target"),
        ("any/rotation@max_bytes=few", OptionError, "'few' is not a number"),
    ],
)
def test_a_name_that_means_nothing_says_so(spec: str, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        parse_codec(spec)


def test_training_rows_are_read_when_asked_for(data: Path, tmp_path: Path) -> None:
    assert len(Training(data).rows) == TRAINED + 40
    with pytest.raises(OptionError, match="give --training"):
        _ = Training(None).rows
    before = Training(data).digest
    (data / "train.safetensors").unlink()
    assert Training(data).digest != before
    assert (Training(data).sample(5) == Training(data).sample(5)).all()


# points


def test_a_point_has_sizes_and_every_measure_of_every_set(bench: Bench) -> None:
    results = Results(None, "x")
    assert evaluate(bench, [Counted().codec()], Training(None), results, quiet=True) == []
    original, point = results.points["original"], results.points["noise:1"]
    assert (original["cosine"], original["bytes"]) == (1, 4 * 8)
    assert (point["bytes"], point["most"], point["bpd"]) == (3, 3, 3)
    assert point["sets"].keys() == {"imagenet", "things"}
    assert 0.5 < point["cosine"] < 1
    assert point["sets"]["imagenet"]["kl"] > 0 == original["sets"]["imagenet"]["kl"]
    together = sum(len(d.rows) * point["sets"][d.name]["cosine"] for d in bench.sets)
    assert point["cosine"] == pytest.approx(together / len(bench.rows), abs=1e-4)


def test_bits_per_pixel_are_all_bits_over_all_pixels() -> None:
    rows = unit(np.eye(4))
    bench = Bench([EmbeddingSet("a", rows, "d", pixels=np.array([100, 200, 300, 400]))])
    point = bench.measure(Coded(rows, np.array([1.0, 2, 3, 4])))
    assert point["sets"]["a"]["bpp"] == 80 / 1000


def test_a_bound_has_a_cosine_and_no_rows(bench: Bench) -> None:
    point = bench.measure(Coded(None, np.array([16.0]), 0.9))
    assert point == {"bytes": 16, "most": 16, "bpd": 16, "cosine": 0.9}


def test_what_is_there_is_not_measured_again(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same code and data: not at all. Other code that makes the same: a few rows. Else: all."""
    path, counted, everything = tmp_path / "r.json", Counted(), len(bench.rows)

    def measured(counted: Counted, weights: str = "", noise: float = 0.1) -> list[int]:
        counted.calls.clear()
        counted.noise = noise
        evaluate(bench, [counted.codec(weights)], Training(None), Results.load(path, "x"),
                 quiet=True)  # fmt: skip
        return counted.calls

    assert measured(counted) == [everything, everything]  # these sets are no larger than a sample
    assert measured(counted) == []
    made = Results.load(path).points["noise:1"]
    assert measured(counted, "new") == [everything]
    restamped = Results.load(path).points["noise:1"]
    assert restamped["code"] != made["code"]
    assert {**restamped, "code": made["code"]} == made  # the date too: nothing was measured
    assert measured(counted, "other", noise=0.2) == [everything, everything]
    assert Results.load(path).points["noise:1"]["cosine"] < made["cosine"]
    monkeypatch.setattr(module, "MEASURED_BY", ("evaluation/table.py",))
    assert measured(counted, "other", noise=0.2) == [everything, everything]
    counted.apart = False
    assert measured(counted, "third", noise=0.2) == [everything]


def test_other_data_are_measured_anew(data: Path, bench: Bench, tmp_path: Path) -> None:
    path, counted = tmp_path / "r.json", Counted()
    for rows in (None, 5):
        evaluate(bench_of([data], rows), [counted.codec()], Training(None),
                 Results.load(path, "x"), quiet=True)  # fmt: skip
    assert counted.calls == [50, 50, 10, 10]


def test_a_run_that_is_cut_off_keeps_what_it_has(bench: Bench, tmp_path: Path) -> None:
    path, first = tmp_path / "r.json", Counted()

    def fail(*_: object) -> Coded:
        raise KeyboardInterrupt

    second = replace(Counted().codec(), spec="second", code=fail)
    with pytest.raises(KeyboardInterrupt):
        evaluate(bench, [first.codec(), second], Training(None), Results.load(path, "x"),
                 quiet=True)  # fmt: skip
    assert list(Results.load(path).points) == ["original", "noise:1"]


def test_what_cannot_be_measured_is_said_and_the_rest_goes_on(bench: Bench) -> None:
    results = Results(None, "x")
    codecs = [parse_codec("any/rotation@max_bytes=1"), Counted().codec()]
    (line,) = evaluate(bench, codecs, Training(None), results, quiet=True)
    assert line.startswith("any/rotation@max_bytes=1: embedding 0")
    assert list(results.points) == ["original", "noise:1"]


def test_a_codec_of_another_width_is_named(bench: Bench) -> None:
    codec = parse_codec("openai-vit-b-32/pqvae-400")
    with pytest.raises(EmbeddingError, match=r"^openai-vit-b-32/pqvae-400: "):
        evaluate(bench, [codec], Training(None), Results(None, "x"), quiet=True)


# the report


def test_the_report_leaves_out_what_is_not_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert report.main([str(tmp_path), "-o", str(out), "--only", "l14"]) == 1
    assert "l14: left out, as" in capsys.readouterr().err
    assert not out.exists()


def test_every_codec_of_the_report_has_a_name_of_its_own() -> None:
    specs = report.specs()
    assert len(specs) == len(set(specs))
    assert report.OURS in specs
    assert set(report.QUICK) <= set(specs)


def test_studies_run_side_by_side(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Each in a process of its own, whose messages and exit code are not lost."""
    out = tmp_path / "out"
    asked = [str(tmp_path), "-o", str(out), "--quick", "--jobs", "2", "--only", "l14", "heads"]
    assert report.main(asked) == 1
    said = capfd.readouterr().err
    assert "l14: left out, as" in said
    assert "heads: left out, as" in said
