"""clipcodec.bulk.sources: which entries inputs hold, under which ids, in which order."""

from __future__ import annotations

import glob
import io
import os
import shutil
import socket
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

from clipcodec.bulk.entries import FOLDER, HEIF, HIDDEN, IN_ITSELF, NO_IMAGE, OTHER_INPUT, Entry
from clipcodec.bulk.sources import find
from clipcodec.errors import (
    ClipcodecError,
    EmbeddingError,
    ImageFileError,
    InputError,
    OptionError,
)


def png(value: int = 0) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (4, 3), (value, 0, 0)).save(buffer, "PNG")
    return buffer.getvalue()


def make(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(png())
    return folder


def entries(*inputs: object, **options: Any) -> list[Entry]:
    sources, _ = find([str(i) for i in inputs], **options)
    return [entry for source in sources for entry in source.entries(lambda id: True)]


def ids(*inputs: object, **options: Any) -> list[str]:
    return [entry.id for entry in entries(*inputs, **options)]


def faults(found: Iterable[Entry]) -> list[Entry]:
    return [entry for entry in found if isinstance(entry.content, ClipcodecError)]


def left_out(*inputs: object) -> dict[str, list[str]]:
    """What is not taken: names by reason."""
    sources, _ = find([str(i) for i in inputs])
    return {o.why: sorted(o.names) for source in sources for o in source.left_out.found()}


def archive(path: Path, members: dict[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


# --- directories ---


def test_a_directory_is_its_images_sorted_by_relative_path(tmp_path: Path) -> None:
    make(tmp_path, "b.png", "a/z.JPG", "a/y.png", "a.webp", "ä.png")
    assert ids(tmp_path) == ["a.webp", "a/y.png", "a/z.JPG", "b.png", "ä.png"]
    assert entries(tmp_path)[1].content == str(tmp_path / "a" / "y.png")


def test_hidden_files_outputs_and_other_files_are_left_out(tmp_path: Path) -> None:
    make(tmp_path, "a.png", ".b.png", ".git/c.png", "a.png.clip", "out.clpc", "out.clpc.part")
    make(tmp_path, "notes.txt", "rows.npy", "page.pdf", "figure.eps", "film.mpg", "d/s.tar")
    assert ids(tmp_path) == ["a.png"]
    assert left_out(tmp_path, make(tmp_path / "d", "x.png")) == {
        HIDDEN: [f"{tmp_path.name}/{name}" for name in (".b.png", ".git")],
        NO_IMAGE: [
            f"{tmp_path.name}/{name}"
            for name in ("a.png.clip", "figure.eps", "film.mpg", "notes.txt", "out.clpc",
                         "out.clpc.part", "page.pdf")
        ],
        OTHER_INPUT: ["d/s.tar", f"{tmp_path.name}/d/s.tar", f"{tmp_path.name}/rows.npy"],
    }  # fmt: skip


def test_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    make(tmp_path / "far", "x.png")
    make(tmp_path / "top", "a/b.png")
    (tmp_path / "top" / "link").symlink_to(tmp_path / "far")
    (tmp_path / "top" / "a" / "up").symlink_to(tmp_path / "top")
    assert ids(tmp_path / "top") == ["a/b.png", "link/x.png"]
    assert left_out(tmp_path / "top") == {IN_ITSELF: ["a/up/"]}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
@pytest.mark.parametrize("how", ["folder", "list", "pattern", "deep pattern"])
def test_what_is_no_file_is_named_and_not_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """A pipe that is opened waits for a writer; a device might never end."""
    monkeypatch.chdir(tmp_path)
    top = make(Path("d"), "a.png", "z.png")
    os.mkfifo(top / "pipe.png")
    (top / "device.png").symlink_to("/dev/zero")
    (top / "gone.png").symlink_to("nowhere.png")
    (top / "self.png").symlink_to("self.png")
    (top / "link.png").symlink_to("a.png")
    (top / "to-pipe.png").symlink_to("pipe.png")
    with socket.socket(socket.AF_UNIX) as made:
        made.bind("d/socket.png")
        Path("list.txt").write_text("".join(f"{path}\n" for path in sorted(top.iterdir())))
        given = {"folder": "d", "list": "list.txt", "pattern": "d/*", "deep pattern": "**/*.png"}
        found = entries(given[how])
    wrong = {e.id.removeprefix("d/"): str(e.content) for e in faults(found)}
    assert [e.id.removeprefix("d/") for e in found if e not in faults(found)] == [
        "a.png", "link.png", "z.png"
    ]  # fmt: skip
    assert sorted(wrong) == [
        "device.png", "gone.png", "pipe.png", "self.png", "socket.png", "to-pipe.png"
    ]  # fmt: skip
    for name, what in {
        "device.png": "a device, not a file", "gone.png": "a link to 'nowhere.png'",
        "pipe.png": "a named pipe, not a file", "self.png": "a link to 'self.png'",
        "socket.png": "a socket, not a file", "to-pipe.png": "a named pipe, not a file",
    }.items():  # fmt: skip
        assert what in wrong[name]


needs_pipes = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")


def through_a_pipe(path: Path, data: bytes, **options: Any) -> list[Entry]:
    """The entries of a named pipe, which comes to be at this path, and what is written into it."""
    os.mkfifo(path)
    thread = threading.Thread(target=path.write_bytes, args=(data,))
    thread.start()
    found = entries(path, **options)
    thread.join()
    return found


@needs_pipes
def test_a_pipe_by_its_own_name_is_read_here(tmp_path: Path) -> None:
    """Never its path is handed on: a worker would wait for ever, or find another pipe there."""
    (found,) = through_a_pipe(tmp_path / "p", png(7))
    assert (found.id, found.content) == (str(tmp_path / "p"), png(7))
    (named,) = through_a_pipe(tmp_path / "a.png", png(8))
    assert named.content == png(8)


@needs_pipes
def test_a_pipe_is_what_its_first_bytes_say(tmp_path: Path) -> None:
    rows = np.arange(20_000, dtype=np.float32).reshape(1000, 20)
    buffer = io.BytesIO()
    np.save(buffer, rows)
    found = through_a_pipe(tmp_path / "p", buffer.getvalue())
    assert [entry.id for entry in found] == [f"p/{i}" for i in range(1000)]
    assert all(
        np.array_equal(np.asarray(entry.content), row)
        for entry, row in zip(found, rows, strict=True)
    )
    members = {"a.png": png(1), "b.png": png(2)}
    for mode, path in (("w", "q"), ("w:gz", "r"), ("w:xz", "s")):
        data = archive(tmp_path / "made", members, mode).read_bytes()
        found = through_a_pipe(tmp_path / path, data)
        assert [(e.id, e.content) for e in found] == [
            (f"{path}/{name}", content) for name, content in members.items()
        ]


@needs_pipes
def test_a_pipe_that_is_not_wanted_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "p")
    keep = os.open(tmp_path / "p", os.O_RDWR)  # nothing waits for the other end
    os.write(keep, png() + bytes(1 << 15))
    (source,), _ = find([str(tmp_path / "p")])
    assert [*source.entries(lambda id: False)] == []
    assert source.count is None
    os.close(keep)


@needs_pipes
def test_an_open_file_is_read_from_where_it_stands(tmp_path: Path) -> None:
    """Its name means another file in a worker."""
    (tmp_path / "x").write_bytes(b"before" + png(3))
    with open(tmp_path / "x", "rb") as file:
        os.lseek(file.fileno(), 6, os.SEEK_SET)
        (found,) = entries(f"/dev/fd/{file.fileno()}")
    assert found.content == png(3)


@needs_pipes
@pytest.mark.parametrize("name", ["endless", "endless.png", "endless.tar", "endless.npy"])
def test_a_device_or_a_pipe_without_an_end_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / name).symlink_to("/dev/zero")
    (found,) = entries(tmp_path / name)
    assert "it is a device, expected a file or a pipe" in str(found.content)
    for limit in ("files.LARGEST_IMAGE", "sources.LARGEST_ARRAY"):
        monkeypatch.setattr(f"clipcodec.bulk.{limit}", 1 << 16)
    monkeypatch.setattr("clipcodec.bulk.unpacking._MOST_ZEROS", 1 << 16)
    os.mkfifo(tmp_path / f"p-{name}")
    command = ["bash", "-c", 'exec cat /dev/zero > "$0"', str(tmp_path / f"p-{name}")]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as writer:
        (found,) = entries(tmp_path / f"p-{name}")
        writer.kill()
    assert isinstance(found.content, InputError)
    assert "more than 65536" in str(found.content)


def test_a_directory_without_images_is_an_entry_that_says_so(tmp_path: Path) -> None:
    (found,) = entries(tmp_path)
    assert isinstance(found.content, ImageFileError)
    assert "no image files" in str(found.content)


def test_names_that_are_not_utf_8_are_named_and_not_taken(tmp_path: Path) -> None:
    try:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.png")).write_bytes(png())
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    make(tmp_path, "a.png")
    found = entries(tmp_path)
    assert [e.id for e in found] == ["a.png", "\\xff.png"]
    assert "not UTF-8" in str(found[1].content)
    top = os.fsdecode(os.fsencode(tmp_path) + b"/\xfe")
    make(Path(top), "a.png")
    sources, root = find([top])
    assert root == "\\xfe", "as it can be written into a container"
    assert [e.id for s in sources for e in s.entries(lambda id: True)] == ["a.png"]


LISTING = """
import locale, sys
from clipcodec.bulk.sources import find
locale.setlocale(locale.LC_ALL, "")
sources, root = find(sys.argv[1:])
ids = [e.id for s in sources for e in s.entries(lambda id: True)]
print(sys.getfilesystemencoding(), ascii([root, ids]))
"""


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="names of files are not bytes")
@pytest.mark.parametrize("locale", ["C", "latin"])
def test_ids_do_not_depend_on_the_locale(tmp_path: Path, locale: str) -> None:
    """Of directories, archives, arrays, lists and patterns: names are bytes, ids UTF-8."""
    names = ("z.png", "\u732b.png", "\xe9.png", "e\u0301.png")
    top = tmp_path / "f\xfcr"
    make(top, *names, "\xe9/x.png")
    for form in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
        with tarfile.open(tmp_path / f"\xe4{form}.tar", "w", format=form) as tar:
            for name in names:
                tar.addfile(tarfile.TarInfo(name))
    np.save(tmp_path / "\xf6.npy", np.ones((1, 4)))
    (tmp_path / "list.txt").write_text("\n".join(["f\xfcr/\u732b.png", "f\xfcr/\xe9.png"]), "utf-8")
    inputs = [top, *sorted(tmp_path.glob("*.tar")), tmp_path / "\xf6.npy", tmp_path / "list.txt"]
    lists = [[str(top)], [*map(str, inputs), str(top / "*.png")]]
    env = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    encoding = "ascii"
    if locale == "latin":
        made = tmp_path / "de_DE.iso88591"
        if not shutil.which("localedef"):
            pytest.skip("no localedef")
        command = ["localedef", "-i", "de_DE", "-f", "ISO-8859-1", str(made)]
        subprocess.run(command, check=False, capture_output=True)
        if not made.is_dir():
            pytest.skip("localedef has no German locale")
        env |= {"LOCPATH": str(tmp_path), "LC_ALL": made.name}
        encoding = "iso8859-1"
    for given in lists:
        raw = [os.fsencode(name) for name in given]
        done = subprocess.run(
            [os.fsencode(sys.executable), b"-c", LISTING.encode(), *raw],
            env=env, capture_output=True, text=True, check=True,
        )  # fmt: skip
        sources, root = find(given)
        here = [e.id for s in sources for e in s.entries(lambda id: True)]
        assert done.stdout.split(maxsplit=1) == [encoding, ascii([root, here]) + "\n"]
        assert any("\u732b.png" in id for id in here)


# --- several inputs ---


def test_several_inputs_prefix_the_ids_with_their_names(tmp_path: Path) -> None:
    make(tmp_path, "train/a.png", "val/a.png")
    assert ids(tmp_path / "train", tmp_path / "val") == ["train/a.png", "val/a.png"]
    assert ids(tmp_path / "train", prefix=True) == ["train/a.png"]
    assert find([str(tmp_path / "train")])[1] == "train"
    assert find([str(tmp_path / "train")], prefix=True)[1] is None


def test_inputs_of_one_name_are_refused(tmp_path: Path) -> None:
    make(tmp_path, "x/set/a.png", "y/set/a.png")
    with pytest.raises(OptionError, match="2 inputs are called 'set'"):
        find([str(tmp_path / "x" / "set"), str(tmp_path / "y" / "set")])
    for folder in ("x", "y"):
        archive(tmp_path / folder / "0.tar", {"a.png": png()})
    with pytest.raises(OptionError, match=r"'0.tar'"):
        find([str(tmp_path / "?" / "0.tar")])


def test_what_is_not_wanted_is_not_given(tmp_path: Path) -> None:
    make(tmp_path, "a.png", "b.png")
    tar = archive(tmp_path / "s.tar", {"c.png": png(), "d.png": png()})
    sources, _ = find([str(tmp_path), str(tar)])
    asked: list[str] = []

    def wanted(id: str) -> bool:
        asked.append(id)
        return id.endswith(("b.png", "d.png"))

    found = [e.id for s in sources for e in s.entries(wanted)]
    assert found == [f"{tmp_path.name}/b.png", "s.tar/d.png"]
    assert len(asked) == 4
    assert [s.count for s in sources] == [2, None]


# --- patterns, lists, files ---


def test_a_pattern_is_expanded_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, "p/a.png", "p/q/b.jpg", "p/q/.c.png", "p/q/d.txt", "p/e.png.clip")
    monkeypatch.chdir(tmp_path)
    assert ids("p/**/*") == ["p/a.png", "p/q/b.jpg"]
    assert left_out("p/**/*") == {NO_IMAGE: ["p/e.png.clip", "p/q/d.txt"]}
    assert ids("p/*.png") == ["p/a.png"]
    assert ids("p/*") == ["p/a.png"]
    assert left_out("p/*") == {NO_IMAGE: ["p/e.png.clip"], FOLDER: ["p/q"]}
    for name in ("gone.tar", "gone.npy"):
        Path("p", name).symlink_to("nowhere")
        (found,) = entries(f"p/{name[:-1]}?")
        assert isinstance(found.content, ImageFileError)
        assert "a link to 'nowhere', which cannot be read" in str(found.content)
    (found,) = entries("p/*.gif")
    assert "no image matches" in str(found.content)
    make(tmp_path, "odd[1].png")
    assert ids("odd[1].png") == ["odd[1].png"], "a file of that name is not a pattern"


def test_a_pattern_does_not_go_in_circles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, "p/a.png", "p/q/b.png", "r/c.png")
    (tmp_path / "p" / "q" / "up").symlink_to("..")
    (tmp_path / "p" / "here").symlink_to(tmp_path)
    (tmp_path / "p" / "r").symlink_to("../r")
    monkeypatch.chdir(tmp_path)
    assert ids("**/*.png") == ["p/a.png", "p/q/b.png", "p/r/c.png", "r/c.png"]
    for pattern in ("**/*.png", "**/**/*.png"):
        assert left_out(pattern) == {IN_ITSELF: ["p/here", "p/q/up"]}
    monkeypatch.chdir("p")
    assert ids("q/**/b.png") == ["q/b.png"]
    assert ids("q/up/q/b.png") == ["q/up/q/b.png"], "a path by its own name"


def test_patterns_match_as_in_glob(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, "a.png", "p/b.png", "p/q/c.png", "p/q/r/d.png", "p/.h/e.png", "s[1]/q/f.png")
    (tmp_path / "s[1]" / "link").symlink_to(tmp_path / "p" / "q")
    monkeypatch.chdir(tmp_path)
    for pattern in ("**", "**/*", "p/**", "p/**/*.png", "*/**/c.png", "**/q/**/*.png", "p/**/r/**",
                    "./**/*.png", "**/?.png", "*/*", f"{tmp_path}/**/*.png", "p//**/d.png",
                    "p/../**/*.png", "s[[]1]/**/*", "none/**/*.png", "**/q/*"):  # fmt: skip
        matches = [name.replace("//", "/") for name in glob.glob(pattern, recursive=True)]
        found = entries(pattern)
        good = [e.id.replace("//", "/") for e in found if e not in faults(found)]
        assert good == sorted({name for name in matches if name.endswith(".png")}), pattern


def test_a_list_names_paths_relative_to_its_folder(tmp_path: Path) -> None:
    make(tmp_path, "set/a.png", "b.png")
    lines = ["\ufeff# images", "", "a.png", "  ../b.png\r", str(tmp_path / "b.png"), "none.png"]
    (tmp_path / "set" / "list.txt").write_text("\n".join(lines), "utf-8")
    found = entries(tmp_path / "set" / "list.txt")
    assert [e.id for e in found] == ["a.png", "../b.png", str(tmp_path / "b.png"), "none.png"]
    assert [os.path.exists(str(e.content)) for e in found] == [True, True, True, False]
    assert isinstance(found[3].content, ImageFileError)
    assert "does not exist: check the path" in str(found[3].content)


def test_a_list_in_utf_16_or_with_nul(tmp_path: Path) -> None:
    """As Windows programs and `find -print0` write them."""
    names = ["a.png", "f\xfcr/\u732b.png"]
    make(tmp_path, *names)
    lines = "\r\n".join(["# a comment", "", *names, ""])
    path = tmp_path / "list.txt"
    for codec in ("utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"):
        mark = "\ufeff" if codec[-2:] in ("le", "be") else ""
        path.write_bytes((mark + lines).encode(codec))
        found = entries(path)
        assert [e.id for e in found] == names, codec
        assert [e.content for e in found] == [str(tmp_path / name) for name in names]
    make(tmp_path, "#1.png")
    for end in ("", "\0"):
        path.write_bytes(("\0".join([*names, "#1.png"]) + end).encode())
        assert [e.id for e in entries(path)] == [*names, "#1.png"]


def test_a_list_that_is_no_text_says_so(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    for data in ("a.png\nb.png\n".encode("utf-16-le"), "a.png\n".encode("utf-16")[:-1]):
        path.write_bytes(data)
        (found,) = entries(path)
        assert "save it as UTF-8" in str(found.content)
        assert isinstance(found.content, ImageFileError)


def test_heic_images_are_left_out_with_their_remedy(tmp_path: Path) -> None:
    from PIL import Image

    if ".heic" in Image.registered_extensions():
        pytest.skip("this Pillow reads HEIC")
    make(tmp_path, "d/a.png", "d/b.HEIC", "d/c.heif", "d/notes.md")
    shard = archive(tmp_path / "s.tar", {"a.png": png(), "b.heic": b"x"})
    assert left_out(tmp_path / "d") == {HEIF: ["b.HEIC", "c.heif"], NO_IMAGE: ["notes.md"]}
    assert list(left_out(f"{tmp_path}/d/*")) == [HEIF, NO_IMAGE]
    sources, _ = find([str(shard)])
    list(sources[0].entries(lambda id: True))
    assert [(o.why, o.names) for o in sources[0].left_out.found()] == [(HEIF, ["s.tar/b.heic"])]
    assert "pillow-heif" in HEIF


def test_a_list_without_a_path_says_so(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("# nothing\n")
    (found,) = entries(tmp_path / "list.txt")
    assert "one path per line" in str(found.content)


def test_lines_that_are_not_utf_8_are_named(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_bytes(b"a.png\n\xff.png\n")
    found = entries(tmp_path / "list.txt")
    assert [e.id for e in found] == ["a.png", "\\xff.png"]
    assert "not UTF-8" in str(found[1].content)


def test_files_keep_the_path_as_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, "p/a.png", "b")
    monkeypatch.chdir(tmp_path)
    assert ids("p/a.png", "b", "none.png") == ["p/a.png", "b", "none.png"]


# --- archives ---

MEMBERS = {"a.png": png(1), "./d/b.jpg": png(2), "a.json": b"{}", "d/._b.jpg": b"", "c.png": png(3)}


@pytest.mark.parametrize("name", ["s.tar", "s.tar.gz", "s.tgz", "s.tar.bz2", "s.tar.xz"])
def test_archives_give_their_image_members_in_order(tmp_path: Path, name: str) -> None:
    path = archive(tmp_path / name, MEMBERS, "w:" + {"tgz": "gz"}.get(name[-3:], name[6:]))
    found = entries(path)
    assert [e.id for e in found] == [f"{name}/{m}" for m in ("a.png", "d/b.jpg", "c.png")]
    assert [e.content for e in found] == [png(1), png(2), png(3)]


def test_an_archive_from_stdin(tmp_path: Path) -> None:
    path = archive(tmp_path / "s.tar.gz", MEMBERS, "w:gz")
    found = entries("-", stdin=io.BytesIO(path.read_bytes()))
    assert [e.id for e in found] == ["stdin/a.png", "stdin/d/b.jpg", "stdin/c.png"]


@pytest.mark.parametrize("name", ["s.tar", "s.tar.gz"])
def test_a_cut_archive_gives_what_is_whole_and_says_that_it_is_cut(
    tmp_path: Path, name: str
) -> None:
    """At every length: nothing is lost without a word, and there is no half image."""
    mode = "w:gz" if name.endswith("gz") else "w"
    images = [png(1), png(2)]
    path = archive(tmp_path / name, dict(zip(("a.png", "b.png"), images, strict=True)), mode)
    whole = path.read_bytes()
    cut = 0
    for size in range(0, min(len(whole), 3000), 7):
        path.write_bytes(whole[:size])
        found = entries(path)
        wrong = faults(found)
        good = [entry.content for entry in found if entry not in wrong]
        assert good == images[: len(good)]
        assert len(wrong) == 1 or (not wrong and len(good) == 2), size
        assert not wrong or found[-1].id == name
        cut += len(wrong)
    assert cut > 10


def test_a_damaged_header_does_not_pass_for_the_end(tmp_path: Path) -> None:
    """tarfile alone would stop there without a word."""
    path = archive(tmp_path / "s.tar", {"a.png": png(1), "b.png": png(2), "c.png": png(3)})
    data = bytearray(path.read_bytes())
    data[1024 + 10] ^= 1
    path.write_bytes(data)
    with tarfile.open(path) as tar:
        assert len(tar.getnames()) == 1
    found = entries(path)
    assert [e.id for e in found] == ["s.tar/a.png", "s.tar"]
    assert "1 images were found" in str(found[1].content)


def test_archives_that_are_none_or_hold_no_image_say_so(tmp_path: Path) -> None:
    (tmp_path / "s.tar").write_bytes(b"not an archive" * 100)
    archive(tmp_path / "t.tar", {"a.txt": b""})
    found = entries(tmp_path / "s.tar", tmp_path / "t.tar", tmp_path / "none.tar")
    assert len(faults(found)) == 3
    assert "no image files" in str(found[1].content)
    assert "No such file" in str(found[2].content)


def test_a_member_of_many_gigabytes_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clipcodec.bulk.entries.LARGEST", 100)
    path = archive(tmp_path / "s.tar", {"a.png": b"x" * 101, "b.png": b"x"})
    found = entries(path)
    assert "above the limit" in str(found[0].content)
    assert found[1].content == b"x"


# --- arrays ---


def test_an_array_gives_its_rows_by_number(tmp_path: Path) -> None:
    rows = np.arange(12.0).reshape(3, 4)
    np.save(tmp_path / "x.npy", rows)
    np.save(tmp_path / "one.npy", rows[0])
    found = entries(tmp_path / "x.npy", tmp_path / "one.npy")
    assert [e.id for e in found] == ["x.npy/0", "x.npy/1", "x.npy/2", "one.npy/0"]
    assert np.array_equal(np.stack([np.asarray(e.content) for e in found]), [*rows, rows[0]])
    assert isinstance(found[0].content, np.memmap), "the file is not read into memory"


def save_all_kinds(folder: Path, rows: np.ndarray[Any, Any]) -> list[str]:
    torch = pytest.importorskip("torch")
    np.save(folder / "x.npy", rows)
    np.savez(folder / "x.npz", rows)
    save_file({"embeddings": rows}, folder / "x.safetensors")
    np.savetxt(folder / "x.csv", rows, delimiter=",")
    torch.save(torch.from_numpy(rows), folder / "x.pt")
    return ["x.csv", "x.npy", "x.npz", "x.pt", "x.safetensors"]


def test_every_kind_of_array_gives_the_same_rows(tmp_path: Path) -> None:
    rows = np.arange(12.0, dtype=np.float32).reshape(3, 4)
    for name in save_all_kinds(tmp_path, rows):
        found = entries(tmp_path / name)
        assert [e.id for e in found] == [f"{name}/{i}" for i in range(3)]
        assert np.array_equal(np.stack([np.asarray(e.content) for e in found]), rows)
        if name in ("x.npy", "x.safetensors"):
            assert isinstance(found[0].content, np.memmap)


def test_arrays_beside_images_are_taken_by_their_own_suffix(tmp_path: Path) -> None:
    """A table or the weights of a model are not taken for embeddings because they are there."""
    names = save_all_kinds(tmp_path, np.ones((1, 4), np.float32))
    make(tmp_path, "a.png")
    others = ["x.npz", "x.pt", "x.safetensors"]
    top = f"{tmp_path}/"
    found = {id.removeprefix(top) for id in ids(f"{top}*")}
    assert found == {"a.png", "x.npy/0"}
    assert left_out(f"{top}*") == {
        NO_IMAGE: [f"{top}x.csv"],
        OTHER_INPUT: [f"{top}{name}" for name in others],
    }
    assert left_out(tmp_path) == {NO_IMAGE: ["x.csv"], OTHER_INPUT: ["x.npy", *others]}
    for name in names:
        assert ids(f"{top}*{Path(name).suffix}") == [f"{name}/0"]


def test_an_array_whose_name_is_not_utf_8_is_one_failure(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.npy"))
    try:
        np.save(path, np.ones((3, 4)))
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    (found,) = entries(path)
    assert "not UTF-8" in str(found.content)
    assert (found.id, found.rows) == ("\\xff.npy", 3)


def test_arrays_that_hold_no_rows_say_so(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((2, 3, 4)))
    (tmp_path / "y.npy").write_bytes(b"\x93NUMPY\x01\x00")
    found = entries(tmp_path / "x.npy", tmp_path / "y.npy")
    assert [type(e.content) for e in found] == [EmbeddingError] * 2
    assert "(2, 3, 4)" in str(found[0].content)
