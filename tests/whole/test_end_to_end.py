"""The main job: a real image file through an open_clip network to bytes on disk and back.

The network is a small one with random weights, made and saved here; the profile is trained on its
own embeddings by the command line. All goes the way a user's does.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image

import clipcodec
from clipcodec import Codec, WeightsError
from clipcodec.models import Backbone
from tests.helpers import tiny_models
from tests.helpers.processes import ONE_THREAD, run
from tests.helpers.profiles import one_torch_thread

pytest.importorskip("open_clip")
pytestmark = pytest.mark.slow


class World(NamedTuple):
    backbone: str
    weights: Path
    profile: Path
    images: list[Path]
    folder: Path


def pictures(count: int, seed: int) -> list[Image.Image]:
    """Smooth coloured noise: images that differ as photographs do, if less."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (count, 4, 5, 3), dtype=np.uint8)
    return [Image.fromarray(c).resize((80, 64), Image.Resampling.BICUBIC) for c in coarse]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A small model in a folder of its own, a profile trained for it, and three image files."""
    folder = tmp_path_factory.mktemp("world")
    spec = tiny_models.make_folder(folder / "model")
    weights = tiny_models.save(tiny_models.make_model(spec), folder / "model.safetensors")
    backbone = Backbone.load(spec, weights=weights, device="cpu")
    with one_torch_thread():
        np.save(folder / "rows.npy", backbone.embed(pictures(1200, seed=0)))
    profile = folder / "profile.safetensors"
    done = run("train", "--embeddings", folder / "rows.npy", "-o", profile,
               "--recipe", "pqvae", "--steps", 20, "--codewords", 8, "--backbone", spec.name,
               "--name", "private/small", **ONE_THREAD)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert b"codewords in use  8 of 8" in done.stderr
    images = [folder / "a.png", folder / "b.jpg", folder / "c.webp"]
    for picture, path in zip(pictures(3, seed=1), images, strict=True):
        picture.save(path)
    return World(spec.name, weights, profile, images, folder)


def test_library(world: World) -> None:
    """encode(image) → bytes → decode: close to the embedding that open_clip gives."""
    codec = Codec(world.profile, weights=world.weights, device="cpu")
    truth = codec.embed_images(world.images)
    streams = codec.encode_batch(world.images)
    assert [codec.encode(path) for path in world.images] == streams
    assert ((codec.decode_batch(streams) * truth).sum(axis=1) > 0.95).all()
    data = world.images[0].read_bytes()
    with Image.open(world.images[0]) as picture:
        forms: list[Any] = [data, picture.copy(), np.asarray(picture), str(world.images[0])]
        assert [codec.encode(form) for form in forms] == streams[:1] * 4
    with open(world.images[0], "rb") as file:
        assert codec.encode(file) == streams[0]


def test_one_shot_functions(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """clipcodec.encode takes weights from the environment; it equals the Codec."""
    monkeypatch.setenv("CLIPCODEC_WEIGHTS", str(world.weights))
    expected = Codec(world.profile, weights=world.weights, device="cpu").encode(world.images[0])
    image = world.images[0]
    assert clipcodec.encode(image, profile=world.profile, device="cpu") == expected
    assert clipcodec.encode_batch([image], profile=world.profile, device="cpu") == [expected]


def test_command_line(world: World) -> None:
    """Several images to a folder, a damaged one named, and back to one array."""
    (world.folder / "broken.png").write_bytes(world.images[0].read_bytes()[:60])
    out = world.folder / "out"
    done = run("compress", *world.images, world.folder / "broken.png", "-o", out, "--profile",
               world.profile, "--weights", world.weights, "--device", "cpu")  # fmt: skip
    assert done.returncode == 1
    assert b"broken.png" in done.stderr
    files = sorted(out.iterdir())
    assert [path.name for path in files] == ["a.png.clip", "b.jpg.clip", "c.webp.clip"]
    array = world.folder / "back.npy"
    done = run("decompress", *files, "-o", array, "--profile", world.profile)
    assert done.returncode == 0, done.stderr
    codec = Codec(world.profile, weights=world.weights, device="cpu")
    expected = codec.decode_batch(codec.encode_batch(world.images))
    assert np.allclose(np.load(array), expected, atol=1e-5)


def test_another_networks_weights_do_not_pass(world: World) -> None:
    """Same architecture, other weights: refused, by where the embeddings lie."""
    model = tiny_models.make_model(tiny_models.make_folder(world.folder / "model"), seed=5)
    other = tiny_models.save(model, world.folder / "other.safetensors")
    codec = Codec(world.profile, weights=other, device="cpu")
    with pytest.raises(WeightsError, match="another network"):
        codec.encode_batch(pictures(10, seed=2))


def test_another_architectures_weights_are_refused(world: World) -> None:
    spec = tiny_models.make_folder(world.folder / "wide", width=48)
    wide = tiny_models.save(tiny_models.make_model(spec), world.folder / "wide.safetensors")
    with pytest.raises(WeightsError, match="instead of"):
        Codec(world.profile, weights=wide, device="cpu").encode(world.images[0])


def test_demo_compresses_an_image_only_with_fitting_weights(world: World) -> None:
    """The default profile's backbone is not this small network, and the demo says so."""
    done = run("demo", world.images[0], "--count", 2, "--weights", world.weights)
    assert done.returncode == 1
    assert b"is not of ViT-B-32-quickgelu" in done.stderr
