"""clipcodec.bulk.stored: a job into an object store makes the object whole or not; it resumes."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest

import clipcodec
from clipcodec import InputError, OptionError, OutputExistsError, StoreError, Target
from clipcodec.bulk import Job
from clipcodec.bulk.stored import written_to
from clipcodec.cli import main
from tests.helpers.s3_server import Server, get, put

pytest.importorskip("fsspec")
pytest.importorskip("s3fs")
pytest.importorskip("moto.server")

URL, TARGET = "s3://bucket/photos.clpc", Target(max_bytes=40)
X = np.random.default_rng(0).normal(size=(60, 64)).astype("f4")
PROFILE = {"profile": "any/rotation", "workers": 0}
LINE = ["compress", "rows.npy", "--profile", "any/rotation", "--max-bytes", "40", "--workers", "0"]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The working directory has rows.npy."""
    monkeypatch.setattr("clipcodec.bulk.pipeline.GROUP", 10)  # so that half of it can be done
    monkeypatch.chdir(tmp_path)
    np.save("rows.npy", X)


def job(out: str = URL, **options: object) -> Job:
    return Job("rows.npy", out, TARGET, **(PROFILE | options))  # type: ignore[arg-type]


def local() -> bytes:
    """What the job makes of a path."""
    job("local.clpc").run()
    data = Path("local.clpc").read_bytes()
    os.unlink("local.clpc")
    return data


def fail_to_upload(server: Server) -> None:
    server.fail = lambda method, *_: "503" if method in ("PUT", "POST") else None


def here() -> list[str]:
    return sorted(set(os.listdir()) - {"rows.npy"})


def test_the_object_is_what_the_file_would_be(server: Server) -> None:
    """And nothing is left here."""
    result = job().run()
    assert (result.compressed, result.failed) == (60, 0)
    assert get(URL) == local()
    assert result.size == len(local())
    assert here() == []


def stopped(mode: str = "new") -> Job:
    """A job that is interrupted when half of it is done."""

    def progress(done: int, total: int | None) -> None:
        if done >= 30:
            raise KeyboardInterrupt

    found = job(mode=mode)
    with pytest.raises(KeyboardInterrupt):
        found.run(progress)
    return found


def test_one_that_is_interrupted_leaves_nothing_in_the_store_and_goes_on(server: Server) -> None:
    found = stopped()
    assert get(URL) is None
    assert found.unfinished is not None
    assert [found.unfinished.name] == here() == [f"{written_to(URL)}.part"]
    with pytest.raises(OutputExistsError, match=r"was not finished.*--resume goes on"):
        job().run()
    done = len(clipcodec.open(found.unfinished, partial=True))
    assert done
    result = job(mode="resume").run()
    assert (result.there_already, result.compressed) == (done, 60 - done)
    assert [*clipcodec.open(URL).items()] == [*clipcodec.open(io.BytesIO(local())).items()]
    assert here() == []


def test_an_upload_that_fails_leaves_the_whole_file_and_is_done_again(server: Server) -> None:
    fail_to_upload(server)
    found = job()
    with pytest.raises(StoreError, match=r"s3://bucket/photos\.clpc"):
        found.run()
    server.reset()
    assert get(URL) is None
    assert found.unfinished == Path(written_to(URL)).resolve()
    assert len(clipcodec.open(found.unfinished)) == 60
    result = job(mode="resume").run()
    assert (result.there_already, result.compressed) == (60, 0)
    assert get(URL) == local()
    assert here() == []


def test_an_object_that_exists(server: Server) -> None:
    """It is kept, replaced when the new one is whole, and never appended to."""
    put(b"before", URL)
    for work in (job().run, job().plan):
        with pytest.raises(OutputExistsError, match=r"photos\.clpc exists: to replace it"):
            work()
    with pytest.raises(OutputExistsError, match="is there, and nothing can be appended to an obj"):
        job(mode="resume").run()
    stopped("replace")
    fail_to_upload(server)
    with pytest.raises(StoreError):
        job(mode="replace").run()
    server.reset()
    assert get(URL) == b"before"
    job(mode="replace").run()
    assert get(URL) == local()
    assert here() == []


def test_one_that_another_makes_meanwhile_is_kept(server: Server) -> None:
    def progress(done: int, total: int | None) -> None:
        put(b"another's", URL)

    found = job()
    with pytest.raises(OutputExistsError):
        found.run(progress)
    assert get(URL) == b"another's"
    assert found.unfinished is not None
    assert len(clipcodec.open(found.unfinished)) == 60


def test_a_plan_writes_nothing(server: Server) -> None:
    assert len(job().plan().ids) == 60
    assert (get(URL), here()) == (None, [])


def test_what_cannot_be_made_leaves_nothing(server: Server) -> None:
    np.save("rows.npy", X[:0])
    with pytest.raises(InputError):
        job().run()
    with pytest.raises(OptionError, match="http cannot be written to"):
        job("https://localhost/a.clpc").run()
    with pytest.raises(OptionError, match="s3://bucket/ is a folder"):
        job("s3://bucket/").run()
    assert (get(URL), here()) == (None, [])


def test_objects_of_one_name_have_files_of_their_own(server: Server) -> None:
    urls = [URL, "s3://bucket/more/photos.clpc", "s3://bucket/photos.2.clpc"]
    assert len({written_to(url) for url in urls}) == 3
    assert written_to(URL) == written_to(URL)
    assert written_to("a/photos.clpc") == "a/photos.clpc"
    assert written_to(Path("a.clpc").resolve().as_uri()) == str(Path("a.clpc").resolve())


# --- on the command line ---


def test_compress_goes_on(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    fail_to_upload(server)
    assert main([*LINE, "-o", URL]) == 1
    said = capsys.readouterr().err
    assert f"what was written is in {Path(written_to(URL)).resolve()}: the same command" in said
    server.reset()
    assert main([*LINE, "-o", URL, "--resume"]) == 0
    assert "60 there already" in capsys.readouterr().err
    assert len(clipcodec.open(URL)) == 60
    assert here() == []
    assert main([*LINE, "-o", URL, "--resume"]) == 1
    assert "nothing can be appended to an object" in capsys.readouterr().err
    assert main([*LINE, "-o", URL, "-f"]) == 0
    assert main([*LINE, "-o", URL, "-f", "--dry-run"]) == 0
    assert here() == []
