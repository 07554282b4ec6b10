"""`--embed-profile`, and `--profile FILE.clpc`: a profile that travels in a container."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import clipcodec
from clipcodec.bulk import Job
from clipcodec.errors import DecodeError, OptionError
from tests.helpers.processes import exit_code, run
from tests.helpers.profiles import cone, write_tiny_profile

COUNT = 40


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows, a profile of one's own, and a container that carries it."""
    folder = tmp_path_factory.mktemp("carried")
    np.save(folder / "rows.npy", cone(COUNT, 8))
    np.save(folder / "more.npy", cone(7, 8, seed=1))
    write_tiny_profile(folder / "own.safetensors")
    write_tiny_profile(folder / "other.safetensors", seed=5, name="private/other")
    Job(folder / "rows.npy", folder / "own.clpc", profile=folder / "own.safetensors",
        embed_profile=True).run()  # fmt: skip
    Job(folder / "rows.npy", folder / "plain.clpc", profile="any/rotation").run()
    return folder


@pytest.fixture
def here(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with copies of these, but without the profile's file."""
    for name in ("rows.npy", "more.npy", "own.clpc", "plain.clpc"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def said(capsys: pytest.CaptureFixture[str], *args: object) -> tuple[object, str]:
    code = exit_code(*args)
    return code, capsys.readouterr().err


# --- into a container ---


def test_the_container_decodes_without_the_profiles_file(folder: Path, here: Path) -> None:
    """A real command writes it, and another reads it where there is no profile file."""
    done = run("compress", here / "rows.npy", "-o", here / "new.clpc", "--embed-profile",
               "--profile", folder / "own.safetensors")  # fmt: skip
    assert done.returncode == 0, done.stderr
    profile = clipcodec.Codec(folder / "own.safetensors").profile
    with clipcodec.open(here / "new.clpc") as container:
        assert container.profile is not None
        assert container.profile.digest == profile.digest
        rows = container.decode_all()
    expected = clipcodec.Codec(profile)
    streams = expected.encode_embeddings(np.load(here / "rows.npy"))
    assert np.array_equal(rows, expected.decode_batch(streams))
    assert b"for the profile)" in done.stderr
    read = run("decompress", here / "new.clpc", "-o", here / "new.npy")
    assert read.returncode == 0, read.stderr
    assert np.array_equal(np.load(here / "new.npy"), rows)


def test_what_the_profile_costs_is_said(
    folder: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = Job("rows.npy", "job.clpc", profile=folder / "own.safetensors",
                 embed_profile=True).run()  # fmt: skip
    without = Job("rows.npy", "without.clpc", profile=folder / "own.safetensors").run()
    assert without.profile_bytes == 0
    sizes = [(here / name).stat().st_size for name in ("job.clpc", "without.clpc")]
    assert 0 < result.profile_bytes == pytest.approx(sizes[0] - sizes[1], abs=8)  # of the index
    assert result.bytes_per_item == pytest.approx(without.bytes_per_item)
    code, text = said(capsys, "compress", "rows.npy", "--embed-profile", "--profile",
                      folder / "own.safetensors")  # fmt: skip
    assert code == 0
    assert f"bytes each and {result.profile_bytes / COUNT:.1f} for the profile)" in text


def test_a_registered_profile_is_not_embedded(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for options, words in (
        (["--profile", "any/rotation"], "every installation has it"),
        ([], "the default one is in every installation"),
    ):
        code, text = said(capsys, "compress", "rows.npy", "--embed-profile", *options)
        assert code == 2
        assert words in text
    with pytest.raises(OptionError, match="any/rotation is registered"):
        Job("rows.npy", "new.clpc", profile="any/rotation", embed_profile=True)
    assert not (here / "new.clpc").exists()


def test_it_needs_a_container(folder: Path, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = ["--embed-profile", "--profile", folder / "own.safetensors"]
    code, text = said(capsys, "compress", "rows.npy", "-o", "out/", *own)
    assert code == 2
    assert "--embed-profile is for a container, and -o out/ is none: give -o OUT.clpc" in text
    assert not (here / "out").exists()


# --- out of a container ---


@pytest.mark.parametrize(
    "line",
    [
        "compress more.npy --profile own.clpc",
        "compress more.npy -o 1.clpc --profile own.clpc --embed-profile",
        "compress more.npy -o streams/ --profile own.clpc",
        "decompress own.clpc -o 1.npy --profile own.clpc",
        "info own.clpc --profile own.clpc",
        "head own.clpc --profile own.clpc",
        "search own.clpc --query more.npy --profile own.clpc",
        "search more.npy --index 2.clpc --query more.npy --profile own.clpc",
        "merge own.clpc -o 3.clpc --profile own.clpc",
        "profiles own.clpc",
    ],
)
def test_profile_takes_a_container(
    here: Path, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(*line.split()) == 0, capsys.readouterr().err


def test_its_streams_are_those_of_the_profile(folder: Path, here: Path) -> None:
    assert exit_code("compress", "more.npy", "--profile", "own.clpc") == 0
    with clipcodec.open("more.clpc", profile=folder / "own.safetensors") as container:
        found = [item.stream for item in container.items()]
    rows = np.load("more.npy")
    assert found == clipcodec.Codec(folder / "own.safetensors").encode_embeddings(rows)


def test_a_container_that_carries_none_is_no_profile(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, text = said(capsys, "compress", "more.npy", "--profile", "plain.clpc")
    assert code == 2
    assert "plain.clpc carries no profile" in text
    assert not (here / "more.clpc").exists()


def test_the_card_in_a_container_is_shown(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("profiles", "own.clpc") == 0
    assert json.loads(capsys.readouterr().out)["name"] == "private/tiny"


# --- a container to go on with ---


def test_resume_goes_on_with_the_profile_that_is_there(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, text = said(capsys, "compress", "more.npy", "-o", "own.clpc", "--resume")
    assert code == 0, text
    assert "own.clpc: goes on with the profile that it carries, private/tiny" in text
    with clipcodec.open("own.clpc") as container:
        assert len(container) == COUNT + 7
        assert container.decode_all().shape == (COUNT + 7, 8)
    assert said(capsys, "compress", "more.npy", "-o", "own.clpc", "--resume", "-q") == (0, "")


def test_another_profile_is_refused(
    folder: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (here / "own.clpc").read_bytes()
    for other in (folder / "other.safetensors", "any/rotation"):
        code, text = said(
            capsys, "compress", "more.npy", "-o", "own.clpc", "--resume", "--profile", other
        )
        assert code == 2
        assert "own.clpc carries profile private/tiny, with which it goes on" in text
    assert (here / "own.clpc").read_bytes() == before


def test_a_profile_is_not_put_into_a_container_that_was_begun_without(
    folder: Path, here: Path
) -> None:
    own = folder / "own.safetensors"
    Job("rows.npy", "late.clpc", profile=own).run()
    before = (here / "late.clpc").read_bytes()
    with pytest.raises(OptionError):
        Job("more.npy", "late.clpc", profile=own, mode="resume", embed_profile=True).run()
    assert (here / "late.clpc").read_bytes() == before


def test_a_damaged_profile_stops_it(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = bytearray((here / "own.clpc").read_bytes())
    with clipcodec.open("own.clpc") as container:
        at = int(container.survey.offsets[1])  # after the metadata
    data[at + 40] ^= 1
    (here / "own.clpc").write_bytes(data)
    code, text = said(capsys, "compress", "more.npy", "-o", "own.clpc", "--resume")
    assert code == 1
    assert "own.clpc" in text
    assert "the profile that the container carries is damaged" in text
    assert (here / "own.clpc").read_bytes() == data
    with pytest.raises(DecodeError):
        Job("more.npy", "new.clpc", profile="own.clpc")
