"""tests/elsewhere.py: the same result in another process, thread count and hash seed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from tests.helpers.paths import ROOT
from tests.helpers.scripts import load

TOOL = ROOT / "tests" / "elsewhere.py"


@pytest.fixture
def tool() -> ModuleType:
    return load(TOOL)


def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, TOOL, *map(str, arguments)],
        env=os.environ | environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.slow
def test_threads_and_hash_seeds_change_nothing(tmp_path: Path) -> None:
    """Vectors, the whole of their embeddings, and encoded streams, in processes of their own."""
    reference = tmp_path / "reference.npz"
    first = run(reference, "--encoder", "--rows", 4, OPENBLAS_NUM_THREADS="1", PYTHONHASHSEED="0")
    assert first.returncode == 0, first.stdout + first.stderr
    second = run(reference, "--encoder", "--rows", 4, OPENBLAS_NUM_THREADS="4", PYTHONHASHSEED="1")
    assert second.returncode == 0, second.stdout + second.stderr
    digests = [
        [line for line in done.stdout.splitlines() if "encoding" in line]
        for done in (first, second)
    ]
    assert digests[0] == digests[1] != []


def test_a_vector_that_is_not_met_is_named(
    tool: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other symbols, another embedding, a good stream to reject: one line each, and two ways."""
    vectors = tool.accepted()[:3]
    vectors[0].symbols = "0" * 64
    vectors[1].embedding = [value + 3e-5 for value in vectors[1].embedding]
    name = "a good stream"
    monkeypatch.setattr(tool, "accepted", lambda: vectors)
    monkeypatch.setattr(tool, "rejected", lambda: [(name, vectors[2].stream, "corrupt"),
                                                   ("empty", b"", "corrupt")])  # fmt: skip
    lines, embeddings = tool.check_all_vectors()
    assert sum("other symbols" in line for line in lines) == 2
    assert sum("another embedding" in line for line in lines) == 2
    assert [line for line in lines if line.startswith((name, "empty"))] == [
        "a good stream: decoded, expected corrupt",
        "empty: TruncatedError, expected corrupt",
    ]
    assert len(embeddings) == sum(len(vector.embedding) for vector in vectors)


def test_a_reference_tells_other_embeddings_and_streams(tool: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "reference.npz"
    rows = np.array([0.1, 0.2], np.float32)
    assert tool.compare(path, tool.Results(rows, [b"a", b""])) == (0, 0)
    assert tool.compare(path, tool.Results(rows, [b"a", b""])) == (0, 0)
    difference, others = tool.compare(path, tool.Results(rows + np.float32(0.5), [b"b", b""]))
    assert difference == pytest.approx(0.5)
    assert others == 1
    with pytest.raises(SystemExit, match="other inputs"):
        tool.compare(path, tool.Results(rows, [b"a"]))
