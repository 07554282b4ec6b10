"""Thumbnails are small, upright, made once."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from clipcodec.errors import ImageError
from clipcodec.web.pictures import Picture
from clipcodec.web.thumbnails import EDGES, Thumbnails, default_cache


def jpeg(width: int, height: int, orientation: int = 1) -> bytes:
    """Red at the left, blue at the right."""
    image = Image.new("RGB", (width, height), (200, 0, 0))
    image.paste((0, 0, 200), (width // 2, 0, width, height))
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", exif=exif, quality=95)
    return buffer.getvalue()


@pytest.mark.parametrize("size", EDGES)
def test_the_longer_edge_is_bounded(tmp_path: Path, size: str) -> None:
    data = Thumbnails(tmp_path).make(Picture(jpeg(2000, 1000), "ab" * 32), size)
    image = Image.open(io.BytesIO(data))
    assert image.format == "WEBP"
    assert image.size == (EDGES[size], EDGES[size] // 2)


def test_small_pictures_are_not_enlarged(tmp_path: Path) -> None:
    data = Thumbnails(tmp_path).make(Picture(jpeg(40, 20), "ab" * 32), "small")
    assert Image.open(io.BytesIO(data)).size == (40, 20)


def test_pictures_are_turned_upright(tmp_path: Path) -> None:
    """EXIF orientation 6: what is stored as the left edge is the top."""
    data = Thumbnails(tmp_path).make(Picture(jpeg(800, 400, 6), "ab" * 32), "small")
    image = Image.open(io.BytesIO(data)).convert("RGB")
    assert image.size == (128, 256)
    red, _, blue = image.getpixel((64, 20))  # type: ignore[misc]
    assert red > 150 > 60 > blue


def test_what_was_made_is_kept(tmp_path: Path) -> None:
    """By key and size, for the next run too; no temporary file stays."""
    thumbnails = Thumbnails(tmp_path / "cache")
    key = "cd" * 32
    assert thumbnails.kept(key, "small") is None
    made = thumbnails.make(Picture(jpeg(500, 300), key), "small")
    assert Thumbnails(tmp_path / "cache").kept(key, "small") == made
    assert thumbnails.kept(key, "large") is None
    assert thumbnails.kept("ef" * 32, "small") is None
    assert len([path for path in (tmp_path / "cache").rglob("*") if path.is_file()]) == 1


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    thumbnails = Thumbnails(tmp_path / "file")
    assert thumbnails.make(Picture(jpeg(500, 300), "ab" * 32), "small")
    assert thumbnails.kept("ab" * 32, "small") is None


def test_damaged_pictures_are_named_as_such(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="not an image"):
        Thumbnails(tmp_path).make(Picture(b"no picture at all", "ab" * 32), "small")
    assert list(tmp_path.iterdir()) == []


def test_the_cache_lies_where_the_system_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache() == tmp_path / "clipcodec" / "thumbnails"
    for value in ("", "not/absolute"):
        monkeypatch.setenv("XDG_CACHE_HOME", value)
        assert default_cache() == Path.home() / ".cache" / "clipcodec" / "thumbnails"
