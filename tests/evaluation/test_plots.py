"""clipcodec.evaluation.plots: curves, and plots of result files as SVG."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import pytest

from clipcodec.errors import OptionError
from clipcodec.evaluation.plots import curve_of, curves, import_pyplot, plot
from clipcodec.evaluation.results import Results


def point(
    series: str, setting: str, size: float, cosine: float, top1: float | None
) -> dict[str, Any]:
    sets = {} if top1 is None else {"a": {"top1": top1}, "b": {"prototype": 0.1}}
    return {"key": f"{series}@{setting}", "series": series, "setting": setting, "bytes": size,
            "cosine": cosine, "sets": sets}  # fmt: skip


def made_up(labelled: bool = True) -> Results:
    top1 = [0.8, 0.7, 0.75, 0.78] if labelled else [None] * 4
    original = {**point("uncompressed", "", 2048, 1, top1[0]), "key": "original"}
    return Results(Path("a.json"), "measure a <b", [
        original,
        point("my/codec", "max_bytes=50", 49, 0.97, top1[3]),
        point("my/codec", "max_bytes=25", 24, 0.95, top1[1]),
        point("faiss PQ", "PQ32", 32, 0.9, top1[2]),
        {"key": "bound:50", "series": "bound", "setting": "50", "bytes": 50, "cosine": 0.96},
    ])  # fmt: skip


def test_a_curve_is_a_series_with_a_target_in_order_of_size() -> None:
    found = curves(made_up().points.values())
    assert list(found) == ["uncompressed", "my/codec, max_bytes", "faiss PQ", "bound"]
    assert [p["bytes"] for p in found["my/codec, max_bytes"]] == [24, 49]


@pytest.mark.parametrize(
    ("series", "setting", "curve"),
    [
        ("a/predictive", "mean_bytes=50", "a/predictive, mean_bytes"),
        ("a/predictive", "max_bytes=50 effort=5", "a/predictive, max_bytes effort"),
        ("a/predictive", "", "a/predictive"),
        ("openai-vit-b-32/pqvae-400", "", "openai-vit-b-32/pqvae-…"),
        ("faiss OPQ", "OPQ32,PQ32x8np", "faiss OPQ"),
    ],
)
def test_which_curve_a_point_is_on(series: str, setting: str, curve: str) -> None:
    assert curve_of({"series": series, "setting": setting}) == curve


@pytest.mark.parametrize("labelled", [True, False])
def test_the_same_points_give_the_same_file(tmp_path: Path, labelled: bool) -> None:
    pytest.importorskip("matplotlib")
    first, second = tmp_path / "a.svg", tmp_path / "b.svg"
    plot(made_up(labelled), first)
    plot(made_up(labelled), second)
    text = first.read_text("utf-8")
    assert text == second.read_text("utf-8")
    assert text.startswith("<svg ")
    assert "<title>What codecs keep: measure a &lt;b</title>" in text
    assert "my/codec@max_bytes=25: 24 bytes, cosine 0.9500" in text
    assert ("zero-shot top-1 lost, points" in text) == labelled
    assert "1 − cosine" in text
    assert "bound" in text


def test_nothing_to_plot_is_an_error(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    empty = Results(Path("a.json"), "none", [])
    with pytest.raises(OptionError, match="nothing to plot"):
        plot(empty, tmp_path / "a.svg")
    assert list(tmp_path.iterdir()) == []


def test_without_matplotlib_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    original = builtins.__import__

    def missing(name: str, *rest: Any, **more: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return original(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(ImportError, match=r"clipcodec\[evaluation\]"):
        import_pyplot()
