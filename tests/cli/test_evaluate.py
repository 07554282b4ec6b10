"""`clipcodec evaluate`, in real subprocesses and on real files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from clipcodec.cli import main
from tests.helpers.pictures import tiny_model, write_classes
from tests.helpers.processes import run
from tests.helpers.sets import write_folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "data", dim=32)


def test_tables_on_stdout_and_a_result_file(data: Path, tmp_path: Path) -> None:
    """The default: the profiles that fit, at three sizes."""
    out = tmp_path / "r.json"
    done = run("evaluate", data, "-o", out)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.decode().splitlines()
    assert lines[0] == "all sets"
    assert lines[1].split() == ["bytes", "most", "bpd", "cosine", "5", "%"]
    names = [line.split()[0] for line in lines[2:6]]
    assert names == ["original", *(f"any/rotation@max_bytes={n}" for n in (25, 50, 100))]
    heads = lines[lines.index("imagenet") + 1].split()
    assert heads[-6:] == ["top-1", "top-5", "agree", "KL", "text→image", "10-nn"]
    points = json.loads(out.read_text("utf-8"))["points"]
    assert [point["key"] for point in points] == names
    before = out.stat().st_mtime_ns, out.read_bytes()
    again = run("evaluate", data, "-o", out)
    assert again.stdout == done.stdout
    assert out.read_bytes() == before[1]


def test_codecs_and_sizes_by_name(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["--codec", "any/rotation@quality=30", "--profile", "any/rotation"]
    sizes = ["--max-bytes", "20", "--mean-bytes", "18.5", "--quality", "44"]
    assert main(["evaluate", str(data / "test_things.safetensors"), *asked, *sizes, "--json"]) == 0
    points = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [point["key"] for point in points] == [
        "original", "any/rotation@quality=30", "any/rotation@max_bytes=20",
        "any/rotation@mean_bytes=18.5", "any/rotation@quality=44",
    ]  # fmt: skip
    assert points[2]["most"] <= 20
    assert points[3]["bytes"] == pytest.approx(18.5, rel=0.05)
    assert {"prototype", "knn"} <= points[1]["sets"]["things"].keys()


def test_fewer_rows(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(data), "--rows", "4", "--codec", "any/rotation", "--json"]) == 0
    whole = ["evaluate", str(data), "--codec", "any/rotation", "--json"]
    first = capsys.readouterr().out
    assert main(whole) == 0
    assert json.loads(first.splitlines()[1])["data"] not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--codec", "no/such"], 2, "no profile 'no/such'"),
        (["--codec", "any/rotation@max_bytes=1"], 1, "any/rotation@max_bytes=1: embedding 0"),
        (["-o", "r.txt"], 2, "-o r.txt: a result file is .json"),
        (["-o", "missing/r.json"], 2, "there is no such directory"),
        (["--plot", "p.png"], 2, "--plot p.png: a plot is .svg"),
    ],
)
def test_what_cannot_be_done_is_said_before_or_beside_the_rest(
    data: Path, arguments: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", str(data), *arguments]) == code
    assert said in capsys.readouterr().err


def test_a_file_that_is_no_set_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(b"noise")
    assert main(["evaluate", str(path)]) == 1
    assert f"{path} is not a readable .safetensors file" in capsys.readouterr().err
    other = tmp_path / "r.json"
    other.write_text("{}")
    data = write_folder(tmp_path / "data")
    assert main(["evaluate", str(data), "-o", str(other)]) == 2
    assert "is not a result file" in capsys.readouterr().err
    assert other.read_text() == "{}"


def test_a_folder_of_images_is_embedded_once_and_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Classes are folders; sizes are also bits per pixel; an image that is damaged is named."""
    pytest.importorskip("open_clip")
    model = tiny_model(tmp_path / "model")
    folder = write_classes(tmp_path / "animals", {"owl": 4, "red_fox": 5})
    keep = tmp_path / "kept"
    options = ["--backbone", model.name, "--weights", str(model.weights), "--device", "cpu", "-q",
               "--codec", "any/rotation@max_bytes=30", "--json"]  # fmt: skip
    assert main(["evaluate", str(folder), *options]) == 2
    assert "give --keep DIR" in capsys.readouterr().err
    assert main(["evaluate", str(folder), "--keep", str(keep), *options]) == 0
    first = capsys.readouterr().out
    measured = json.loads(first.splitlines()[1])["sets"]["animals"]
    assert measured.keys() >= {"top1", "kl", "bpp", "neighbours"}
    bits = 8 * 9 * measured["bytes"]
    pixels = 48 * (sum(range(40, 44)) + sum(range(40, 45)))
    assert measured["bpp"] == pytest.approx(bits / pixels, rel=1e-3)
    (kept,) = keep.iterdir()
    before = kept.stat().st_mtime_ns
    assert main(["evaluate", str(folder), "--keep", str(keep), *options]) == 0
    assert capsys.readouterr().out == first
    assert kept.stat().st_mtime_ns == before
    (folder / "owl" / "broken.png").write_bytes(b"no image")
    assert main(["evaluate", str(folder), "--keep", str(keep), *options]) == 1
    done = capsys.readouterr()
    assert "broken.png" in done.err
    assert len(done.out.splitlines()) == 2


def test_embeddings_without_labels_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "rows.npy", np.eye(4))
    assert main(["evaluate", str(tmp_path / "rows.npy")]) == 1
    assert "rows.npy: expected embeddings with their labels" in capsys.readouterr().err


def test_a_data_set_that_is_not_there_says_what_to_get(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torchvision")
    where = ["--root", str(tmp_path), "--keep", str(tmp_path / "kept")]
    assert main(["evaluate", "pets", *where]) == 1
    assert "images.tar.gz and annotations.tar.gz from https://" in capsys.readouterr().err
    assert main(["evaluate", str(tmp_path / "nowhere"), *where]) == 1
    assert "is no folder of images, and none of imagenet" in capsys.readouterr().err


def test_a_result_file_gathers_codecs_and_holds_one_data_set(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What an earlier run measured is not lost; results of other data are not mixed in."""
    out = tmp_path / "r.json"
    for size in ("20", "25"):
        codec = f"any/rotation@max_bytes={size}"
        assert main(["evaluate", str(data), "--codec", codec, "-o", str(out), "-q"]) == 0
    points = json.loads(out.read_text("utf-8"))["points"]
    assert [point["key"][-2:] for point in points[1:]] == ["25", "20"]
    before = out.read_bytes()
    assert main(["evaluate", str(data), "--rows", "5", "-o", str(out), "-q"]) == 2
    assert f"-o {out} holds results of other data" in capsys.readouterr().err
    assert out.read_bytes() == before
