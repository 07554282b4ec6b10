"""What N bytes keep: the numbers of the page are those of the library."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import clipcodec
from clipcodec.errors import EmbeddingError, ImageError, OptionError, WeightsUnavailableError
from clipcodec.profile import registry
from clipcodec.texts import TextEmbeddings
from clipcodec.web.collection import Collection
from clipcodec.web.encoders import Encoders
from clipcodec.web.pictures import Pictures
from clipcodec.web.views import Views
from clipcodec.web.words import DEFAULT, Words
from tests.helpers.profiles import drawn
from tests.helpers.tiny_models import make_folder, make_model, save


@pytest.fixture(scope="module")
def container(demo: Path) -> Iterator[clipcodec.Container]:
    with clipcodec.open(demo / "photos.clpc") as container:
        yield container


def views_of(
    container: clipcodec.Container,
    images: Path | None = None,
    backbone: str | None = None,
    known: TextEmbeddings | None = None,
) -> Views:
    collection = Collection(container, "x.clpc", backbone=backbone)
    encoders = Encoders(collection.profile, collection.backbone)
    encoders.look()
    words = Words(collection, encoders, known=known)
    return Views(collection, Pictures(images), encoders, words)


def made(rows: np.ndarray, path: Path, **options: str) -> clipcodec.Container:
    with clipcodec.create(path) as writer:
        writer.extend(clipcodec.encode_embeddings(rows, **options))  # type: ignore[arg-type]
    return clipcodec.open(path)


@pytest.fixture(scope="module")
def views(container: clipcodec.Container, demo: Path) -> Views:
    return views_of(container, known=TextEmbeddings.load(demo / "words.safetensors"))


@pytest.mark.parametrize("size", [12, 40, 250])
def test_neighbours_are_those_of_what_the_bytes_keep(
    views: Views, container: clipcodec.Container, size: int
) -> None:
    """Of a stream of at most so many bytes, against all items but the picture itself."""
    found = views.view("7", size, DEFAULT)
    before = container.decode(7)
    stream = clipcodec.encode_embedding(before, max_bytes=size)
    after = clipcodec.decode(stream)
    rows = container.decode_all()

    def ten(row: np.ndarray) -> list[int]:
        order = np.argsort(-(rows @ row), kind="stable").tolist()
        return [i for i in order if i != 7][:10]

    assert found["bytes"] == len(stream) <= size
    assert found["cosine"] == pytest.approx(float(before @ after), abs=1e-6)
    assert [hit["index"] for hit in found["neighbours"]] == ten(after)
    old, new = {*ten(before)}, {*ten(after)}
    assert found["kept"] == len(old & new)
    assert {hit["index"] for hit in found["neighbours"] if hit["new"]} == new - old
    assert {hit["index"] for hit in found["left"]} == old - new
    assert (found["index"], found["id"]) == (7, container.ids[7])
    assert (found["stored"], found["origin"]) == (len(container[7]), "container")


def test_more_bytes_keep_more(views: Views) -> None:
    cosines = [views.view("3", size, DEFAULT)["cosine"] for size in (12, 40, 100, 250)]
    assert cosines == sorted(cosines)
    assert cosines[-1] > 0.99 > 0.95 > cosines[0]


def test_labels_have_their_probability_before_and_after(views: Views) -> None:
    found = views.view("3", 12, DEFAULT)["labels"]
    before = [label["before"] for label in found[:6]]
    assert before == sorted(before, reverse=True)
    assert 6 <= len(found) <= 12
    assert any(abs(label["before"] - label["after"]) > 0.001 for label in found)
    best = max(label["after"] for label in found)
    assert best > 0.05


def test_what_was_asked_for_before_is_not_made_again(
    views: Views, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = views.view("9", 33, DEFAULT)
    monkeypatch.setattr(clipcodec.Codec, "encode_embedding", lambda *_, **__: pytest.fail("again"))
    assert views.view("9", 33, DEFAULT) is first


@pytest.mark.parametrize(
    "name", ["-1", "48", "x", "", "1e3", "²", "9" * 30, "drop-0", "../0", "<script>"]
)
def test_there_is_no_such_picture(views: Views, name: str) -> None:
    with pytest.raises(LookupError):
        views.view(name, 50, DEFAULT)


def test_sizes_and_labels_are_checked(views: Views) -> None:
    for size in (11, 251, 0, -5):
        with pytest.raises(OptionError, match="12 to 250"):
            views.view("0", size, DEFAULT)
    with pytest.raises(LookupError, match="give them again"):
        views.view("0", 50, "0123456789abcdef")


def test_an_image_with_a_stream_needs_no_encoder(
    views: Views, container: clipcodec.Container, demo: Path
) -> None:
    """So does a stream itself. Its neighbours are those of the embedding that it holds."""
    carrying = clipcodec.attach(demo / "photos" / str(container.ids[5]), container[5])
    for data in (carrying, container[5]):
        subject = views.add_image(data)
        assert subject.origin == "file"
        assert np.array_equal(subject.row, container.decode(5))
        found = views.view(subject.name, 250, DEFAULT)
        assert found["index"] is found["stored"] is None
        assert found["neighbours"][0]["index"] == 5  # an image of the user may be an item, too


def test_other_images_need_one(views: Views, demo: Path, container: clipcodec.Container) -> None:
    data = (demo / "photos" / str(container.ids[5])).read_bytes()
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "GIF")  # which can carry no stream
    for image in (data, buffer.getvalue()):
        with pytest.raises(WeightsUnavailableError, match="clipcodec fetch"):
            views.add_image(image)
    with pytest.raises(ImageError, match="not an image"):
        views.add_image(b"neither an image nor a stream")


def test_streams_of_another_backbone_are_not_taken(
    views: Views, demo: Path, container: clipcodec.Container
) -> None:
    foreign = clipcodec.encode_embedding(drawn(1, "openai-vit-l-14-336/predictive")[0],
                                         profile="openai-vit-l-14-336/predictive")  # fmt: skip
    carrying = clipcodec.attach(demo / "photos" / str(container.ids[5]), foreign)
    with pytest.raises(WeightsUnavailableError):
        views.add_image(carrying)
    with pytest.raises(EmbeddingError, match="768 dimensions"):
        views.add_image(foreign)


def test_old_images_of_the_user_are_forgotten(views: Views, container: clipcodec.Container) -> None:
    first = views.add_image(container[0]).name
    for _ in range(40):
        last = views.add_image(container[0]).name
    assert views.subject(last).name == last
    with pytest.raises(LookupError, match="drop it again"):
        views.subject(first)


def test_a_profile_of_one_rate_is_encoded_with_one_of_all_rates(
    tmp_path: Path, tiny_path: Path
) -> None:
    """That of the same backbone; of a private one, the profile for any embedding."""
    with made(drawn(20), tmp_path / "a.clpc", profile="openai-vit-b-32/pqvae-400") as fixed:
        found = views_of(fixed).view("0", 34, DEFAULT)
    assert found["profile"] == registry.DEFAULT
    assert found["bytes"] <= 34
    made(np.eye(6, 8) + 1, tmp_path / "b.clpc", profile=str(tiny_path)).close()
    with clipcodec.open(tmp_path / "b.clpc", profile=tiny_path) as private:
        assert views_of(private).view("0", 34, DEFAULT)["profile"] == registry.UNTRAINED


def test_a_size_that_the_profile_cannot_reach_is_an_error(
    views: Views, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the slider may ask for, with a private profile."""
    monkeypatch.setattr("clipcodec.web.views.FEWEST", 4)
    with pytest.raises(OptionError, match="at least 5 bytes"):
        views.view("0", 4, DEFAULT)
    assert views.view("0", 5, DEFAULT)["bytes"] == 5


def test_few_items_have_few_neighbours(tmp_path: Path) -> None:
    with made(drawn(3), tmp_path / "a.clpc") as container:
        found = views_of(container).view("1", 50, DEFAULT)
    assert {hit["index"] for hit in found["neighbours"]} == {0, 2}
    assert (found["kept"], found["left"], found["labels"]) == (2, [], [])


def test_with_an_encoder_the_picture_itself_is_compared(tmp_path: Path) -> None:
    """Of an item without a picture, or with a damaged one, what the container keeps."""
    spec = make_folder(tmp_path / "model")
    save(make_model(spec), tmp_path / "model" / "open_clip_model.safetensors")
    photos = tmp_path / "photos"
    photos.mkdir()
    for i in range(3):
        Image.new("RGB", (40, 40), (80 * i, 200, 30)).save(photos / f"{i}.png")
    options = {"profile": registry.UNTRAINED, "backbone": spec.name}
    names = [f"{i}.png" for i in range(3)]
    streams = clipcodec.encode_batch([photos / name for name in names], **options)  # type: ignore[arg-type]
    with clipcodec.create(tmp_path / "a.clpc") as writer:
        writer.extend(streams, names)
    (photos / "1.png").write_bytes(b"damaged")
    (photos / "2.png").unlink()
    with clipcodec.open(tmp_path / "a.clpc") as container:
        views = views_of(container, photos, spec.name)
        assert [views.subject(str(i)).origin for i in range(3)] == [
            "picture", "container", "container",
        ]  # fmt: skip
        buffer = io.BytesIO()
        Image.new("RGB", (40, 40), (0, 200, 30)).save(buffer, "PNG")
        subject = views.add_image(buffer.getvalue())
    assert subject.origin == "picture"
    own = clipcodec.Codec(registry.UNTRAINED, backbone=spec.name)
    assert np.allclose(subject.row, own.embed_images([photos / "0.png"])[0], atol=1e-5)
