"""The format's vectors: every stream once released decodes for ever, every bad one is rejected."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

import clipcodec
from clipcodec.schemes import KINDS

FORMATS = Path(__file__).parents[1] / "formats"


@pytest.fixture
def checker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("check_vectors", FORMATS / "check_vectors.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_all_vectors_are_met(checker: ModuleType) -> None:
    assert checker.failures() == []


def test_every_profile_and_coder_has_a_vector() -> None:
    rows = json.loads((FORMATS / "vectors/1/accept.json").read_text("utf-8"))
    covered = {(row["profile"], row["entropy"]) for row in rows}
    assert covered == {
        (p.name, coder) for p in clipcodec.profiles() for coder in KINDS[p.kind].coders
    }


def test_the_check_can_fail(
    checker: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Vectors with another embedding, another class, or a good stream to reject are reported."""
    rows = json.loads((FORMATS / "vectors/1/accept.json").read_text("utf-8"))
    changed = rows[0] | {"embedding": [0.5] * 8}
    swapped = rows[1] | {"entropy": "none"}
    (tmp_path / "accept.json").write_text(json.dumps([changed, swapped]))
    bad = [{"comment": "a", "expect": "corrupt", "stream": ""},
           {"comment": "b", "expect": "corrupt", "stream": rows[0]["stream"]}]  # fmt: skip
    (tmp_path / "reject.json").write_text(json.dumps(bad))
    monkeypatch.setattr(checker, "FOLDER", tmp_path)
    assert len(checker.failures()) == 4
