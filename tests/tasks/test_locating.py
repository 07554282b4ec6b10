"""clipcodec.tasks.locating: the region that words mean wins, also after compression to 50 bytes."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import clipcodec
from clipcodec import Codec, EmbeddingError, InputError, OptionError, WeightsUnavailableError
from clipcodec.errors import ImageError, MissingDependencyError, RateError, WeightsError
from clipcodec.tasks.locating import (
    Mark,
    Region,
    RegionId,
    as_regions,
    cut,
    draw,
    image_bytes,
    image_format,
    keep_regions,
    load_upright,
    locate,
    locate_kept,
    parse_boxes,
    parse_region_id,
    region_embeddings,
    region_id,
    sam_regions,
)
from clipcodec.texts import TextEmbeddings
from tests.helpers.processes import PACKAGE
from tests.helpers.profiles import drawn
from tests.helpers.tiny_sam import make_sam

SIZE = (120, 80)
RED, GREEN, BLUE, YELLOW = (200, 0, 0), (0, 200, 0), (0, 0, 200), (200, 200, 0)
COLOURS = [RED, GREEN, BLUE, YELLOW]
NAMES = ["red", "green", "blue", "yellow"]
BOXES = [(0, 0, 30, 40), (40, 10, 80, 50), (90, 0, 120, 80), (60, 79, 61, 80)]  # the last: 1 pixel


def picture() -> Image.Image:
    """Grey, with a rectangle of each colour."""
    image = Image.new("RGB", SIZE, (128, 128, 128))
    for box, colour in zip(BOXES, COLOURS, strict=True):
        image.paste(colour, box)
    return image


def commonest(image: Image.Image) -> tuple[int, ...]:
    """The colour of most pixels that are not black."""
    pixels = np.asarray(image).reshape(-1, 3)
    values, counts = np.unique(pixels[pixels.any(axis=1)], axis=0, return_counts=True)
    return tuple(values[counts.argmax()].tolist())


class Planted(Codec):
    """The default codec, with rows of its statistics in place of what CLIP makes of each colour.

    The text of a colour is as far from its image as CLIP's texts are: a cosine of about 0.3.
    """

    def __init__(self, profile: Any = None, seed: int = 0, **options: Any) -> None:
        super().__init__(profile, **options)
        rows = drawn(40, seed=seed).astype(np.float64)
        self.rows: dict[Any, Any] = dict(zip([*COLOURS, (128, 128, 128)], rows, strict=False))
        own = rows[:4] - rows.mean(axis=0)
        own /= np.linalg.norm(own, axis=1, keepdims=True)
        noise = np.random.default_rng(seed).normal(size=own.shape)
        noise /= np.linalg.norm(noise, axis=1, keepdims=True)
        self.texts = dict(zip(NAMES, 0.4 * own + 0.9 * noise, strict=True))

    def embed_images(self, images: Iterable[Any]) -> NDArray[np.float32]:
        return np.array([self.rows[commonest(image)] for image in images], np.float32)

    def embed_texts(self, texts: Iterable[str], templates: Any = None) -> NDArray[np.float32]:
        rows = np.array([self.texts[text] for text in texts], np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def full_mask(*boxes: tuple[int, int, int, int]) -> NDArray[np.bool_]:
    mask = np.zeros((SIZE[1], SIZE[0]), bool)
    for left, top, right, bottom in boxes:
        mask[top:bottom, left:right] = True
    return mask


# --- the right region wins ---


@pytest.mark.parametrize("seed", range(5))
def test_the_right_region_wins_at_50_bytes(seed: int) -> None:
    """Real streams of the shipped profile; a region of one pixel and one at the edge among them."""
    found = locate(picture(), NAMES, regions=BOXES, codec=Planted(seed=seed), max_bytes=50)
    assert [best[0].box for best in found.candidates] == BOXES
    assert [best[0].place for best in found.candidates] == [0, 1, 2, 3]
    assert all(len(stream) <= 50 for stream in found.streams)
    assert found.texts == tuple(NAMES)
    assert [region.box for region in found.regions] == BOXES


def test_the_score_is_the_cosine_of_the_text_and_the_decoded_embedding() -> None:
    codec = Planted()
    found = locate(picture(), "green", regions=BOXES, codec=codec, k=9, max_bytes=30)
    decoded = codec.decode_batch(found.streams)
    expected = decoded @ codec.embed_texts(["green"])[0]
    (candidates,) = found.candidates
    assert [one.place for one in candidates] == np.argsort(-expected).tolist()  # all 4: k is more
    np.testing.assert_allclose([c.score for c in candidates], np.sort(expected)[::-1], atol=1e-5)
    assert candidates[0].image is None


def test_texts_may_be_embeddings_already() -> None:
    codec = Planted()
    texts = TextEmbeddings(("here",), codec.embed_texts(["blue"]), "openai-vit-b-32")
    found = locate(picture(), texts, regions=BOXES, codec=codec, max_bytes=50)
    assert found.texts == ("here",)
    assert found.candidates[0][0].box == BOXES[2]


def test_a_function_finds_the_regions_of_the_upright_image() -> None:
    seen: list[Any] = []

    def finder(image: Image.Image) -> Any:
        seen.append((image.mode, image.size))
        return [BOXES[0], full_mask(BOXES[1]), Region(BOXES[2])]

    found = locate(picture(), ["green", "blue"], regions=finder, codec=Planted(), max_bytes=50)
    assert seen == [("RGB", SIZE)]
    assert [best[0].box for best in found.candidates] == BOXES[1:3]


def test_overlapping_regions_are_told_apart_by_their_masks() -> None:
    """A frame around the green rectangle: with the whole box, most of its pixels are green."""
    frame, inner = (38, 8, 82, 52), BOXES[1]
    image = picture()
    image.paste(RED, frame)
    image.paste(GREEN, inner)
    mask = full_mask(frame) & ~full_mask(inner)
    codec = Planted()
    by_mask = locate(image, ["red", "green"], regions=[mask, inner], codec=codec, max_bytes=50)
    assert [best[0].box for best in by_mask.candidates] == [frame, inner]
    rows = region_embeddings(image, [mask, inner], codec, crop="box")
    np.testing.assert_array_equal(rows[0], rows[1])


def test_of_equal_regions_the_first_is_named_first() -> None:
    found = locate(picture(), "red", regions=[BOXES[1], BOXES[0], BOXES[0]], codec=Planted(), k=3)
    assert [one.place for one in found.candidates[0]] == [1, 2, 0]


def test_many_regions_are_embedded_in_parts() -> None:
    """And a fault in a later part names the region as the caller counts it."""
    boxes = [BOXES[0]] * 100 + [BOXES[2]]
    found = locate(picture(), "blue", regions=boxes, codec=Planted(), max_bytes=50)
    assert found.candidates[0][0].place == 100
    assert len(found.streams) == 101

    class Faulty(Planted):
        def embed_images(self, images: Iterable[Any]) -> NDArray[np.float32]:
            if any(commonest(image) == BLUE for image in images):
                raise ImageError("bad", rows=[36])
            return super().embed_images(images)

    with pytest.raises(ImageError, match="region 100: bad"):
        locate(picture(), "blue", regions=boxes, codec=Faulty())


def test_orientation_in_exif_is_applied_once(tmp_path: Path) -> None:
    """Boxes are those of the upright image, and its crops are not turned again."""
    exif = Image.Exif()
    exif[0x0112] = 6  # the file has the image turned to the left
    path = tmp_path / "turned.jpg"
    picture().transpose(Image.Transpose.ROTATE_90).save(path, exif=exif, quality=100, subsampling=0)
    upright = load_upright(path)
    assert upright.size == SIZE
    sizes: list[tuple[int, int]] = []

    class Sizes(Planted):
        def embed_images(self, images: Iterable[Any]) -> NDArray[np.float32]:
            from clipcodec.images import load_rgb

            loaded = [load_rgb(image) for image in images]
            sizes.extend(image.size for image in loaded)
            assert [
                min(NAMES, key=lambda n: np.abs(np.subtract(COLOURS[NAMES.index(n)], mean)).sum())
                for mean in (np.asarray(image).mean(axis=(0, 1)) for image in loaded)
            ] == ["red", "green", "blue"]
            return drawn(len(loaded))

    locate(path, "red", regions=BOXES[:3], codec=Sizes())
    assert sizes == [(30, 40), (40, 40), (30, 80)]


def test_an_open_file_is_read_once() -> None:
    buffer = io.BytesIO()
    picture().save(buffer, "PNG")
    buffer.seek(0)
    found = locate(buffer, "red", regions=BOXES, codec=Planted(), max_bytes=50)
    assert found.candidates[0][0].box == BOXES[0]


# --- what cannot be done is said before long work ---

EMBEDDED = TextEmbeddings(("red",), np.ones((1, 512), np.float32))


@pytest.mark.parametrize(
    ("texts", "options", "words"),
    [
        ([], {}, "no text"),
        ([" "], {}, "is empty"),
        ([3], {}, "expected str"),
        ("red", {"k": 0}, "k=0"),
        ("red", {"max_bytes": 50, "quality": 3}, "contradict"),
        ("red", {"crop": "circle"}, "'mask' or 'box'"),
        (EMBEDDED, {"templates": ["a {}"]}, "templates"),
    ],
)  # fmt: skip
def test_wrong_options(texts: Any, options: dict[str, Any], words: str) -> None:
    with pytest.raises(OptionError, match=words):
        locate(picture(), texts, regions=BOXES, codec=Planted(), **options)


def test_texts_of_another_model() -> None:
    other = TextEmbeddings(("red",), np.ones((1, 512), np.float32), "openai-vit-l-14-336")
    with pytest.raises(EmbeddingError, match="both must come from one model"):
        locate(picture(), other, regions=BOXES, codec=Planted())
    with pytest.raises(EmbeddingError, match="768 dimensions"):
        locate(
            picture(),
            TextEmbeddings(("red",), np.ones((1, 768), np.float32)),
            regions=BOXES,
            codec=Planted(),
        )


def test_a_rate_that_cannot_be_reached_names_regions() -> None:
    with pytest.raises(RateError, match="region 0 and 3 more"):
        locate(picture(), "red", regions=BOXES, codec=Planted(), max_bytes=1)


# --- regions ---


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ([], "no region was found"),
        (5, "int is no list of regions"),
        ("boxes", "str is no list of regions"),
        ([(10, 10, 10, 20)], "region 0: box .* is empty"),
        ([BOXES[0], (10, 30, 20, 20)], "region 1: box .* is empty"),
        ([(0, 0, 121, 80)], "leaves the image of 120 x 80 pixels"),
        ([(-1, 0, 20, 20)], "leaves the image"),
        ([(500, 500, 600, 600), (500, 500, 600, 600)], "region 0 and 1 more"),
        ([Region((0, 0, 200, 10))], "leaves the image"),
        ([(0.5, 0, 20, 20)], "round it"),
        ([(0, 0, float("nan"), 20)], "round it"),
        ([(0, 0, 20)], "expected four numbers"),
        ([(False, False, True, True)], "expected four numbers"),
        ([("0", "0", "9", "9")], "expected four numbers"),
        ([np.zeros((80, 120), bool)], "the mask is empty"),
        ([np.ones((120, 80), bool)], r"shape \(120, 80\), and the image has \(80, 120\)"),
        ([np.full((80, 120), 0.7)], "mask > 0.5"),
        ([np.arange(80 * 120).reshape(80, 120) % 7], "mask > 0.5"),
        ([[[1, 2], [3]]], "is no region"),
    ],
)  # fmt: skip
def test_wrong_regions_are_named(found: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        as_regions(found, SIZE)


def test_regions_come_in_many_forms() -> None:
    mask = full_mask((3, 4, 10, 12), (20, 4, 22, 30))
    forms = [
        [(3, 4, 22, 30)], np.array([[3, 4, 22, 30]]), [[3.0, 4.0, 22.0, 30.0]],
        iter([Region((3, 4, 22, 30))]), [mask], mask[None], [mask.astype(np.uint8) * 255],
    ]  # fmt: skip
    for form in forms:
        (region,) = as_regions(form, SIZE)
        assert region.box == (3, 4, 22, 30)
        assert all(type(value) is int for value in region.box)
        assert region.size == (19, 26)
        if region.mask is not None:
            np.testing.assert_array_equal(region.whole_mask(SIZE), mask)
    assert as_regions([(0, 0, *SIZE)], SIZE)[0].whole_mask(SIZE).all()


def test_a_mask_fits_its_box() -> None:
    with pytest.raises(InputError, match=r"shape \(80, 120\), its box .* has \(10, 20\)"):
        Region((0, 0, 20, 10), full_mask((0, 0, 20, 10)))
    one = Region.of_mask(full_mask((119, 79, 120, 80)))
    assert (one.box, one.size) == ((119, 79, 120, 80), (1, 1))


def test_a_region_is_cut_as_in_the_paper() -> None:
    """The box of the mask, black outside of the mask; the last row and column are kept."""
    image = picture()
    triangle = np.triu(np.ones((80, 120), bool)) & full_mask((40, 10, 80, 50))
    region = Region.of_mask(triangle)
    part = np.asarray(cut(image, region))
    left, top, right, bottom = region.box
    whole = np.asarray(image)[top:bottom, left:right]
    inside = triangle[top:bottom, left:right]
    assert part.shape == (bottom - top, right - left, 3)
    assert inside[-1].any()
    assert inside[:, -1].any()
    np.testing.assert_array_equal(part[inside], whole[inside])
    assert not part[~inside].any()
    np.testing.assert_array_equal(np.asarray(cut(image, region, "box")), whole)
    assert np.asarray(cut(image, Region(BOXES[3]))).tolist() == [[[*YELLOW]]]


# --- kept regions ---


@pytest.mark.parametrize(
    "name",
    ["photo.jpg", "a#b.jpg", "#", "x#xywh=1,2,3,4", "Bücher/日本.png", "line\nbreak", "a,b=c", ""],
)
@pytest.mark.parametrize("box", [(0, 0, 1, 1), (10, 20, 110, 220), (0, 7, 99999, 8)])
def test_ids_keep_name_and_box(name: str, box: tuple[int, int, int, int]) -> None:
    assert parse_region_id(region_id(name, box)) == RegionId(name, box)


def test_ids_are_media_fragments() -> None:
    assert region_id("photo.jpg", (10, 20, 110, 220)) == "photo.jpg#xywh=10,20,100,200"
    assert parse_region_id("a#xywh=pixel:1,2,3,4") == RegionId("a", (1, 2, 4, 6))


@pytest.mark.parametrize(
    "id",
    [
        None, "", "photo.jpg", "a#xywh=1,2,3", "a#xywh=1,2,3,4 ", "a#xywh=1,2,3,4,5",
        "a#xywh=01,2,3,4", "a#xywh=1,2,0,4", "a#xywh=-1,2,3,4", "a#xywh=1.5,2,3,4",
        "a#xywh=percent:1,2,3,4", "a#xywh=١,2,3,4", "a?xywh=1,2,3,4",
        "a#xywh=1,2,3," + "9" * 5000,
    ],
)  # fmt: skip
def test_other_ids_are_no_regions(id: str | None) -> None:
    assert parse_region_id(id) is None


def test_kept_regions_are_found_by_words_alone(tmp_path: Path) -> None:
    """In several images, among an item that is a whole image and one without an id."""
    codec, path = Planted(), tmp_path / "regions.clpc"
    blue = Image.new("RGB", SIZE, BLUE)
    first = locate(picture(), "red", regions=BOXES[:2], codec=codec, max_bytes=50)
    second = locate(blue, "red", regions=[(5, 6, 70, 80)], codec=codec, max_bytes=50)
    whole, unnamed = codec.encode_embeddings(
        np.array([codec.rows[YELLOW], drawn(9, seed=9)[8]]), max_bytes=50
    )
    with clipcodec.create(path) as writer:
        writer.append(unnamed)
        keep_regions(writer, "a#1.jpg", first.regions, first.streams)
        writer.append(whole, id="whole.jpg")
        keep_regions(writer, "b.jpg", second.regions, second.streams)
    found = locate_kept(path, NAMES, codec=codec)
    assert [(best[0].image, best[0].box, best[0].place) for best in found] == [
        ("a#1.jpg", BOXES[0], 1), ("a#1.jpg", BOXES[1], 2),
        ("b.jpg", (5, 6, 70, 80), 4), ("whole.jpg", None, 3),
    ]  # fmt: skip
    assert found[0][0].score == pytest.approx(first.candidates[0][0].score, abs=1e-6)
    with clipcodec.open(path) as container:
        assert len(locate_kept(container, "red", codec=codec, k=9)[0]) == 5
        texts = TextEmbeddings(("x",), codec.embed_texts(["green"]))  # no text tower is needed
        score, *rest = locate_kept(container, texts)[0][0]
        assert score == pytest.approx(found[1][0].score, abs=1e-6)
        assert rest == [2, BOXES[1], "a#1.jpg"]


def test_a_container_without_regions(tmp_path: Path) -> None:
    for number, ids in enumerate([["a.jpg", "b.jpg"], []]):
        path = tmp_path / f"{number}.clpc"
        with clipcodec.create(path) as writer:
            writer.extend(clipcodec.encode_embeddings(drawn(len(ids))) if ids else [], ids)
        with pytest.raises(InputError, match=r"no item .* is a region"):
            locate_kept(path, "red", codec=Planted())


def test_streams_of_another_model_in_a_container(tmp_path: Path) -> None:
    path = tmp_path / "regions.clpc"
    with clipcodec.create(path) as writer:
        writer.append(clipcodec.encode_embedding(drawn(1)[0]), id=region_id("a", BOXES[0]))
    texts = TextEmbeddings(("red",), np.ones((1, 512), np.float32), "laion-vit-b-32")
    with pytest.raises(EmbeddingError, match="laion-vit-b-32"):
        locate_kept(path, texts)


# --- files of boxes ---


def test_boxes_are_read_from_json_and_lines() -> None:
    two = [(1, 2, 3, 4), (5, 6, 7, 8)]
    assert parse_boxes("[[1, 2, 3, 4], [5.0, 6, 7, 8]]") == {None: two}
    assert parse_boxes('\ufeff {"a b.jpg": [[1, 2, 3, 4]], "": []}') == {"a b.jpg": two[:1], "": []}
    assert parse_boxes("1\t2\t3\t4\n\n5\t6\t7\t8\r\n") == {None: two}
    assert parse_boxes("a b.jpg\t1\t2\t3\t4\n5\t6\t7\t8") == {"a b.jpg": two[:1], None: two[1:]}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "f.tsv: no boxes: expected JSON"),
        ("[]", "no boxes"),
        ("[[1, 2, 3, 4]", "damaged JSON"),
        ("[" * 100_000, "damaged JSON"),
        ('[{"box": [1, 2, 3, 4]}]', "box 0"),
        ('{"a": 5}', "is no list of boxes"),
        ("[[1, 2, 3, 4], [1, 2, 1, 4]]", "f.tsv, box 1: .* is empty"),
        ("1\t2\t3\t4\n1\t2\t3", "f.tsv, line 2: .* four numbers"),
        ("left\ttop\tright\tbottom", "line 1"),
        ("1 2 3 4", "line 1"),
        ("1\t2\t3.5\t4", "round it"),
    ],
)
def test_wrong_files_of_boxes(text: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        parse_boxes(text, "f.tsv")


# --- SAM ---


@pytest.fixture(scope="module")
def sam(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A seed whose random network gives several masks."""
    return make_sam(tmp_path_factory.mktemp("sam"), seed=22, sure=True)


EVERYTHING: dict[str, Any] = {
    "pred_iou_thresh": 0.0,
    "stability_score_thresh": 0.0,
    "points_per_side": 4,
}


def noise(size: tuple[int, int]) -> Image.Image:
    rng = np.random.default_rng(0)
    return Image.fromarray(rng.integers(0, 255, (size[1], size[0], 3), np.uint8))


def test_the_regions_are_the_masks_that_transformers_generates(sam: Path) -> None:
    from transformers import pipeline

    image = noise((80, 60))
    regions = sam_regions(sam, device="cpu", **EVERYTHING)(image)
    generate = pipeline("mask-generation", model=str(sam), device="cpu")
    made = generate(
        image, points_per_crop=4, points_per_batch=16, pred_iou_thresh=0, stability_score_thresh=0
    )
    masks = [np.asarray(mask) for mask in made["masks"]]
    masks = [mask for mask in masks if mask.any()]
    assert len(regions) == len(masks) > 1
    for region, mask in zip(regions, masks, strict=True):
        np.testing.assert_array_equal(region.whole_mask(image.size), mask)
        region.check_inside(image.size)


def test_a_larger_image_is_made_small_for_the_network(sam: Path) -> None:
    """The masks are those of the small image, at the size of the large one."""
    small = noise((80, 60))
    large = small.resize((240, 180), Image.Resampling.NEAREST)
    finder = sam_regions(sam, device="cpu", longest_side=80, **EVERYTHING)
    seen = finder(large)
    shrunk = finder(large.resize((80, 60), Image.Resampling.LANCZOS))
    assert len(seen) == len(shrunk) > 1
    for one, other in zip(seen, shrunk, strict=True):
        tripled = other.whole_mask((80, 60)).repeat(3, axis=0).repeat(3, axis=1)
        np.testing.assert_array_equal(one.whole_mask((240, 180)), tripled)


@pytest.mark.parametrize(("points", "batch"), [(3, 64), (4, 5), (5, 7), (4, 1)])
def test_points_at_a_time_change_no_region(sam: Path, points: int, batch: int) -> None:
    asked = {**EVERYTHING, "points_per_side": points}
    some = sam_regions(sam, points_per_batch=batch, **asked)(noise((80, 60)))
    all_at_once = sam_regions(sam, points_per_batch=points**2, **asked)(noise((80, 60)))
    assert [region.box for region in some] == [region.box for region in all_at_once]
    assert some


def test_regions_of_sam_are_located(sam: Path) -> None:
    """Real mask generation, real streams: any region may win, and it is one of them."""

    class Any512(Planted):
        def embed_images(self, images: Iterable[Any]) -> NDArray[np.float32]:
            return drawn(len([*images]))

    found = locate(
        noise((80, 60)), "red", regions=sam_regions(sam, **EVERYTHING), codec=Any512(), max_bytes=50
    )
    assert found.candidates[0][0].box in [region.box for region in found.regions]
    assert len(found.streams) == len(found.regions) > 1


def test_an_image_without_regions(tmp_path: Path) -> None:
    """The random network rates none of its masks as good."""
    finder = sam_regions(make_sam(tmp_path), points_per_side=2)
    with pytest.raises(InputError, match="no region was found: ask for more points"):
        locate(noise((80, 60)), "red", regions=finder, codec=Planted())


def test_an_image_that_is_too_narrow_for_the_network(sam: Path) -> None:
    with pytest.raises(ImageError, match=r"3000 x 1 pixels: .* give boxes"):
        sam_regions(sam, points_per_side=1)(Image.new("RGB", (3000, 1)))


def test_the_messages_of_transformers_are_as_before(sam: Path) -> None:
    from transformers.utils import logging

    before = logging.get_verbosity(), logging.is_progress_bar_enabled()
    sam_regions(sam, **EVERYTHING)(noise((9, 9)))
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before


def test_weights_that_are_not_at_hand(
    sam: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No network in tests: as HF_HUB_OFFLINE has it, which is read when the hub is imported."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(WeightsUnavailableError, match=r"facebook/sam-vit-base.*HF_HUB_OFFLINE"):
        sam_regions()
    (tmp_path / "none").mkdir()
    with pytest.raises(WeightsError, match="give a folder of a network for masks"):
        sam_regions(tmp_path / "none")
    no_weights = tmp_path / "config"
    no_weights.mkdir()
    for name in ("config.json", "preprocessor_config.json"):
        (no_weights / name).write_bytes((sam / name).read_bytes())
    (no_weights / "pytorch_model.bin").write_bytes(b"a pickle could run a program")
    with pytest.raises(WeightsUnavailableError, match=r"model\.safetensors"):
        sam_regions(no_weights)


def test_weights_of_a_part_of_the_network(sam: Path, tmp_path: Path) -> None:
    """transformers would fill in random numbers, with a warning."""
    from safetensors.numpy import load_file, save_file

    for name in ("config.json", "preprocessor_config.json"):
        (tmp_path / name).write_bytes((sam / name).read_bytes())
    tensors = load_file(sam / "model.safetensors")
    tensors.pop("mask_decoder.iou_token.weight")
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(WeightsError, match=r"lacks 1 tensors, such as mask_decoder\.iou_token"):
        sam_regions(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0damaged!")
    with pytest.raises(WeightsError, match="is damaged, or no network for masks"):
        sam_regions(tmp_path)


@pytest.mark.parametrize(
    "options",
    [
        {"points_per_side": 0}, {"points_per_batch": True}, {"longest_side": 1.5},
        {"pred_iou_thresh": 2}, {"stability_score_thresh": -1}, {"device": "nowhere"},
    ],
)  # fmt: skip
def test_wrong_options_of_sam(sam: Path, options: dict[str, Any]) -> None:
    with pytest.raises(OptionError):
        sam_regions(sam, **options)


def test_without_transformers(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingDependencyError, match=r"clipcodec\[locate\]") as caught:
        sam_regions("anything")
    assert caught.value.name == "transformers"


def test_importing_the_task_imports_no_torch() -> None:
    import subprocess
    import sys

    code = (
        "import sys, clipcodec.tasks.locating\n"
        "print([m for m in ('torch', 'PIL', 'transformers') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=PACKAGE
    )
    assert done.stdout.strip() == "[]"


# --- drawing ---


def test_outlines_masks_and_labels_are_drawn() -> None:
    image = Image.new("RGB", (300, 200), (90, 90, 90))
    mask = np.zeros((200, 300), bool)
    mask[60:140, 60:140] = np.triu(np.ones((80, 80), bool))
    drawn_image = draw(image, [Mark(Region.of_mask(mask), "red cup  0.31")])
    assert image.getcolors() == [(300 * 200, (90, 90, 90))]  # the image itself is as it was
    changed = (np.asarray(drawn_image) != 90).any(axis=2)
    assert changed[100, 130]  # of the mask
    assert not changed[130, 75]  # in the box, not of the mask
    assert changed[60:140, 60].all()  # the outline
    assert changed[139, 60:140].all()
    assert changed[40:58, 62:120].any()  # the label, above
    assert not changed[150:].any()
    unlabelled = draw(image, [Mark(Region.of_mask(mask))])
    assert not (np.asarray(unlabelled) != 90).any(axis=2)[40:55].any()


@pytest.mark.parametrize("background", [(0, 0, 0), (255, 255, 255), (230, 159, 0)])
def test_an_outline_is_seen_on_any_picture(background: tuple[int, int, int]) -> None:
    """Also on one of its own colour: it has a dark and a light line beside it."""
    image = Image.new("RGB", (100, 100), background)
    column = np.asarray(draw(image, [Mark(Region((20, 20, 80, 80)))]))[50, 15:30].astype(int)
    assert (np.abs(column - background).sum(axis=1) > 200).any()


@pytest.mark.parametrize("size", [(1, 1), (8, 300), (640, 480)])
def test_any_region_of_any_image_can_be_drawn(size: tuple[int, int]) -> None:
    image = Image.new("RGB", size)
    corners = [(0, 0, 1, 1), (size[0] - 1, size[1] - 1, *size), (0, 0, *size)]
    label = "ein sehr langer Text, 日本語\n" * 40
    made = draw(image, [Mark(Region(box), label) for box in corners * 4])
    assert made.size == size
    assert np.asarray(made).any()


def test_a_region_outside_is_not_drawn() -> None:
    with pytest.raises(InputError, match="leaves the image"):
        draw(Image.new("RGB", (10, 10)), [Mark(Region((0, 0, 11, 5)))])


@pytest.mark.parametrize(
    ("name", "kind"), [("a.png", "PNG"), ("b.JPG", "JPEG"), ("c.webp", "WEBP")]
)
def test_the_name_says_the_format(name: str, kind: str) -> None:
    data = image_bytes(picture(), Path("folder") / name)
    with Image.open(io.BytesIO(data)) as again:
        assert (again.format, again.size) == (kind, SIZE)


def test_an_image_that_its_format_cannot_hold() -> None:
    with pytest.raises(ImageError, match="as WEBP"):
        image_bytes(Image.new("RGB", (20_000, 1)), "wide.webp")


@pytest.mark.parametrize("name", ["a", "a.svg", "a.npy", "a.clpc", "a.psd", ".png"])
def test_formats_that_pillow_cannot_write(name: str) -> None:
    with pytest.raises(OptionError, match=r"Pillow cannot write .*name it ….png"):
        image_format(name)
