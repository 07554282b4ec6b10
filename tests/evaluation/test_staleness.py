"""clipcodec.evaluation.staleness: results that the code of today did not make are found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from clipcodec.evaluation.codecs import parse_codec
from clipcodec.evaluation.evaluate import MEASURED_BY
from clipcodec.evaluation.results import Results, code_digest
from clipcodec.evaluation.staleness import stale

OURS = "openai-vit-b-32/predictive@max_bytes=50"


def results(*points: dict[str, Any]) -> Results:
    return Results(Path("made-up.json"), "made up", points)


def fresh(key: str) -> dict[str, Any]:
    codec = parse_codec(key)
    code = code_digest(codec.modules, codec.weights)
    return {"key": key, "code": code, "measured": code_digest(MEASURED_BY)}


def test_what_today_s_code_made_is_not_stale() -> None:
    original = {"key": "original", "code": code_digest(MEASURED_BY)}
    other = {
        "key": "ours",
        "modules": ["mean.py"],
        "weights": "w",
        "code": code_digest(["mean.py"], "w"),
    }
    assert stale(results(original, fresh(OURS), fresh("any/rotation"), other)) == []


@pytest.mark.parametrize(
    ("point", "changed"),
    [
        ({**fresh(OURS), "code": "0"}, "code"),
        ({**fresh(OURS), "measured": "0"}, "measured"),
        ({"key": OURS}, "code and measured"),
        ({"key": "original", "code": "0"}, "code"),
        ({"key": "x", "modules": ["mean.py"], "code": code_digest(["target.py"])}, "code"),
        ({"key": "x", "modules": ["mean.py"], "weights": "w",
          "code": code_digest(["mean.py"])}, "code"),
    ],
)  # fmt: skip
def test_what_other_code_made_is_named(point: dict[str, Any], changed: str) -> None:
    assert stale(results(point)) == [
        f"{point['key']}: made by other code than today's ({changed} differ)"
    ]


def test_what_nobody_knows_is_named() -> None:
    """A codec, a module or a profile that does not exist, and modules that are no list."""
    points: list[dict[str, Any]] = [
        {"key": "no/such@max_bytes=5"},
        {"key": "x", "modules": ["gone.py"]},
        {"key": "y", "modules": "mean.py"},
    ]
    found = stale(results(*points))
    assert [line.partition(":")[0] for line in found] == ["no/such@max_bytes=5", "x", "y"]
    assert "gone.py" in found[1]


def test_times_are_passed_over() -> None:
    assert stale(results({"key": "x", "times": True, "code": "0"})) == []


def test_codecs_of_packages_that_are_missing_are_passed_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing(key: str) -> Any:
        raise ImportError("faiss is missing")

    monkeypatch.setattr("clipcodec.evaluation.staleness.parse_codec", missing)
    assert stale(results({"key": "faiss:PQ32x8", "code": "0"})) == []
