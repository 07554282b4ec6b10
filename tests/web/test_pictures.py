"""An id leads to a file inside the folder, or nowhere."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from clipcodec.web.pictures import Pictures


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """photos/a.jpg, photos/sub/b.jpg, and secret.txt beside the folder."""
    folder = tmp_path / "photos"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.jpg").write_bytes(b"a picture")
    (folder / "sub" / "b.jpg").write_bytes(b"another")
    (tmp_path / "secret.txt").write_bytes(b"secret")
    return folder


def test_ids_are_names_in_the_folder(photos: Path) -> None:
    """Also those of a run over several folders, which begin with the folder's name."""
    pictures = Pictures(photos)
    for id, name in (("a.jpg", "a.jpg"), ("sub/b.jpg", "sub/b.jpg"), ("photos/a.jpg", "a.jpg")):
        picture = pictures.read(id)
        assert picture is not None
        assert picture.data == (photos / name).read_bytes()
        assert picture.key == pictures.key(id)


@pytest.mark.parametrize(
    "id",
    [
        "../secret.txt", "sub/../../secret.txt", "photos/../../secret.txt", "/etc/passwd",
        "{photos}/../secret.txt", "none.jpg", "", None, ".", "sub", "a.jpg\0", "a.jpg/..",
        "x" * 5000, "<script>alert(1)</script>", "..\\secret.txt", "~", "file:///etc/passwd",
    ],
)  # fmt: skip
def test_no_other_file_is_read(photos: Path, id: str | None) -> None:
    pictures = Pictures(photos)
    given = id and id.replace("{photos}", str(photos))
    assert pictures.read(given) is None
    assert pictures.key(given) is None


def test_links_out_of_the_folder_are_refused(photos: Path, tmp_path: Path) -> None:
    """Links within it are followed."""
    try:
        (photos / "inside.jpg").symlink_to(photos / "sub" / "b.jpg")
    except OSError:
        pytest.skip("no links here")
    (photos / "out.jpg").symlink_to(tmp_path / "secret.txt")
    (photos / "folder").symlink_to(tmp_path)
    (photos / "circle").symlink_to(photos / "circle")
    pictures = Pictures(photos)
    inside = pictures.read("inside.jpg")
    assert inside is not None
    assert inside.data == b"another"
    for id in ("out.jpg", "folder/secret.txt", "circle", "circle/a.jpg"):
        assert pictures.read(id) is None


def test_the_folder_may_be_given_by_a_link(photos: Path, tmp_path: Path) -> None:
    try:
        (tmp_path / "link").symlink_to(photos)
    except OSError:
        pytest.skip("no links here")
    assert Pictures(tmp_path / "link").read("a.jpg") is not None


@pytest.mark.skipif(not hasattr(os, "O_NOFOLLOW"), reason="files are opened through links here")
def test_a_file_that_becomes_a_link_is_not_read(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After it was found, and before it is opened."""
    pictures = Pictures(photos)
    found = pictures.find("a.jpg")
    monkeypatch.setattr(pictures, "find", lambda _id: found)
    assert pictures.read("a.jpg") is not None
    (photos / "a.jpg").unlink()
    (photos / "a.jpg").symlink_to(tmp_path / "secret.txt")
    assert pictures.read("a.jpg") is None


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_no_picture(photos: Path) -> None:
    """It is not waited for."""
    os.mkfifo(photos / "pipe.jpg")
    assert Pictures(photos).read("pipe.jpg") is None


def test_the_key_changes_with_the_file(photos: Path) -> None:
    pictures = Pictures(photos)
    first = pictures.key("a.jpg")
    (photos / "a.jpg").write_bytes(b"a longer picture")
    second = pictures.key("a.jpg")
    os.utime(photos / "a.jpg", ns=(1, 1))
    assert len({first, second, pictures.key("a.jpg"), pictures.key("sub/b.jpg")}) == 4


def test_without_a_folder_there_are_no_pictures() -> None:
    assert Pictures(None).read("a.jpg") is None
    with pytest.raises(FileNotFoundError):
        Pictures("no such folder")
