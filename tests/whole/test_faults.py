"""Faults from outside: killed processes, full disks, damaged caches, no home, no network.

Every command is a real one in a real subprocess. What goes wrong must be said on one line that
names the file and the remedy, must leave what was there before, and must not outlive its cause.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import clipcodec
from tests.helpers import tiny_models
from tests.helpers.processes import MAIN, ONE_THREAD, PACKAGE
from tests.helpers.profiles import cone, drawn

TEMPORARY = re.compile(r"\.clipcodec-[0-9a-f]{12}\.tmp")


def cli(
    *args: object, before: str = "", under: tuple[str, ...] = (), **env: str | None
) -> subprocess.CompletedProcess[str]:
    """`clipcodec ARGS`, after the code `before`, run by the command `under`; None unsets."""
    kept = {**os.environ, "PYTHONPATH": str(PACKAGE), **env}
    return subprocess.run(
        [*under, sys.executable, "-c", before + MAIN, *map(str, args)],
        capture_output=True, text=True, timeout=300, check=False,
        env={name: value for name, value in kept.items() if value is not None},
    )  # fmt: skip


def complaint(done: subprocess.CompletedProcess[str]) -> str:
    """The one line of a command that failed."""
    lines = done.stderr.splitlines()
    assert (done.returncode, done.stdout, len(lines)) == (1, "", 1), done
    assert lines[0].startswith("clipcodec: ")
    return lines[0]


def namespace(setup: str) -> tuple[str, ...]:
    """Run a command where `setup` has mounted what it likes, unseen from outside."""
    prefix = ("unshare", "-rm", "sh", "-ec", f'{setup}\nexec "$@"', "sh")
    try:
        done = subprocess.run([*prefix, "true"], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("unshare is not at hand")
    if done.returncode:
        pytest.skip(f"mounts are not allowed here: {done.stderr}")
    return prefix


def permitted_only() -> tuple[str, ...]:
    """Run a command for which permission bits count, though the user be root."""
    if os.geteuid():
        return ()
    prefix = ("setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all")
    try:
        subprocess.run([*prefix, "true"], capture_output=True, check=True)
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        pytest.skip(f"root cannot do without its privileges here: {error}")
    return prefix


def read_only(*folders: Path) -> str:
    """Setup for `namespace`: not even root can write there."""
    return "\n".join(f"mount --bind {f} {f}; mount -o remount,bind,ro {f}" for f in folders)


@pytest.fixture(scope="module")
def x() -> np.ndarray:
    return drawn(1)[0]


@pytest.fixture(scope="module")
def stream(x: np.ndarray) -> bytes:
    return clipcodec.encode_embedding(x)


@pytest.fixture
def npy(tmp_path: Path, x: np.ndarray) -> Path:
    np.save(tmp_path / "x.npy", x)
    return tmp_path / "x.npy"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An output folder with an older x.out in it."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "x.out").write_bytes(b"old")
    return tmp_path / "out"


# --- stopped while writing ---

# as from a terminal: what runs in the background or under nohup ignores some of them
HEARD = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGTERM, signal.SIG_DFL)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
"""
STOP = """
import os, signal
at, number = {moment!r}, signal.{signal}

def stop(moment, arguments=".clipcodec-"):
    if moment == at and ".clipcodec-" in str(arguments):
        os.kill(os.getpid(), number)

def watch(name):
    real = getattr(os, name)
    def watched(*args, **options):
        mark = args if name != "fsync" else ".clipcodec-"
        stop("before " + name, mark)
        result = real(*args, **options)
        stop("after " + name, mark)
        return result
    setattr(os, name, watched)

for name in ("open", "fsync", "link", "replace"):
    watch(name)

class Halting:
    def __init__(self, file):
        self.file = file
    def __enter__(self):
        return self
    def __exit__(self, *reason):
        return self.file.__exit__(*reason)
    def __getattr__(self, name):
        return getattr(self.file, name)
    def write(self, data):
        self.file.write(data[: len(data) // 2])
        self.file.flush()
        stop("half")
        self.file.write(data[len(data) // 2 :])

fdopen = os.fdopen
os.fdopen = lambda *args, **options: Halting(fdopen(*args, **options))
"""
MOMENTS = ("after open", "half", "before fsync", "after fsync")


def leftovers(folder: Path) -> list[Path]:
    """Temporary files; anything else beside x.out is a fault."""
    others = [path for path in folder.iterdir() if path.name != "x.out"]
    assert all(TEMPORARY.fullmatch(path.name) for path in others), others
    return others


@pytest.mark.slow
@pytest.mark.parametrize("moment", [*MOMENTS, "before replace", "after replace"])
def test_sigkill_while_overwriting_leaves_the_old_file_or_the_new_one(
    npy: Path, folder: Path, stream: bytes, moment: str
) -> None:
    """And at most one hidden temporary file. The next run knows nothing of it."""
    command = ("compress", npy, "-o", folder / "x.out", "-f")
    done = cli(*command, before=STOP.format(moment=moment, signal="SIGKILL"))
    assert done.returncode == -signal.SIGKILL
    after = moment == "after replace"
    assert (folder / "x.out").read_bytes() == (stream if after else b"old")
    assert len(leftovers(folder)) == (0 if after else 1)
    assert cli(*command).returncode == 0
    assert (folder / "x.out").read_bytes() == stream


@pytest.mark.slow
@pytest.mark.parametrize("moment", [*MOMENTS, "before link", "after link"])
def test_sigkill_while_making_a_file_leaves_none_or_a_whole_one(
    npy: Path, folder: Path, stream: bytes, moment: str
) -> None:
    (folder / "x.out").unlink()
    done = cli("compress", npy, "-o", folder / "x.out",
               before=STOP.format(moment=moment, signal="SIGKILL"))  # fmt: skip
    assert done.returncode == -signal.SIGKILL
    after = moment == "after link"
    assert (folder / "x.out").exists() == after
    assert not after or (folder / "x.out").read_bytes() == stream
    assert len(leftovers(folder)) == 1


@pytest.mark.slow
@pytest.mark.parametrize("moment", [*MOMENTS, "before replace"])
@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_being_asked_to_stop_leaves_the_old_file_and_nothing_else(
    npy: Path, folder: Path, moment: str, name: str, code: int
) -> None:
    done = cli("compress", npy, "-o", folder / "x.out", "-f",
               before=HEARD + STOP.format(moment=moment, signal=name))  # fmt: skip
    assert (done.returncode, done.stdout) == (code, "")
    assert "Traceback" not in done.stderr
    assert (folder / "x.out").read_bytes() == b"old"
    assert leftovers(folder) == []


def test_a_signal_that_is_ignored_stays_ignored(npy: Path, folder: Path, stream: bytes) -> None:
    """As under nohup."""
    ignore = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
    done = cli("compress", npy, "-o", folder / "x.out", "-qf",
               before=ignore + STOP.format(moment="half", signal="SIGHUP"))  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert (folder / "x.out").read_bytes() == stream


@pytest.mark.parametrize("moment", ["half", "before replace"])
def test_sigkill_while_decompressing(
    tmp_path: Path, folder: Path, stream: bytes, moment: str
) -> None:
    (tmp_path / "in.clip").write_bytes(stream)
    command = ("decompress", tmp_path / "in.clip", "-o", folder / "x.out", "-f")
    done = cli(*command, before=STOP.format(moment=moment, signal="SIGKILL"))
    assert done.returncode == -signal.SIGKILL
    assert (folder / "x.out").read_bytes() == b"old"
    assert len(leftovers(folder)) == 1


@pytest.mark.slow
def test_sigkill_at_the_end_of_training_leaves_no_half_profile(
    tmp_path: Path, folder: Path
) -> None:
    np.save(tmp_path / "rows.npy", cone(1100, 16))
    done = cli("train", "--embeddings", tmp_path / "rows.npy", "-o", folder / "x.out", "-qf",
               "--hidden", 0, before=STOP.format(moment="half", signal="SIGKILL"),
               **ONE_THREAD)  # fmt: skip
    assert done.returncode == -signal.SIGKILL
    assert (folder / "x.out").read_bytes() == b"old"
    assert len(leftovers(folder)) == 1


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 300, 900])
def test_sigkill_from_outside_leaves_whole_streams_only(tmp_path: Path, count: int) -> None:
    """A thousand streams to a folder, killed when so many are there; -f then completes them."""
    rows = drawn(1000, seed=1)
    np.save(tmp_path / "x.npy", rows)
    expected = clipcodec.encode_embeddings(rows)
    out = tmp_path / "out"
    command = [
        sys.executable,
        "-m",
        "clipcodec",
        "compress",
        str(tmp_path / "x.npy"),
        "-o",
        f"{out}/",
        "-f",
    ]
    running = subprocess.Popen(command)
    while running.poll() is None and not (out.is_dir() and len(os.listdir(out)) >= count):
        time.sleep(0.001)
    running.kill()
    running.wait()
    names = sorted(path for path in out.iterdir() if not TEMPORARY.fullmatch(path.name))
    assert count - 1 <= len(names) <= 1000
    for i, path in enumerate(names):
        assert path.name == f"x.npy.{i:04d}.clip"
        assert path.read_bytes() == expected[i]
    assert len(os.listdir(out)) - len(names) <= 1
    assert subprocess.run(command, check=False).returncode == 0
    assert [(out / f"x.npy.{i:04d}.clip").read_bytes() for i in range(1000)] == expected


# --- nowhere to write ---


def test_a_file_size_limit_keeps_the_old_file(npy: Path, folder: Path) -> None:
    """As a quota does: some bytes can be written, not all."""
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (8, 8))\n"
    line = complaint(cli("compress", npy, "-o", folder / "x.out", "-f", before=limit))
    assert f"{npy}: {folder / 'x.out'}: cannot be written: File too large" in line
    assert (folder / "x.out").read_bytes() == b"old"
    assert leftovers(folder) == []


FAILING = """
import errno, os
def fail(*args, **options):
    raise OSError(errno.{code}, os.strerror(errno.{code}))
real = os.{name}
os.{name} = lambda *args, **options: (fail if {mark!r} in str(args) else real)(*args, **options)
"""


@pytest.mark.parametrize(
    ("code", "name", "mark"),
    [
        ("EROFS", "open", ".clipcodec-"),
        ("EACCES", "open", ".clipcodec-"),
        ("ENOSPC", "fsync", ""),
        ("EDQUOT", "fsync", ""),
        ("EIO", "fsync", ""),
        ("ENOSPC", "replace", ".clipcodec-"),
    ],
)
def test_whatever_fails_keeps_the_old_file_and_names_it(
    npy: Path, folder: Path, code: str, name: str, mark: str
) -> None:
    import errno

    before = FAILING.format(code=code, name=name, mark=mark)
    line = complaint(cli("compress", npy, "-o", folder / "x.out", "-f", before=before))
    assert f"{folder / 'x.out'}: cannot be written: {os.strerror(getattr(errno, code))}" in line
    assert (folder / "x.out").read_bytes() == b"old"
    assert leftovers(folder) == []


@pytest.mark.slow
def test_a_full_disk_keeps_the_old_file_and_room_lets_the_next_run_pass(
    tmp_path: Path, npy: Path, folder: Path, stream: bytes
) -> None:
    """A real one, of a few pages."""
    out = folder / "x.out"
    under = namespace(f"""
        mount -t tmpfs -o size=16k none {folder}
        printf old > {out}
        head -c 100000 /dev/zero > {folder}/fill 2> {tmp_path}/full || true
        test -s {tmp_path}/full
        if [ $# -gt 1 ]; then
            "$@" && exit 9
            test "$(ls -A {folder} | tr '\\n' ' ')" = 'fill x.out '
            test "$(cat {out})" = old
            rm {folder}/fill
            "$@" 2>> {tmp_path}/second
            cp {out} {tmp_path}/written
            exit 1
        fi""")
    line = complaint(cli("compress", npy, "-o", out, "-qf", under=under))
    assert f"{out}: cannot be written: No space left on device" in line
    assert (tmp_path / "second").read_text() == ""
    assert (tmp_path / "written").read_bytes() == stream


@pytest.mark.parametrize("verb", ["compress", "decompress"])
def test_a_read_only_folder_is_named(
    tmp_path: Path, npy: Path, folder: Path, stream: bytes, verb: str
) -> None:
    (tmp_path / "in.clip").write_bytes(stream)
    source = npy if verb == "compress" else tmp_path / "in.clip"
    under = namespace(read_only(folder))
    for out in (folder / "x.out", folder / "new.out"):
        done = cli(verb, source, "-o", out, "-f", under=under)
        assert f"{out}: cannot be written: Read-only file system" in complaint(done)
    if verb == "compress":
        done = cli(verb, source, source.with_name("none.npy"), "-o", folder / "new", under=under)
        first, second = done.stderr.splitlines()
        assert f"{npy}: {folder / 'new'}: Read-only file system" in first
        assert "none.npy: No such file or directory" in second
    assert list(folder.iterdir()) == [folder / "x.out"]


@pytest.mark.slow
def test_missing_folders_and_files_in_place_of_folders_are_named(npy: Path, folder: Path) -> None:
    done = cli("compress", npy, "-o", folder / "none" / "x.out")
    assert (done.returncode, done.stdout) == (2, "")
    assert f"there is no folder {folder / 'none'}: make it first\n" in done.stderr
    done = cli("compress", npy, "-o", folder / "x.out" / "y.clip")
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{folder / 'x.out'} is a file, not a folder" in done.stderr
    assert (folder / "x.out").read_bytes() == b"old"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("args", [("profiles",), ("profiles", "--json"), ("info", "STREAM"),
                                  ("decompress", "STREAM", "--json"),
                                  ("decompress", "STREAM", "-o", "-")])  # fmt: skip
def test_a_full_standard_output_is_one_line(
    tmp_path: Path, stream: bytes, args: tuple[str, ...]
) -> None:
    (tmp_path / "x.clip").write_bytes(stream)
    words = [str(tmp_path / "x.clip") if word == "STREAM" else word for word in args]
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, "-m", "clipcodec", *words], stdout=full,
                              stderr=subprocess.PIPE, text=True, check=False)  # fmt: skip
    assert done.returncode == 1
    lines = [line for line in done.stderr.splitlines() if "* the default" not in line]
    assert len(lines) == 1
    assert "No space left on device" in lines[0]


# --- weights ---

COMMIT = "c0ffee".ljust(40, "0")
# a small network takes the place of OpenAI's: its files are at tiny/weights on the hub below
REGISTER = """
from clipcodec.models import BACKBONES, BackboneSpec
BACKBONES["tiny"] = BackboneSpec("tiny", "clipcodec-tiny", "openai", 16, "tiny/weights/")
"""
BUILD = (
    REGISTER
    + """
import open_clip, open_clip.pretrained
open_clip.add_model_config({config!r})
entry = {{"hf_hub": "tiny/weights/", "quick_gelu": True}}
open_clip.pretrained._PRETRAINED["clipcodec-tiny"] = {{"openai": entry}}
"""
)


class Hub:
    """A Hugging Face hub with one file. `mode`: whole, cut (half way) or stalled (half way)."""

    def __init__(self, data: bytes) -> None:
        self.data, self.mode, self.half_sent = data, "whole", threading.Event()
        self.released = threading.Event()
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                self.start()

            def do_GET(self) -> None:
                part = self.start()
                half = len(part) // 2
                self.wfile.write(part[:half])
                if hub.mode != "whole":
                    self.wfile.flush()
                    hub.half_sent.set()
                    if hub.mode == "stalled":
                        hub.released.wait(60)
                    self.close_connection = True
                    return
                self.wfile.write(part[half:])

            def start(self) -> bytes:
                known = self.path == "/tiny/weights/resolve/main/open_clip_model.safetensors"
                data = hub.data if known else b""
                asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
                at = int(asked[1]) if asked else 0
                self.send_response(404 if not known else 206 if at else 200)
                if not known:
                    self.send_header("X-Error-Code", "EntryNotFound")
                if at:
                    self.send_header("Content-Range", f"bytes {at}-{len(data) - 1}/{len(data)}")
                self.send_header("X-Repo-Commit", COMMIT)
                self.send_header("ETag", f'"{hashlib.sha256(data).hexdigest()}"')
                self.send_header("Content-Length", str(len(data) - at))
                self.end_headers()
                return data[at:]

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.released.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, str]:
    """Weights of a small network, and the code that makes it a backbone named tiny."""
    pytest.importorskip("open_clip")
    folder = tmp_path_factory.mktemp("network")
    made = tiny_models.make_folder(folder / "model")
    path = tiny_models.save(tiny_models.make_model(made), folder / "w.safetensors")
    config = folder / "clipcodec-tiny.json"
    config.write_text(json.dumps(tiny_models.config()))
    return path.read_bytes(), BUILD.format(config=str(config))


@pytest.fixture
def hub(network: tuple[bytes, str]) -> Iterator[Hub]:
    made = Hub(network[0])
    yield made
    made.close()


@pytest.fixture
def image(tmp_path: Path) -> Path:
    Image.new("RGB", (40, 30), (200, 30, 30)).save(tmp_path / "a.png")
    return tmp_path / "a.png"


def settings(home: Path | None, hub: Hub | None = None) -> dict[str, Any]:
    """The environment of a command whose cache is in `home`."""
    out: dict[str, Any] = {
        name: None for name in os.environ if name.startswith(("HF_", "HUGGINGFACE_", "CLIPCODEC_"))
    }
    out |= {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1", "XDG_CACHE_HOME": None}
    out["HF_HOME"] = None if home is None else str(home)
    if hub is None:
        return out | {"HF_HUB_OFFLINE": "1"}
    return out | {"HF_HUB_OFFLINE": None, "HF_ENDPOINT": hub.endpoint}


def fetch(home: Path | None, hub: Hub | None, **options: Any) -> Any:
    before = options.pop("before", "") + REGISTER
    return cli("fetch", "tiny", before=before, **settings(home, hub) | options)


@pytest.mark.slow
def test_a_damaged_cached_file_is_named_and_fetched_again_once_deleted(
    tmp_path: Path, network: tuple[bytes, str], hub: Hub, image: Path
) -> None:
    """Empty or cut. The path to delete is the blob itself, not the link to it; then any command
    recovers."""
    home = tmp_path / "home"
    assert fetch(home, hub).returncode == 0
    (blob,) = (home / "hub" / "models--tiny--weights" / "blobs").iterdir()
    blob.chmod(0o644)
    command = ("compress", image, "--backbone", "tiny", "-q", "-o", tmp_path / "a.clip")
    for damaged in (b"", network[0][: len(network[0]) // 2]):
        blob.write_bytes(damaged)
        line = complaint(cli(*command, before=REGISTER, **settings(home, hub)))
        assert "damaged, cut short" in line
        assert f"delete '{blob}' and run 'clipcodec fetch tiny'" in line
        assert f"'{blob}'" in complaint(fetch(home, None))
        assert not (tmp_path / "a.clip").exists()
        assert blob.read_bytes() == damaged
    blob.unlink()
    done = cli(*command, before=network[1], **settings(home, hub))
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "a.clip").exists()
    assert blob.read_bytes() == network[0]


@pytest.mark.slow
def test_a_download_cut_off_is_one_line_and_the_next_run_goes_on(tmp_path: Path, hub: Hub) -> None:
    hub.mode = "cut"
    line = complaint(fetch(tmp_path / "home", hub))
    assert "downloading tiny/weights failed" in line
    assert "clipcodec fetch tiny" in line
    hub.mode = "whole"
    done = fetch(tmp_path / "home", hub)
    assert (done.returncode, done.stderr) == (0, "tiny: 194 kB, verified\n")
    assert Path(done.stdout.strip()).read_bytes() == hub.data


@pytest.mark.slow
def test_a_killed_download_leaves_no_file_that_counts_and_the_next_run_goes_on(
    tmp_path: Path, hub: Hub
) -> None:
    hub.mode = "stalled"
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE), **settings(tmp_path / "home", hub)}
    running = subprocess.Popen(
        [sys.executable, "-c", REGISTER + MAIN, "fetch", "tiny"],
        env={name: value for name, value in environment.items() if value is not None},
    )
    assert hub.half_sent.wait(60)
    running.kill()
    running.wait()
    assert "not in" in complaint(fetch(tmp_path / "home", None))
    hub.mode = "whole"
    done = fetch(tmp_path / "home", hub)
    assert (done.returncode, done.stderr) == (0, "tiny: 194 kB, verified\n")
    assert Path(done.stdout.strip()).read_bytes() == hub.data


@pytest.mark.slow
def test_a_read_only_cache_serves_what_it_holds(
    tmp_path: Path, network: tuple[bytes, str], hub: Hub, image: Path
) -> None:
    home = tmp_path / "home"
    assert fetch(home, hub).returncode == 0
    under = namespace(read_only(home))
    assert fetch(home, None, under=under).returncode == 0
    done = cli("compress", image, "--backbone", "tiny", "-q", "-o", tmp_path / "a.clip",
               before=network[1], under=under, **settings(home))  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
def test_a_cache_that_cannot_be_filled_says_so(tmp_path: Path, hub: Hub) -> None:
    """The network is there, so that is not what the remedy is about."""
    home = tmp_path / "home"
    home.write_text("a file in the way")
    line = complaint(fetch(home, hub))
    assert f"not in {home / 'hub'}" in line
    assert "free space there and check its permissions, set HF_HOME to another folder" in line
    home.unlink()
    assert fetch(home, hub).returncode == 0


@pytest.mark.slow
def test_a_read_only_or_full_cache_says_so(tmp_path: Path, hub: Hub) -> None:
    home = tmp_path / "home"
    home.mkdir()
    full = f"mount -t tmpfs -o size=40k none {home}"
    for setup, word in ((read_only(home), "Read-only"), (full, "No space left")):
        done = fetch(home, hub, under=namespace(setup))
        assert done.returncode == 1
        *warnings, line = done.stderr.splitlines()
        assert all("warning: Not enough free disk space" in warning for warning in warnings)
        assert word in line
        assert "free space there and check its permissions, set HF_HOME to another folder" in line
    assert fetch(home, hub).returncode == 0


@pytest.mark.slow
def test_files_without_permission_to_read_say_so(
    tmp_path: Path, network: tuple[bytes, str], hub: Hub, image: Path
) -> None:
    """The cache's, and a file of one's own; not called damaged."""
    home, under = tmp_path / "home", permitted_only()
    assert fetch(home, hub).returncode == 0
    refs = home / "hub" / "models--tiny--weights" / "refs" / "main"
    refs.chmod(0)
    line = complaint(fetch(home, hub, under=under))
    assert "the Hugging Face cache cannot be read" in line
    assert str(refs) in line
    refs.chmod(0o644)
    assert fetch(home, hub, under=under).returncode == 0
    own = tmp_path / "w"
    own.write_bytes(network[0])
    own.chmod(0)
    line = complaint(cli("compress", image, "--backbone", "tiny", "--weights", own, under=under,
                         before=REGISTER, **settings(None)))  # fmt: skip
    assert f"weights file '{own}' cannot be opened (Permission denied)" in line
    assert "damaged" not in line


def test_folders_without_permission_to_write_are_named(npy: Path, folder: Path) -> None:
    under = permitted_only()
    folder.chmod(0o555)
    try:
        line = complaint(cli("compress", npy, "-o", folder / "x.out", "-f", under=under))
    finally:
        folder.chmod(0o755)
    assert f"{folder / 'x.out'}: cannot be written: Permission denied" in line
    assert (folder / "x.out").read_bytes() == b"old"


NOBODY = """
import pwd
def unknown(*_):
    raise KeyError("no such user")
pwd.getpwuid = pwd.getpwnam = unknown
"""


@pytest.mark.slow
@pytest.mark.parametrize("home", ["unset", "missing", "a file"])
def test_without_a_home_weights_are_wanting_in_one_line(
    tmp_path: Path, network: tuple[bytes, str], hub: Hub, image: Path, home: str
) -> None:
    """A file given by --weights needs no home; neither does a folder that HF_HOME names."""
    environment = settings(None) | {"HOME": str(tmp_path / "none")}
    if home == "a file":
        (tmp_path / "none").write_text("")
    if home == "unset":
        environment["HOME"] = None
    line = complaint(cli("fetch", "tiny", before=NOBODY + REGISTER, **environment))
    assert "clipcodec fetch tiny" in line
    (tmp_path / "w").write_bytes(network[0])
    done = cli("compress", image, "--backbone", "tiny", "-q", "--weights", tmp_path / "w",
               before=NOBODY + network[1], **environment)  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert fetch(tmp_path / "given", hub, before=NOBODY, HOME=environment["HOME"]).returncode == 0


def test_without_any_home_nothing_is_downloaded_to_a_folder_named_tilde(
    tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    line = complaint(fetch(None, hub, before=NOBODY, HOME=None))
    assert "there is no home directory" in line
    assert "set HF_HOME to a folder" in line
    assert list(tmp_path.iterdir()) == []


# --- decoding asks for nothing ---

SEALED = """
import sys
sys.path[:0] = {path!r}
tried = []
def sealed(event, args):
    path = str(args[0]) if args else ""
    writes = event in {{"os.mkdir", "os.rename", "os.remove", "os.link", "os.symlink", "os.utime",
                       "os.truncate", "os.chmod", "tempfile.mkstemp", "tempfile.mkdtemp",
                       "socket.connect", "socket.getaddrinfo"}}
    if event == "open" and args[2] is not None:
        import os
        writes = bool(args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
    if writes:
        if "__pycache__" not in path:
            tried.append((event, path))
        raise OSError(30, "Read-only file system", path)
sys.addaudithook(sealed)
import clipcodec
streams = [bytes.fromhex(text) for text in sys.argv[1:]]
for stream in streams:
    assert clipcodec.info(stream).size == len(stream)
print(clipcodec.decode_batch(streams).tolist() == [clipcodec.decode(s).tolist() for s in streams])
print(tried)
try:
    open("new", "w")
except OSError:
    print("sealed")
"""


@pytest.mark.parametrize("everything", ["an audit hook", "a read-only mount"])
def test_decoding_writes_nothing_and_needs_no_home(
    tmp_path: Path, x: np.ndarray, everything: str
) -> None:
    """python -I, HOME unset, unknown user, every write refused: and none is tried."""
    names = ("openai-vit-b-32/pqvae-400", "openai-vit-b-32/predictive", "any/rotation")
    streams = [clipcodec.encode_embedding(x, profile=name).hex() for name in names]
    code = NOBODY + SEALED.format(path=[str(PACKAGE)])
    under = () if everything == "an audit hook" else namespace("mount -o remount,bind,ro /")
    done = subprocess.run(
        [*under, sys.executable, "-I", "-c", code, *streams], cwd=tmp_path,
        capture_output=True, text=True, check=False, timeout=300, env={"PATH": os.environ["PATH"]},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, ""), done
    assert done.stdout.split("\n") == ["True", "[]", "sealed", ""]
