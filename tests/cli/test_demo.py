"""`clipcodec demo`: its figures are in line with those of real images beside them."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

import clipcodec
from clipcodec.cli import main
from tests.helpers.stand_in import stand_in


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The lines of a run without network and weights."""
    folder = tmp_path_factory.mktemp("hub")
    done = subprocess.run(
        [sys.executable, "-m", "clipcodec", "demo", "--count", "24"],
        capture_output=True, text=True, timeout=120, check=False, encoding="utf-8",
        env={**os.environ, "HF_HOME": str(folder), "HF_HUB_OFFLINE": "1", "CLIPCODEC_WEIGHTS": ""},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.splitlines()


def rows(lines: list[str]) -> list[list[str]]:
    return [line.split() for line in lines if re.match(r"\S+/\S+ .*\d\.\d{4}", line)]


def test_every_profile_of_the_width_is_shown_the_default_first(shown: list[str]) -> None:
    names = [row[0] for row in rows(shown)]
    assert set(names) == {row.name for row in clipcodec.profiles() if row.dim in (None, 512)}
    assert names[0] == "openai-vit-b-32/predictive"


def test_it_does_not_contradict_what_is_said_of_real_images(shown: list[str]) -> None:
    for name, *cells in rows(shown):
        cosine, real = float(cells[-5]), float(cells[-3])
        assert abs(cosine - real) < (0.04 if "pqvae" in name else 0.015), name
        assert float(cells[-4]) <= cosine  # the lowest


def test_streams_keep_within_their_limit(shown: list[str]) -> None:
    limits = [(float(cells[-6]), int(cells[0])) for _, *cells in rows(shown) if len(cells) == 7]
    assert [limit for _, limit in limits] == [25, 50, 100, 50, 100, 250]
    assert all(0.9 * limit < mean <= limit for mean, limit in limits)


def test_columns_are_aligned_and_lines_fit_a_terminal(shown: list[str]) -> None:
    assert max(map(len, shown)) <= 90
    table = [line for line in shown if rows([line])]
    assert len({len(line) for line in table}) == 1
    (head,) = (line for line in shown if line.startswith("profile "))
    for line in table:  # every column ends below its heading
        ends = {found.end() for found in re.finditer(r"\S+", line[30:])}
        assert ends <= {found.end() for found in re.finditer(r"\S+", head[30:])}
    assert not any(line != line.rstrip() for line in shown)


def test_it_says_why_there_was_no_image(shown: list[str]) -> None:
    assert sum("No image was compressed" in line for line in shown) == 1


def test_what_it_says_comes_next_is_right(shown: list[str]) -> None:
    """The commands that it names exist."""
    commands = [line.split("#")[0].split() for line in shown if line.startswith("  clipcodec ")]
    assert [command[1] for command in commands] == ["compress", "compress", "--help"]
    assert "--max-bytes" in commands[0]


@pytest.mark.slow
def test_an_image_is_compressed_where_weights_are_at_hand(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with stand_in():
        assert main(["demo", "--count", "1", "--device", "cpu"]) == 0
    lines = capsys.readouterr().out.splitlines()
    at = lines.index("The embedding of a picture drawn here:")
    names = [row[0] for row in rows(lines[at:])]
    assert names == [row[0] for row in rows(lines[:at])]


@pytest.mark.parametrize("count", ["0", "-1"])
def test_no_samples_are_refused(count: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["demo", "--count", count])
    assert ended.value.code == 2
    assert "--count" in capsys.readouterr().err
