"""`clipcodec caption` and `clipcodec train-captioner`, on real files."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import clipcodec
from tests.helpers.processes import ONE_THREAD, exit_code, run
from tests.helpers.profiles import drawn, one_torch_thread
from tests.helpers.tiny_captioners import CAPTIONS, write_language_model

pytest.importorskip("transformers")

LARGE = "openai-vit-l-14-336/predictive"
QUICK = ["--prefix-length", 4, "--epochs", 60, "--batch-size", 6, "--learning-rate", 1e-2,
         "--warmup", 5, "--tune-language-model", "--device", "cpu"]  # fmt: skip
FIXED = ["--profile", "openai-vit-b-32/pqvae-400", "-q"]  # soon encoded
NAMES = [f"photo {i}.jpg" for i in range(len(CAPTIONS))]
LINES = [f"{name}\t{caption}" for name, caption in zip(NAMES, CAPTIONS, strict=True)]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with rows.npy, captions.txt, the language model lm, photos.clpc, a.clip and what
    the command trained of them at 50 bytes: c.safetensors."""
    folder = tmp_path_factory.mktemp("caption")
    write_language_model(folder / "lm")
    rows = drawn(len(CAPTIONS))
    np.save(folder / "rows.npy", rows)
    (folder / "captions.txt").write_text("".join(f"{line}\n" for line in CAPTIONS), "utf-8")
    streams = clipcodec.encode_embeddings(rows, max_bytes=50)
    (folder / "a.clip").write_bytes(streams[0])
    with clipcodec.create(folder / "photos.clpc") as writer:
        writer.extend(streams, ids=NAMES)
    with one_torch_thread():
        code = exit_code("train-captioner", "--embeddings", folder / "rows.npy", "--captions",
                         folder / "captions.txt", "--max-bytes", 50, "-o", folder / "c.safetensors",
                         "--language-model", folder / "lm", "-q", *QUICK)  # fmt: skip
    assert code == 0
    return folder


@pytest.fixture(autouse=True)
def _there(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(request.getfixturevalue("made"))
    with one_torch_thread():
        yield


def caption(*args: object) -> object:
    return exit_code("caption", *args, "--captioner", "c.safetensors", "--device", "cpu")


@pytest.mark.parametrize("beam", [1, 3])
def test_a_container_is_captioned_through_the_codec(
    beam: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each line: the id, a tab, the caption that was planted."""
    assert caption("photos.clpc", "--beam", beam) == 0
    out, err = capsys.readouterr()
    assert out.splitlines() == LINES
    assert err == ""


def test_the_command_in_a_process_of_its_own(made: Path) -> None:
    stream = (made / "a.clip").read_bytes()
    done = run("caption", made / "photos.clpc", "-", "--captioner", made / "c.safetensors",
               stdin=stream, **ONE_THREAD)  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode().splitlines() == [*LINES, f"stdin\t{CAPTIONS[0]}"]


def test_streams_and_embeddings(capsys: pytest.CaptureFixture[str]) -> None:
    assert caption("a.clip", "rows.npy") == 0
    expected = [f"a.clip\t{CAPTIONS[0]}"]
    expected += [f"rows.npy/{i}\t{text}" for i, text in enumerate(CAPTIONS)]
    assert capsys.readouterr().out.splitlines() == expected


def test_json_and_tsv(capsys: pytest.CaptureFixture[str]) -> None:
    assert caption("a.clip", "photos.clpc", "--json") == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert found[0] == {"input": "a.clip", "item": None, "id": None, "caption": CAPTIONS[0]}
    assert found[2] == {"input": "photos.clpc", "item": 1, "id": NAMES[1], "caption": CAPTIONS[1]}
    assert caption("photos.clpc", "a.clip", "--tsv") == 0
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == ["input", "item", "id", "caption"]
    assert lines[2] == ["photos.clpc", "1", NAMES[1], CAPTIONS[1]]
    assert lines[7] == ["a.clip", "", "", CAPTIONS[0]]
    assert caption("a.clip", "--json", "--tsv") == 2


def test_one_bad_input_is_named_and_the_others_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also one of another width: none of its items is captioned."""
    wide = clipcodec.encode_embeddings(drawn(2, LARGE), profile=LARGE)
    with clipcodec.create(tmp_path / "wide.clpc") as writer:
        writer.extend(wide)
    (tmp_path / "bad.clip").write_bytes(Path("a.clip").read_bytes()[:-1])
    assert (
        caption(tmp_path / "wide.clpc", tmp_path / "bad.clip", tmp_path / "no.clip", "a.clip") == 1
    )
    out, err = capsys.readouterr()
    assert out == f"a.clip\t{CAPTIONS[0]}\n"
    lines = err.splitlines()
    assert len(lines) == 3
    assert any("bad.clip: " in line for line in lines)
    assert any("no.clip: No such file" in line for line in lines)
    assert any("wide.clpc: embeddings of 768 dimensions, the captioner takes" in line
               for line in lines)  # fmt: skip


@pytest.mark.parametrize("other", [LARGE, "any/rotation"])
def test_a_container_of_several_profiles(
    other: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Up to the first of another model its items are captioned; the error names that."""
    rows = drawn(1, LARGE) if other == LARGE else drawn(1)
    with clipcodec.create(tmp_path / "mixed.clpc") as writer:
        writer.append(Path("a.clip").read_bytes(), id="first")
        writer.extend(clipcodec.encode_embeddings(rows, profile=other))
    assert caption(tmp_path / "mixed.clpc") == 1
    out, err = capsys.readouterr()
    assert out == f"first\t{CAPTIONS[0]}\n"
    assert "mixed.clpc: item 1 is an embedding of" in err
    assert "make a container for each model" in err


def test_images_are_embedded_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By the backbone that the captioner's file names; a damaged one is named."""
    from tests.helpers.tiny_models import make_folder, make_model, save

    spec = make_folder(tmp_path / "model")
    weights = save(make_model(spec), tmp_path / "weights.safetensors")
    for name, color in (("red.png", (255, 0, 0)), ("blue.png", (0, 0, 255))):
        Image.new("RGB", (40, 40), color).save(tmp_path / name)
    (tmp_path / "bad.png").write_bytes((tmp_path / "red.png").read_bytes()[:40])
    codec = clipcodec.Codec(backbone=spec.name, weights=weights, device="cpu")
    np.save(tmp_path / "x.npy", codec.embed_images([tmp_path / "red.png", tmp_path / "blue.png"]))
    (tmp_path / "c.txt").write_text("0\tA dog.\n1\tTwo cats.\n1\tTwo red cats.\n")
    own = tmp_path / "own.safetensors"
    code = exit_code("train-captioner", "--embeddings", tmp_path / "x.npy", "--captions",
                     tmp_path / "c.txt", "--backbone", spec.name, "-o", own, "-q",
                     "--language-model", "lm", *QUICK, "--epochs", 3)  # fmt: skip
    out, err = capsys.readouterr()
    assert (code, out, err) == (0, "", "")
    images = [tmp_path / name for name in ("red.png", "bad.png", "blue.png")]
    code = exit_code("caption", *images, "--captioner", own, "--weights", weights,
                     "--device", "cpu")  # fmt: skip
    out, err = capsys.readouterr()
    assert code == 1
    assert [line.split("\t")[0] for line in out.splitlines()] == [str(images[0]), str(images[2])]
    assert str(images[1]) in err


def test_errors_name_the_remedy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def words(code: int, *args: object) -> str:
        assert exit_code(*args) == code
        out, err = capsys.readouterr()
        assert out == ""
        return err

    assert "train-captioner" in words(1, "caption", "a.clip", "--captioner", tmp_path / "none.pt")
    assert "expected a .safetensors file" in words(
        1, "caption", "a.clip", "--captioner", "rows.npy"
    )
    assert "4 prefix vectors, and 10 were asked for" in words(
        1, "caption", "a.clip", "--captioner", "c.safetensors", "--prefix-length", 10
    )
    assert "no such folder" in words(
        1, "caption", "a.clip", "--captioner", "c.safetensors", "--language-model", "./none"
    )
    assert "--beam" in words(2, "caption", "a.clip", "--captioner", "c.safetensors", "--beam", 0)
    assert "--scale" in words(2, "caption", "a.clip", "--captioner", "c.safetensors",
                                "--scale", 0)  # fmt: skip
    assert "--captioner" in words(2, "caption", "a.clip")


def train(out: Path, *more: object) -> object:
    return exit_code("train-captioner", "--embeddings", "rows.npy", "--captions", "captions.txt",
                     "-o", out, "--language-model", "lm", *QUICK, "--epochs", 2, *more)  # fmt: skip


def test_training_options_and_outputs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.safetensors"
    assert train(tmp_path / "out.npy") == 2
    assert "its name says a NumPy array" in capsys.readouterr().err
    assert train(tmp_path / "none" / "out.safetensors") == 2
    assert "there is no folder" in capsys.readouterr().err
    assert train(out, "--max-bytes", 50, "--quality", 3) == 2
    assert train(out, "--epochs", 0) == 2
    assert train(out, "--layers", 3) == 2
    assert "--kind transformer" in capsys.readouterr().err
    assert not out.exists()
    assert train(out, "--kind", "transformer", "--layers", 1, "--clip-length", 2, "-q") == 0
    assert capsys.readouterr().err == ""
    assert train(out, "-q") == 1
    assert "exists" in capsys.readouterr().err
    capsys.readouterr()
    assert train(out, "-f", "--start", "c.safetensors", "--max-bytes", 50) == 0
    said, err = capsys.readouterr()
    assert said == ""
    *epochs, first, second, third = err.splitlines()
    assert re.search(rf"captions of 6 embeddings → .*, {out} \(trained in \d+ s\)$", first)
    assert "nats per token, after 2 steps" in second
    assert re.fullmatch(r"  streams  4[89]\.\d bytes, cosine 0\.\d+", third)
    assert [line.split(":")[1] for line in epochs] == [" epoch 1 of 2", " epoch 2 of 2"]


def test_an_interrupted_training_is_resumed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C in the second epoch; the command says how to go on, and then gives the same file."""
    from clipcodec.tasks.captioning import loop

    whole, out = tmp_path / "whole.safetensors", tmp_path / "out.safetensors"
    assert train(whole, *FIXED) == 0
    epoch = loop.Run.epoch

    def interrupted(self: loop.Run, progress: loop.Progress) -> None:
        if self.losses:
            raise KeyboardInterrupt
        epoch(self, progress)

    with monkeypatch.context() as patched:
        patched.setattr(loop.Run, "epoch", interrupted)
        assert train(out, *FIXED) == 130
    assert f"{out}.checkpoint: the same command with --resume goes on" in capsys.readouterr().err
    assert train(out, *FIXED) == 1
    assert "--resume goes on with it, -f begins anew" in capsys.readouterr().err
    assert train(out, *FIXED, "--seed", 1, "--resume") == 2
    assert "seed (0 then, 1 now)" in capsys.readouterr().err
    assert train(out, *FIXED, "--resume") == 0
    assert out.read_bytes() == whole.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == [out.name, whole.name]
