"""`clipcodec compress … -o OUT.clpc`: many images into one container, and what may go wrong.

Commands run in this process, where they find the backbone loaded; those that are killed, or lack
room on the disk, are real ones in subprocesses.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
import time
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image

import clipcodec
from clipcodec import Codec
from clipcodec.bulk import pipeline, workers
from clipcodec.bulk.entries import Entry
from clipcodec.bulk.sources import find
from clipcodec.bulk.steering import counted
from clipcodec.cli import main
from clipcodec.errors import WorkerError
from clipcodec.target import Target
from tests.helpers import tiny_models
from tests.helpers.processes import MAIN, PACKAGE, exit_code
from tests.helpers.profiles import cone

pytest.importorskip("open_clip")
COUNT = 30


class World(NamedTuple):
    folder: Path
    images: Path
    options: list[str]
    codec: Codec


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A small model, and a directory of sound images."""
    folder = tmp_path_factory.mktemp("many")
    spec = tiny_models.make_folder(folder / "model")
    weights = tiny_models.save(tiny_models.make_model(spec), folder / "model.safetensors")
    rng = np.random.default_rng(0)
    for i in range(COUNT):
        path = folder / "images" / f"{'ab'[i % 2]}" / f"{i:02}.{('jpg', 'png')[i % 3 == 0]}"
        path.parent.mkdir(parents=True, exist_ok=True)
        coarse = Image.fromarray(rng.integers(0, 256, (4, 5, 3), dtype=np.uint8))
        coarse.resize((80, 64), Image.Resampling.BICUBIC).save(path)
    options = ["--profile", "any/rotation", "--backbone", spec.name, "--weights", str(weights)]
    options += ["--device", "cpu"]
    codec = Codec("any/rotation", backbone=spec.name, weights=weights, device="cpu")
    return World(folder, folder / "images", options, codec)


@pytest.fixture(autouse=True)
def small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "GROUP", 8)


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    np.save(tmp_path / "rows.npy", cone(100, 16))
    return tmp_path / "rows.npy"


ROWS = ["--profile", "any/rotation"]


def compress(world: World, *args: object) -> int:
    return main(["compress", *world.options, "--workers", "0", *map(str, args)])


def items(path: Path, **options: Any) -> list[tuple[str | None, bytes]]:
    with clipcodec.open(path, **options) as container:
        return [(item.id, item.stream) for item in container.items()]


def paths(world: World) -> list[Path]:
    return sorted(path for path in world.images.rglob("*.*"))


# --- what comes out ---


def test_a_directory_becomes_the_streams_of_its_images(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the order of their ids, each as Codec.encode makes it."""
    assert compress(world, world.images, "-o", tmp_path / "o.clpc") == 0
    found = items(tmp_path / "o.clpc")
    assert [id for id, _ in found] == [p.relative_to(world.images).as_posix() for p in paths(world)]
    assert [stream for _, stream in found] == world.codec.encode_batch(paths(world))
    done = capsys.readouterr()
    assert done.out == ""
    size = (tmp_path / "o.clpc").stat().st_size
    with clipcodec.open(tmp_path / "o.clpc") as container:
        each = f"{counted(container.survey) / COUNT:.1f} bytes each"
    assert (
        f"{world.images}: {COUNT} images → {size:,} bytes, {tmp_path}/o.clpc ({each})" in done.err
    )
    assert len(done.err.splitlines()) == 1


@pytest.mark.slow
def test_the_number_of_workers_does_not_show(world: World, tmp_path: Path) -> None:
    outputs = []
    for count in (0, 1, 2):
        outputs.append(tmp_path / f"{count}.clpc")
        options = [*world.options, "--workers", str(count), "--max-bytes", "11"]
        assert main(["compress", str(world.images), "-o", str(outputs[-1]), *options]) == 0
    assert len({path.read_bytes() for path in outputs}) == 1


def test_an_average_of_images_and_what_is_said_of_it(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All of a small folder are known before the first is encoded."""
    out = tmp_path / "o.clpc"
    assert compress(world, world.images, "-o", out, "--mean-bytes", "13") == 0
    with clipcodec.open(out) as container:
        mean = counted(container.survey) / COUNT
    assert mean == pytest.approx(13, 0.01)
    last = capsys.readouterr().err.splitlines()[-1]
    assert f"({mean:.1f} bytes each, asked 13" in last
    assert "adapted" not in last
    assert compress(world, world.images, "-o", out, "--mean-bytes", "13", "--resume") == 0
    assert compress(world, world.images, "-o", out, "--mean-bytes", "14", "--resume") == 2
    command = [world.images, "-o", tmp_path / "p.clpc", "--dry-run", "--mean-bytes", "13"]
    assert compress(world, *command) == 0
    assert f"about {13 * COUNT} bytes" in capsys.readouterr().err


def test_an_average_of_rows_is_settled_before_the_first(
    rows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "o.clpc"
    command = ["compress", *ROWS, "--workers", "0", str(rows), "-o", str(out)]
    assert main([*command, "--mean-bytes", "15"]) == 0
    with clipcodec.open(out) as container:
        mean = counted(container.survey) / 100
    assert mean == pytest.approx(15, 0.02)
    assert f"({mean:.1f} bytes each, asked 15)\n" in capsys.readouterr().err
    assert main([*command, "-f", "--mean-bytes", "9999"]) == 1
    assert "bytes on average" in capsys.readouterr().err
    assert exit_code(*command, "-f", "--mean-bytes", "0") == 2


@pytest.mark.slow
def test_batch_sizes_move_embeddings_by_rounding_only(world: World) -> None:
    """So little that these streams decode to the same direction."""
    decoded = []
    for size in (1, 7, 64):
        sources, _ = find([str(world.images)])
        entries = sources[0].entries(lambda id: True)
        groups = pipeline.compress(
            world.codec, entries, Target(quality=90), workers=0, batch_size=size
        )
        streams = [r.stream for group in groups for r in group]
        decoded.append(world.codec.decode_batch([s for s in streams if isinstance(s, bytes)]))
    for other in decoded[1:]:
        assert (decoded[0] * other).sum(axis=1).min() > 0.9999


def test_bf16_stays_close_and_unknown_precisions_are_refused(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compress(world, world.images, "-o", tmp_path / "a.clpc", "--quality", 90) == 0
    options = ["--quality", 90, "--precision", "bf16"]
    assert compress(world, world.images, "-o", tmp_path / "b.clpc", *options) == 0
    with clipcodec.open(tmp_path / "a.clpc") as a, clipcodec.open(tmp_path / "b.clpc") as b:
        cosines = (a.decode_all() * b.decode_all()).sum(axis=1)
    assert 0.99 < cosines.min() < 1 - 1e-7, "close, and another arithmetic"
    with pytest.raises(clipcodec.OptionError, match="fp32, bf16, fp16"):
        world.codec.__class__("any/rotation", backbone=world.codec.backbone_name, device="cpu",
                              weights=world.options[5], precision="fp8").backbone()  # fmt: skip


def test_a_precision_that_the_device_lacks_is_refused(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """torch would warn, and go on in float32."""
    from contextlib import nullcontext

    from clipcodec.models import device

    monkeypatch.setattr(device, "autocast", lambda precision, device: nullcontext())
    options = ["--precision", "fp16", "--workers", "0"]
    command = ["compress", *world.options, str(world.images), "-o", str(tmp_path / "o.clpc")]
    assert main([*command, *options]) == 2
    assert list(tmp_path.iterdir()) == []


def test_rows_of_arrays_need_no_backbone(rows: Path, tmp_path: Path) -> None:
    bad = np.load(rows)
    bad[3], bad[60] = 0, np.nan
    np.save(rows, bad)
    for count in (0, 2):
        out = tmp_path / f"{count}.clpc"
        command = ["compress", str(rows), "-o", str(out), *ROWS, "--workers", str(count)]
        assert main(command) == 1
        kept = [i for i in range(100) if i not in (3, 60)]
        assert [id for id, _ in items(out)] == [f"rows.npy/{i}" for i in kept]
        codec = Codec("any/rotation")
        assert [s for _, s in items(out)] == codec.encode_embeddings(bad[kept])


def test_rows_at_fault_are_named(
    rows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Those beyond the rate asked for, too: the others of their group go on.

    Of these, which fail alike, the first are named; every other fault is.
    """
    x = np.load(rows)[:20]
    x[5] = 0
    np.save(rows, x)
    out = tmp_path / "o.clpc"
    command = ["compress", str(rows), "-o", str(out), *ROWS, "--workers", "0", "-q"]
    assert main(command) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("clipcodec: rows.npy/5: ")
    assert main([*command, "-f", "--min-cosine", "1"]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert sorted(line.split(":")[1] for line in lines[:-2]) == [f" rows.npy/{i}" for i in range(6)]
    assert lines[-2] == "clipcodec: 14 more failed in the same way"
    assert lines[-1].startswith("clipcodec: nothing was compressed")
    assert out.exists(), "the old one is kept"


def test_images_and_rows_mix_in_order(world: World, rows: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "wide.npy", cone(3, 24))
    some = [str(p) for p in paths(world)[:3]]
    inputs = [some[0], rows, some[1], tmp_path / "wide.npy", some[2]]
    assert compress(world, *inputs, "-o", tmp_path / "o.clpc") == 0
    expected = [some[0], *(f"rows.npy/{i}" for i in range(100)), some[1],
                *(f"wide.npy/{i}" for i in range(3)), some[2]]  # fmt: skip
    found = items(tmp_path / "o.clpc")
    assert [id for id, _ in found] == expected
    assert found[101][1] == world.codec.encode(some[1])
    assert found[102][1] == world.codec.encode_embedding(cone(3, 24)[0])


def test_odd_embeddings_are_warned_of_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(50, 512)))
    out = tmp_path / "o.clpc"
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        assert main(["compress", str(tmp_path / "x.npy"), "-o", str(out), "--workers", "0"]) == 0
    assert capsys.readouterr().err.count("are unlike those of backbone") == 1


# --- what cannot be read ---


def test_damaged_images_are_named_skipped_and_tried_again(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = tmp_path / "set", tmp_path / "o.clpc"
    folder.mkdir()
    good = paths(world)[0].read_bytes()
    for name in ("a.png", "c.png", "e.png"):
        (folder / name).write_bytes(good)
    (folder / "b.png").write_bytes(good[:80])
    (folder / "d.jpg").write_text("no image")
    for count in ("0", "2"):
        command = ["compress", *world.options, str(folder), "-o", str(out), "--workers", count]
        assert main([*command, "-f"]) == 1
        lines = capsys.readouterr().err.splitlines()
        assert [line.split(":")[1].strip() for line in lines[:2]] == [
            str(folder / "b.png"), str(folder / "d.jpg")
        ]  # fmt: skip
        assert f"{folder}: 3 images → " in lines[2]
        assert lines[2].endswith(", 2 failed)")
        assert [id for id, _ in items(out)] == ["a.png", "c.png", "e.png"]
    (folder / "d.jpg").write_bytes(good)
    assert compress(world, folder, "-o", out, "--resume") == 1
    said = capsys.readouterr().err
    assert ": 1 image → " in said
    assert ", 3 more there already, 1 failed)" in said
    assert [id for id, _ in items(out)] == ["a.png", "c.png", "e.png", "d.jpg"]


def test_archives_with_damaged_members_and_a_cut_end(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = [path.read_bytes() for path in paths(world)[:3]]
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in zip("abcd", (good[0], b"?", good[1], good[2]), strict=True):
            info = tarfile.TarInfo(f"{name}.png")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    (tmp_path / "s.tar").write_bytes(buffer.getvalue())
    data = buffer.getvalue()
    (tmp_path / "t.tar").write_bytes(data[: data.index(good[2]) + 100])
    out = tmp_path / "o.clpc"
    assert compress(world, tmp_path / "s.tar", tmp_path / "t.tar", "-o", out) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 4
    assert ["s.tar/b.png" in lines[0], "t.tar/b.png" in lines[1]] == [True, True]
    assert "t.tar: unexpected end of data" in lines[2]
    assert "2 inputs: 5 images → " in lines[3]
    assert lines[3].endswith(", 3 failed)")
    found = items(out)
    assert [id for id, _ in found] == ["s.tar/a.png", "s.tar/c.png", "s.tar/d.png",
                                       "t.tar/a.png", "t.tar/c.png"]  # fmt: skip
    assert [s for _, s in found[:3]] == world.codec.encode_batch(good)


def test_links_in_archives_become_streams_and_what_is_not_taken_is_named(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = paths(world)[0].read_bytes()
    with tarfile.open(tmp_path / "s.tar", "w") as tar:
        for name, kind in {
            "a.png": tarfile.REGTYPE, "h.png": tarfile.LNKTYPE, "s.png": tarfile.SYMTYPE,
            ".b.png": tarfile.REGTYPE, "a.json": tarfile.REGTYPE,
        }.items():  # fmt: skip
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "a.png"
            info.size = len(data) if kind == tarfile.REGTYPE else 0
            tar.addfile(info, io.BytesIO(data))
    out = tmp_path / "o.clpc"
    want = ["s.tar/a.png", "s.tar/h.png", "s.tar/s.png"]
    for flag in (["--dry-run"], []):
        assert compress(world, tmp_path / "s.tar", "-o", out, *flag) == 0
        done = capsys.readouterr()
        assert done.out.split() == (want if flag else [])
        assert "not taken: 1 hidden (names that start with a dot): s.tar/.b.png" in done.err
        assert "not taken: 1 without the suffix" in done.err
    stream = world.codec.encode(data)
    assert items(out) == [(id, stream) for id in want]


def test_lists_with_missing_and_repeated_entries(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = map(str, paths(world)[:2])
    (tmp_path / "list.txt").write_text(f"{a}\nnone.png\n{b}\n{a}\n")
    assert compress(world, tmp_path / "list.txt", "-o", tmp_path / "o.clpc") == 1
    lines = capsys.readouterr().err.splitlines()
    assert any("none.png" in line and "does not exist" in line for line in lines)
    assert any(a in line and "second image of this id" in line for line in lines)
    assert [id for id, _ in items(tmp_path / "o.clpc")] == [a, b]


def test_nothing_to_compress_makes_no_file(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    assert compress(world, tmp_path / "empty", "-o", tmp_path / "o.clpc") == 1
    assert "no image files" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


def test_many_damaged_images_are_told_before_the_end(world: World) -> None:
    """A set in which nothing is an image is not kept in memory to be told when it ends."""
    endless = (Entry(str(i), str(i), b"no image") for i in range(10**9))
    results = pipeline.compress(world.codec, endless, workers=0)
    assert not any(isinstance(r.stream, bytes) for r in next(results))
    results.close()


# --- going on ---


def test_new_images_are_added_and_old_ones_are_not_read_again(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, out = tmp_path / "set", tmp_path / "o.clpc"
    folder.mkdir()
    data = [path.read_bytes() for path in paths(world)[:4]]
    for i in (0, 2):
        (folder / f"{i}.png").write_bytes(data[i])
    read: list[str] = []
    inner = workers._decode

    def spy(content: Any, *rest: Any) -> Any:
        read.append(str(content))
        return inner(content, *rest)

    monkeypatch.setattr(workers, "_decode", spy)
    assert compress(world, folder, "-o", out) == 0
    for i in (1, 3):
        (folder / f"{i}.png").write_bytes(data[i])
    assert compress(world, folder, "-o", out) == 1, "without --resume it is kept as it is"
    assert compress(world, folder, "-o", out, "--resume") == 0
    assert read == [str(folder / f"{i}.png") for i in (0, 2, 1, 3)]
    assert [id for id, _ in items(out)] == ["0.png", "2.png", "1.png", "3.png"]


@pytest.mark.parametrize(
    ("option", "word"),
    [
        (["--quality", "30"], "out --quality, not with --quality 30: "),
        (["--max-bytes", "12"], "out --max-bytes, not with --max-bytes 12: "),
        (["--min-cosine", "0.5"], "out --min-cosine, not with --min-cosine 0.5: "),
        (["--entropy", "rans"], " --entropy auto, not rans: "),
        (["--precision", "bf16"], " --precision fp32, not bf16: "),
    ],
)
def test_other_options_do_not_go_on(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str], option: list[str], word: str
) -> None:
    out = tmp_path / "o.clpc"
    assert compress(world, paths(world)[0], "-o", out) == 0
    before = out.read_bytes()
    capsys.readouterr()
    assert compress(world, world.images, "-o", out, "--resume", *option) == 2
    assert f"was begun with{word}" in capsys.readouterr().err
    assert out.read_bytes() == before


def test_other_weights_profiles_and_directories_do_not_go_on(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "o.clpc"
    assert compress(world, world.images / "a", "-o", out) == 0
    spec = tiny_models.make_folder(world.folder / "model")
    other = tiny_models.save(tiny_models.make_model(spec, seed=1), tmp_path / "w.safetensors")
    capsys.readouterr()
    assert compress(world, world.images / "a", "-o", out, "--resume", "--weights", other) == 2
    assert "was begun with --weights " in capsys.readouterr().err
    assert compress(world, world.images / "b", "-o", out, "--resume") == 2
    assert "paths in the directory 'a'" in capsys.readouterr().err
    np.save(tmp_path / "x.npy", cone(1, 512))
    assert main(["compress", str(tmp_path / "x.npy"), "-o", str(out), "--resume"]) == 2
    assert "was begun with --profile any/rotation, not " in capsys.readouterr().err


def test_ids_keep_their_form_when_directories_are_added(world: World, tmp_path: Path) -> None:
    """A container begun with two directories takes a third, or one of them again, alone."""
    out = tmp_path / "o.clpc"
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "00.png").write_bytes(paths(world)[0].read_bytes())
    assert compress(world, world.images / "a", world.images / "b", "-o", out) == 0
    count = len(items(out))
    assert compress(world, world.images / "a", "-o", out, "--resume") == 0
    assert len(items(out)) == count
    assert compress(world, tmp_path / "c", "-o", out, "--resume") == 0
    assert items(out)[-1][0] == "c/00.png"


def test_a_foreign_container_is_not_gone_on_with(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with clipcodec.create(tmp_path / "o.clpc") as writer:
        writer.append(world.codec.encode(paths(world)[0]), id="x")
    assert compress(world, world.images, "-o", tmp_path / "o.clpc", "--resume") == 2
    assert "not begun by clipcodec compress" in capsys.readouterr().err


def test_a_file_that_is_no_container_is_not_gone_on_with(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "o.clpc").write_bytes(b"something else")
    assert compress(world, world.images, "-o", tmp_path / "o.clpc", "--resume") == 1
    assert "not a clipcodec container" in capsys.readouterr().err
    assert (tmp_path / "o.clpc").read_bytes() == b"something else"


def test_a_second_writer_is_told_to_wait(
    rows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["compress", str(rows), "-o", str(tmp_path / "o.clpc"), *ROWS, "--workers", "0"]
    writer = clipcodec.create(tmp_path / "o.clpc")
    assert main([*command, "--resume"]) == 1
    assert "is being written by this process itself" in capsys.readouterr().err
    assert main([*command, "-f"]) == 1
    assert main(command) == 1
    assert "--resume goes on" in capsys.readouterr().err
    writer.abandon()
    assert main([*command, "--resume"]) == 0
    assert len(items(tmp_path / "o.clpc")) == 100


def test_a_dry_run_lists_and_writes_nothing(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It loads no backbone, so it needs no weights."""
    lines = [str(path) for path in paths(world)]
    (tmp_path / "list.txt").write_text("\n".join([*lines, "none.png"]))
    out = tmp_path / "o.clpc"
    assert compress(world, *lines[:2], "-o", out) == 0
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    command = ["compress", *ROWS, "--dry-run", str(tmp_path / "list.txt"), "-o"]
    capsys.readouterr()
    assert main([*command, str(out), "--resume"]) == 1
    done = capsys.readouterr()
    assert done.out.splitlines() == lines[2:]
    assert f"{COUNT - 2} to compress" in done.err
    assert "2 there already, 1 would fail" in done.err
    assert main([*command, str(tmp_path / "p.clpc"), "--max-bytes", "20"]) == 1
    assert f"about {20 * COUNT} bytes" in capsys.readouterr().err
    assert main([*command, str(out)]) == 1
    assert "exists" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_with_nothing_to_do_no_backbone_is_loaded(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "o.clpc"
    assert compress(world, world.images, "-o", out) == 0
    before = out.read_bytes()
    monkeypatch.setattr(Codec, "backbone", lambda self: pytest.fail("loaded"))
    assert compress(world, world.images, "-o", out, "--resume") == 0
    assert out.read_bytes() == before


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals")
def test_progress_is_for_terminals_only(rows: Path, tmp_path: Path) -> None:
    """With the rate and the time left; -q keeps it away."""
    import fcntl
    import struct
    import termios

    command = ["compress", str(rows), *ROWS, "--workers", "0", "-o"]
    assert "embedding/s" not in cli(*command, tmp_path / "a.clpc").stderr
    for more, shown in ((["-q"], False), ([], True)):
        ours, theirs = os.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))
        child = subprocess.Popen(
            [sys.executable, "-m", "clipcodec", *command, str(tmp_path / "o.clpc"), "-f", *more],
            stderr=theirs, env={**os.environ, "PYTHONPATH": str(PACKAGE)},
        )  # fmt: skip
        assert child.wait(120) == 0
        os.write(theirs, b"END")
        seen = b""
        while not seen.endswith(b"END"):
            seen += os.read(ours, 1 << 16)
        os.close(ours)
        os.close(theirs)
        assert (b"0/100 [" in seen and b"embedding/s" in seen) == shown, seen


# --- wrong command lines ---


@pytest.mark.parametrize(
    ("args", "word"),
    [
        (["images"], "name a container"),
        (["images", "-o", "out"], "name a container"),
        (["s.tar"], "name a container"),
        (["x.png", "--workers", "0"], "--workers is for a container"),
        (["x.png", "--resume"], "--resume is for a container"),
        (["x.png", "--precision", "bf16", "-o", "x"], "--precision is for a container"),
        (["images", "-o", "o.clpc", "--workers", "-1"], "--workers"),
        (["images", "-o", "o.clpc", "--batch-size", "0"], "--batch-size"),
        (["images", "-o", "o.clpc", "--resume", "-f"], "give one of them"),
        (["images", "-o", "o.clpc", "--quality", "0"], "quality"),
        (["images", "-o", "o.clpc", "--profile", "any/rotation"], "--backbone NAME"),
    ],
)
def test_wrong_command_lines_exit_2(
    args: list[str], word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.png").touch()
    assert exit_code("compress", *args) == 2
    assert word in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["images"]


# --- stopped ---

# small groups, all on the disk at once; one that has just been written brings about `deed`
DEED = """
import multiprocessing, os, signal
from clipcodec.bulk import job, pipeline
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGTERM, signal.SIG_DFL)
pipeline.GROUP, job.FLUSH_SECONDS = 8, -1
append, groups = job._Run._append, []
def watched(self, group):
    append(self, group)
    self._writer.flush()
    groups.append(len(group))
    if len(groups) == {after}:
        print(*(p.pid for p in multiprocessing.active_children()), flush=True)
        {deed}
job._Run._append = watched
"""


def cli(*args: object, before: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", before + MAIN, *map(str, args)],
        capture_output=True, text=True, timeout=300, check=False,
        env={**os.environ, "PYTHONPATH": str(PACKAGE)},
    )  # fmt: skip


def end_of(pids: list[int]) -> bool:
    """Have these processes ended, or do they soon?"""
    for _ in range(200):
        if not any(Path(f"/proc/{pid}").exists() for pid in pids):
            return True
        time.sleep(0.1)
    return False


@pytest.mark.slow
@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGKILL", -9)])
def test_stopped_and_gone_on_with_is_as_never_stopped(
    name: str, code: int, rows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing that was written is lost or done again, and no worker stays behind."""
    out, whole = tmp_path / "o.clpc", tmp_path / "whole.clpc"
    before = DEED.format(after=3, deed=f"os.kill(os.getpid(), signal.{name})")
    done = cli("compress", rows, "-o", out, *ROWS, "--workers", 2, before=before)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    if code > 0:
        assert f"{out}.part: the same command with --resume goes on" in done.stderr
    pids = [int(word) for word in done.stdout.split()]
    assert len(pids) == 2
    if sys.platform == "linux":
        assert end_of(pids)
    assert not out.exists()
    kept = items(Path(f"{out}.part"), partial=True)
    assert len(kept) == 24

    command = ["compress", str(rows), "-o", str(out), *ROWS, "--workers", "0"]
    assert main([*command, "--resume"]) == 0
    said = capsys.readouterr().err
    assert ": 76 embeddings, " in said
    assert ", 24 more there already)" in said
    assert not Path(f"{out}.part").exists()
    command[3] = str(whole)
    assert main(command) == 0
    assert items(out) == items(whole)


@pytest.mark.slow
def test_images_stopped_by_the_keyboard(world: World, tmp_path: Path) -> None:
    """As above through the backbone, the signal going to the workers, too, as from a terminal."""
    out = tmp_path / "o.clpc"
    before = "import os; os.setpgrp()\n" + DEED.format(
        after=1, deed="os.killpg(os.getpgrp(), signal.SIGINT)"
    )
    options = [*world.options, "--batch-size", 8]
    done = cli("compress", world.images, "-o", out, *options, "--workers", 1, before=before)
    assert done.returncode == 130, done.stderr
    assert len(done.stderr.splitlines()) == 2, done.stderr
    kept = items(Path(f"{out}.part"), partial=True)
    assert len(kept) == 8
    assert compress(world, world.images, "-o", out, "--resume") == 0
    found = items(out)
    assert found[:8] == kept
    names = [path.relative_to(world.images).as_posix() for path in paths(world)]
    assert [id for id, _ in found] == names
    expected = world.codec.decode_batch(world.codec.encode_batch(paths(world)))
    decoded = world.codec.decode_batch([stream for _, stream in found])
    assert (expected * decoded).sum(axis=1).min() > 0.999


def test_a_killed_worker_is_an_error_and_what_was_written_is_kept(
    rows: Path, tmp_path: Path
) -> None:
    out = tmp_path / "o.clpc"
    deed = "[os.kill(p.pid, signal.SIGKILL) for p in multiprocessing.active_children()]"
    before = "from clipcodec.bulk import decoding\ndecoding.CHUNK = 1\n" + DEED.format(
        after=2, deed=deed + "; import time; time.sleep(0.5)"
    )
    np.save(rows, cone(1000, 16))
    done = cli("compress", rows, "-o", out, *ROWS, "--workers", 1, before=before)
    assert done.returncode == 1, done.stderr
    assert "a worker process was killed" in done.stderr
    assert "rows.npy/" in done.stderr
    assert "--resume" in done.stderr
    assert "Traceback" not in done.stderr
    assert len(items(Path(f"{out}.part"), partial=True)) >= 16
    assert main(["compress", str(rows), "-o", str(out), *ROWS, "--workers", "0", "--resume"]) == 0
    assert len(items(out)) == 1000


def test_the_library_raises_for_a_killed_worker() -> None:
    """Not BrokenProcessPool, which says nothing of images."""
    import multiprocessing

    x = cone(400, 16)
    entries = (Entry(str(i), f"row {i}", row) for i, row in enumerate(x))
    results = pipeline.compress(Codec("any/rotation"), entries, workers=1)
    next(results)
    for child in multiprocessing.active_children():
        child.kill()
        child.join()
    with pytest.raises(WorkerError, match=r"row \d+ or one of those after it"):
        list(results)


def test_stopped_while_replacing_keeps_the_old_container(rows: Path, tmp_path: Path) -> None:
    """And says that --resume would add to that, not to what was begun in its place."""
    out = tmp_path / "o.clpc"
    command = ["compress", str(rows), "-o", str(out), *ROWS, "--workers", "0"]
    assert main(command) == 0
    old = out.read_bytes()
    before = DEED.format(after=2, deed="os.kill(os.getpid(), signal.SIGINT)")
    done = cli(*command, "-f", before=before)
    assert done.returncode == 130
    assert f"in {out}.part: to go on with it give --resume, not -f, with no {out}" in done.stderr
    assert out.read_bytes() == old
    out.unlink()
    assert main([*command, "--resume"]) == 0
    assert out.read_bytes() != b""
    assert [id for id, _ in items(out)] == [f"rows.npy/{i}" for i in range(100)]


def test_a_full_disk_keeps_what_was_written(
    rows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "o.clpc"
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1200, 1200))\n"
    before = limit + DEED.format(after=0, deed="pass")
    done = cli("compress", rows, "-o", out, *ROWS, "--workers", 0, before=before)
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert len(lines) == 2, lines
    assert "--resume goes on" in lines[0]
    assert lines[1] == f"clipcodec: {out}.part: cannot be written: File too large"
    kept = items(Path(f"{out}.part"), partial=True)
    assert 8 <= len(kept) < 100
    assert main(["compress", str(rows), "-o", str(out), *ROWS, "--workers", "0", "--resume"]) == 0
    assert f"{len(kept)} more there already" in capsys.readouterr().err
    assert [id for id, _ in items(out)] == [f"rows.npy/{i}" for i in range(100)]


def test_missing_weights_leave_nothing_behind(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--weights", tmp_path / "none.pt"]
    assert compress(world, world.images, "-o", tmp_path / "o.clpc", *options) == 1
    assert "does not exist" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


# --- reading ---


@pytest.fixture
def made(rows: Path, tmp_path: Path) -> Path:
    out = tmp_path / "out.clpc"
    assert main(["compress", str(rows), "-o", str(out), *ROWS, "--workers", "0", "-q"]) == 0
    return out


def test_decompress_a_container(made: Path, tmp_path: Path) -> None:
    ids = tmp_path / "ids.txt"
    assert main(["decompress", str(made), "--ids", str(ids)]) == 0
    found = np.load(tmp_path / "out.npy")
    with clipcodec.open(made) as container:
        assert np.array_equal(found, container.decode_all())
    assert found.dtype == np.float32
    assert ids.read_text().splitlines() == [f"rows.npy/{i}" for i in range(100)]
    assert main(["decompress", str(made)]) == 1, "out.npy exists"


def test_containers_and_streams_together(made: Path, tmp_path: Path) -> None:
    stream = tmp_path / "x.clip"
    stream.write_bytes(items(made)[7][1])
    out, ids = tmp_path / "all.npy", tmp_path / "ids"
    command = ["decompress", str(stream), str(made), "-o", str(out), "--ids", str(ids)]
    assert main(command) == 0
    rows = np.load(out)
    assert rows.shape == (101, 16)
    assert np.array_equal(rows[0], rows[8])
    assert ids.read_text().split("\n")[:2] == ["", "rows.npy/0"]


def test_pipes(made: Path) -> None:
    """A container from stdin; .npy, JSON and facts on stdout."""
    command = [sys.executable, "-m", "clipcodec"]
    data = made.read_bytes()
    npy = subprocess.run([*command, "decompress", "-"], input=data, capture_output=True, check=True)
    rows = np.load(io.BytesIO(npy.stdout))
    assert rows.shape == (100, 16)
    lines = subprocess.run([*command, "decompress", "-", "--json"], input=data,
                           capture_output=True, check=True).stdout.splitlines()  # fmt: skip
    parsed = [json.loads(line) for line in lines]
    assert [line["id"] for line in parsed] == [f"rows.npy/{i}" for i in range(100)]
    assert [line["item"] for line in parsed] == list(range(100))
    assert np.allclose([line["embedding"] for line in parsed], rows, atol=1e-6)
    cut = subprocess.run([*command, "info", "-"], input=data[:-1], capture_output=True, check=False)
    assert cut.returncode == 1
    assert cut.stderr.startswith(b"clipcodec: stdin: ")
    assert b"--partial" in cut.stderr


def test_info_of_a_container(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(made), "--json"]) == 0
    known = json.loads(capsys.readouterr().out)
    assert (known["items"], known["ids"], known["complete"]) == (100, 100, True)
    assert known["size"] == made.stat().st_size
    assert known["stream_bytes"] == sum(len(stream) for _, stream in items(made))
    assert known["profiles"] == {"any/rotation": 100}
    assert known["metadata"]["clipcodec"]["entropy"] == "auto"
    assert main(["info", str(made)]) == 0
    assert "items      100, 100 of them with ids" in capsys.readouterr().out


def test_a_container_that_was_cut(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An upload that was interrupted: said so, with the remedies; --partial reads what is good."""
    with clipcodec.create(made, "a") as writer:
        writer.extend([stream for _, stream in items(made)])
    made.write_bytes(made.read_bytes()[:-200])
    out = str(tmp_path / "o.npy")
    for verb in (["info", str(made)], ["decompress", str(made), "-o", out]):
        assert main(verb) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"clipcodec: {made}: ends inside a block")
        assert "; --partial reads its first 100 items" in line
        assert "`clipcodec compress --resume` goes on" in line
        assert not Path(out).exists()
        assert main([*verb, "--partial"]) == 0
        assert "100 good items are read" in capsys.readouterr().err
    assert len(np.load(out)) == 100


def test_a_failed_input_leaves_no_output(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(tmp_path.iterdir())
    for more in ([], ["--json"]):
        command = ["decompress", str(made), "none.clip", "gone.clpc", "-o", str(tmp_path / "o")]
        assert main([*command, *more]) == 1
        lines = capsys.readouterr().err.splitlines()
        assert [line.split(":")[1] for line in lines] == [" none.clip", " gone.clpc"]
        assert sorted(tmp_path.iterdir()) == before


def test_wrong_ways_to_read_exit_2(made: Path, tmp_path: Path) -> None:
    assert main(["decompress", str(made), "--ids", "i", "--json"]) == 2
    assert main(["decompress", str(made), "-o", "x", "--ids", "x"]) == 2
    assert main(["decompress", str(tmp_path / "x.clip"), "--ids", "i"]) == 2
