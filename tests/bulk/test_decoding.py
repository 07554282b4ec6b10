"""Jobs whose JPEGs are decoded where the backbone runs; here that is torch's CPU."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image

import clipcodec
from clipcodec import OptionError
from clipcodec.bulk import Job, Target, decoding, pipeline
from clipcodec.cli import main
from clipcodec.models.jpegs import DeviceJpegs, Jpeg
from tests.helpers import tiny_models

pytest.importorskip("open_clip")
GOOD, COUNT = 18, 24


class World(NamedTuple):
    images: Path
    options: dict[str, Any]


def jpeg(seed: int, **options: Any) -> bytes:
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (4, 5, 3), dtype=np.uint8))
    file = io.BytesIO()
    coarse.resize((60, 48), Image.Resampling.BICUBIC).save(file, "JPEG", **options)
    return file.getvalue()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """JPEGs that a device takes, one that is too large for a place, grey ones, damaged ones."""
    folder = tmp_path_factory.mktemp("device")
    spec = tiny_models.make_folder(folder / "model")
    weights = tiny_models.save(tiny_models.make_model(spec), folder / "model.safetensors")
    images = folder / "images"
    images.mkdir()
    for i in range(COUNT):
        data = jpeg(i)
        if i == 3:
            data = jpeg(i, comment=b"c" * 20_000)
        if i % 4 == 1:
            file = io.BytesIO()
            Image.open(io.BytesIO(data)).convert("L").save(file, "JPEG")
            data = file.getvalue()
        if i % 4 == 2:  # cut in the middle, or without its tables but with an end
            data = data[: len(data) // 2] if i % 8 == 2 else data[:300] + b"\xff\xd9"
        (images / f"{i:02}.jpg").write_bytes(data)
    options = {"profile": "any/rotation", "backbone": spec.name, "weights": weights,
               "device": "cpu", "batch_size": 8}  # fmt: skip
    return World(images, options)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "GROUP", 8)
    monkeypatch.setattr(decoding, "CHUNK", 3)


def run(world: World, out: Path, **options: Any) -> Any:
    return Job(world.images, out, Target(quality=90), **{**world.options, **options}).run()


def test_the_device_makes_nearly_the_same_embeddings_with_any_workers(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And names the same files that fail, for the same reason."""
    seen: list[int] = []
    inner = DeviceJpegs.pixels

    def pixels(self: DeviceJpegs, files: list[Jpeg]) -> Any:
        seen.append(len(files))
        return inner(self, files)

    monkeypatch.setattr(DeviceJpegs, "pixels", pixels)
    exact = run(world, tmp_path / "exact.clpc", workers=0)
    assert not seen, "only if it is asked for"
    results = [
        run(world, tmp_path / f"{count}.clpc", workers=count, decode="device") for count in (0, 1)
    ]
    assert sum(seen) >= 2 * COUNT // 2
    assert (tmp_path / "0.clpc").read_bytes() == (tmp_path / "1.clpc").read_bytes()
    for result in results:
        assert (result.compressed, result.failed) == (GOOD, COUNT - GOOD)
        assert [name for name, _, _ in result.failures] == [name for name, _, _ in exact.failures]
        reasons = [str(error) for _, error, _ in result.failures]
        assert reasons == [str(error) for _, error, _ in exact.failures]
    with (
        clipcodec.open(tmp_path / "exact.clpc") as one,
        clipcodec.open(tmp_path / "1.clpc") as other,
    ):
        assert one.ids == other.ids
        cosines = (one.decode_all() * other.decode_all()).sum(axis=1)
        assert "decode" not in one.metadata["clipcodec"]
        assert other.metadata["clipcodec"]["decode"] == "device"
    assert cosines.min() > 0.99


def test_one_container_has_one_way(world: World, tmp_path: Path) -> None:
    for before, now in (("exact", "device"), ("device", "exact")):
        out = tmp_path / f"{before}.clpc"
        run(world, out, workers=0, decode=before)
        data = out.read_bytes()
        with pytest.raises(OptionError, match="decode=device"):
            run(world, out, workers=0, decode=now, mode="resume")
        assert run(world, out, workers=0, decode=before, mode="resume").there_already == GOOD
        assert out.read_bytes() == data


def test_a_device_that_cannot_decode_is_said_and_nothing_is_written(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torchvision.io

    monkeypatch.delattr(torchvision.io, "decode_jpeg")
    with pytest.raises(OptionError, match=r"decode='device': .*'exact'"):
        run(world, tmp_path / "o.clpc", workers=1, decode="device")
    assert not list(tmp_path.iterdir())


def test_the_command_line_has_it(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(world, tmp_path / "0.clpc", workers=0, decode="device")
    options = [f"--{name.replace('_', '-')}={value}" for name, value in world.options.items()]
    command = ["compress", str(world.images), *options, "--workers=0", "--quality=90"]
    out = tmp_path / "1.clpc"
    assert main([*command, "--decode=device", "-o", str(out)]) == 1, "damaged files are named"
    assert out.read_bytes() == (tmp_path / "0.clpc").read_bytes()
    capsys.readouterr()
    assert main([*command, "--resume", "-o", str(out)]) == 2
    assert "with --decode device, not without it" in capsys.readouterr().err
    assert main(["compress", str(world.images / "00.jpg"), "--decode=device"]) == 2
    assert "--decode is for a container" in capsys.readouterr().err
    with pytest.raises(OptionError, match="exact, device"):
        run(world, out, decode="gpu")
