"""The programs of examples/, each run as a program, with networks that stand in for CLIP's."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import clipcodec
from tests.helpers.paths import ROOT
from tests.helpers.pictures import write_picture
from tests.helpers.stand_in import FOLDER, stand_in

NAMES = ("beach", "dog", "horse", "snow", "tree")


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("networks")
    with stand_in(folder=folder):
        pass  # made once for all
    return {**os.environ, FOLDER: str(folder), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Five pictures, a smaller copy of one, and a file that is no picture."""
    folder = tmp_path / "photos"
    for seed, name in enumerate(NAMES):
        write_picture(folder / f"{name}.jpg", seed, (320, 240))
    Image.open(folder / "dog.jpg").resize((160, 120)).save(folder / "small-dog.jpg", quality=80)
    (folder / "broken.jpg").write_bytes(b"\xff\xd8 no picture")
    return folder


def command(program: str, *arguments: object) -> list[str]:
    path = str(ROOT / "examples" / program)
    return [sys.executable, "-m", "tests.helpers.stand_in", path, *map(str, arguments)]


def run(
    environment: dict[str, str], program: str, *arguments: object
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(program, *arguments), env=environment, cwd=ROOT, capture_output=True, text=True,
        timeout=300, check=False,
    )  # fmt: skip


def test_photo_search_finds_the_picture_itself_and_adds_what_is_new(
    environment: dict[str, str], photos: Path
) -> None:
    asked = ("--text", "two dogs", "--image", photos / "dog.jpg", "-k", 2)
    first = run(environment, "photo_search.py", photos, *asked)
    assert first.returncode == 1  # because of the broken one
    assert "6 new, 0 known" in first.stderr
    assert re.search(r"left out: .*broken.jpg: ", first.stderr)
    lines = first.stdout.splitlines()
    assert (lines[0], lines[3]) == ("two dogs:", f"{photos / 'dog.jpg'}:")
    assert {line.split()[1] for line in lines[4:]} == {"dog.jpg", "small-dog.jpg"}
    (photos / "broken.jpg").unlink()
    write_picture(photos / "late.jpg", 99)
    again = run(environment, "photo_search.py", photos, "--text", "two dogs", "-k", 9)
    assert again.returncode == 0, again.stderr
    assert "1 new, 6 known" in again.stderr
    assert len(again.stdout.splitlines()) == 8
    assert len(clipcodec.open(f"{photos}.clpc")) == 7


def test_classify_names_every_picture_of_a_folder(
    environment: dict[str, str], photos: Path
) -> None:
    (photos / "broken.jpg").unlink()
    found = run(environment, "classify.py", photos, "--labels", "cat", "dog")
    assert found.returncode == 0, found.stderr
    rows = [line.split("\t") for line in found.stdout.splitlines()]
    assert {row[0] for row in rows} == {f"{name}.jpg" for name in (*NAMES, "small-dog")}
    assert {row[1] for row in rows} <= {"cat", "dog"}
    assert all(0.5 <= float(row[2]) <= 1 for row in rows)  # of two labels, the likelier


def test_duplicates_finds_a_smaller_copy_and_nothing_else(
    environment: dict[str, str], photos: Path
) -> None:
    found = run(environment, "duplicates.py", photos)
    assert found.returncode == 1  # because of the broken one
    assert found.stdout == "dog.jpg\nsmall-dog.jpg\n"
    assert found.stderr.endswith("1 groups among 6 pictures\n")


def test_a_container_is_taken_without_networks(tmp_path: Path) -> None:
    """And groups grow by their members: a chain of neighbours is one group."""
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((4, 512))
    rows[1] = rows[0] + 0.2 * rng.standard_normal(512)
    rows[2] = rows[1] + 0.2 * rng.standard_normal(512)
    with clipcodec.create(tmp_path / "x.clpc") as writer:
        streams = clipcodec.encode_embeddings(rows, profile="any/rotation", min_cosine=0.999)
        writer.extend(streams, ids=["a", "b", "c", "d"])
    program = str(ROOT / "examples" / "duplicates.py")
    found = subprocess.run(
        [sys.executable, program, str(tmp_path / "x.clpc"), "--above", "0.97"],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert found.stdout == "a\nb\nc\n"


@pytest.mark.parametrize("program", ["classify.py", "duplicates.py"])
def test_what_cannot_be_read_is_named(
    program: str, environment: dict[str, str], tmp_path: Path
) -> None:
    labels = ("--labels", "cat") if program == "classify.py" else ()
    found = run(environment, program, tmp_path / "none.clpc", *labels)
    assert found.returncode == 1
    assert found.stderr.startswith(program.removesuffix(".py") + ": ")
    assert "none.clpc" in found.stderr
    assert "Traceback" not in found.stderr


@contextmanager
def served(environment: dict[str, str], path: Path) -> Iterator[tuple[str, Any]]:
    """The address of a running service, and its process."""
    with subprocess.Popen(
        command("service.py", path, "--port", 0), env=environment, cwd=ROOT, text=True,
        stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        try:
            assert process.stderr is not None
            said = []
            for line in process.stderr:
                said.append(line)
                if match := re.search(r"running on (http://\S+)", line):
                    break
            else:
                pytest.fail("".join(said))
            yield match[1], process
        finally:
            process.kill()


def ask(url: str, data: bytes | None = None) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(url, data, timeout=60) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_the_service_keeps_pictures_finds_them_and_survives_being_killed(
    environment: dict[str, str], photos: Path, tmp_path: Path
) -> None:
    pytest.importorskip("starlette")
    pytest.importorskip("uvicorn")
    kept = tmp_path / "kept.clpc"
    with served(environment, kept) as (url, _):
        for name in NAMES[:3]:
            status, stream = ask(f"{url}/pictures/{name}", (photos / f"{name}.jpg").read_bytes())
            assert (status, len(stream) <= 50) == (201, True)
        assert ask(f"{url}/pictures/{NAMES[2]}") == (200, stream)
        numbers = json.loads(ask(f"{url}/pictures/{NAMES[2]}/embedding")[1])
        assert np.allclose(numbers, clipcodec.decode(stream), atol=1e-6)
        hits = json.loads(ask(f"{url}/search?text=a+dog&k=2")[1])
        assert len(hits) == 2
        assert hits[0]["score"] >= hits[1]["score"]
        status, reason = ask(f"{url}/pictures/x", b"no picture")
        assert status == 422
        assert b"Traceback" not in reason
        assert ask(f"{url}/pictures/beach", (photos / "dog.jpg").read_bytes())[0] == 409
        assert ask(f"{url}/pictures/none")[0] == 404
        assert ask(f"{url}/search?text=a+dog&k=0")[0] == 400
    with served(environment, kept) as (url, _):
        assert ask(f"{url}/pictures/{NAMES[2]}") == (200, stream)
        assert {hit["id"] for hit in json.loads(ask(f"{url}/search?text=a")[1])} == {*NAMES[:3]}
