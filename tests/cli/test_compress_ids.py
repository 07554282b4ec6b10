"""`clipcodec compress --ids`: a name for each row, or a clear refusal; nothing half-written."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import clipcodec
from clipcodec import InputError, OptionError
from clipcodec.bulk import Job, Target
from tests.helpers.processes import caller, run
from tests.helpers.profiles import drawn

NAMES = ["a.jpg", "b c.jpg", "ü/d.jpg", "17"]


@pytest.fixture
def cli(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> Any:
    """Runs a command beside rows.npy, more.npy (four rows, two), names.txt and one.npy."""
    monkeypatch.chdir(tmp_path)
    x = drawn(7)
    np.save("rows.npy", x[:4])
    np.save("more.npy", x[4:6])
    np.save("one.npy", x[6])
    Path("names.txt").write_text("".join(f"{name}\n" for name in NAMES), "utf-8")
    return caller(capsysbinary)


def ids(name: str) -> list[str | None]:
    with clipcodec.open(name) as container:
        return container.ids


def test_a_name_for_each_row(cli: Any) -> None:
    """The streams are those without it, and `decompress --ids` gives the same text."""
    assert cli("compress", "rows.npy", "-o", "plain.clpc")[0] == 0
    code, out, err = cli("compress", "rows.npy", "--ids", "names.txt")
    assert (code, out) == (0, "")
    assert err.startswith("rows.npy: 4 embeddings, ")
    assert ids("rows.clpc") == NAMES
    with clipcodec.open("plain.clpc") as plain, clipcodec.open("rows.clpc") as named:
        assert named[:] == plain[:]
    assert cli("decompress", "rows.clpc", "--ids", "again.txt", "-q")[0] == 1  # rows.npy is there
    assert cli("decompress", "rows.clpc", "-o", "x.npy", "--ids", "again.txt", "-q")[0] == 0
    assert Path("again.txt").read_bytes() == Path("names.txt").read_bytes()


def test_all_inputs_together(cli: Any) -> None:
    """In their order, as `decompress` writes those of several containers."""
    Path("names.txt").write_text("\n".join(map(str, range(6))))
    assert cli("compress", "more.npy", "rows.npy", "-o", "all.clpc", "--ids", "names.txt")[0] == 0
    assert ids("all.clpc") == [str(i) for i in range(6)]
    with clipcodec.open("all.clpc") as container:
        assert container["0"] == clipcodec.encode_embedding(np.load("more.npy")[0])
    code, _, err = cli("compress", "more.npy", "rows.npy", "--ids", "names.txt")
    assert code == 2
    assert "--ids names the rows of all inputs together: give -o OUT.clpc" in err


def test_empty_lines_and_repeated_names_are_said(cli: Any) -> None:
    """All rows are kept."""
    Path("names.txt").write_text("a\n\na\nb\n")
    code, _, err = cli("compress", "rows.npy", "--ids", "names.txt")
    assert code == 0
    assert ids("rows.clpc") == ["a", None, "a", "b"]
    first, second, _ = err.splitlines()
    assert (
        first == "names.txt: 1 id is used more than once, and finds the last row that has it: 'a'"
    )
    assert second == "names.txt: 1 empty line: rows without an id"
    assert cli("compress", "rows.npy", "--ids", "names.txt", "-fq")[2] == ""


@pytest.mark.parametrize(
    ("text", "count"), [("a\nb\nc\n", 3), ("a\nb\nc\nd\n\n", 5), ("", 0), ("a\nb\nc\nd\ne", 5)]
)
def test_another_number_of_names(cli: Any, text: str, count: int) -> None:
    Path("names.txt").write_text(text)
    code, _, err = cli("compress", "rows.npy", "--ids", "names.txt", "-q")
    assert (code, sorted(os.listdir())) == (1, ["more.npy", "names.txt", "one.npy", "rows.npy"])
    assert f"{count} ids for 4 rows: give one for each row" in err
    command = ("compress", "rows.npy", "more.npy", "--ids", "names.txt", "-qo", "all.clpc")
    code, _, err = cli(*command)
    assert f"{count} ids for 6 rows (rows.npy 4, more.npy 2)" in err
    assert code == 1


def test_a_row_that_fails_takes_its_name_with_it(cli: Any) -> None:
    x = np.load("rows.npy")
    x[1] = np.nan
    np.save("rows.npy", x)
    code, _, err = cli("compress", "rows.npy", "--ids", "names.txt")
    assert code == 1
    assert "rows.npy/1: " in err
    assert ids("rows.clpc") == [NAMES[0], *NAMES[2:]]


def test_resume_goes_by_the_names(cli: Any) -> None:
    """More rows may follow; but a container must have been begun in the same way."""
    assert cli("compress", "rows.npy", "--ids", "names.txt", "--quality", "20")[0] == 0
    more = ("-o", "rows.clpc", "--quality", "20", "--resume")
    code, _, err = cli("compress", "rows.npy", "--ids", "names.txt", *more)
    assert (code, "no embedding is new" in err) == (0, True)
    Path("new.txt").write_text("a.jpg\nnew.jpg\n")
    assert cli("compress", "more.npy", "--ids", "new.txt", *more)[0] == 0
    assert ids("rows.clpc") == [*NAMES, "new.jpg"]
    code, _, err = cli("compress", "more.npy", *more)
    assert code == 2
    assert "was begun with --ids given, not without it" in err
    for text, words in (
        ("a\n\n", "1 rows are given no id"),
        ("a\na\n", "1 ids are given to several"),
    ):
        Path("new.txt").write_text(text)
        code, _, err = cli("compress", "more.npy", "--ids", "new.txt", *more)
        assert (code, words in err) == (2, True)
    assert len(ids("rows.clpc")) == 5


def test_an_interrupted_job_goes_on(cli: Any) -> None:
    """What was written is known by its name."""
    job = Job("rows.npy", "out.clpc", Target(quality=20), ids=NAMES, workers=0)
    with pytest.raises(KeyboardInterrupt):
        job.run(lambda done, total: exec("raise KeyboardInterrupt") if done else None)
    assert Path("out.clpc.part").exists()
    options = ("--ids", "names.txt", "--quality", "20", "-o", "out.clpc", "--resume")
    assert cli("compress", "rows.npy", *options)[0] == 0
    assert ids("out.clpc") == NAMES


def test_where_names_mean_nothing(cli: Any) -> None:
    Path("p.jpg").write_bytes(b"\xff\xd8\xff")
    for inputs, options, words in (
        (["one.npy"], [], "--ids is for a container, and one.npy becomes one stream"),
        (["rows.npy"], ["-o", "out/"], "--ids is for a container"),
        (["p.jpg"], ["-o", "out.clpc"], "images have their paths as ids"),
        (["t.parquet"], ["--column", "e"], "a table keeps its column of ids"),
        (["-"], ["--ids", "-"], "stdin can be only one input"),
    ):
        code, _, err = cli("compress", *inputs, "--ids", "names.txt", *options)
        assert words in err
        assert code == 2 or (inputs == ["one.npy"] and code == 1)
    assert not Path("out.clpc").exists()


def test_pipes_and_the_plan(cli: Any) -> None:
    data = Path("rows.npy").read_bytes()
    done = run("compress", "-", "--ids", "names.txt", "-o", "out.clpc", stdin=data)
    assert (done.returncode, ids("out.clpc")) == (0, NAMES)
    names = Path("names.txt").read_bytes()
    done = run("compress", "rows.npy", "--ids", "-", "-o", "-", stdin=names)
    Path("x.clpc").write_bytes(done.stdout)
    assert ids("x.clpc") == NAMES
    code, out, _ = cli("compress", "rows.npy", "--ids", "names.txt", "-o", "n.clpc", "--dry-run")
    assert (code, out.splitlines()) == (0, NAMES)


def test_a_mean_counts_the_names(cli: Any) -> None:
    rng = np.random.default_rng(1)
    np.save("rows.npy", drawn(600))
    names = [rng.bytes(10).hex() for _ in range(600)]
    Path("names.txt").write_text("\n".join(names))
    assert cli("compress", "rows.npy", "--ids", "names.txt", "--mean-bytes", "50")[0] == 0
    assert 49 < os.path.getsize("rows.clpc") / 600 < 51
    with clipcodec.open("rows.clpc") as container:
        assert json.dumps(container.metadata["clipcodec"]["ids"]) == '"given"'


def test_in_python(cli: Any) -> None:
    for wrong, error in (
        (["a"] * 3, InputError), ("abcd", OptionError), (["a", "b", "c", 4], OptionError),
        (["a", "b", "c", "x" * 4097], OptionError), (["a", "b", "c", ""], OptionError),
    ):  # fmt: skip
        with pytest.raises(error):
            Job("rows.npy", "out.clpc", ids=wrong, workers=0).run()  # type: ignore[arg-type]
    assert Job("rows.npy", "out.clpc", ids=[None, *NAMES[1:]], workers=0).run().compressed == 4
    assert ids("out.clpc") == [None, *NAMES[1:]]
