"""`clipcodec locate` on real files, with small models of random weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import clipcodec
from clipcodec import Codec
from clipcodec.tasks.locating import load_upright, locate, region_id, sam_regions
from clipcodec.texts import TextEmbeddings
from tests.helpers import tiny_models
from tests.helpers.processes import exit_code, run
from tests.helpers.tiny_sam import make_sam

SIZE = (120, 80)
BOXES = [(0, 0, 30, 40), (40, 10, 80, 50), (90, 0, 120, 80)]
WORDS = ["a red cup", "the blue door"]
TEXTS = ["--text", WORDS[0], "--text", WORDS[1]]


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Both towers, with CLIP's tokenizer."""
    folder = tmp_path_factory.mktemp("clip")
    spec = tiny_models.make_folder(folder, text=tiny_models.TEXT)
    tiny_models.save(tiny_models.make_model(spec), folder / "open_clip_model.safetensors")
    return spec.name


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """photo.jpg, other.png, and files of boxes for the first and for both."""
    rng = np.random.default_rng(0)
    for name in ("photo.jpg", "other.png"):
        pixels = rng.integers(0, 255, (SIZE[1] // 10, SIZE[0] // 10, 3), np.uint8)
        Image.fromarray(pixels).resize(SIZE).save(tmp_path / name)
    (tmp_path / "boxes.json").write_text(json.dumps(BOXES))
    lines = "".join(
        "\t".join(map(str, [tmp_path / name, *box])) + "\n"
        for name in ("photo.jpg", "other.png")
        for box in BOXES
    )
    (tmp_path / "boxes.tsv").write_text(lines)
    return tmp_path


def options(backbone: str) -> list[str]:
    return ["--profile", "any/rotation", "--backbone", backbone, "--max-bytes", "50"]


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def expected(image: Path, backbone: str, k: int = 1) -> list[list[tuple[float, tuple[int, ...]]]]:
    """Score and box of the best regions of each text, from Python."""
    codec = Codec("any/rotation", backbone=backbone)
    found = locate(image, WORDS, regions=BOXES, codec=codec, k=k, max_bytes=50)
    assert all(len(stream) <= 50 for stream in found.streams)
    return [[(one.score, one.box or ()) for one in best] for best in found.candidates]


def test_words_boxes_and_a_drawing(folder: Path, backbone: str) -> None:
    """A real process: one line of JSON per text, and the regions drawn into a copy."""
    image = folder / "photo.jpg"
    before = image.read_bytes()
    done = run("locate", image, *TEXTS, "--boxes", folder / "boxes.json",
               *options(backbone), "-k", 2, "-o", folder / "marked.png", "--json")  # fmt: skip
    count = f"{len(WORDS)} region{'' if len(WORDS) == 1 else 's'}"
    assert done.returncode == 0
    assert done.stderr.decode() == f"{image}: {count} drawn, {folder}/marked.png\n"
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["text"] for line in found] == WORDS
    for line, best in zip(found, expected(image, backbone, k=2), strict=True):
        assert line["image"] == str(image)
        assert (line["box"], line["score"]) == (list(best[0][1]), round(best[0][0], 6))
        assert [(c["score"], tuple(c["box"])) for c in line["candidates"]] == [
            (round(score, 6), box) for score, box in best
        ]
    assert image.read_bytes() == before
    with Image.open(folder / "marked.png") as marked, Image.open(image) as plain:
        assert marked.format == "PNG"
        changed = (np.asarray(marked) != np.asarray(plain)).any(axis=2)
    for line in found:
        left, top, right, bottom = line["box"]
        assert changed[top:bottom, left].mean() > 0.8
        assert changed[bottom - 1, left:right].mean() > 0.8
    assert sorted(path.name for path in folder.iterdir()) == [
        "boxes.json", "boxes.tsv", "marked.png", "other.png", "photo.jpg"
    ]  # fmt: skip


def test_lines_for_people(folder: Path, backbone: str, capsys: pytest.CaptureFixture[str]) -> None:
    args = [*TEXTS, "--boxes", folder / "boxes.json", *options(backbone)]
    assert exit_code("locate", folder / "photo.jpg", *args) == 0
    found = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert found == [
        [text, f"{best[0][0]:.4f}", str(folder / "photo.jpg"), ",".join(map(str, best[0][1]))]
        for text, best in zip(WORDS, expected(folder / "photo.jpg", backbone), strict=True)
    ]


def test_templates_are_sentences_around_the_words(
    folder: Path, backbone: str, capsys: pytest.CaptureFixture[str]
) -> None:
    image = folder / "photo.jpg"
    args = ["--text", "cup", "--boxes", folder / "boxes.json", *options(backbone), "--json"]
    assert exit_code("locate", image, *args, "--templates", "a photo of a {}.") == 0
    codec = Codec("any/rotation", backbone=backbone)
    found = locate(image, "a photo of a cup.", regions=BOXES, codec=codec, max_bytes=50)
    (line,) = lines(capsys)
    assert line["text"] == "cup"
    assert line["score"] == round(found.candidates[0][0].score, 6)


def test_several_images_are_kept_and_looked_through_by_words(
    folder: Path, backbone: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without the images; the scores are the same, and `search` reads the container, too."""
    images, kept = [folder / "photo.jpg", folder / "other.png"], folder / "regions.clpc"
    args = [*options(backbone), "--boxes", folder / "boxes.tsv", "--keep", kept]
    assert exit_code("locate", *images, *args, *TEXTS, "--json") == 0
    made = lines(capsys)
    assert [(line["image"], line["text"]) for line in made] == [
        (str(image), text) for image in images for text in WORDS
    ]
    with clipcodec.open(kept) as container:
        assert len(container) == 6
        assert container.item(0).id == f"{images[0]}#xywh=0,0,30,40"
        assert container.item(5).id == f"{images[1]}#xywh=90,0,30,80"
    for image in images:
        image.unlink()
    words = [*TEXTS, "-k", "6", "--backbone", backbone, "--json"]
    assert exit_code("locate", kept, *words) == 0
    found = lines(capsys)
    for text, line in zip(WORDS, found, strict=True):
        best = max((one for one in made if one["text"] == text), key=lambda one: one["score"])
        assert line["text"] == text
        assert (line["image"], line["box"]) == (best["image"], best["box"])
        assert line["score"] == pytest.approx(best["score"], abs=1e-5)
        assert len(line["candidates"]) == 6
    texts = TextEmbeddings(
        tuple(WORDS), Codec("any/rotation", backbone=backbone).embed_texts(WORDS)
    )
    texts.save(folder / "words.safetensors")
    assert exit_code("locate", kept, "--text-embeddings", folder / "words.safetensors",
                     "-k", "6", "--json") == 0  # fmt: skip
    again = lines(capsys)
    assert [(a["text"], a["image"], a["box"]) for a in again] == [
        (a["text"], a["image"], a["box"]) for a in found
    ]


def test_regions_can_be_kept_without_text(
    folder: Path, backbone: str, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = folder / "regions.clpc"
    args = ["--boxes", folder / "boxes.json", *options(backbone), "--keep", kept]
    assert exit_code("locate", folder / "photo.jpg", *args) == 0
    assert capsys.readouterr().out == ""
    before = kept.read_bytes()
    assert exit_code("locate", folder / "photo.jpg", *args) == 1
    assert "exists" in capsys.readouterr().err
    assert kept.read_bytes() == before
    assert exit_code("locate", folder / "photo.jpg", *args, "-f") == 0
    assert kept.read_bytes() == before


def test_regions_by_a_network(
    folder: Path,
    backbone: str,
    tmp_path_factory: pytest.TempPathFactory,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """They are the network's, with the thresholds of SAM's authors."""
    sam = make_sam(tmp_path_factory.mktemp("sam"), seed=22, sure=True)
    args = [*TEXTS, "--sam", sam, "--points", "3", *options(backbone), "--json"]
    out, kept = folder / "m.jpg", folder / "k.clpc"
    assert exit_code("locate", folder / "photo.jpg", *args, "-o", out, "--keep", kept) == 0
    boxes = [region.box for region in sam_regions(sam, points_per_side=3)(
        load_upright(folder / "photo.jpg"))]  # fmt: skip
    assert len(boxes) > 1
    assert {tuple(line["box"]) for line in lines(capsys)} <= {*boxes}
    with clipcodec.open(kept) as container:
        assert container.ids == [region_id(str(folder / "photo.jpg"), box) for box in boxes]
    with Image.open(out) as marked:
        assert (marked.format, marked.size) == ("JPEG", SIZE)


def test_an_image_without_regions(
    folder: Path,
    backbone: str,
    tmp_path_factory: pytest.TempPathFactory,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Thresholds leave none of the masks of a random network."""
    sam = make_sam(tmp_path_factory.mktemp("sam"), seed=22)
    args = [*TEXTS, "--sam", sam, "--points", "2", *options(backbone)]
    out, kept = folder / "m.jpg", folder / "k.clpc"
    assert exit_code("locate", folder / "photo.jpg", *args, "-o", out, "--keep", kept) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert "photo.jpg: no region was found" in told.err
    assert not out.exists()
    assert not kept.exists()


def test_one_bad_image_is_named_and_the_others_go_on(
    folder: Path, backbone: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Damaged, missing, of another format, or without boxes of its own."""
    (folder / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\nnot much")
    np.save(folder / "rows.npy", np.ones((2, 16)))
    Image.new("RGB", (10, 10)).save(folder / "small.png")
    with open(folder / "boxes.tsv", "a") as file:
        for name in ("bad.png", "absent.png", "rows.npy", "small.png"):
            file.write(f"{folder / name}\t0\t0\t20\t20\n")
    Image.new("RGB", SIZE).save(folder / "unboxed.png")
    names = ["bad.png", "absent.png", "rows.npy", "small.png", "unboxed.png", "photo.jpg"]
    out = folder / "out"
    args = ["--text", WORDS[0], "--boxes", folder / "boxes.tsv", *options(backbone), "-q"]
    assert exit_code("locate", *[folder / n for n in names], *args, "-o", f"{out}/", "--json") == 1
    told = capsys.readouterr()
    assert [json.loads(line)["image"] for line in told.out.splitlines()] == [
        str(folder / "photo.jpg")
    ]
    errors = told.err.splitlines()
    for name, words in zip(
        names[:5],
        ["export it as PNG", "", "`clipcodec compress` makes a container",
         "leaves the image of 10 x 10", "has no box of this image"],
        strict=True,
    ):  # fmt: skip
        (line,) = [line for line in errors if line.startswith(f"clipcodec: {folder / name}: ")]
        assert words in line
    assert len(errors) == 5
    assert [path.name for path in out.iterdir()] == ["photo.jpg.marked.png"]


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ([], "no text"),
        (["--json", "--keep", "k.clpc"], "give --text, too"),
        (["--text", "x", "-k", "0"], "-k 0"),
        (["--text", " "], "is empty"),
        (
            ["--text", "x", "--text-embeddings", "w.safetensors"],
            "--text-embeddings and --text",
        ),
        (["--text", "x", "--sam", "folder"], "contradict each other"),
        (["--text", "x", "-o", "marked.svg"], "Pillow cannot write .svg images"),
        (["--text", "x", "-o", "marked"], "Pillow cannot write images without a suffix"),
        (["--text", "x", "-o", "-"], "stdout has the results"),
        (["--text", "x", "--keep", "k.npy"], "a container would be written"),
        (["--text", "x", "--max-bytes", "0"], "--max-bytes 0: expected"),
        (["--text", "x", "--profile", "none"], "none"),
    ],
)
def test_wrong_command_lines(
    folder: Path, backbone: str, args: list[str], words: str, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(folder)
    before = sorted(folder.iterdir())
    usual = ["photo.jpg", "--profile", "any/rotation", "--backbone", backbone]
    assert exit_code("locate", *usual, "--boxes", "boxes.json", *args) == 2
    told = capsys.readouterr()
    assert words in told.err
    assert told.out == ""
    assert sorted(folder.iterdir()) == before


def test_boxes_without_names_are_for_one_image(
    folder: Path, backbone: str, capsys: pytest.CaptureFixture[str]
) -> None:
    images = [folder / "photo.jpg", folder / "other.png"]
    args = ["--text", "x", "--boxes", folder / "boxes.json", *options(backbone)]
    assert exit_code("locate", *images, *args) == 2
    assert "give the image's name with each box" in capsys.readouterr().err


def test_texts_of_another_model_are_refused_once(
    folder: Path, backbone: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = folder / "w.safetensors"
    images = [folder / "photo.jpg", folder / "other.png"]
    args = ["--text-embeddings", words, "--boxes", folder / "boxes.tsv", *options(backbone)]
    TextEmbeddings(("x",), np.ones((1, 16), np.float32), "openai-vit-b-32").save(words)
    assert exit_code("locate", *images, *args) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "both must come from one model" in line


def test_an_image_from_a_pipe(folder: Path, backbone: str) -> None:
    done = run("locate", "-", *TEXTS, "--boxes", folder / "boxes.json",
               *options(backbone), stdin=(folder / "photo.jpg").read_bytes())  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")
    found = [line.split("\t") for line in done.stdout.decode().splitlines()]
    assert [(text, image) for text, _, image, _ in found] == [(text, "stdin") for text in WORDS]
    assert [box for *_, box in found] == [
        ",".join(map(str, best[0][1])) for best in expected(folder / "photo.jpg", backbone)
    ]


def test_a_container_has_nothing_to_draw_into_and_may_have_no_regions(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder / "images.clpc"
    with clipcodec.create(path) as writer:
        writer.append(clipcodec.encode_embedding(np.ones(16), profile="any/rotation"), id="a.jpg")
    TextEmbeddings(("x",), np.ones((1, 16), np.float32)).save(folder / "w.safetensors")
    args = ["--text-embeddings", folder / "w.safetensors"]
    assert exit_code("locate", path, *args, "-o", folder / "m.png") == 2
    assert "leave -o out" in capsys.readouterr().err
    assert exit_code("locate", path, *args) == 1
    assert "`clipcodec search` finds images" in capsys.readouterr().err


def test_weights_that_are_not_at_hand(
    folder: Path, backbone: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """No boxes, no network: said once, for all images."""
    images = [folder / "photo.jpg", folder / "other.png"]
    assert exit_code("locate", *images, "--text", "x", *options(backbone)) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "facebook/sam-vit-base" in line
    assert "boxes" in line
