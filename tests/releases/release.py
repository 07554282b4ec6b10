"""Make a release, or check that one could be made. Changes nothing but `dist/`.

    python tests/releases/release.py --check    # seconds; also between releases, and in CI
    python tests/releases/release.py            # all of it, into dist/; installs some GB
    …  --light                                  # without the full installation
    …  --no-audit                               # where the audit's service cannot be reached

1. Version, changelog, kept streams, registry and what is frozen agree.
2. Source archive and wheel are built twice, in folders, at times and with file modes of two kinds:
   the bytes are the same. They hold what they should, and nothing else; twine finds no fault.
3. The wheel is installed in new environments, light and full. In the light one it decodes all
   vectors; in the full one it runs every command and snippet of README.
4. Beside them: SBOMs of both environments (CycloneDX), and SHA256SUMS. pip-audit knows of no
   vulnerability in any package of them.

Any fault ends it with exit code 1, and is named. Needs `pip install -e ".[release]"`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timezone
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT)]
from tests.helpers.readme import lines, pip_arguments  # noqa: E402
from tests.releases import archives, frozen  # noqa: E402

_SECTION = re.compile(r"^## (\S+) \((.*)\)$", re.MULTILINE)
_README_NEEDS = "arrow,evaluation,web"  # the extras that README's commands use
# Two ways to build that must not show: (file mode mask, age of the files in days, environment)
_WAYS: tuple[tuple[int, int, dict[str, str]], ...] = (
    (0o022, 0, {"TZ": "UTC", "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "1"}),
    (0o077, 400, {"TZ": "Asia/Kathmandu", "LC_ALL": "C", "PYTHONHASHSEED": "2"}),
)


class Fault(Exception):
    """Why there can be no release; one reason a line."""


class Release(NamedTuple):
    """What the changelog says: the version at its head, and its date if there is one."""

    version: str
    dated: date | None

    @property
    def epoch(self) -> int:
        """Seconds since 1970, for the times in the archives."""
        day = self.dated or date(2020, 2, 2)
        return int(datetime(day.year, day.month, day.day, tzinfo=timezone.utc).timestamp())


def release_of(root: Path = ROOT) -> Release:
    """Read the changelog. Raises Fault."""
    found = _SECTION.search((root / "CHANGELOG.md").read_text("utf-8"))
    if found is None:
        raise Fault("CHANGELOG.md: no section '## VERSION (DATE)'")
    if found[2] == "unreleased":
        return Release(found[1], None)
    try:
        return Release(found[1], date.fromisoformat(found[2]))
    except ValueError as error:
        raise Fault(f"CHANGELOG.md: {found[2]!r} is no date as in 2026-11-26") from error


def disagreements(release: Release, root: Path = ROOT) -> list[str]:
    """What does not agree with what, one line each."""
    found = frozen.faults(root)
    code = (root / "clipcodec" / "__init__.py").read_text("utf-8")
    version = re.search(r'^__version__ = "(.*)"$', code, re.MULTILINE)
    if version is None or version[1] != release.version:
        found.append(
            f"clipcodec/__init__.py has version {version and version[1]}, CHANGELOG.md begins with "
            f"{release.version}"
        )
    registry = root / "clipcodec" / "profile" / "shipped"
    profiles = json.loads((registry / "registry.json").read_text("utf-8"))["profiles"]
    for row in profiles:
        file = registry / row["file"]
        if not file.exists() or _digest(file) != row["sha256"]:
            found.append(f"profile {row['name']}: {row['file']} is not what the registry says")
    unregistered = {p.name for p in registry.glob("*.safetensors")} - {r["file"] for r in profiles}
    found += [f"{name}: no row of the registry names it" for name in sorted(unregistered)]
    if release.dated is not None:
        if not (root / "tests" / "releases" / f"{release.version}.json").exists():
            found.append(f"no streams of {release.version} are kept: run tests/releases/keep.py")
        found += [f"{path}: not frozen yet: run keep.py" for path in frozen.missing(root)]
    return found


def tracked(root: Path = ROOT) -> list[str]:
    """The files that git knows, and those that it would not ignore."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=root, capture_output=True, check=True).stdout
    return sorted(n for n in listed.decode().split("\0") if n and os.path.lexists(root / n))


def copy(names: Sequence[str], tree: Path, mask: int, days: int) -> None:
    """The checkout's files, with modes as this mask leaves them, last changed so many days ago."""
    at = time.time() - 86400 * days
    for name in names:
        source, target = ROOT / name, tree / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_symlink():
            target.symlink_to(os.readlink(source))
            continue
        shutil.copyfile(source, target)
        target.chmod((0o777 if os.access(source, os.X_OK) else 0o666) & ~mask)
        os.utime(target, (at, at))


def build(release: Release, names: Sequence[str], folder: Path) -> Path:
    """Build twice, and compare. Returns the folder of the two archives. Raises Fault."""
    built: list[Path] = []
    for number, (mask, days, environment) in enumerate(_WAYS):
        tree = folder / ("one" if number == 0 else "a/second place")
        out = folder / f"built-{number}"
        copy(names, tree, mask, days)
        run(
            sys.executable, "-m", "build", "--no-isolation", "--outdir", out, tree, umask=mask,
            environment={**environment, "SOURCE_DATE_EPOCH": str(release.epoch)},
        )  # fmt: skip
        built.append(out)
    first, second = ({path.name: _digest(path) for path in out.iterdir()} for out in built)
    if first != second:
        differ = sorted(name for name in {*first, *second} if first.get(name) != second.get(name))
        raise Fault(f"built twice, and not the same: {', '.join(differ)}")
    return built[0]


def check(release: Release, names: Sequence[str], dist: Path) -> None:
    """Contents and metadata of the archives. Raises Fault."""
    (wheel,), (source,) = dist.glob("*.whl"), dist.glob("*.tar.gz")
    found = archives.wheel_faults(wheel, release.version, names)
    found += archives.source_faults(source, release.version, names)
    if found:
        raise Fault("\n".join(found))
    run(sys.executable, "-m", "twine", "check", "--strict", wheel, source)


def environment(folder: Path, wheel: Path, way: str) -> Path:
    """A new environment with the wheel, by README's line of this way. Returns its Python."""
    run(sys.executable, "-m", "venv", "--without-pip", folder)
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    for words in pip_arguments(lines()[way]):
        wanted = [str(wheel) if word == "." else word for word in words]
        run(sys.executable, "-m", "pip", "-q", "--python", python, "install", *wanted)
    return python


def try_out(python: Path, way: str, source: Path, folder: Path) -> None:
    """Run what the environment should be able to, with the files of the source archive.

    They lie there without the package's code, so that it is the wheel's that runs.
    """
    shutil.unpack_archive(source, folder, filter="data")
    (tree,) = folder.iterdir()
    for path in (tree / "clipcodec").rglob("*.py"):
        path.unlink()
    run(python, "-m", "clipcodec", "demo", cwd=folder, quiet=True)
    if way == "light":
        run(python, tree / "formats" / "tools" / "check_vectors.py", cwd=tree, quiet=True)
        run(python, tree / "formats" / "tools" / "check_containers.py", cwd=tree, quiet=True)
    else:
        run(python, tree / "docs" / "run.py", tree / "README.md", cwd=tree)


def describe(python: Path, way: str, release: Release, dist: Path) -> None:
    """Write the environment's SBOM."""
    out = dist / f"clipcodec-{release.version}-{way}.cdx.json"
    run(
        sys.executable, "-m", "cyclonedx_py", "environment", "--output-reproducible",
        "--pyproject", ROOT / "pyproject.toml", "--mc-type", "library", "-o", out, python,
        environment={"SOURCE_DATE_EPOCH": str(release.epoch)},
    )  # fmt: skip
    described = json.loads(out.read_text("utf-8"))
    described["metadata"]["component"]["version"] = release.version  # pyproject.toml has it not
    out.write_text(json.dumps(described, indent=1) + "\n", "utf-8")


def audit(python: Path) -> None:
    """Raise Fault for a vulnerability, or if a package cannot be looked up."""
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    place = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    done = subprocess.run(
        [sys.executable, "-m", "pip_audit", "--progress-spinner", "off", "-f", "json",
         "--path", place.stdout.strip()], capture_output=True, text=True, check=False,
    )  # fmt: skip
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except ValueError as error:
        raise Fault(f"pip-audit: {done.stderr.strip()}") from error
    packages = [p for p in packages if p["name"] != "clipcodec"]  # no registry has it yet
    skipped = [package["name"] for package in packages if "skip_reason" in package]
    if skipped:
        raise Fault(
            f"pip-audit: {len(skipped)} of {len(packages)} packages could not be looked up, such as"
            f" {skipped[0]}: can its service be reached? --no-audit leaves it out"
        )
    known = [
        f"{package['name']} {package['version']}: {fault['id']}"
        for package in packages
        for fault in package["vulns"]
    ]
    if known:
        raise Fault("\n".join(known))
    say(f"audited: {len(packages)} packages, no known vulnerability")


def sums(dist: Path) -> None:
    files = sorted(path for path in dist.iterdir() if path.name.startswith("clipcodec-"))
    text = "".join(f"{_digest(path)}  {path.name}\n" for path in files)
    (dist / "SHA256SUMS").write_text(text, "utf-8")
    print(text, end="")


def run(
    *words: str | os.PathLike[str],
    environment: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    umask: int = -1,
    quiet: bool = False,
) -> None:
    """Run a program; raises Fault, with all that it said, if it fails."""
    done = subprocess.run(
        [str(word) for word in words], cwd=cwd, umask=umask, capture_output=True, text=True,
        check=False, env={**os.environ, "PYTHONPATH": "", **(environment or {})},
    )  # fmt: skip
    if done.returncode:
        raise Fault(f"{' '.join(map(str, words))}\n{done.stdout}{done.stderr}")
    if not quiet and done.stdout.strip():
        say(done.stdout.strip().splitlines()[-1])


def say(text: str) -> None:
    print(f"   {text}", flush=True)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def make(args: argparse.Namespace) -> None:
    """All steps; those that `--check` leaves out come last. Raises Fault."""
    release = release_of()
    print(f"== {release.version}, {release.dated or 'not dated: no release yet'}", flush=True)
    wrong = disagreements(release)
    names = tracked()
    if not args.check:
        changed = ["git", "status", "--porcelain"]
        changes = subprocess.run(changed, cwd=ROOT, capture_output=True, text=True, check=True)
        wrong += ["there are changes that are not committed"] if changes.stdout else []
        if release.dated is None or release.dated > date.today():
            wrong.append("CHANGELOG.md: the section has no date, or one that has not come yet")
    if wrong:
        raise Fault("\n".join(wrong))
    with tempfile.TemporaryDirectory(prefix="clipcodec-release-") as temporary:
        folder = Path(temporary)
        print("== built twice", flush=True)
        built = build(release, names, folder)
        check(release, names, built)
        if args.check:
            return
        dist = ROOT / "dist"
        shutil.rmtree(dist, ignore_errors=True)
        shutil.copytree(built, dist)
        (wheel,), (source,) = dist.glob("*.whl"), dist.glob("*.tar.gz")
        for way in ("light",) if args.light else ("light", "full"):
            print(f"== the {way} installation", flush=True)
            python = environment(folder / way, wheel, way)
            describe(python, way, release, dist)
            if args.no_audit:
                say("not audited, as --no-audit says")
            else:
                audit(python)
            if way == "full":
                run(sys.executable, "-m", "pip", "-q", "--python", python, "install",
                    f"{wheel}[{_README_NEEDS}]")  # fmt: skip
            try_out(python, way, source, folder / f"{way}-source")
        print("== dist/", flush=True)
        sums(dist)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="steps 1 and 2 alone; keep nothing")
    parser.add_argument("--light", action="store_true", help="no full installation")
    parser.add_argument("--no-audit", action="store_true", help="no pip-audit")
    try:
        make(parser.parse_args(arguments))
    except Fault as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
