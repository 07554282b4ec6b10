"""What each way to install costs: bytes to download, bytes on disk. The lines are README's own.

    python tests/bench/install.py [WAY …] [--torch …]    # full, cpu, light; default: all

Each way is installed into a new virtual environment, in a folder that is deleted afterwards, from
files downloaded just before; then `clipcodec demo --count 1` must run in it. `full` downloads some
GB. In the way `cpu`, `--torch REQUIREMENT …` names the builds for the CPU that come first.

    download     bytes of the files that pip takes
    disk         bytes of the environment's files
    packages     how many there are, clipcodec among them
    images       whether an image could be embedded in it, if the weights were there
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import kept

sys.path[:0] = [str(Path(__file__).resolve().parents[2])]
from tests.helpers.readme import lines, pip_arguments  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
WAYS = ("full", "cpu", "light")
_IMAGES = "import clipcodec.models as m, open_clip; open_clip.create_model('ViT-B-32-quickgelu')"


def measure(way: str, first: Sequence[str]) -> dict[str, object]:
    """Install one way in a new environment, after what is to come first, and weigh it."""
    with tempfile.TemporaryDirectory(prefix="clipcodec-install-") as folder:
        environment, files = Path(folder) / "venv", Path(folder) / "files"
        there = Path(folder) / "installed.txt"
        subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
        python = environment / "bin" / "python"
        pip = [str(python), "-m", "pip", "--quiet"]
        subprocess.run([*pip, "wheel", "--no-deps", "-w", str(files), str(ROOT)], check=True)
        (wheel,) = files.glob("clipcodec-*.whl")
        for words in filter(None, [list(first), *pip_arguments(lines()[way])]):
            wanted = [str(wheel) if word == "." else word for word in words]
            # `download` does not look at what is installed: it is told to keep that
            there.write_text(_packages(python))
            kept_as_it_is = ["--constraint", str(there), "--find-links", str(files)]
            subprocess.run(
                [*pip, "download", "-d", str(files), *kept_as_it_is, *wanted], check=True
            )
            offline = ["--no-index", "--find-links", str(files), *wanted]
            subprocess.run([*pip, "install", *offline], check=True)
        subprocess.run([python, "-m", "clipcodec", "demo", "--count", "1"], check=True, cwd=folder)
        images = subprocess.run([python, "-c", _IMAGES], check=False, capture_output=True)
        own = _packages(python).split()
        return {
            "download": _bytes(files), "disk": _bytes(environment), "packages": len(own),
            "torch": next((p[7:] for p in own if p.startswith("torch==")), "none"),
            "images": images.returncode == 0,
        }  # fmt: skip


def _packages(python: Path) -> str:
    """What is installed, one NAME==VERSION a line; without pip and what came with it."""
    listed = [str(python), "-m", "pip", "list", "--format=freeze"]
    found = subprocess.run(listed, check=True, capture_output=True, text=True).stdout.split()
    return "\n".join(n for n in found if n.split("==")[0] not in ("pip", "setuptools", "wheel"))


def _bytes(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())


def main(arguments: Sequence[str] | None = None) -> None:
    parser = kept.parser(__doc__)
    parser.add_argument("ways", nargs="*", metavar="WAY", help=", ".join(WAYS))
    parser.add_argument("--torch", nargs="+", metavar="REQUIREMENT", help="for the way `cpu`")
    args = parser.parse_args(arguments)
    unknown = set(args.ways) - set(WAYS)
    if unknown:
        parser.error(f"{', '.join(sorted(unknown))}: the ways are {', '.join(WAYS)}")
    ways = args.ways or WAYS
    if "cpu" in ways and not args.torch:
        parser.error("the way cpu needs --torch: the builds of torch and torchvision for the CPU")
    file = kept.Kept("install", args)
    for way in ways:
        file.add(way, measure(way, args.torch if way == "cpu" else ()), data="", modules=(),
                 times=True, line=lines()[way])  # fmt: skip


if __name__ == "__main__":
    main()
