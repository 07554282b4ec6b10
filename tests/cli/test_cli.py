"""The `clipcodec` command in real subprocesses, on real files."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import clipcodec
from clipcodec.cli import main
from tests.helpers.processes import ONE_THREAD, caller, exit_code, run
from tests.helpers.profiles import cone, drawn, write_tiny_profile

DEFAULT_DIM = 512


@pytest.fixture
def rows() -> np.ndarray:
    """Three embeddings such as the default profile's backbone makes."""
    return drawn(3)


@pytest.fixture
def npy(tmp_path: Path, rows: np.ndarray) -> Path:
    np.save(tmp_path / "x.npy", rows[0])
    return tmp_path / "x.npy"


def sum_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


def test_compress_decompress_info(tmp_path: Path, npy: Path, rows: np.ndarray) -> None:
    """x.npy → x.npy.clip → embedding, by default names and by -o."""
    done = run("compress", npy)
    stream = Path(f"{npy}.clip")
    sizes = f"{npy.stat().st_size:,} bytes → {stream.stat().st_size} bytes"
    assert (done.returncode, done.stdout) == (0, b"")
    assert done.stderr.decode() == f"{npy}: {sizes}, {stream}\n"
    assert stream.read_bytes() == clipcodec.encode_embedding(rows[0])

    done = run("decompress", stream, "-o", tmp_path / "y.npy")
    assert done.returncode == 0, done.stderr
    expected = clipcodec.decode(stream.read_bytes())
    assert (np.load(tmp_path / "y.npy") == expected).all()

    done = run("decompress", stream, "--json")
    answer = json.loads(done.stdout)
    assert np.allclose(answer["embedding"], expected)

    done = run("info", stream, "--json")
    answer = json.loads(done.stdout)
    assert (answer["size"], answer["version"]) == (stream.stat().st_size, 1)
    done = run("info", stream)
    assert f"size       {stream.stat().st_size} bytes" in done.stdout.decode()


def test_pipes(rows: np.ndarray) -> None:
    """- reads stdin and writes stdout: npy | compress | decompress."""
    buffer = io.BytesIO()
    np.save(buffer, rows[0])
    stream = run("compress", "-", stdin=buffer.getvalue())
    assert stream.stdout == clipcodec.encode_embedding(rows[0])
    back = run("decompress", "-", "-o", "-", stdin=stream.stdout)
    assert (np.load(io.BytesIO(back.stdout)) == clipcodec.decode(stream.stdout)).all()


def test_options_reach_the_codec(npy: Path, rows: np.ndarray) -> None:
    name = "openai-vit-b-32/pqvae-400"
    done = run("compress", npy, "-o", "-", "--profile", name, "--entropy", "rans")
    assert done.stdout == clipcodec.encode_embedding(rows[0], profile=name, entropy="rans")


def test_many_rows_become_many_streams(tmp_path: Path, rows: np.ndarray) -> None:
    np.save(tmp_path / "many.npy", rows)
    done = run("compress", tmp_path / "many.npy", "-o", tmp_path / "out")
    assert done.returncode == 2
    assert f"give -o {tmp_path}/out.clpc, or -o {tmp_path}/out/" in done.stderr.decode()
    done = run("compress", tmp_path / "many.npy", "-o", f"{tmp_path}/out/")
    assert done.returncode == 0, done.stderr
    assert f"3 streams, {sum_of(tmp_path / 'out')} bytes, {tmp_path}/out/ (" in done.stderr.decode()
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == [f"many.npy.000{i}.clip" for i in range(3)]
    together = tmp_path / "together.npy"
    done = run("decompress", *sorted((tmp_path / "out").iterdir()), "-o", together)
    assert done.returncode == 0, done.stderr
    expected = clipcodec.decode_batch(clipcodec.encode_embeddings(rows))
    assert np.allclose(np.load(together), expected, atol=1e-5)


def test_existing_files_are_kept_without_force(npy: Path) -> None:
    target = Path(f"{npy}.clip")
    target.write_bytes(b"precious")
    done = run("compress", npy)
    assert done.returncode == 1
    assert b"exists" in done.stderr
    assert target.read_bytes() == b"precious"
    assert run("compress", npy, "-f").returncode == 0
    assert target.read_bytes() != b"precious"


def test_one_bad_input_is_named_and_the_rest_go_on(tmp_path: Path, npy: Path) -> None:
    zero = tmp_path / "zero.npy"
    np.save(zero, np.zeros(DEFAULT_DIM))
    done = run("compress", zero, tmp_path / "none.npy", npy, "-o", tmp_path / "out/")
    assert done.returncode == 1
    lines = done.stderr.decode().splitlines()
    assert len(lines) == 4
    assert lines[3].startswith("1 file: ")
    assert lines[3].endswith(" bytes, 2 failed")
    assert "zero.npy" in lines[0]
    assert "none.npy" in lines[1]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["x.npy.clip"]


def test_two_inputs_never_share_an_output(tmp_path: Path, npy: Path) -> None:
    """Not even with -f: the second would replace the first."""
    (tmp_path / "other").mkdir()
    twin = tmp_path / "other" / npy.name
    twin.write_bytes(npy.read_bytes())
    done = run("compress", "-f", npy, twin, "-o", tmp_path / "out")
    assert done.returncode == 2
    assert not (tmp_path / "out").exists()
    done = run("decompress", "-f", "a", "a.clip")
    assert done.returncode == 2


def test_a_pipe_is_an_input_like_any(tmp_path: Path, npy: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    writer = subprocess.Popen(["cp", npy, tmp_path / "pipe"])
    done = run("compress", tmp_path / "pipe", "-o", tmp_path / "out.clip")
    assert writer.wait() == 0
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out.clip").read_bytes() == run("compress", npy, "-o", "-").stdout


@pytest.mark.slow
def test_arrays_with_damaged_headers_are_named(tmp_path: Path) -> None:
    for i, shape in enumerate((b"(1000000000000, 8)", b"(", b"(True,)", b"(0, 512)")):
        text = b"{'descr': '<f4', 'fortran_order': False, 'shape': " + shape + b", }"
        text = text.ljust(117) + b"\n"
        path = tmp_path / f"{i}.npy"
        path.write_bytes(b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text)
        done = run("compress", path)
        assert done.returncode == 1
        assert f"{i}.npy".encode() in done.stderr
        assert b"Traceback" not in done.stderr


def test_json_goes_to_a_file_when_told(tmp_path: Path, npy: Path) -> None:
    assert run("compress", npy).returncode == 0
    out = tmp_path / "out.json"
    assert run("decompress", f"{npy}.clip", "--json", "-o", out).returncode == 0
    assert out.read_bytes() == run("decompress", f"{npy}.clip", "--json").stdout


def test_endless_input_is_no_stream() -> None:
    done = run("info", "/dev/zero")
    assert done.returncode == 1
    assert b"it is a device" in done.stderr
    with open("/dev/zero", "rb") as zeros:
        done = subprocess.run(
            [sys.executable, "-m", "clipcodec", "info", "-"],
            stdin=zeros, capture_output=True, timeout=60, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    assert b"not a stream" in done.stderr


@pytest.mark.parametrize(
    "args",
    [
        (),
        ("nothing",),
        ("compress",),
        ("compress", "x.npy", "--entropy", "zip"),
        ("compress", "x.npy", "--max-bytes", "many"),
        ("compress", "x.npy", "--max-bytes", "60", "--quality", "3"),
        ("compress", "x.npy", "--max-bytes", "60", "--min-cosine", "0.9"),
        ("compress", "x.npy", "--quality", "3", "--min-cosine", "0.9"),
        ("compress", "x.npy", "--quality", "3", "--profile", "openai-vit-b-32/pqvae-400"),
        ("compress", "x.npy", "--quality", "101", "--profile", "any/rotation"),
        ("compress", "x.npy", "--entropy", "raw", "--profile", "any/rotation"),
        ("compress", "x.npy", "--profile", "openai-vit-b-32/pqvae-400", "--backbone", "other"),
        ("compress", "x.npy", "--profile", "nothing"),
        ("compress", "x.npy", "y.npy", "-o", "-"),
        ("train", "--embeddings", "x.npy", "-o", "p", "--seed", "-1"),
        ("train", "--embeddings", "x.npy", "-o", "none/p"),
        ("train", "--embeddings", "x.npy", "-o", "p", "--recipe", "other"),
        ("train", "--embeddings", "x.npy", "-o", "p", "--codewords", "4"),
        ("train", "--embeddings", "x.npy", "-o", "p", "--sub-dim", "4"),
        ("train", "--embeddings", "x.npy", "-o", "p", "--recipe", "pqvae", "--hidden", "4"),
        ("train", "--embeddings", "x.npy", "-o", "p", "--recipe", "pqvae", "--dropout", "0"),
        ("train", "--embeddings", "x.npy", "-o", "p", "--recipe", "pqvae", "--shrinkage", "0"),
        ("train", "--embeddings", "x.npy", "-o", "p", "--recipe", "pqvae", "--text-weight", "0"),
        ("train", "--embeddings", "x", "-o", "p", "--recipe", "pqvae", "--text-embeddings", "t"),
    ],
)
def test_wrong_command_lines_exit_2(
    args: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert exit_code(*args) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert "clipcodec" in err


@pytest.mark.parametrize("args", [(), ("compress", "x.npy", "--profile", "nothing")])
def test_wrong_command_lines_end_the_process_with_2(args: tuple[str, ...]) -> None:
    """What the parser refuses, and what is refused later."""
    done = run(*args)
    assert done.returncode == 2
    assert done.stdout == b""
    assert b"clipcodec" in done.stderr


@pytest.mark.parametrize("verb", ["decompress", "info"])
def test_damaged_streams_exit_1_and_write_nothing(tmp_path: Path, npy: Path, verb: str) -> None:
    assert run("compress", npy).returncode == 0
    stream = Path(f"{npy}.clip")
    stream.write_bytes(stream.read_bytes()[:-1])
    before = sorted(tmp_path.iterdir())
    done = run(verb, stream, tmp_path / "none.clip")
    assert done.returncode == 1
    assert b"x.npy.clip: " in done.stderr
    assert b"none.clip: " in done.stderr
    assert b"Traceback" not in done.stderr
    assert sorted(tmp_path.iterdir()) == before


def test_files_that_are_not_images_are_named(tmp_path: Path) -> None:
    """Before any backbone is loaded."""
    (tmp_path / "text.jpg").write_text("not an image")
    done = run("compress", tmp_path / "text.jpg")
    assert done.returncode == 1
    assert b"text.jpg" in done.stderr
    assert b"Traceback" not in done.stderr


def test_compress_without_weights_says_how_to_get_them(tmp_path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    done = run("compress", tmp_path / "a.png", HF_HOME=str(tmp_path), HF_HUB_OFFLINE="1",
               CLIPCODEC_WEIGHTS="")  # fmt: skip
    assert done.returncode == 1
    assert b"clipcodec fetch" in done.stderr
    assert b"Traceback" not in done.stderr
    assert not (tmp_path / "a.png.clip").exists()


@pytest.mark.slow
def test_private_profiles_by_file(tmp_path: Path) -> None:
    """A stream of a private profile is read with --profile, and otherwise names the digest."""
    profile = write_tiny_profile(tmp_path / "p.safetensors")
    np.save(tmp_path / "x.npy", np.arange(8.0))
    assert run("compress", tmp_path / "x.npy", "--profile", profile).returncode == 0
    stream = tmp_path / "x.npy.clip"
    done = run("info", stream)
    assert done.returncode == 1
    assert clipcodec.Codec(profile).profile.digest[:4].hex().encode() in done.stderr
    assert b"private/tiny" in run("info", stream, "--profile", profile).stdout
    assert run("decompress", stream, "--profile", profile, "-f", "-o", tmp_path / "y.npy"
               ).returncode == 0  # fmt: skip


@pytest.mark.slow
def test_rates_on_the_command_line(tmp_path: Path, rates_path: Path) -> None:
    """--quality, --max-bytes and --min-cosine give what the library gives."""
    x, codec = cone(30, 24, seed=1), clipcodec.Codec(rates_path)
    np.save(tmp_path / "one.npy", x[0])
    np.save(tmp_path / "many.npy", x)
    targets: dict[str, Any] = {"quality": 80, "max_bytes": 14, "min_cosine": 0.98}
    for option, value in targets.items():
        flag = "--" + option.replace("_", "-")
        done = run("compress", tmp_path / "one.npy", "-o", "-", "--profile", rates_path,
                   flag, value)  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert done.stdout == codec.encode_embedding(x[0], **{option: value})
    out = tmp_path / "out"
    done = run("compress", tmp_path / "many.npy", "-o", f"{out}/", "--profile", rates_path,
               "--max-bytes", 14)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert [p.read_bytes() for p in sorted(out.iterdir())] == codec.encode_embeddings(
        x, max_bytes=14
    )
    info = run("info", sorted(out.iterdir())[0], "--profile", rates_path, "--json")
    assert json.loads(info.stdout)["quality"] >= 1


@pytest.mark.slow
def test_rates_out_of_reach_exit_1_and_write_nothing(tmp_path: Path, rates_path: Path) -> None:
    """Named as the fault of that input: it is not the command line that is wrong."""
    np.save(tmp_path / "x.npy", cone(1, 24)[0])
    for option, word in ((("--max-bytes", 3), b"at least"), (("--min-cosine", 1), b"at most")):
        done = run("compress", tmp_path / "x.npy", "--profile", rates_path, *option)
        assert done.returncode == 1
        assert b"x.npy: " in done.stderr
        assert word in done.stderr
        assert not (tmp_path / "x.npy.clip").exists()


def test_any_width_on_the_command_line(tmp_path: Path) -> None:
    """any/rotation, asked for by name or by a backbone that nothing was trained for."""
    x = cone(1, 40)[0]
    np.save(tmp_path / "x.npy", x)
    for option in (("--profile", "any/rotation"), ("--backbone", "nobodys-model")):
        stream = run("compress", tmp_path / "x.npy", "-o", "-", "--quality", 90, *option)
        assert stream.returncode == 0, stream.stderr
        assert stream.stdout == clipcodec.encode_embedding(x, profile="any/rotation", quality=90)
    back = run("decompress", "-", "-o", "-", stdin=stream.stdout)
    assert np.load(io.BytesIO(back.stdout)) @ x > 0.99


def test_images_without_a_backbone_are_told_so(tmp_path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    done = run("compress", tmp_path / "a.png", "--profile", "any/rotation")
    assert done.returncode == 1
    assert b"--backbone NAME" in done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.slow
def test_train_a_profile_of_all_rates(tmp_path: Path) -> None:
    """Embeddings and texts to a file, which compresses what it has not seen."""
    np.save(tmp_path / "x.npy", cone(1100, 16))
    np.save(tmp_path / "t.npy", cone(40, 16, seed=3))
    np.save(tmp_path / "new.npy", cone(1, 16, seed=4)[0])
    (tmp_path / "card.json").write_text('{"licence": "CC0"}')
    profile = tmp_path / "p.safetensors"
    done = run("train", "--embeddings", tmp_path / "x.npy", "-o", profile, "--hidden", 0,
               "--text-embeddings", tmp_path / "t.npy", "--text-weight", 0.3, "--shrinkage", 0.01,
               "--card", tmp_path / "card.json", "--backbone", "small",
               **ONE_THREAD)  # fmt: skip
    assert done.returncode == 0, done.stderr
    text = done.stderr.decode()
    assert "1,100 embeddings" in text
    assert "held out          110 embeddings" in text
    card = json.loads(run("profiles", profile).stdout)
    assert (card["name"], card["licence"]) == ("private/p", "CC0")
    assert (card["recipe"]["text_weight"], card["recipe"]["hidden"]) == (0.3, 0)
    assert card["embeddings"]["text_files"] == ["t.npy"]
    done = run("compress", tmp_path / "new.npy", "--profile", profile, "--min-cosine", 0.97)
    assert done.returncode == 0, done.stderr
    done = run("decompress", tmp_path / "new.npy.clip", "--profile", profile, "-o", "-")
    assert np.load(io.BytesIO(done.stdout)) @ np.load(tmp_path / "new.npy") > 0.9699
    again = run("train", "--embeddings", tmp_path / "x.npy", "-o", profile, "--hidden", 0)
    assert again.returncode == 1
    assert b"exists" in again.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--start", "none.safetensors"], 1, "none.safetensors cannot be read"),
        (["--start", "x.npy", "--recipe", "pqvae"], 2, "--start: not for --recipe pqvae"),
        (["--restore", 3, "--recipe", "pqvae"], 2, "--restore: not for --recipe pqvae"),
        (["--device", "abacus"], 2, "--device abacus"),
        (["--weight-decay", -1], 2, "--weight-decay -1: expected a number from 0 to 100"),
    ],
)
def test_training_options_that_do_not_fit(
    tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes],
    options: list[object], code: int, message: str,
) -> None:  # fmt: skip
    """A message that names the option, 2 for usage and 1 for a file; nothing is written."""
    np.save(tmp_path / "x.npy", cone(1100, 16))
    rows, out = tmp_path / "x.npy", tmp_path / "p"
    found, _, told = caller(capsysbinary)("train", "--embeddings", rows, "-o", out, *options)
    assert found == code
    assert message in told
    assert not out.exists()


@pytest.mark.slow
def test_rows_that_cannot_train_exit_1(
    tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    np.save(tmp_path / "x.npy", cone(10, 16))
    rows, out = tmp_path / "x.npy", tmp_path / "p"
    code, _, told = caller(capsysbinary)("train", "--embeddings", rows, "-o", out)
    assert code == 1
    assert "10 distinct embeddings" in told
    assert not out.exists()


def test_profiles_lists_what_the_library_lists() -> None:
    rows = json.loads(run("profiles", "--json").stdout)
    assert [row["name"] for row in rows] == [p.name for p in clipcodec.profiles()]
    table = run("profiles").stdout.decode()
    assert all(row["name"] in table for row in rows)
    card = json.loads(run("profiles", rows[0]["name"]).stdout)
    assert card["sha256"] == rows[0]["sha256"]


def test_version_and_help() -> None:
    assert run("--version").stdout.decode().split() == ["clipcodec", clipcodec.__version__]
    for verb in ("compress", "decompress", "info", "profiles", "demo", "fetch", "train"):
        done = run(verb, "--help")
        assert done.returncode == 0
        assert verb.encode() in done.stdout


def test_a_closed_pipe_is_no_traceback() -> None:
    done = subprocess.run(
        f"{sys.executable} -m clipcodec profiles --json | head -c 1",
        shell=True, capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert b"Traceback" not in done.stderr


# --- an average ---


def test_an_average_is_for_many(
    rates_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The rows of a file have one; a single row or image is told what to use."""
    np.save(tmp_path / "rows.npy", cone(200, 24))
    np.save(tmp_path / "row.npy", cone(1, 24))
    options = ["--profile", str(rates_path), "--mean-bytes", "16"]
    assert main(["compress", str(tmp_path / "rows.npy"), "-o", f"{tmp_path}/s/", *options]) == 0
    sizes = [path.stat().st_size for path in (tmp_path / "s").iterdir()]
    assert len(sizes) == 200
    assert np.mean(sizes) == pytest.approx(16, 0.01)
    assert main(["compress", str(tmp_path / "row.npy"), *options]) == 1
    assert "for one embedding give --max-bytes or --quality" in capsys.readouterr().err
    assert main(["attach", "-f", "none.jpg", *options]) == 2
    assert "for one embedding give --max-bytes or --quality" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        main(["compress", "x.npy", "--mean-bytes", "50", "--max-bytes", "50"])
    assert main(["compress", "x.npy", "--profile", "openai-vit-b-32/pqvae-400", *options[2:]]) == 2
    assert "one fixed rate of 50 bytes" in capsys.readouterr().err
