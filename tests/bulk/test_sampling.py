"""The rows that a profile is learned from: all over the inputs, few, and none that cannot be."""

from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clipcodec import Codec
from clipcodec.bulk import sampling
from clipcodec.bulk.sampling import sample
from clipcodec.errors import EmbeddingError, InputError, OptionError
from tests.helpers import tiny_models


def numbered(path: Path, count: int, dim: int = 4, start: int = 0) -> str:
    """A file whose rows can be told apart by their direction."""
    angles = np.linspace(0.1, 1.4, count) + start
    rows = np.zeros((count, dim), np.float32)
    rows[:, 0], rows[:, 1] = np.cos(angles), np.sin(angles)
    np.save(path, 5 * rows)
    return str(path)


def test_few_rows_are_all_taken_with_unit_norm(tmp_path: Path) -> None:
    found = sample([numbered(tmp_path / "a.npy", 20)])
    assert found.whole
    assert found.items == len(found.rows) == 20
    assert found.rows.dtype == np.float32
    assert np.linalg.norm(found.rows, axis=1) == pytest.approx(1)
    assert not found.groups.any()


def test_what_cannot_be_used_is_left_out_and_all_was_chosen(tmp_path: Path) -> None:
    path = numbered(tmp_path / "a.npy", 20)
    rows = np.load(path)
    rows[7], rows[9] = np.nan, 0
    np.save(path, rows)
    found = sample([path])
    assert (found.items, len(found.rows), found.whole) == (20, 18, True)


def test_of_many_rows_some_are_chosen_all_over_the_file(tmp_path: Path) -> None:
    """Not the first: their mean place is the middle, and the last tenth has its share."""
    found = sample([numbered(tmp_path / "a.npy", 5000)], most_rows=500)
    assert (found.items, len(found.rows), found.whole) == (5000, 500, False)
    places = (np.arctan2(found.rows[:, 1], found.rows[:, 0]) - 0.1) / 1.3
    assert 0.45 < places.mean() < 0.55
    assert (np.diff(places) > 0).all()  # each once, in the order of the file
    assert 30 <= (places > 0.9).sum() <= 70


def test_the_same_rows_are_chosen_each_time(tmp_path: Path) -> None:
    path = numbered(tmp_path / "a.npy", 300)
    first, again = (sample([path], most_rows=50).rows for _ in range(2))
    assert np.array_equal(first, again)


def test_each_file_has_its_share_and_is_a_group(tmp_path: Path) -> None:
    paths = [numbered(tmp_path / "a.npy", 300), numbered(tmp_path / "b.npy", 100)]
    found = sample(paths, most_rows=100)
    assert found.items == 400
    assert np.bincount(found.groups).tolist() == [75, 25]


def test_memory_is_bounded_for_wide_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "MOST_NUMBERS", 1000)
    assert len(sample([numbered(tmp_path / "a.npy", 400, dim=20)]).rows) == 50


def test_what_cannot_be_encoded_is_left_out(tmp_path: Path) -> None:
    """The job names it: a row of NaN, one of zeros, a damaged file."""
    path = numbered(tmp_path / "a.npy", 30)
    rows = np.load(path)
    rows[3], rows[7] = np.nan, 0
    np.save(path, rows)
    (tmp_path / "b.npy").write_bytes(b"\x93NUMPY damaged")
    found = sample([path, str(tmp_path / "b.npy")])
    assert len(found.rows) == 28
    assert np.isfinite(found.rows).all()


def test_without_one_sound_row_there_is_nothing_to_learn_from(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.full((9, 4), np.nan, np.float32))
    with pytest.raises(InputError, match="nothing to learn a profile from"):
        sample([str(tmp_path / "a.npy")])


def test_rows_of_two_widths_are_refused(tmp_path: Path) -> None:
    paths = [numbered(tmp_path / "a.npy", 9), numbered(tmp_path / "b.npy", 9, dim=5)]
    with pytest.raises(EmbeddingError, match=r"a.npy has 4 dimensions, b.npy 5: .* one width"):
        sample(paths)


# --- images ---


@pytest.fixture(scope="module")
def codec(tmp_path_factory: pytest.TempPathFactory) -> Codec:
    pytest.importorskip("open_clip")
    folder = tmp_path_factory.mktemp("model")
    spec = tiny_models.make_folder(folder / "model")
    weights = tiny_models.save(tiny_models.make_model(spec), folder / "model.safetensors")
    return Codec("any/rotation", backbone=spec.name, weights=weights, device="cpu")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for i in range(12):
        path = folder / "ab"[i % 2] / f"{i:02}.png"
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (40, 40), (20 * i, 255 - 20 * i, 7 * i)).save(path)
    (folder / "a" / "bad.png").write_bytes(b"no image")
    return folder


def test_images_are_embedded_once_and_known_by_their_ids(codec: Codec, photos: Path) -> None:
    found = sample([str(photos)], codec)
    assert found.items == 13  # a damaged image shows only when it is read
    assert sorted(found.embedded) == sorted(f"{'ab'[i % 2]}/{i:02}.png" for i in range(12))
    assert np.bincount(found.groups).tolist() == [6, 6]  # folders
    alone = codec.embed_images([photos / "b/01.png"])[0]
    assert found.embedded["b/01.png"] == pytest.approx(alone, abs=1e-5)  # a batch changes as much


def test_of_many_images_some_are_embedded(codec: Codec, photos: Path) -> None:
    found = sample([str(photos)], codec, most_images=5)
    assert found.items == 13
    assert 1 <= len(found.embedded) <= 5


def test_images_of_archives_are_chosen_too(codec: Codec, photos: Path, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "s.tar", "w") as archive:
        archive.add(photos / "a", "a")
    found = sample([str(tmp_path / "s.tar")], codec, most_images=4)
    assert found.items == 7
    assert all(id.startswith("s.tar/a/") for id in found.embedded)


def test_images_need_a_backbone(photos: Path) -> None:
    with pytest.raises(OptionError, match="--backbone NAME"):
        sample([str(photos)])
