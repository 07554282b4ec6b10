"""The benchmarks run, on little data, and keep what they measure; kept figures are of this code.

Their figures are not looked at, but for what must hold of any.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

import clipcodec
from clipcodec.kinds.trellis import PredictiveKind
from tests.helpers.paths import ROOT
from tests.helpers.profiles import drawn
from tests.helpers.scripts import load

BENCH = ROOT / "tests" / "bench"
SCRIPTS = sorted(
    path for path in BENCH.glob("*.py") if path.stem not in ("__init__", "kept", "test_bench")
)
RESULTS = ("any_model", "beside", "corruption", "effort", "install", "million", "overhead",
           "pointing", "products", "rows", "scale", "search", "service", "speed",
           "words")  # fmt: skip


@pytest.fixture(scope="module")
def kept() -> ModuleType:
    return load(BENCH / "kept.py")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve images of three held-out classes, a test set, and rows to train on."""
    folder = tmp_path_factory.mktemp("data")
    rows, texts = drawn(32), drawn(4, seed=1)
    labels = np.arange(12) % 3 + 1
    imagenet: dict[str, np.ndarray] = {
        "embeddings": rows[:12].copy(), "labels": labels, "text_ensemble": texts,
        "class_is_val": np.array([0, 1, 1, 1], np.uint8),
    }  # fmt: skip
    save_file(imagenet, folder / "imagenet.safetensors")
    save_file({"embeddings": rows[12:20].copy()}, folder / "test_few.safetensors")
    save_file({"embeddings": rows[20:].copy()}, folder / "train.safetensors")
    return folder


def run(
    kept: ModuleType, name: str, out: Path, monkeypatch: pytest.MonkeyPatch, *words: str,
    **less: object,
) -> dict[str, Any]:  # fmt: skip
    """The points of one benchmark, by key; `less` are constants of the script to take instead."""
    assert kept is sys.modules["kept"]
    arguments = [*words, "-o", str(out)]
    monkeypatch.setattr(sys, "argv", [f"{name}.py", *arguments])
    script = load(BENCH / f"{name}.py")
    for constant, value in less.items():
        monkeypatch.setattr(script, constant, value)
    script.main(arguments)
    assert kept.stale(out) == []
    return {point["key"]: point for point in json.loads(out.read_text("utf-8"))["points"]}


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_each_is_a_program_with_help(path: Path) -> None:
    done = subprocess.run([sys.executable, str(path), "--help"], capture_output=True, text=True,
                          timeout=120, check=True)  # fmt: skip
    assert f"python tests/bench/{path.name}" in done.stdout


def test_effort(
    kept: ModuleType, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words, asked = (str(data), "--step", "6"), ({"quality": 30},)
    points = run(kept, "effort", tmp_path / "a.json", monkeypatch, *words, ASKED=asked)
    assert [point["effort"] for point in points.values()] == [1, 3, 5, 7, 9, 5]
    point = points["quality=30 effort=5 labels"]
    assert (point["effort"], point["labels"], point["images"]) == (5, True, 2)
    assert point["command"] == "python tests/bench/effort.py DATA --step 6"
    assert point["top1"] in (0, 0.5, 1)
    assert "times" not in point


def test_pointing(
    kept: ModuleType, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = (str(data), "--trials", "2", "--max-bytes", "100")
    points = run(kept, "pointing", tmp_path / "a.json", monkeypatch, *words)
    assert list(points) == ["not compressed", "max_bytes=100"]
    assert all(0 <= point["right"] <= 1 for point in points.values())


def test_overhead_is_a_few_bytes(
    kept: ModuleType, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "openai-vit-b-32/pqvae-400"
    points = run(kept, "overhead", tmp_path / "a.json", monkeypatch, str(data), "--profile", name)
    assert 2 < points[name]["beyond"] <= points[name]["beyond_most"] < 6
    assert points[name]["images"] == 20


def test_recall(
    kept: ModuleType, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A part of the file that another study made stays; what this one no longer makes goes."""
    out = tmp_path / "a.json"
    old = [{"key": "speed: x", "study": "speed"}, {"key": "recall: x", "study": "recall"}]
    made = {"times": True, "made": {}}
    out.write_text(json.dumps(
        {"format": "clipcodec results 1", "command": "", "points": [point | made for point in old]}
    ))  # fmt: skip
    search = load(BENCH / "search.py")
    monkeypatch.setattr(search, "BUDGETS", (50,))
    arguments = ["recall", str(data), "--rows", "4", "-o", str(out)]
    monkeypatch.setattr(sys, "argv", ["search.py", *arguments])
    search.main(arguments)
    points = {point["key"]: point for point in json.loads(out.read_text("utf-8"))["points"]}
    assert "speed: x" in points
    assert "recall: x" not in points
    point = points["recall: openai-vit-b-32/predictive max_bytes=50 by streams"]
    assert (point["by"], point["images"], point["queries"]) == ("streams", 4, 4)
    assert 0 < point["image_to_image"] <= 1


def test_rows(kept: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("duckdb")
    points = run(kept, "rows", tmp_path / "a.json", monkeypatch, "--rows", "30")
    assert points["search_rows, SQLite"]["as_many"] == 1
    assert len(points) == 7
    assert 1.33 < points["text"]["longer"] < 1.4


def test_searches_a_second(
    kept: ModuleType, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exact searches find the nearest; every way has a rate and a recall."""
    for library in ("faiss", "usearch"):
        pytest.importorskip(library)
    points = run(kept, "search", tmp_path / "a.json", monkeypatch, "speed", str(data), "--items",
                 "64", FAISS=("Flat", "HNSW8"))  # fmt: skip
    assert len(points) == 12
    assert points["speed: faiss Flat"]["recall"] == 1
    for point in points.values():
        assert point["one"] > 0
        assert point["many"] > 0
        assert 0.5 < point["recall"] <= 1
    ways = [f"speed: {way}: any/rotation" for way in ("search, one pass", "search, exact=False")]
    assert len({points[way]["recall"] for way in ways}) == 1  # it has no sketches


def test_a_few_rows_to_a_container_and_back(kept: ModuleType, tmp_path: Path) -> None:
    scale = load(BENCH / "scale.py")
    rows, container = tmp_path / "rows.npy", tmp_path / "rows.clpc"
    scale.write_rows(rows, drawn(8), 20)
    assert np.load(rows).shape == (20, 512)
    scale.encode_file(str(rows), str(container))
    scale.decode_file(str(container), "20")
    with pytest.raises(AssertionError):
        scale.decode_file(str(container), "21")
    assert scale.multiply_adds() > 1_000_000


def test_damage(kept: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of what was damaged is counted once, among seven ways."""
    words = ("--count", "700", "--jobs", "1", "--only", "pqvae, raw")
    points = run(kept, "corruption", tmp_path / "a.json", monkeypatch, *words)
    point = points["pqvae, raw"]
    assert point["damaged"] == 700
    assert len(point["ways"]) == 7
    assert [way["damaged"] for way in point["ways"].values()] == [100] * 7
    assert sum(way["damaged"] for way in point["detail"].values()) == 700
    assert point["passed"] == sum(way["passed"] for way in point["ways"].values())


def test_speed(kept: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Times are never old, and say so."""
    speed = load(BENCH / "speed.py")
    assert len(speed.seconds(lambda: None, 3)) == 3
    found = speed.profile_figures("openai-vit-b-32/pqvae-400", None, 4)
    assert all(value > 0 for value in found.values())
    args = kept.parser("").parse_args(["-o", str(tmp_path / "a.json")])
    monkeypatch.setattr(sys, "argv", ["speed.py"])
    file = kept.Kept("speed", args)
    for times in (True, False):
        file.add(f"{times}", found, data="", modules=("codec.py",), weights="", times=times)
    assert kept.stale(tmp_path / "a.json") == []
    monkeypatch.setattr(kept, "code_digest", lambda *a, **b: "other code")
    assert kept.stale(tmp_path / "a.json") == ["False"]


def test_device(kept: ModuleType, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """On torch's CPU device both ways are compared, and nothing is kept."""
    device, out = load(BENCH / "device.py"), tmp_path / "a.json"
    words = ["openai-vit-b-32/predictive", "--device", "cpu", "--rows", "5", "-o", str(out)]
    device.main(words)
    found = capsys.readouterr().out
    assert "nothing is kept" in found
    assert found.count("predictive encode Target(") == 4
    assert not out.exists()


def test_products_are_those_of_the_codec(
    kept: ModuleType, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On both paths and with one core or all; noting them changes no byte and leaves no trace."""
    x = drawn(8)
    products = load(BENCH / "products.py")
    before = clipcodec.encode_embeddings(x)
    with products.noted() as found:
        assert clipcodec.encode_embeddings(x) == before
        count = len(found)
        clipcodec.decode_batch(before)
    kind = clipcodec.Codec().profile.kind
    assert isinstance(kind, PredictiveKind)
    networks = kind.engine(512).transform.networks  # type: ignore[attr-defined]
    shapes = [
        part.shape for n in [*networks.predict, networks.restore] for part in (n._hidden, n._out)
    ]
    assert [product[1:4] for product in found[count:]] == [
        *((*shape, "float32") for shape in shapes), (512, 512, "float64")
    ]  # fmt: skip
    assert found[0][:4] == (8, 512, 512, "float64")
    clipcodec.decode_batch(before)
    assert len(found) == count + len(shapes) + 1
    parts = products.parts_of(np.arange(1000), 256)
    assert np.concatenate(parts).tolist() == [*range(1000)]

    words = (str(data), "--rows", "8", "--runs", "1")
    less = {"PATHS": {"plain": "never"}, "SINGLES": dict.fromkeys(products.SINGLES, 1)}
    points = run(kept, "products", tmp_path / "a.json", monkeypatch, *words, **less)
    assert len(points) == 2 * 5
    for point in points.values():
        assert all(point[name] > 0 for name in point if name.endswith(("_us", "_ms", "share")))


@pytest.mark.parametrize("items", [1000])
def test_growth_is_measured_at_three_sizes(
    kept: ModuleType, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, items: int
) -> None:
    words = ("million", str(data), "--items", str(items))
    points = run(kept, "scale", tmp_path / "a.json", monkeypatch, *words, PRODUCTS=0.01)
    assert {point["items"] for point in points.values()} == {10, 100, 1000}
    last = points[f"million: encode {items}"]
    assert last["rows_per_second"] == points["million: encode"]["rows_per_second"] > 0
    assert last["peak_mib"] > 10


def test_processor_time_beside_faiss(
    kept: ModuleType, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("faiss")
    words = ("beside", str(data), "--items", "64")
    less = {"BESIDE": ("PQ4x2np",)}
    points = run(kept, "scale", tmp_path / "a.json", monkeypatch, *words, **less)
    own, peer = points.values()
    assert own["encode_times"] == own["decode_times"] == 1
    assert peer["bytes_per_item"] == 1
    assert 0 < peer["cosine"] < own["cosine"] <= 1


def test_service(kept: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each line is made in a process of its own, and names what was asked for."""
    words = ("--requests", "2", "--only", "pqvae-400")
    points = run(kept, "service", tmp_path / "a.json", monkeypatch, *words)
    assert list(points) == [f"{verb}: openai-vit-b-32/pqvae-400" for verb in ("encode", "decode")]
    for point in points.values():
        assert 0 < point["ms"] <= point["ms_95"]
        assert point["batch_ms"] > 0
        assert point["peak_mib"] > 10
        assert point["times"]


def test_service_embeds_an_image(kept: ModuleType, tmp_path: Path) -> None:
    pytest.importorskip("open_clip")
    service = load(BENCH / "service.py")
    service.random_weights(tmp_path / "weights.safetensors")
    request, _ = service.images(str(tmp_path / "weights.safetensors"))
    assert request(0).shape == (1, 512)
    assert service.key_of("encode", "any/rotation", {"max_bytes": 50, "effort": 5}) == (
        "encode: any/rotation max_bytes=50,effort=5"
    )


def test_paths_and_the_result_file_are_no_part_of_a_command(kept: ModuleType) -> None:
    given = ["recall", "/a/b", "--rows", "3", "-o", "/c", "--cpu-time"]
    assert kept._command("search", given, Path("/a/b")) == (
        "python tests/bench/search.py recall DATA --rows 3 --cpu-time"
    )


def test_without_a_file_nothing_is_written(
    kept: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "RESULTS", tmp_path)
    file = kept.Kept("speed", kept.parser("").parse_args(["--no-file"]))
    file.add("a", {"seconds": 1.0}, data="", modules=("codec.py",))
    file.finish()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", RESULTS)
def test_what_is_kept_was_made_by_this_code(kept: ModuleType, name: str) -> None:
    """Run the benchmark again where this fails; the points name the command."""
    path = ROOT / "docs" / "results" / f"{name}.json"
    if not path.exists():
        pytest.skip(f"{path.name} has not been made yet")
    assert kept.stale(path) == []


def test_images(tmp_path: Path) -> None:
    """In a process of its own, as its workers import the program."""
    out = tmp_path / "images.json"
    command = [sys.executable, str(BENCH / "images.py"), "--images", "320", "--workers", "1"]
    subprocess.run(
        [*command, "--decode", "device", "-o", str(out)], check=True, capture_output=True
    )
    (point,) = json.loads(out.read_text("utf-8"))["points"]
    assert (point["images"], point["workers"]) == (320, 1)
    assert all(point[name] > 0 for name in ("main_us", "whole_per_second", "start_seconds"))
    assert point["workers_per_second"] < point["decode_per_second"]
    slower = min(point["workers_per_second"], point["backbone_per_second"])
    assert point["share"] == pytest.approx(point["whole_per_second"] / slower, 0.001)
