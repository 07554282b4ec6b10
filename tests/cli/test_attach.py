"""`clipcodec attach` and `clipcodec extract` in real subprocesses, on real files."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import clipcodec
from clipcodec.carriers import attach, extract
from tests.helpers.processes import exit_code, run
from tests.helpers.profiles import cone, drawn, write_tiny_profile


@pytest.fixture
def streams() -> list[bytes]:
    """Of one embedding, by two profiles."""
    x = drawn(1)[0]
    names = ("openai-vit-b-32/predictive", "openai-vit-b-32/pqvae-400")
    return [clipcodec.encode_embedding(x, profile=name) for name in names]


@pytest.fixture
def folder(tmp_path: Path, streams: list[bytes]) -> Path:
    """a.jpg, b.png and two streams, 0.clip and 1.clip."""
    for name in ("a.jpg", "b.png"):
        Image.effect_mandelbrot((40, 30), (-2, -1, 1, 1), 20).save(tmp_path / name)
    for i, stream in enumerate(streams):
        (tmp_path / f"{i}.clip").write_bytes(stream)
    return tmp_path


def test_attach_and_extract(folder: Path, streams: list[bytes]) -> None:
    """photo.jpg ← stream → photo.jpg.clip, in place with -f, with its permissions."""
    image = folder / "a.jpg"
    plain = image.read_bytes()
    os.chmod(image, 0o640)
    done = run("attach", image, "--stream", folder / "0.clip", "-f")
    size = len(streams[0])
    assert (done.returncode, done.stdout) == (0, b"")
    assert done.stderr.decode() == f"{image}: stream of {size} bytes attached\n"
    assert image.read_bytes() == attach(plain, streams[0])
    assert stat.S_IMODE(image.stat().st_mode) == 0o640
    done = run("extract", image)
    assert (done.returncode, done.stdout) == (0, b"")
    assert done.stderr.decode() == f"{image}: stream of {size} bytes, {image}.clip\n"
    assert (folder / "a.jpg.clip").read_bytes() == streams[0]
    done = run("extract", image)
    assert done.returncode == 1
    assert b"exists" in done.stderr


def test_an_image_is_not_changed_unasked(folder: Path) -> None:
    image = folder / "a.jpg"
    plain = image.read_bytes()
    done = run("attach", image, "--stream", folder / "0.clip")
    assert done.returncode == 2
    assert b"-f for that, or -o OUT" in done.stderr
    done = run("attach", image, "--stream", folder / "0.clip", "-o", folder / "b.png")
    assert done.returncode == 1
    assert b"exists" in done.stderr
    assert image.read_bytes() == plain
    done = run("attach", image, "--stream", folder / "0.clip", "-o", folder / "new")
    assert done.returncode == 0, done.stderr
    assert image.read_bytes() == plain
    assert extract(folder / "new") != []


def test_pipes(folder: Path, streams: list[bytes]) -> None:
    """- is stdin and stdout, of images and streams."""
    plain = (folder / "b.png").read_bytes()
    done = run("attach", "-", "--stream", folder / "0.clip", stdin=plain)
    assert done.stdout == attach(plain, streams[0])
    back = run("extract", "-", stdin=done.stdout)
    assert back.stdout == streams[0]
    done = run("attach", folder / "b.png", "--stream", "-", "-o", "-", stdin=streams[1])
    assert done.stdout == attach(plain, streams[1])
    os.mkfifo(folder / "pipe")
    writer = subprocess.Popen(["cp", folder / "b.png", folder / "pipe"])
    done = run("attach", folder / "pipe", "--stream", folder / "0.clip", "-o", "-")
    assert writer.wait() == 0
    assert done.stdout == attach(plain, streams[0])


@pytest.mark.slow
def test_several_profiles_in_one_image(folder: Path, streams: list[bytes]) -> None:
    """--profile says which one to get; without it, or of one not there, an error lists them."""
    image = folder / "a.jpg"
    for i in (0, 1):
        assert run("attach", image, "-f", "--stream", folder / f"{i}.clip").returncode == 0
    done = run("extract", image, "-o", "-")
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"openai-vit-b-32/predictive, openai-vit-b-32/pqvae-400: choose by" in done.stderr
    for stream in streams:
        name = clipcodec.info(stream).profile
        assert run("extract", image, "-o", "-", "--profile", name).stdout == stream
    done = run("extract", image, "-o", "-", "--profile", "any/rotation")
    assert done.returncode == 1
    assert b"no stream of any/rotation, but of openai-vit-b-32/predictive" in done.stderr


@pytest.mark.slow
def test_private_profiles(folder: Path) -> None:
    """A stream that cannot be checked is not attached; with its profile it is, and found by it."""
    profile = write_tiny_profile(folder / "p.safetensors")
    stream = clipcodec.Codec(profile).encode_embedding(np.arange(8.0))
    (folder / "p.clip").write_bytes(stream)
    done = run("attach", folder / "a.jpg", "-f", "--stream", folder / "p.clip")
    assert done.returncode == 1
    assert b"p.clip: " in done.stderr
    done = run(
        "attach", folder / "a.jpg", "-f", "--stream", folder / "p.clip", "--profile", profile
    )
    assert done.returncode == 0, done.stderr
    assert run("attach", folder / "a.jpg", "-f", "--stream", folder / "0.clip").returncode == 0
    assert run("extract", folder / "a.jpg", "-o", "-", "--profile", profile).stdout == stream
    assert b"a profile that is not at hand" in run("extract", folder / "a.jpg").stderr


def test_one_bad_input_is_named_and_the_rest_go_on(folder: Path, streams: list[bytes]) -> None:
    image = folder / "a.jpg"
    image.write_bytes(attach(image, streams[0]))
    (folder / "cut.jpg").write_bytes(image.read_bytes()[:100])
    done = run("extract", folder / "cut.jpg", folder / "none.jpg", folder / "b.png", image,
               "-o", folder / "out")  # fmt: skip
    assert done.returncode == 1
    lines = done.stderr.decode().splitlines()
    assert len(lines) == 5
    assert lines[4] == f"1 file: {len(streams[0])} bytes, 3 failed"
    assert "cut.jpg: " in lines[0]
    assert "none.jpg: " in lines[1]
    assert "b.png: it carries no stream" in lines[2]
    assert [path.name for path in (folder / "out").iterdir()] == ["a.jpg.clip"]


def test_files_that_carry_none_are_told_before_a_backbone_is_loaded(folder: Path) -> None:
    Image.new("RGB", (8, 8)).save(folder / "a.gif")
    done = run("attach", folder / "a.gif", folder / "0.clip", "-f", HF_HOME=str(folder))
    assert done.returncode == 1
    lines = done.stderr.decode().splitlines()
    assert len(lines) == 2
    assert all("expected JPEG, PNG, WebP, AVIF" in line for line in lines)


def test_attach_without_weights_says_how_to_get_them(folder: Path) -> None:
    plain = (folder / "a.jpg").read_bytes()
    done = run("attach", folder / "a.jpg", "-f", HF_HOME=str(folder), HF_HUB_OFFLINE="1",
               CLIPCODEC_WEIGHTS="")  # fmt: skip
    assert done.returncode == 1
    assert b"clipcodec fetch" in done.stderr
    assert b"Traceback" not in done.stderr
    assert (folder / "a.jpg").read_bytes() == plain


def test_images_are_encoded_as_compress_does(
    folder: Path, rates_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its options; the one place where the backbone is not the real one."""
    from clipcodec import cli
    from clipcodec.codec import Codec

    x = cone(1, 24)[0]
    monkeypatch.setattr(Codec, "encode", lambda self, _, target: self.encode_embedding(x, target))
    names = [str(folder / "a.jpg"), str(folder / "b.png")]
    options = ["--profile", str(rates_path), "--max-bytes", "14"]
    assert cli.main(["attach", "-q", *names, *options, "-o", str(folder / "out")]) == 0
    for name in ("a.jpg", "b.png"):
        expected = Codec(rates_path).encode_embedding(x, max_bytes=14)
        assert extract(folder / "out" / name) == [expected]


@pytest.mark.parametrize(
    "args",
    [
        ("attach",),
        ("attach", "a.jpg", "b.png", "-o", "-"),
        ("attach", "a.jpg", "b.png", "-f", "--stream", "0.clip"),
        ("attach", "-", "--stream", "-"),
        ("attach", "a.jpg", "-f", "--stream", "0.clip", "--quality", "3"),
        ("attach", "a.jpg", "-f", "--quality", "101"),
        ("attach", "a.jpg", "x/a.jpg", "-o", "out"),
        ("extract",),
        ("extract", "a.jpg", "b.png", "-o", "-"),
        ("extract", "a.jpg", "b.png", "-o", "0.clip"),
        ("extract", "a.jpg", "--profile", "nothing"),
    ],
)
def test_wrong_command_lines_exit_2(
    folder: Path, args: tuple[str, ...], monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    before = {path: path.read_bytes() for path in folder.iterdir()}
    monkeypatch.chdir(folder)
    assert exit_code(*args) == 2
    assert "clipcodec" in capfd.readouterr().err
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_other_verbs_say_how_to_read_an_image(folder: Path) -> None:
    """`info` describes it, too; `decompress` cannot do what it is asked for."""
    for verb, code in (("info", 0), ("decompress", 1)):
        done = run(verb, folder / "a.jpg")
        assert done.returncode == code
        said = done.stderr if code else done.stdout
        assert b"a JPEG image" in said
        assert b"`clipcodec extract` gets the stream" in said


def test_help(folder: Path) -> None:
    for verb in ("attach", "extract"):
        done = run(verb, "--help")
        assert done.returncode == 0
        assert verb.encode() in done.stdout
    (folder / "s.png").write_bytes(attach(folder / "b.png", (folder / "0.clip").read_bytes()))
    got = run("extract", folder / "s.png", "-o", "-").stdout
    assert json.loads(run("info", "-", "--json", stdin=got).stdout)["size"] == len(got)
