"""`clipcodec train`: files by position, groups by name, and what it says in the end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import clipcodec
from tests.helpers.processes import MAIN, ONE_THREAD, PACKAGE
from tests.helpers.profiles import cone

QUICK = ("--hidden", 4, "--replay", 0, "--batch", 64)
# the first phase goes on for ever; a line is printed when it has begun
ENDLESS = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # what runs in the background ignores it
from clipcodec.training import predictive
def by_time(seconds):
    print("training", flush=True)
    while True:
        yield 0.5
predictive.by_time = by_time
"""


def started(folder: Path, *args: object, before: str = "") -> subprocess.Popen[str]:
    env = {**os.environ, "PYTHONPATH": str(PACKAGE), **ONE_THREAD}
    return subprocess.Popen(
        [sys.executable, "-c", before + MAIN, "train", *map(str, args)],
        cwd=folder, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def run(folder: Path, *args: object) -> tuple[int, str]:
    with started(folder, *args) as process:
        out, words = process.communicate(timeout=300)
    assert out == ""
    return process.returncode, words


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    np.savez(tmp_path / "x.npz", embeddings=cone(700, 16), video=np.arange(700) // 20)
    np.save(tmp_path / "y.npy", cone(700, 16, seed=1))
    return tmp_path


@pytest.mark.parametrize(("options", "backbone"), [
    ((), "any"), (("--backbone", "openai-vit-b-32"), "openai-vit-b-32"),
])  # fmt: skip
def test_a_profile_names_no_model_unless_it_is_told_one(
    folder: Path, options: tuple[str, ...], backbone: str
) -> None:
    """Files of embeddings do not say what made them."""
    code, words = run(folder, "y.npy", "-o", "p.safetensors", "--hidden", 0, "-q", *options)
    assert (code, words) == (0, "")
    assert clipcodec.Codec(folder / "p.safetensors").profile.backbone == backbone


def test_it_tells_what_was_learned_and_compares(folder: Path) -> None:
    """A line for each estimate where stderr is no terminal, the facts, and compare's table."""
    code, words = run(folder, "x.npz", "y.npy", "--steps", 4, *QUICK, "-o", "p.safetensors")
    assert code == 0, words
    assert words.startswith("before training: cosine at 50 bytes about 0.9")
    assert "2 inputs: 1,400 embeddings" in words
    assert "held out          140 embeddings, single rows: where others are all but the" in words
    assert "learned           networks of 4 units, 4 steps" in words
    table = words[words.index("140 rows") :]
    for target in ("at most 25 bytes", "at most 50 bytes", "at most 100 bytes"):
        assert target in table
    assert "p.safetensors" in table
    assert "any/rotation" in table
    assert "keeps most: cosine" in table


def test_groups_by_the_name_of_an_array(folder: Path) -> None:
    """The KLT alone of few rows, in a small file; -q says nothing at all."""
    common = ("--groups", "video", "--recipe", "compact", "--rank", 9)
    code, words = run(folder, "x.npz", *common, "-o", "p.safetensors")
    assert code == 0, words
    assert "held out          140 embeddings of 7 groups" in words
    assert "learned           9 coefficients, the KLT alone: the rows are too few" in words
    code, words = run(folder, "--embeddings", "x.npz", *common, "-q", "-o", "q.safetensors")
    assert (code, words) == (0, "")
    assert Path(folder / "q.safetensors").stat().st_size < 60_000


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        ((), 2, "no file of embeddings: name one or more"),
        (("x.npz", "--groups", "films"), 2, "no such file, and no such array in x.npz"),
        (("x.npz", "--groups", "embeddings"), 2, "--groups embeddings: of shape"),
        (("x.npz", "y.npy", "--groups", "files"), 1, "2 groups among 1400 rows"),
        (("x.npz", "--minutes", 1, "--steps", 4), 2, "minutes and steps exclude each other"),
        (("x.npz", "--minutes", 0), 2, "--minutes 0: expected a number above 0"),
        (("x.npz", "--rank", 4), 2, "--rank 4: for a compact profile alone"),
        (("x.npz", "--recipe", "pqvae", "--groups", "files"), 2, "--groups: not for --recipe"),
        (("x.npz", "--recipe", "pqvae", "--minutes", 2), 2, "--minutes: not for --recipe pqvae"),
    ],
)
def test_options_that_do_not_fit(
    folder: Path, args: tuple[object, ...], code: int, message: str,
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """One line, and nothing is written."""
    from clipcodec.cli import main

    monkeypatch.chdir(folder)
    try:
        found = main(["train", *map(str, args), "-o", "p.safetensors"])
    except SystemExit as stop:
        found = int(str(stop.code))
    assert found == code
    assert message in capsys.readouterr().err
    assert sorted(path.name for path in folder.iterdir()) == ["x.npz", "y.npy"]


def test_ctrl_c_stops_it_and_leaves_nothing(folder: Path) -> None:
    process = started(folder, "x.npz", "y.npy", *QUICK, "-o", "p.safetensors", before=ENDLESS)
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "training\n"
        process.send_signal(signal.SIGINT)
        try:
            _, words = process.communicate(timeout=100)
        finally:
            process.kill()
    assert process.returncode == 130
    assert words.splitlines()[-1] == "clipcodec: interrupted"
    assert sorted(path.name for path in folder.iterdir()) == ["x.npz", "y.npy"]
