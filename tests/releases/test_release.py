"""The release script names what does not agree or does not belong; builds are repeatable."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tarfile
import zipfile
from datetime import date
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.helpers import readme
from tests.helpers.paths import ROOT
from tests.helpers.scripts import load
from tests.releases import archives

VERSION = "0.1.0"


@pytest.fixture(scope="module")
def release() -> ModuleType:
    return load(ROOT / "tests" / "releases" / "release.py")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A checkout of which only the changelog and the code's version are its own."""
    (tmp_path / "CHANGELOG.md").write_text(f"# Changelog\n\n## {VERSION} (2026-11-26)\n")
    package = tmp_path / "clipcodec"
    package.mkdir()
    (package / "__init__.py").write_text(f'__version__ = "{VERSION}"\n')
    for name in ("clipcodec/profile", "formats", "tests"):
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path


def test_this_checkout_agrees(release: ModuleType) -> None:
    found = release.release_of()
    assert release.disagreements(found._replace(dated=None)) == []


@pytest.mark.parametrize(
    ("head", "version", "dated"),
    [("## 1.2.3 (2026-11-26)", "1.2.3", date(2026, 11, 26)), ("## 2.0 (unreleased)", "2.0", None)],
)
def test_the_changelog_says_what_is_released(
    release: ModuleType, root: Path, head: str, version: str, dated: date | None
) -> None:
    (root / "CHANGELOG.md").write_text(f"# Changelog\n\n{head}\n\n## 0.0.1 (2020-01-01)\n")
    assert release.release_of(root) == (version, dated)


@pytest.mark.parametrize("head", ["", "## 1.0 (soon)", "## 1.0 (2026-13-01)"])
def test_a_changelog_without_a_date_is_a_fault(release: ModuleType, root: Path, head: str) -> None:
    (root / "CHANGELOG.md").write_text(f"# Changelog\n\n{head}\n")
    with pytest.raises(release.Fault, match=r"CHANGELOG\.md"):
        release.release_of(root)


def test_another_version_in_the_code_is_named(release: ModuleType, root: Path) -> None:
    (root / "clipcodec" / "__init__.py").write_text('__version__ = "0.2.0"\n')
    (found,) = release.disagreements(release.release_of(root), root)
    assert "0.2.0" in found
    assert VERSION in found


def test_a_release_needs_kept_streams(release: ModuleType, root: Path) -> None:
    (root / "CHANGELOG.md").write_text("## 9.9.9 (2026-11-26)\n")
    (root / "clipcodec" / "__init__.py").write_text('__version__ = "9.9.9"\n')
    (found,) = release.disagreements(release.release_of(root), root)
    assert "keep.py" in found


def test_a_damaged_profile_is_named(release: ModuleType, root: Path) -> None:
    (root / "clipcodec" / "profile").unlink()
    shutil.copytree(ROOT / "clipcodec" / "profile" / "shipped", shipped := root / "clipcodec"
                    / "profile" / "shipped")  # fmt: skip
    row = json.loads((shipped / "registry.json").read_text("utf-8"))["profiles"][0]
    with (shipped / row["file"]).open("ab") as file:
        file.write(b"x")
    (shipped / "another.safetensors").touch()
    found = release.disagreements(release.release_of(root)._replace(dated=None), root)
    assert any(row["name"] in line and "registry" in line for line in found)
    assert any(line.startswith("another.safetensors") for line in found)


# archives


@pytest.fixture(scope="module")
def built(release: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The two archives of this checkout, built twice and compared."""
    for module in ("build", "hatchling"):
        if find_spec(module) is None:
            pytest.skip(f"{module} is not installed")
    folder = tmp_path_factory.mktemp("release")
    found: Path = release.build(release.release_of(), release.tracked(), folder)
    return found


@pytest.mark.slow
def test_they_hold_what_they_should(release: ModuleType, built: Path) -> None:
    names, version = release.tracked(), release.release_of().version
    (wheel,), (source,) = built.glob("*.whl"), built.glob("*.tar.gz")
    assert archives.wheel_faults(wheel, version, names) == []
    assert archives.source_faults(source, version, names) == []


@pytest.mark.slow
def test_what_is_wrong_in_a_wheel_is_named(
    release: ModuleType, built: Path, tmp_path: Path
) -> None:
    names, version = release.tracked(), release.release_of().version
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        content = {name: file.read(name) for name in file.namelist()}

    def faults(content: dict[str, bytes], version: str = version) -> str:
        path = tmp_path / wheel.name
        with zipfile.ZipFile(path, "w") as file:
            for name, data in content.items():
                file.writestr(name, data)
        return "\n".join(
            line for line in archives.wheel_faults(path, version, names) if "mode" not in line
        )

    assert faults(content) == ""
    assert "tests/test_a.py does not belong" in faults({**content, "tests/test_a.py": b""})
    less = {name: data for name, data in content.items() if not name.endswith("py.typed")}
    assert "clipcodec/py.typed is missing" in faults(less)
    assert "digest of clipcodec/api.py" in faults({**content, "clipcodec/api.py": b"other"})
    other = {name: data.replace(b"\nVersion: ", b"\nVersion: 9.") for name, data in content.items()}
    assert f"it says clipcodec 9.{version}" in faults(other)


def test_what_is_wrong_in_a_source_archive_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.tar.gz"
    with tarfile.open(path, "w:gz") as file:
        for name in ("clipcodec-1.0/PKG-INFO", "clipcodec-1.0/left.pyc", "elsewhere"):
            member = tarfile.TarInfo(name)
            member.uname = "me" if name == "elsewhere" else ""
            file.addfile(member)
    found = archives.source_faults(path, "1.0", ["README.md", ".github/a.yml"])
    assert found == [
        "a.tar.gz: elsewhere lies outside",
        "a.tar.gz: elsewhere belongs to me",
        "a.tar.gz: README.md is missing",
        "a.tar.gz: elsewhere does not belong into it",
        "a.tar.gz: left.pyc does not belong into it",
    ]


@pytest.mark.parametrize("same", [True, False])
def test_builds_that_differ_are_a_fault(
    release: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, same: bool
) -> None:
    """The second of the two builds may not see other folders, file modes, times or locales."""
    seen: list[tuple[str, int, float]] = []

    def run(*words: Any, umask: int, **_: Any) -> None:
        out, tree = Path(words[-2]), Path(words[-1])
        file = tree / "pyproject.toml"
        seen.append((str(tree), file.stat().st_mode & 0o777, file.stat().st_mtime))
        out.mkdir()
        (out / "a.whl").write_text("a" if same else str(tree))
        (out / "a.tar.gz").touch()

    monkeypatch.setattr(release, "run", run)
    monkeypatch.setattr(release, "ROOT", ROOT)
    made = release.Release(VERSION, None)
    if same:
        assert release.build(made, ["pyproject.toml"], tmp_path).name == "built-0"
    else:
        with pytest.raises(release.Fault, match=r"not the same: a\.whl"):
            release.build(made, ["pyproject.toml"], tmp_path)
    (one, mode, time), (other, other_mode, other_time) = seen
    assert (one != other, mode, other_mode, time - other_time > 86400) == (True, 0o644, 0o600, True)


# the audit


@pytest.mark.parametrize(
    ("package", "fault"),
    [
        ({"name": "a", "version": "1", "vulns": []}, None),
        ({"name": "a", "version": "1", "vulns": [{"id": "CVE-1"}]}, "a 1: CVE-1"),
        ({"name": "a", "skip_reason": "not found"}, "1 of 1 packages could not be looked up"),
        (None, "pip-audit: no network"),
    ],
)
def test_an_audit_that_finds_or_lacks_something_is_a_fault(
    release: ModuleType, monkeypatch: pytest.MonkeyPatch, package: Any, fault: str | None
) -> None:
    """clipcodec itself may be unknown to the service."""
    own = {"name": "clipcodec", "skip_reason": "not found"}
    text = json.dumps({"dependencies": [own, package]}) if package else ""
    answers = iter([("/packages\n", ""), (text, "no network")])

    def answer(*words: Any, **_: Any) -> subprocess.CompletedProcess[str]:
        out, err = next(answers)
        return subprocess.CompletedProcess(words, 0, out, err)

    monkeypatch.setattr(release.subprocess, "run", answer)
    if fault is None:
        release.audit(Path(sys.executable))
    else:
        with pytest.raises(release.Fault, match=fault):
            release.audit(Path(sys.executable))


# README's lines


def test_readme_has_a_line_for_each_installation() -> None:
    assert list(readme.lines()) == ["full", "cpu", "light"]
    words = {way: list(readme.pip_arguments(line)) for way, line in readme.lines().items()}
    assert words["full"] == [["."]]
    assert words["cpu"] == [["."]]


def test_the_light_line_takes_what_decoding_needs_in_the_versions_that_we_allow() -> None:
    """It has --no-deps, so that pip asks for no version by itself."""
    (words,) = readme.pip_arguments(readme.lines()["light"])
    assert words[:2] == ["--no-deps", "."]
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    for word in words[2:]:
        name, _, below = word.partition("<")
        assert f'"{name}>=' in text
        assert not below or f",<{below}" in text
    assert [w.partition("<")[0] for w in words[2:]] == ["numpy", "constriction", "safetensors"]
    assert text.count(",<") == sum("<" in word for word in words)


def test_the_kept_figures_are_of_these_lines() -> None:
    """If not: python tests/bench/install.py WAY"""
    points = json.loads((ROOT / "docs" / "results" / "install.json").read_text())["points"]
    assert {p["key"]: p["line"] for p in points} == readme.lines()
