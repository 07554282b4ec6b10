"""The format's vectors: every stream once released decodes for ever, every bad one is rejected."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import pytest

import clipcodec
from clipcodec.kinds import KINDS
from tests.helpers.paths import REFERENCE, TOOLS
from tests.helpers.scripts import load


@pytest.fixture
def checker(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(REFERENCE))
    return load(TOOLS / "check_vectors.py")


@pytest.mark.parametrize("decoder", ["package", "reference"])
def test_all_vectors_are_met(checker: ModuleType, decoder: str) -> None:
    """Accepted with the symbols and embedding they hold, or rejected with the right class."""
    assert checker.failures(checker.DECODERS[decoder]()) == []


def test_every_profile_and_coder_has_a_vector(checker: ModuleType) -> None:
    accepted = [v.says for v in checker.vectors() if v.expect == "accept"]
    covered = {(said["profile"], said["coder"]) for said in accepted}
    assert covered >= {
        (p.name, coder) for p in clipcodec.profiles() for coder in KINDS[p.kind].coders
    }


def test_every_class_and_every_bit_of_a_stream_of_each_kind_is_covered(
    checker: ModuleType,
) -> None:
    rejected = [v for v in checker.vectors() if v.expect != "accept"]
    assert {v.expect for v in rejected} == {
        "truncated",
        "unsupported",
        "unknown-profile",
        "corrupt",
    }
    for name, kind in KINDS.items():
        for coder in kind.coders:
            path = checker.FOLDER / "reject" / f"{name}-{coder}-bit-flips.json"
            content = json.loads(path.read_text("utf-8"))
            assert len(content["expect"]) == 4 * len(content["stream"])  # hex: 4 bits per digit


def test_the_check_can_fail(
    checker: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Vectors with another embedding, symbols, coder or class are reported, one line per vector."""
    source = checker.FOLDER / "accept"
    good = json.loads(next(source.glob("any*width-3*")).read_text("utf-8"))
    (tmp_path / "accept").mkdir()
    for i, change in enumerate(
        [
            {},
            {"embedding": [0.5] * len(good["embedding"])},
            {"embedding": good["embedding"][:-1]},
            {"symbols_sha256": "0" * 64},
            {"coder": "raw"},
            {"expect": "corrupt"},
            {"stream": good["stream"][:-2]},
        ]
    ):
        (tmp_path / "accept" / f"{i}.json").write_text(json.dumps(good | change))
    monkeypatch.setattr(checker, "FOLDER", tmp_path)
    lines = checker.failures(checker.package())
    assert [line.split(":")[0] for line in lines] == ["1", "2", "3", "4", "5", "6"]
