"""clipcodec.system.folders: many files, all or none."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from clipcodec import OutputExistsError
from clipcodec.system import folders
from clipcodec.system.folders import filling


def fill(folder: Path, *names: str, overwrite: bool = False) -> None:
    with filling(folder, overwrite=overwrite) as made:
        for name in names:
            (made / name).parent.mkdir(parents=True, exist_ok=True)
            (made / name).write_text("new")


def below(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def test_files_come_to_a_folder_that_is_made(tmp_path: Path) -> None:
    """Also those above it; with the permissions that any new folder has."""
    fill(tmp_path / "x" / "y", "a", "b/c")
    (tmp_path / "plain").mkdir()
    assert below(tmp_path) == {"plain", "x", "x/y", "x/y/a", "x/y/b", "x/y/b/c"}
    modes = {stat.S_IMODE(os.stat(tmp_path / name).st_mode) for name in ("plain", "x", "x/y")}
    assert len(modes) == 1


def test_files_come_beside_those_that_are_there(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "old").write_text("old")
    fill(tmp_path, "a", "b/c", "d/e")
    assert below(tmp_path) == {"a", "b", "b/old", "b/c", "d", "d/e"}


def test_an_error_leaves_nothing(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "x" / "y"):
        with pytest.raises(FileNotFoundError), filling(folder, overwrite=False) as made:
            (made / "a").rename(made / "b")
        with pytest.raises(FileExistsError):
            fill(folder, "a", "a/b")
        assert below(tmp_path) == set()


def test_a_file_that_is_there_is_replaced_only_if_it_may_be(tmp_path: Path) -> None:
    (tmp_path / "b").write_text("old")
    with pytest.raises(OutputExistsError, match="b exists"):
        fill(tmp_path, "a", "b", "c")
    assert below(tmp_path) == {"b"}
    fill(tmp_path, "a", "b", overwrite=True)
    assert (tmp_path / "b").read_text() == "new"


def test_files_and_folders_do_not_replace_each_other(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    (tmp_path / "folder").mkdir()
    for name in ("file/a", "folder"):
        with pytest.raises(OutputExistsError, match="is a"):
            fill(tmp_path, name, "other", overwrite=True)
    with pytest.raises(OutputExistsError, match="file is a file: name a directory"):
        fill(tmp_path / "file", "a", overwrite=True)
    assert below(tmp_path) == {"file", "folder"}


def test_what_was_moved_goes_again_if_a_later_file_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names the folder that could not be written."""
    moved: list[Path] = []

    def move(source: Path, target: Path, *, overwrite: bool) -> None:
        if moved:
            raise OSError(28, "No space left on device")
        moved.append(source)
        os.replace(source, target)

    monkeypatch.setattr(folders, "move", move)
    with pytest.raises(OSError, match="cannot be written: No space left") as caught:
        fill(tmp_path, "a", "b/c")
    assert caught.value.filename == str(tmp_path)
    assert below(tmp_path) == set()
