"""`clipcodec compare`, on real files; what a shell sees in real subprocesses."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

import clipcodec
from clipcodec.cli import main
from tests.helpers.pictures import tiny_model, write_classes
from tests.helpers.processes import run
from tests.helpers.profiles import cone
from tests.helpers.sets import unit

ROWS = cone(80, 24, seed=3)
NAMES = ("cat", "dog", "owl")
QUICK = ("--max-bytes", "14")


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with rows in several forms, their labels, and texts."""
    monkeypatch.chdir(tmp_path)
    labels = np.arange(80) % 3
    np.save("rows.npy", ROWS)
    np.savez("rows.npz", embeddings=ROWS, labels=labels)
    save_file({"embeddings": ROWS, "labels": labels}, "rows.safetensors")
    np.save("labels.npy", labels)
    Path("labels.txt").write_text("\n".join(NAMES[i] for i in labels) + "\n")
    Path("numbers.txt").write_text("\n".join(map(str, labels)))
    texts = unit(np.random.default_rng(4).normal(size=(3, 24)))
    clipcodec.TextEmbeddings(NAMES, texts).save("texts.safetensors")
    return tmp_path


def points(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_table_with_the_answer_below(rates_path: Path) -> None:
    done = run("compare", "rows.npy", "--profile", rates_path, "--max-bytes", 12, 14, "--rows", 60)
    assert (done.returncode, done.stderr) == (0, b"")
    lines = done.stdout.decode().splitlines()
    assert lines[0].split() == ["60", "rows", "of", "80", "bytes", "cosine", "5", "%", "10-nn"]
    assert lines[1] == "at most 12 bytes"
    assert [line.split()[0] for line in lines[2:4]] == [str(rates_path), "any/rotation"]
    assert lines[4] == "at most 14 bytes"
    cosine = float(lines[5].split()[2])
    assert 0.9 < cosine < 1
    assert any("keeps most: cosine" in line for line in lines[7:])
    assert any("in a container it takes" in line for line in lines[7:])


def test_where_none_is_trained_for_the_rows_the_next_step_is_said() -> None:
    done = run("compare", "rows.npy", *QUICK)
    assert done.returncode == 0
    assert done.stdout.decode().splitlines()[-1] == (
        "no trained profile here is for rows like these; train one: "
        "clipcodec compress rows.npy -o OUT.clpc --train"
    )


def test_rows_come_through_a_pipe() -> None:
    plain = run("compare", "rows.npy", *QUICK, "--json")
    piped = run("compare", "-", *QUICK, "--json", stdin=Path("rows.npy").read_bytes())
    assert piped.returncode == 0
    assert piped.stdout == plain.stdout
    with io.BytesIO() as file:
        np.savetxt(file, ROWS, delimiter=",")
        piped = run("compare", "-", *QUICK, "--json", stdin=file.getvalue())
    assert json.loads(piped.stdout.splitlines()[0])["rows"] == 80


def test_every_sort_of_size(capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["--max-bytes", "14", "20", "--mean-bytes", "12.5", "--quality", "40",
             "--min-cosine", "0.9"]  # fmt: skip
    assert main(["compare", "rows.npy", *asked, "--json"]) == 0
    found = [
        (goal, point[goal])
        for point in points(capsys)[1:]
        for goal in ("max_bytes", "mean_bytes", "min_cosine", "quality")
        if goal in point
    ]
    assert found == [("max_bytes", 14), ("max_bytes", 20), ("mean_bytes", 12.5),
                     ("min_cosine", 0.9), ("quality", 40)]  # fmt: skip


@pytest.mark.parametrize(
    ("data", "labels"),
    [
        ("rows.npy", "labels.npy"),
        ("rows.npy", "labels.txt"),
        ("rows.npy", "numbers.txt"),
        ("rows.npz", "labels"),
        ("rows.safetensors", "labels"),
    ],
)
def test_labels_of_every_form_say_the_same(
    data: str, labels: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", data, "--labels", labels, *QUICK, "--json"]) == 0
    original, point = points(capsys)
    assert (original["rows"], original["examples"]) == (39, 41)
    assert {"prototype", "knn"} <= point.keys()
    expected = clipcodec_compare(np.load("labels.npy"))
    assert (original["knn"], point["knn"]) == expected


def clipcodec_compare(labels: np.ndarray) -> tuple[float, float]:
    """The accuracy before and after, by the Python behind the verb."""
    from clipcodec.evaluation.compare import compare

    found = compare(ROWS, targets=[clipcodec.Target(max_bytes=14)], labels=labels)
    return found.original["knn"], found.points[0].found["knn"]


def test_texts_and_labels(capsys: pytest.CaptureFixture[str]) -> None:
    """Labels through a pipe; they are names of the texts."""
    asked = ["--texts", "texts.safetensors", "--labels", "-", *QUICK]
    done = run("compare", "rows.npy", *asked, stdin=Path("labels.txt").read_bytes())
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode().splitlines()[0].split()[2:] == (
        ["of", "80", "bytes", "cosine", "5", "%", "top-1", "agree", "KL", "prototype", "knn"]
    )
    assert "10-nn: not measured" in done.stdout.decode()


def test_images_are_embedded_by_the_backbone(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of a directory, some of them if they are many; one that is damaged is counted."""
    pytest.importorskip("open_clip")
    model = tiny_model(files / "model")
    write_classes(files / "photos", {"owl": 4, "fox": 5})
    by = ["--backbone", model.name, "--weights", str(model.weights), "--device", "cpu", *QUICK]
    assert main(["compare", "photos/", *by, "--json"]) == 0
    original, point = points(capsys)
    assert (original["rows"], original["of"]) == (9, 9)
    assert point["cosine"] < original["cosine"] == pytest.approx(1)
    assert main(["compare", "photos/*/*.png", *by, "--json", "--rows", "3"]) == 0
    assert points(capsys)[0].items() >= {"rows": 3, "of": 9}.items()
    (files / "photos" / "owl" / "broken.png").write_bytes(b"no image")
    assert main(["compare", "photos/", *by, "-q"]) == 1
    done = capsys.readouterr()
    assert "1 input of 10 cannot be read" in done.err
    assert done.out.startswith("9 rows of 10 ")
    assert main(["compare", "photos/", *by, "--labels", "labels.txt"]) == 2
    assert "--labels is for files of embeddings" in capsys.readouterr().err


def test_one_bad_input_is_named_and_the_others_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    Path("noise.npy").write_bytes(b"\x93NUMPY noise")
    assert main(["compare", "noise.npy", "rows.npy", "rows.npz", *QUICK, "--json"]) == 1
    done = capsys.readouterr()
    assert json.loads(done.out.splitlines()[0])["rows"] == 160
    assert "noise.npy: not a readable .npy file" in done.err
    assert main(["compare", "noise.npy", "rows.npy", "--labels", "labels.npy"]) == 1
    assert "labels are for the rows of all inputs" in capsys.readouterr().err


def test_a_profile_of_another_width_is_left_out(
    tiny_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["compare", "rows.npy", "--profile", str(tiny_path), *QUICK]
    assert main(asked) == 1
    left = f"left out: {tiny_path} takes 8 dimensions, these rows have 24"
    assert left in capsys.readouterr().out.splitlines()
    assert main([*asked, "--json"]) == 1
    assert left in capsys.readouterr().err
    assert main([*asked, "--only"]) == 1
    assert "24 dimensions, profile private/tiny takes 8" in capsys.readouterr().err


def test_where_all_is_out_of_reach_the_code_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "rows.npy", "--max-bytes", "2"]) == 1
    assert "any/rotation   at least 8 bytes" in capsys.readouterr().out
    assert main(["compare", "rows.npy", "--max-bytes", "2", "14"]) == 0


NAN = ROWS.copy()
NAN[7] = np.nan


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["none.npy"], 1, "none.npy"),
        (["empty.npy"], 1, "expected (D,) or (N, D), N > 0"),
        (["one.npy"], 1, "one embedding: expected several"),
        (["nan.npy"], 1, "nan.npy, embedding 7: NaN or infinite values"),
        (["rows.npy", "narrow.npy"], 1, "narrow.npy: 8 dimensions, those before have 24"),
        (["rows.clpc"], 1, "rows.clpc: a container, whose rows were compressed before"),
        (["labels.txt"], 1, "labels.txt"),
        (["texts.safetensors"], 1, "a file of text embeddings, expected embeddings"),
        (["rows.npy", "--profile", "no/such"], 2, "no profile 'no/such'"),
        (["rows.npy", "--profile", "rows.clpc"], 2, "carries no profile"),
        (["rows.npy", "--profile", "rows.safetensors"], 1, "rows.safetensors"),
        (["rows.npy", "--labels", "short.npy"], 2, "5 labels, and 80 rows"),
        (["rows.npy", "--labels", "gap.txt"], 1, "gap.txt: line 2 is empty"),
        (["rows.npy", "--labels", "objects.npy"], 1, "not a readable .npy file of labels"),
        (["rows.npy", "--labels", "labels"], 2, "--labels labels: there is no such file"),
        (["rows.npz", "--labels", "other"], 2, "no such array in rows.npz"),
        (["rows.safetensors", "--labels", "other"], 2, "no such array in rows.safetensors"),
        (["rows.npz", "--labels", "embeddings"], 2, "expected (N,)"),
        (["rows.npy", "--texts", "rows.safetensors"], 1, "not a file of text embeddings"),
        (["rows.npy", "--texts", "narrow.safetensors"], 1, "texts of 8 dimensions"),
        (["-", "--labels", "-"], 2, "stdin (-) can be read only once"),
        (["rows.npy", "--rows", "1"], 2, "--rows 1: expected a whole number of at least 2"),
    ],
)
def test_bad_input_is_said_in_a_line(
    arguments: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save("empty.npy", np.empty((0, 24)))
    np.save("one.npy", ROWS[:1])
    np.save("nan.npy", NAN)
    np.save("narrow.npy", cone(20, 8))
    np.save("short.npy", np.arange(5))
    np.save("objects.npy", np.array(["a", 1], object))
    Path("gap.txt").write_text("cat\n\ndog\n")
    clipcodec.TextEmbeddings(("a", "b"), unit(np.eye(2, 8))).save("narrow.safetensors")
    with clipcodec.create("rows.clpc") as writer:
        writer.extend(clipcodec.encode_embeddings(ROWS[:5], profile="any/rotation"))
    try:
        found: object = main(["compare", *arguments, *QUICK])
    except SystemExit as stop:  # by the parser
        found = stop.code
    done = capsys.readouterr()
    assert found == code, done.err
    assert said in done.err
    assert "Traceback" not in done.err
    assert done.out == ""
