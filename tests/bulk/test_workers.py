"""Where worker processes cannot start, one typed error names the cause, and workers=0 works."""

from __future__ import annotations

import errno
import multiprocessing
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from clipcodec import Codec
from clipcodec.bulk import Job, pipeline, workers
from clipcodec.bulk.entries import Entry
from clipcodec.errors import WeightsError, WorkerError
from clipcodec.target import Target
from tests.helpers.processes import PACKAGE
from tests.helpers.profiles import cone, write_tiny_profile

PROGRAM = """
import os, sys
from clipcodec.bulk import Job

def start():
    job = Job("rows.npy", "o.clpc", profile="any/rotation", workers=int(os.environ["COUNT"]),
              mode="replace")
    print(job.run().compressed, "compressed")

"""
GUARDED = PROGRAM + "if __name__ == '__main__':\n    "
DAEMON = GUARDED + (
    "from multiprocessing import get_context\n"
    "    child = get_context('spawn').Process(target=start, daemon=True)\n"
    "    child.start()\n"
    "    child.join()\n"
    "    sys.exit(child.exitcode)\n"
)
KILLED = f"""
if __name__ == '__mp_main__':
    import os, signal
    os.kill(os.getpid(), signal.SIGKILL)
{GUARDED}start()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    np.save(tmp_path / "rows.npy", cone(5, 16))
    return tmp_path


def run(folder: Path, program: str, count: int, *, file: bool) -> tuple[int, str, str]:
    name = "-"
    if file:
        name = "program.py"
        (folder / name).write_text(program, "utf-8")
    done = subprocess.run(
        [sys.executable, name], cwd=folder, input="" if file else program, capture_output=True,
        text=True, timeout=120, check=False,
        env={**os.environ, "PYTHONPATH": str(PACKAGE), "COUNT": str(count)},
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("program", "file", "cause"),
    [
        (GUARDED + "start()\n", False, "they import the program, and <stdin> is no file"),
        (GUARDED + "os.remove(__file__)\n    start()\n", True, "program.py is no file"),
        (PROGRAM + "start()\n", True, 'Put its start under `if __name__ == "__main__":`'),
        (DAEMON, True, "this process is a daemonic one, such as a worker of Celery"),
    ],
)
def test_a_program_that_cannot_have_workers_is_told_why_and_what_helps(
    program: str, file: bool, cause: str, folder: Path
) -> None:
    code, out, err = run(folder, program, 2, file=file)
    last = err.splitlines()[-1]
    assert (code, out) == (1, "")
    assert last.startswith("clipcodec.errors.WorkerError: worker processes cannot start: ")
    assert cause in last
    assert last.endswith(", or give workers=0 (--workers 0)")
    assert "memory" not in err
    assert not list(folder.glob("o.clpc*"))
    assert run(folder, program, 0, file=file)[:2] == (0, "5 compressed\n")


@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL")
def test_workers_that_are_killed_while_they_start_are_not_blamed_on_the_program(
    folder: Path,
) -> None:
    code, _, err = run(folder, KILLED, 1, file=True)
    assert code == 1
    assert "cannot start: they were killed, perhaps for lack of memory" in err.splitlines()[-1]


@pytest.mark.parametrize("start", ["", "start()\n"])
def test_a_guarded_program_has_its_workers(start: str, folder: Path) -> None:
    """The same program with and without work: the tests above fail for their cause alone."""
    expected = "5 compressed\n" if start else ""
    assert run(folder, GUARDED + (start or "pass\n"), 2, file=True)[:2] == (0, expected)


def test_a_frozen_program_needs_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    main = ModuleType("__main__")
    main.__file__ = "/nowhere/program.py"
    monkeypatch.setitem(sys.modules, "__main__", main)
    with pytest.raises(WorkerError, match=r"program\.py is no file"):
        workers.check_possible(2)
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    workers.check_possible(2)


# --- the system ---


def results(count: int) -> list[Any]:
    entries = (Entry(str(i), f"row {i}", row) for i, row in enumerate(cone(20, 16)))
    groups = list(pipeline.compress(Codec("any/rotation"), entries, workers=count))
    return [result for group in groups for result in group]


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSYS, "Function not implemented"),  # AWS Lambda
        PermissionError(errno.EACCES, "Permission denied"),
        ImportError("This platform lacks a functioning sem_open implementation"),
    ],
)
def test_without_dev_shm(error: Exception, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from multiprocessing import synchronize

    def fail(*args: object, **options: object) -> None:
        raise error

    monkeypatch.setattr(synchronize.SemLock, "__init__", fail)
    with pytest.raises(WorkerError, match=r"make /dev/shm a file .*, or give workers=0") as caught:
        results(2)
    assert str(error) in str(caught.value)
    with pytest.raises(WorkerError):
        Job(folder / "rows.npy", folder / "o.clpc", profile="any/rotation", workers=1).run()
    assert not list(folder.glob("o.clpc*"))
    assert len(results(0)) == 20


@pytest.mark.skipif(os.name == "nt", reason="another way to start processes")
@pytest.mark.parametrize("good", [0, 1])
def test_the_system_lets_no_process_start(good: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not the first one, or not the second."""
    from multiprocessing import popen_spawn_posix

    launch = popen_spawn_posix.Popen._launch  # type: ignore[attr-defined]
    starts = 0

    def fail(self: Any, process: Any) -> None:
        nonlocal starts
        starts += 1
        if starts > good:
            raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
        launch(self, process)

    monkeypatch.setattr(popen_spawn_posix.Popen, "_launch", fail)
    monkeypatch.setattr(pipeline, "GROUP", 4)
    with pytest.raises(WorkerError, match=r"Resource temporarily unavailable\. .*workers=0"):
        results(2)
    assert starts == good + 1
    assert not multiprocessing.active_children()


def test_a_working_folder_that_is_gone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone() -> str:
        raise FileNotFoundError(errno.ENOENT, "No such file or directory")

    monkeypatch.setattr(os, "getcwd", gone)
    with pytest.raises(WorkerError, match=r"No such file or directory\. .*workers=0"):
        results(2)


def test_too_many_open_files_are_not_blamed_on_dev_shm(monkeypatch: pytest.MonkeyPatch) -> None:
    from multiprocessing import synchronize

    def fail(*args: object, **options: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(synchronize.SemLock, "__init__", fail)
    with pytest.raises(WorkerError, match="Too many open files") as caught:
        results(1)
    assert "shm" not in str(caught.value)


# --- the profile ---


def test_a_profile_that_a_worker_cannot_read_is_its_own_error(tmp_path: Path) -> None:
    """Not that of a process that was killed."""
    path = write_tiny_profile(tmp_path / "tiny.safetensors")
    profile = Codec(path).profile
    executor = workers.pool(1, workers.Task(profile, Target()))
    try:
        executor.submit(int).result(timeout=60)
    finally:
        executor.shutdown()
    path.unlink()
    entries = [Entry("a", "row a", np.ones(profile.dim or 1, np.float32))]
    with pytest.raises(WeightsError, match=r"tiny\.safetensors"):
        list(pipeline.compress(Codec(profile), entries, workers=1))
