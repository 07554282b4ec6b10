"""evaluation.pixels: sizes, PSNR and measures of pixel codecs, side by side with streams."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, features

from clipcodec.errors import (
    ImageError,
    MissingDependencyError,
    OptionError,
    WeightsUnavailableError,
)
from clipcodec.evaluation import metrics, photographs, pixels
from clipcodec.evaluation.codecs import parse_codec
from clipcodec.evaluation.image_sets import ImageSet, LabelledImage, folder_set
from clipcodec.evaluation.photographs import packaged_photographs
from clipcodec.evaluation.pixel_bench import measure_pixels, pictures_of, psnr
from clipcodec.evaluation.pixel_codecs import all_settings, default_specs, parse_pixel_codec
from clipcodec.evaluation.results import Results
from clipcodec.images import load_rgb
from clipcodec.models import Backbone, TextTower
from tests.helpers.pictures import TinyModel, tiny_model, write_classes, write_picture

OPTIONS: dict[str, dict[str, Any]] = {
    "webp": {"method": 6}, "avif": {"speed": 4}, "jxl": {"effort": 9},
}  # fmt: skip
FORMATS = {"webp": "WEBP", "avif": "AVIF", "jxl": "JXL", "jpeg": "JPEG"}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> TinyModel:
    pytest.importorskip("open_clip")
    return tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def source(tmp_path: Path) -> ImageSet:
    return folder_set(write_classes(tmp_path / "animals", {"fox": 3, "owl": 2}))


@pytest.fixture
def results(tmp_path: Path) -> Results:
    return Results(tmp_path / "results.json", "made by a test")


def read(results: Results) -> Results:
    """What the result file has."""
    assert results.path is not None
    return Results.load(results.path)


def need(name: str) -> None:
    if name == "jxl":
        pytest.importorskip("pillow_jxl")
    elif name != "jpeg" and not features.check(name):
        pytest.skip(f"this Pillow has no {name}")


def picture(tmp_path: Path, size: tuple[int, int] = (90, 70)) -> Image.Image:
    return load_rgb(write_picture(tmp_path / "picture.png", 3, size))


# --- codecs ---


@pytest.mark.parametrize("name", FORMATS)
def test_the_size_is_that_of_the_file_that_pillow_writes(tmp_path: Path, name: str) -> None:
    need(name)
    image = picture(tmp_path)
    size, decoded = parse_pixel_codec(f"{name}@30").code(image)
    sizes = []
    for more in ({"progressive": True}, {}) if name == "jpeg" else (OPTIONS.get(name, {}),):
        path = tmp_path / f"file.{name}"
        options = {"optimize": True, **more} if name == "jpeg" else more
        image.save(path, FORMATS[name], quality=30, **options)
        sizes.append(path.stat().st_size)
    assert size == min(sizes)
    assert (decoded.mode, decoded.size) == ("RGB", image.size)
    if len(sizes) == 1:
        assert decoded == load_rgb(path)


@pytest.mark.parametrize("name", FORMATS)
def test_more_quality_takes_more_bytes_and_comes_closer(tmp_path: Path, name: str) -> None:
    need(name)
    image = picture(tmp_path)
    found = [parse_pixel_codec(f"{name}@{quality}").code(image) for quality in (5, 50, 90)]
    sizes = [size for size, _ in found]
    quality = [psnr(image, decoded) for _, decoded in found]
    assert sizes == sorted(set(sizes))
    assert quality == sorted(set(quality))


def test_an_image_can_be_scaled_to_what_clip_looks_at(tmp_path: Path) -> None:
    image = picture(tmp_path, (120, 60))
    codec = parse_pixel_codec("jpeg@30,size=20")
    assert (codec.series, codec.setting) == ("JPEG, scaled", "quality=30 size=20")
    size, decoded = codec.code(image)
    assert decoded.size == (40, 20)
    assert size < parse_pixel_codec("jpeg@30").code(image)[0]
    assert math.isfinite(psnr(image, decoded))
    assert parse_pixel_codec("jpeg@30,size=64").code(image)[1].size == image.size  # not enlarged


def test_what_a_codec_cannot_write_is_said_and_the_others_go_on(
    tmp_path: Path, results: Results
) -> None:
    wide = write_picture(tmp_path / "wide.png", 0, (16400, 8))  # WebP takes 16383
    pictures = pictures_of(ImageSet("wide", (LabelledImage(wide, 0),)), quiet=True)
    codecs = [parse_pixel_codec("webp@30"), parse_pixel_codec("jpeg@30")]
    (said,) = measure_pixels(pictures, codecs, results, quiet=True)
    assert said.startswith("webp@30: <PIL image, mode RGB, size (16400, 8)> cannot be written as W")
    assert "jpeg@30" in results.points
    assert "webp@30" not in results.points


def test_psnr_of_known_differences() -> None:
    black = Image.new("RGB", (4, 4))
    assert psnr(black, Image.new("RGB", (4, 4), (255, 255, 255))) == 0
    assert psnr(black, Image.new("RGB", (4, 4), (51, 51, 51))) == pytest.approx(20 * math.log10(5))
    assert psnr(black, black) == math.inf


@pytest.mark.parametrize(
    "spec", ["jpeg", "jpeg@", "jpeg@101", "jpeg@-1", "jpeg@3,size=0", "jpeg@3,size=x",
             "gif@3", "cheng2020-anchor@0", "cheng2020-anchor@7"],
)  # fmt: skip
def test_a_spec_that_is_wrong_is_named(spec: str) -> None:
    with pytest.raises(OptionError, match=f"no pixel codec 'gif'|pixel codec '{spec}': expected"):
        parse_pixel_codec(spec)


def test_a_name_alone_means_all_its_settings() -> None:
    assert all_settings("cheng2020-anchor") == [f"cheng2020-anchor@{q}" for q in range(1, 7)]
    assert all_settings("webp")[0] == "webp@5"
    assert all_settings("webp")[-1] == "webp@90,size=224"
    assert len(default_specs()) == len(set(default_specs()))


# --- CompressAI: the real architectures, with weights that nobody has trained ---


@pytest.fixture
def compressai(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    found = pytest.importorskip("compressai")
    pytest.importorskip("compressai.zoo")
    import torch

    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    return found


def test_weights_that_are_not_at_hand_are_named_with_their_place(
    tmp_path: Path, compressai: Any
) -> None:
    with pytest.raises(WeightsUnavailableError) as caught:
        parse_pixel_codec("cheng2020-anchor@3")
    url = compressai.zoo.image.model_urls["cheng2020-anchor"]["mse"][3]
    place = tmp_path / "torch" / "hub" / "checkpoints" / url.rpartition("/")[2]
    assert url.startswith("https://")
    assert f"get {url} as {str(place)!r}, or add --download" in str(caught.value)
    place.parent.mkdir(parents=True)
    place.write_bytes(b"noise")
    codec = parse_pixel_codec("cheng2020-anchor@3")
    with pytest.raises(WeightsUnavailableError, match="cannot be used"):
        codec.code(picture(tmp_path))


@pytest.mark.parametrize("name", ["bmshj2018-hyperprior", "cheng2020-anchor"])
def test_a_network_codes_an_image_of_any_size(
    tmp_path: Path, compressai: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a checkpoint where CompressAI looks for it; bytes are those of its strings."""
    import torch

    torch.manual_seed(0)
    network = getattr(compressai.zoo, name.replace("-", "_"))(quality=1)
    network.update()
    url = compressai.zoo.image.model_urls[name]["mse"][1]
    place = tmp_path / "torch" / "hub" / "checkpoints" / url.rpartition("/")[2]
    place.parent.mkdir(parents=True)
    torch.save(network.state_dict(), place)
    strings = []
    kind = type(network)
    real = kind.compress

    def compress(self: Any, x: Any) -> Any:
        assert tuple(x.shape) == (1, 3, 128, 64)
        found = real(self, x)
        strings.append(found["strings"])
        return found

    monkeypatch.setattr(kind, "compress", compress)
    codec = parse_pixel_codec(f"{name}@1")
    assert codec.weights == place.name
    size, decoded = codec.code(picture(tmp_path, (50, 70)))
    assert (decoded.mode, decoded.size) == ("RGB", (50, 70))
    assert size == len(strings[0][0][0]) + len(strings[0][1][0]) > 0


# --- measuring ---


def test_rates_of_a_set_are_all_bits_over_all_pixels(source: ImageSet, results: Results) -> None:
    codec = parse_pixel_codec("webp@30")
    assert measure_pixels(pictures_of(source, quiet=True), [codec], results, quiet=True) == []
    loaded = [load_rgb(image.path) for image in source.images]
    coded = [codec.code(image) for image in loaded]
    total = sum(image.width * image.height for image in loaded)
    point = read(results).points["webp@30"]
    assert (point["series"], point["setting"], point["images"]) == ("WebP", "quality=30", 5)
    assert point["bpp"] == 8 * sum(size for size, _ in coded) / total
    assert point["bytes"] == pytest.approx(np.mean([size for size, _ in coded]))
    assert point["most"] == max(size for size, _ in coded)
    mean = np.mean([psnr(image, y) for image, (_, y) in zip(loaded, coded, strict=True)])
    assert point["psnr"] == pytest.approx(mean, abs=1e-3)
    assert "sets" not in point
    files = read(results).points["files"]
    assert files["bpp"] == 8 * sum(image.path.stat().st_size for image in source.images) / total
    assert [results.points[f"stream@{n}"]["bpp"] for n in (25, 50, 100)] == [
        8 * 5 * n / total for n in (25, 50, 100)
    ]


def test_accuracy_of_pixels_and_of_streams_side_by_side(
    model: TinyModel, source: ImageSet, results: Results
) -> None:
    """By one model, on the same images: each decoded image is embedded, each stream decoded."""
    options: dict[str, Any] = {"device": "cpu", "weights": model.weights}
    pictures = pictures_of(source, backbone=model.name, quiet=True, **options)
    codec, stream = parse_pixel_codec("jpeg@5"), parse_codec("any/rotation@max_bytes=14")
    assert measure_pixels(pictures, [codec], results, streams=[stream], quiet=True) == []
    assert list(results.points) == ["files", "jpeg@5", "any/rotation@max_bytes=14"]
    tower, words = (kind.load(model.name, **options) for kind in (Backbone, TextTower))
    assert isinstance(tower, Backbone)
    assert isinstance(words, TextTower)
    texts, labels = words.embed(["fox", "owl"], source.templates), np.array([0, 0, 0, 1, 1])
    loaded = [load_rgb(image.path) for image in source.images]
    originals = tower.embed(loaded)
    decoded = tower.embed([codec.code(image)[1] for image in loaded])
    whole, jpeg, own = results.points.values()
    assert whole["sets"]["animals"]["top1"] == pytest.approx(
        metrics.accuracy(originals, texts, labels)
    )
    assert whole["cosine"] == 1
    assert jpeg["sets"]["animals"]["top1"] == pytest.approx(
        metrics.accuracy(decoded, texts, labels)
    )
    assert jpeg["cosine"] == pytest.approx((originals * decoded).sum(axis=1).mean(), abs=1e-4)
    assert jpeg["cosine"] < 0.99999
    assert jpeg["sets"]["animals"]["agree"] == pytest.approx(
        metrics.agreement(originals, decoded, texts)
    )
    total = sum(image.width * image.height for image in loaded)
    assert own["most"] <= 14
    assert own["bpp"] == pytest.approx(8 * 5 * own["bytes"] / total)
    assert own["sets"]["animals"].keys() == jpeg["sets"]["animals"].keys()
    assert own["bpp"] < jpeg["bpp"]


def test_points_that_are_there_are_measured_again_only_if_something_changed(
    source: ImageSet, results: Results
) -> None:
    pictures = pictures_of(source, quiet=True)
    coded: list[int] = []
    real = parse_pixel_codec("jpeg@30")

    def code(image: Image.Image) -> tuple[int, Image.Image]:
        coded.append(image.width)
        return real.code(image)

    def fails(image: Image.Image) -> tuple[int, Image.Image]:
        raise KeyboardInterrupt

    first, second = replace(real, code=code), replace(real, spec="jpeg@31", code=fails)
    run = partial(measure_pixels, quiet=True)
    with pytest.raises(KeyboardInterrupt):
        run(pictures, [first, second], results)
    assert len(coded) == 5
    again = read(results)
    run(pictures, [first, replace(second, code=code)], again)
    assert len(coded) == 10
    run(pictures, [first], again)
    assert len(coded) == 10
    assert list(again.points) == ["files", "jpeg@30", "stream@25", "stream@50", "stream@100"]
    run(pictures, [replace(first, weights="other")], again)
    assert len(coded) == 15
    write_picture(source.images[0].path, 77)
    run(pictures_of(source, quiet=True), [replace(first, weights="other")], again)
    assert len(coded) == 20


def test_only_classes_held_out_of_training_are_measured(source: ImageSet) -> None:
    found = pictures_of(replace(source, held_out=(1,)), quiet=True)
    assert [image.path.parent.name for image in found.images.images] == ["owl", "owl"]
    assert found.images.classes == ("owl",)
    assert len(found.pixels) == 2


def test_no_image_at_all_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(b"noise")
    with pytest.raises(ImageError, match=r"none of the 1 images can be read; .*x\.png"):
        pictures_of(ImageSet("noise", (LabelledImage(tmp_path / "x.png", 0),)), quiet=True)


# --- the command, and photographs of packages ---


def test_the_command_names_what_is_left_out_and_measures_the_rest(
    model: TinyModel, source: ImageSet, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    pytest.importorskip("compressai.zoo")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    out, bad = tmp_path / "out.json", source.images[1].path
    bad.write_bytes(b"noise")
    done = pixels.main([
        str(tmp_path / "animals"), "-o", str(out), "-q",
        "--codecs", "jpeg@20", "cheng2020-anchor@1",
        "--backbone", model.name, "--weights", str(model.weights), "--device", "cpu",
        "--streams", "any/rotation@max_bytes=14",
    ])  # fmt: skip
    assert done == 1
    said = capsys.readouterr().err
    assert f"pixels: {str(bad)!r}: not an image file" in said
    assert "pixels: cheng2020-anchor@1: its weights are not at hand" in said
    content = json.loads(out.read_text("utf-8"))
    assert content["command"].startswith("python -m clipcodec.evaluation.pixels /")
    assert [point["key"] for point in content["points"]] == [
        "files", "jpeg@20", "any/rotation@max_bytes=14",
    ]  # fmt: skip
    assert {point["images"] for point in content["points"]} == {4}


def test_usage_errors_have_exit_code_2(tmp_path: Path) -> None:
    out = ["-o", str(tmp_path / "out.json")]
    assert pixels.main([str(tmp_path), *out, "--codecs", "gif"]) == 2
    assert pixels.main(["pets", *out, "--codecs", "jpeg"]) == 2
    assert not (tmp_path / "out.json").exists()


def test_streams_of_a_model_are_by_its_own_profile() -> None:
    assert pixels.default_streams("openai-vit-b-32") == [
        f"openai-vit-b-32/predictive@max_bytes={size}" for size in (25, 50, 100)
    ]
    assert pixels.default_streams("local-dir:x")[0] == "any/rotation@max_bytes=25"


def test_photographs_that_packages_ship_can_be_read() -> None:
    pytest.importorskip("skimage")
    pytest.importorskip("sklearn")
    found = packaged_photographs()
    assert len(found.images) == 8
    assert all(min(load_rgb(image.path).size) >= 300 for image in found.images)
    assert found.classes == ()


def test_a_package_whose_photographs_are_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photographs, "find_spec", lambda _: None)
    with pytest.raises(MissingDependencyError, match="pip install scikit-image"):
        packaged_photographs()
