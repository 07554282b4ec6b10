"""evaluation.images: folders and data sets of images become set files, embedded by a tiny model."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

import clipcodec
from clipcodec.errors import ImageError, ImageFileError, OptionError, OutputExistsError
from clipcodec.evaluation import images
from clipcodec.evaluation.image_names import PROMPTS
from clipcodec.evaluation.image_sets import folder_set, image_set, imagenet_held_out
from clipcodec.evaluation.images import embed_images_to_set, read_about
from clipcodec.evaluation.sets import load_set
from clipcodec.models import Backbone
from tests.helpers.pictures import TinyModel, tiny_model, write_classes, write_picture

pytest.importorskip("open_clip")
CLASSES = {"red_fox": 5, "owl": 3, "zebra": 4}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> TinyModel:
    return tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_classes(tmp_path / "animals", CLASSES)


def embed(model: TinyModel, folder: Path, out: Path, **options: Any) -> images.Embedded:
    return embed_images_to_set(
        folder_set(folder), out, backbone=model.name, weights=model.weights, device="cpu",
        quiet=True, **options,
    )  # fmt: skip


def command(model: TinyModel, *arguments: object) -> int:
    options = ["--backbone", model.name, "--weights", model.weights, "--device", "cpu", "-q"]
    return images.main([str(argument) for argument in (*arguments, *options)])


# --- a folder by class ---


def test_a_set_has_the_embeddings_labels_texts_and_pixels_of_its_images(
    model: TinyModel, folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out" / "test_animals.safetensors"
    done = embed(model, folder, out)
    assert (done.images, done.failed) == (12, ())
    files = [path for name in sorted(CLASSES) for path in sorted((folder / name).iterdir())]
    options: dict[str, Any] = {"backbone": model.name, "weights": model.weights, "device": "cpu"}
    data = load_set(out)
    assert data.name == "animals"
    assert np.allclose(data.rows, clipcodec.embed_images(files, **options), atol=1e-5)
    assert data.labels is not None
    assert data.labels.tolist() == [0] * 3 + [1] * 5 + [2] * 4
    texts = clipcodec.embed_texts(
        ["owl", "red fox", "zebra"], templates="a photo of a {}.", **options
    )
    assert data.texts is not None
    assert np.allclose(data.texts, texts, atol=1e-5)
    assert data.pixels is not None
    assert data.pixels[:3].tolist() == [40 * 48, 41 * 48, 42 * 48]
    assert {t.dtype for n, t in load_file(out).items() if n != "labels"} == {
        np.dtype("float32"), np.dtype("int64"),
    }  # fmt: skip
    about = read_about(out)
    assert about["classes"] == ["owl", "red fox", "zebra"]
    assert (about["set"], about["backbone"]) == ("animals", model.name)
    assert about["templates"] == ["a photo of a {}."]
    assert (about["images"], about["left_out"]) == (12, 0)
    assert [path.name for path in out.parent.iterdir()] == [out.name]


def test_the_command_writes_what_the_function_does(
    model: TinyModel, folder: Path, tmp_path: Path
) -> None:
    embed(model, folder, tmp_path / "a.safetensors", templates="a {} at night")
    out = tmp_path / "b.safetensors"
    assert command(model, folder, "-o", out, "--templates", "a {} at night") == 0
    assert out.read_bytes() == (tmp_path / "a.safetensors").read_bytes()
    assert command(model, folder, "-o", out) == 1  # it exists
    assert command(model, folder, "-o", out, "-f", "--limit-per-class", 2) == 0
    assert load_file(out)["labels"].tolist() == [0, 0, 1, 1, 2, 2]


def test_names_come_from_a_file(folder: Path, tmp_path: Path) -> None:
    names = tmp_path / "names.txt"
    names.write_text("zebra\tplains zebra\nowl\tbarn owl\nred_fox\tfox\n", "utf-8")
    assert folder_set(folder, names).classes == ("barn owl", "fox", "plains zebra")
    names.write_text("zebra\tplains zebra\n", "utf-8")
    with pytest.raises(OptionError, match=r"no name for the folders \['owl', 'red_fox'\]"):
        folder_set(folder, names)
    names.write_text("zebra plains zebra\n", "utf-8")
    with pytest.raises(OptionError, match="not a folder, a tab and a name"):
        folder_set(folder, names)


def test_folders_that_hold_no_classes_or_images_are_named(tmp_path: Path) -> None:
    with pytest.raises(ImageFileError, match=r"nowhere' is no folder of images, and none of imag"):
        image_set(str(tmp_path / "nowhere"))
    with pytest.raises(ImageFileError, match="expected one for each class"):
        image_set(str(tmp_path))
    (tmp_path / "class").mkdir()
    (tmp_path / "class" / ".hidden").touch()
    with pytest.raises(ImageFileError, match="holds no images"):
        image_set(str(tmp_path))


def test_an_existing_output_is_refused_before_the_model_is_loaded(
    folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "kept.safetensors"
    out.write_bytes(b"kept")
    with pytest.raises(OutputExistsError):
        embed_images_to_set(folder_set(folder), out, backbone="no such model")
    assert out.read_bytes() == b"kept"


# --- what goes wrong on the way ---


def test_a_damaged_image_is_named_and_left_out_and_the_exit_code_is_1(
    model: TinyModel, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = folder / "red_fox" / "01.png"
    bad.write_bytes(bad.read_bytes()[:100])
    out = tmp_path / "test_animals.safetensors"
    assert command(model, folder, "-o", out) == 1
    said = capsys.readouterr().err
    assert f"{str(bad)!r}: damaged" in said
    assert "1 images are left out, 11 written" in said
    data = load_set(out)
    assert data.labels is not None
    assert data.pixels is not None
    assert data.labels.tolist() == [0] * 3 + [1] * 4 + [2] * 4
    assert data.pixels[3:7].tolist() == [40 * 48, 42 * 48, 43 * 48, 44 * 48]
    assert read_about(out)["left_out"] == 1


def test_no_file_is_written_if_no_image_can_be_read(model: TinyModel, tmp_path: Path) -> None:
    (tmp_path / "images" / "a").mkdir(parents=True)
    (tmp_path / "images" / "a" / "x.png").write_bytes(b"noise")
    with pytest.raises(ImageError, match=r"none of the 1 images can be read; .*x\.png"):
        embed(model, tmp_path / "images", tmp_path / "out.safetensors")
    assert not (tmp_path / "out.safetensors").exists()


def test_work_goes_on_after_an_interruption_and_gives_the_same_file(
    model: TinyModel, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Finished parts are kept; nothing else is left, and no image is embedded twice."""
    monkeypatch.setattr(images, "_PART", 4)
    (folder / "owl" / "00.png").write_bytes(b"noise")  # in the first part, and said again
    whole = embed(model, folder, tmp_path / "whole.safetensors")
    embedded: list[int] = []
    real = Backbone.embed_pixels

    def interrupted(self: Backbone, pixels: Any) -> Any:
        if sum(embedded) >= 7:
            raise KeyboardInterrupt
        embedded.append(len(pixels))
        return real(self, pixels)

    out = tmp_path / "out.safetensors"
    with monkeypatch.context() as patch:
        patch.setattr(Backbone, "embed_pixels", interrupted)
        assert command(model, folder, "-o", out) == 130
    assert embedded == [3, 4]
    parts = tmp_path / "out.safetensors.parts"
    assert not out.exists()
    assert sorted(path.name for path in parts.iterdir()) == [
        "00000000.safetensors", "00000004.safetensors", "job.json", "lock", "texts.safetensors",
    ]  # fmt: skip

    def counted(self: Backbone, pixels: Any) -> Any:
        embedded.append(len(pixels))
        return real(self, pixels)

    monkeypatch.setattr(Backbone, "embed_pixels", counted)
    assert embed(model, folder, out).failed == whole.failed
    assert embedded == [3, 4, 4]
    assert out.read_bytes() == (tmp_path / "whole.safetensors").read_bytes()
    assert not parts.exists()


def test_parts_of_another_job_are_not_mixed_in(
    model: TinyModel, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.safetensors"
    with monkeypatch.context() as patch:
        patch.setattr(images, "_joined", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            embed(model, folder, out)
    write_picture(folder / "owl" / "99.png", 99)
    with pytest.raises(OptionError, match=r"out\.safetensors\.parts' holds parts of other images"):
        embed(model, folder, out)
    assert not out.exists()


def test_weights_that_are_not_at_hand_are_said_and_leave_nothing(
    folder: Path, tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "clipcodec.evaluation.images", folder, "-o", "out.safetensors"],
        capture_output=True, text=True, cwd=tmp_path, timeout=120, check=False,
        env={**os.environ, "HF_HOME": str(tmp_path / "none"), "HF_HUB_OFFLINE": "1",
             "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert "images: " in done.stderr
    assert "openai-vit-b-32" in done.stderr
    assert "weights" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["animals"]


# --- the paper's data sets, as small copies in their real layouts ---


def write_pets(root: Path) -> list[Path]:
    """Two classes: Abyssinian (1), american_bulldog (2); the images for training and for tests."""
    home = root / "oxford-iiit-pet"
    (home / "annotations").mkdir(parents=True)
    lines = {
        "trainval": ["Abyssinian_100 1 1 1", "american_bulldog_10 2 2 1"],
        "test": ["american_bulldog_2 2 2 1", "Abyssinian_7 1 1 1"],
    }
    found: list[Path] = []
    for part, rows in lines.items():
        (home / "annotations" / f"{part}.txt").write_text("\n".join(rows) + "\n", "utf-8")
        for row in rows:
            path = home / "images" / f"{row.split()[0]}.jpg"
            found.append(write_picture(path, len(found)))
    return found


def write_caltech(root: Path) -> list[Path]:
    folder = root / "caltech101" / "101_ObjectCategories"
    write_picture(folder / "BACKGROUND_Google" / "image_0001.jpg", 0)
    names = ["Faces_easy/image_0001", "anchor/image_0001", "anchor/image_0002"]
    return [write_picture(folder / f"{name}.jpg", i) for i, name in enumerate(names)]


def write_food(root: Path) -> list[Path]:
    home = root / "food-101"
    (home / "meta").mkdir(parents=True)
    parts = {
        "train": {"apple_pie": ["apple_pie/1", "apple_pie/2"], "waffles": ["waffles/3"]},
        "test": {"apple_pie": ["apple_pie/4"], "waffles": ["waffles/5"]},
    }
    found = []
    for part, classes in parts.items():
        (home / "meta" / f"{part}.json").write_text(json.dumps(classes), "utf-8")
        names = [name for of_class in classes.values() for name in of_class]
        found += [write_picture(home / "images" / f"{name}.jpg", len(name)) for name in names]
    return found


def write_tiny_imagenet(root: Path) -> list[Path]:
    home = root / "tiny-imagenet-200"
    home.mkdir(parents=True)
    (home / "wnids.txt").write_text("n02124075\nn01443537\n", "utf-8")
    words = ["n01443537\tgoldfish, Carassius auratus", "n02124075\tEgyptian cat", "n9\tother"]
    (home / "words.txt").write_text("\n".join(words) + "\n", "utf-8")
    train = [
        write_picture(home / "train" / wnid / "images" / f"{wnid}_{i}.JPEG", i, (64, 64))
        for wnid in ("n01443537", "n02124075")
        for i in range(2)
    ]
    rows = ["val_0.JPEG\tn02124075\t0\t0\t9\t9", "val_1.JPEG\tn01443537\t0\t0\t9\t9"]
    val = [write_picture(home / "val" / "images" / r.split("\t")[0], 7, (64, 64)) for r in rows]
    (home / "val" / "val_annotations.txt").write_text("\n".join(rows) + "\n", "utf-8")
    return train + val


Write = Callable[[Path], list[Path]]
DATA: list[tuple[str, Write, list[str], dict[str, tuple[list[int], list[int]]]]] = [
    ("pets", write_pets, ["Abyssinian", "American Bulldog"],
     {"paper": ([0, 1, 2, 3], [0, 1, 1, 0]), "test": ([2, 3], [1, 0])}),
    ("caltech101", write_caltech, ["centered face", "anchor"],
     {"paper": ([0, 1, 2], [0, 1, 1]), "test": ([0, 1, 2], [0, 1, 1])}),
    ("food101", write_food, ["apple pie", "waffles"],
     {"paper": ([0, 1, 2, 3, 4], [0, 0, 1, 0, 1]), "test": ([3, 4], [0, 1])}),
    ("tiny-imagenet", write_tiny_imagenet, ["goldfish", "Egyptian cat"],
     {"paper": ([0, 1, 2, 3], [0, 0, 1, 1]), "test": ([4, 5], [1, 0])}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "write", "classes", "splits"), DATA, ids=[d[0] for d in DATA])
def test_a_data_set_is_read_in_its_own_layout(
    tmp_path: Path, name: str, write: Write, classes: list[str],
    splits: dict[str, tuple[list[int], list[int]]],
) -> None:  # fmt: skip
    pytest.importorskip("torchvision")
    files = write(tmp_path)
    for split, (numbers, labels) in splits.items():
        found = image_set(name, root=tmp_path, split=split)
        assert [image.path for image in found.images] == [files[i] for i in numbers]
        assert [image.label for image in found.images] == labels
        assert list(found.classes) == classes
        assert found.templates == PROMPTS[name]
        assert found.held_out is None
    inner = found.images[0].path.relative_to(tmp_path).parts[0]
    assert image_set(name, root=tmp_path / inner, split=split) == found


def test_a_data_set_is_embedded_by_the_command(model: TinyModel, tmp_path: Path) -> None:
    pytest.importorskip("torchvision")
    write_pets(tmp_path)
    out = tmp_path / "pets.safetensors"
    assert command(model, "pets", "--root", tmp_path, "-o", out) == 0
    data = load_set(out)
    assert data.labels is not None
    assert data.labels.tolist() == [0, 1, 1, 0]
    about = read_about(out)
    assert (about["set"], about["split"]) == ("pets", "trainval+test")
    assert about["templates"] == ["a photo of a {}, a type of pet."]


def test_imagenet_has_the_papers_200_classes_held_out(model: TinyModel, tmp_path: Path) -> None:
    pytest.importorskip("torchvision")
    picture = write_picture(tmp_path / "one.JPEG", 0)
    for number in range(1000):
        place = tmp_path / "root" / "val" / f"n{number:08d}"
        place.mkdir(parents=True)
        os.link(picture, place / "ILSVRC2012_val_1.JPEG")
    out = tmp_path / "imagenet.safetensors"
    options = ["--root", tmp_path / "root", "--templates", "a photo of a {}."]
    assert command(model, "imagenet", "-o", out, *options) == 0
    tensors = load_file(out)
    assert tensors["labels"].tolist() == list(range(1000))
    assert np.flatnonzero(tensors["class_is_val"]).tolist() == list(imagenet_held_out())
    assert read_about(out)["classes"][:2] == ["tench", "goldfish"]
    data = load_set(out)
    assert data.texts is not None
    assert (len(data.rows), len(data.texts)) == (200, 200)
    held = image_set("imagenet", root=tmp_path / "root").only_held_out()
    assert [image.label for image in held.images] == list(range(200))
    assert [image.path.parent.name for image in held.images[:2]] == [
        f"n{number:08d}" for number in imagenet_held_out()[:2]
    ]
    shutil.rmtree(tmp_path / "root" / "val" / "n00000007")
    with pytest.raises(ImageFileError, match="999 folders in val, not the 1000"):
        image_set("imagenet", root=tmp_path / "root")


def test_the_held_out_classes_are_those_in_the_papers_file() -> None:
    """The first and the last of data/indices/shuffled_test_indices.npy, its extremes and sum."""
    held = imagenet_held_out()
    assert len(set(held)) == 200
    assert {556, 957, 577, 795, 85, 242, 698, 159, 524, 35} <= set(held)
    assert not {521, 737, 740, 660, 411, 678, 626, 513, 859, 136} & set(held)  # it trains on these
    assert (held[0], held[-1]) == (1, 996)
    assert sum(held) == 98120


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("imagenet", ["ILSVRC2012_img_val.tar", "image-net.org", "/val'"]),
        ("pets", ["images.tar.gz and annotations.tar.gz", "robots.ox.ac.uk", "/oxford-iiit-pet'"]),
        ("caltech101", ["101_ObjectCategories.tar.gz", "data.caltech.edu", "/caltech101'"]),
        ("tiny-imagenet", ["tiny-imagenet-200.zip", "/tiny-imagenet-200'"]),
        ("food101", ["food-101.tar.gz", "/food-101'"]),
    ],
)
def test_a_missing_data_set_says_what_to_get_from_where_into_which_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, words: list[str]
) -> None:
    out = tmp_path / "out.safetensors"
    assert images.main([name, "--root", str(tmp_path), "-o", str(out)]) == 1
    said = capsys.readouterr().err
    for word in (*words, "--download", repr(str(tmp_path))):
        assert word in said
    assert list(tmp_path.iterdir()) == []


def test_an_incomplete_data_set_is_named_with_the_remedy(tmp_path: Path) -> None:
    pytest.importorskip("torchvision")
    write_food(tmp_path)
    (tmp_path / "food-101" / "meta" / "test.json").unlink()
    with pytest.raises(ImageFileError, match=r"Food101 in .* is incomplete .*food-101\.tar\.gz"):
        image_set("food101", root=tmp_path)
    write_tiny_imagenet(tmp_path)
    (tmp_path / "tiny-imagenet-200" / "words.txt").write_text("n01443537\tgoldfish\n", "utf-8")
    with pytest.raises(ImageFileError, match=r"Tiny-ImageNet in .* is incomplete"):
        image_set("tiny-imagenet", root=tmp_path)


def test_a_data_set_is_downloaded_only_if_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    utils = pytest.importorskip("torchvision.datasets.utils")
    asked = []

    def download(url: str, download_root: str, md5: str) -> None:
        asked.append((url, download_root, md5))
        write_tiny_imagenet(Path(download_root))

    monkeypatch.setattr(utils, "download_and_extract_archive", download)
    with pytest.raises(ImageFileError, match="--download"):
        image_set("tiny-imagenet", root=tmp_path)
    assert asked == []
    assert len(image_set("tiny-imagenet", root=tmp_path, download=True).images) == 4
    assert [(url.rpartition("/")[2], root) for url, root, _ in asked] == [
        ("tiny-imagenet-200.zip", str(tmp_path))
    ]
    image_set("tiny-imagenet", root=tmp_path, download=True)
    assert len(asked) == 1  # it is there by now


def test_options_that_do_not_fit_the_source_are_usage_errors(folder: Path, tmp_path: Path) -> None:
    out = ["-o", str(tmp_path / "out.safetensors")]
    assert images.main(["pets", *out]) == 2
    assert images.main(["pets", "--root", ".", "--names", "names.txt", *out]) == 2
    assert images.main([str(folder), "--limit-per-class", "0", *out]) == 2


def test_sentences_are_those_of_clip() -> None:
    caltech = PROMPTS["caltech101"]
    assert caltech is not None
    assert len(set(caltech)) == len(caltech) == 34
    assert {"a photo of the {}.", "the plastic {}.", "the {} in a video game."} <= set(caltech)
    assert all(form.count("{}") == 1 for form in caltech)
