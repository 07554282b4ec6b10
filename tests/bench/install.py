"""What each way to install costs: bytes to download, bytes on disk. The lines are README's own.

    python tests/bench/install.py [WAY …]       # full, cpu, light; default: all
    python tests/bench/install.py --print light # the line, for a shell to run

README marks each line with `<!-- install: WAY -->`. Each way is installed into a new virtual
environment, in a folder that is deleted afterwards, from files downloaded just before; then
`clipcodec demo --count 1` must run in it. `full` downloads some GB. Where the index of CPU-only
torch cannot be reached, `--torch REQUIREMENT` (as in `--torch torch==2.13.0+cpu`) takes the place
of `torch` and its index.

    download     bytes of the files that pip takes
    disk         bytes of the environment's files
    packages     how many there are, clipcodec among them
    images       whether an image could be embedded in it, but for the weights
"""

from __future__ import annotations

import argparse
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import kept

ROOT = Path(__file__).resolve().parents[2]
WAYS = ("full", "cpu", "light")
_BLOCK = re.compile(r"<!-- install: (\w+) -->\n(?:<!--[^\n]*-->\n)?```sh\n(.*?)\n```", re.DOTALL)
_IMAGES = "import torch, open_clip; from clipcodec.models import *"


def lines(readme: Path = ROOT / "README.md") -> dict[str, str]:
    """README's command of each way."""
    return {way: command.strip() for way, command in _BLOCK.findall(readme.read_text("utf-8"))}


def installs(command: str) -> Iterator[list[str]]:
    """The arguments of each `pip install` in a command."""
    for part in re.split(r"&&|\n", command):
        words = shlex.split(part)
        if words[:1] and words[0].endswith("pip") and words[1] == "install":
            yield words[2:]


def measure(way: str, torch: str | None) -> dict[str, object]:
    """Install one way in a new environment, and weigh it."""
    with tempfile.TemporaryDirectory(prefix="clipcodec-install-") as folder:
        environment, files = Path(folder) / "venv", Path(folder) / "files"
        subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
        python = environment / "bin" / "python"
        pip = [str(python), "-m", "pip", "--quiet"]
        subprocess.run([*pip, "wheel", "--no-deps", "-w", str(files), str(ROOT)], check=True)
        (wheel,) = files.glob("clipcodec-*.whl")
        for words in installs(lines()[way]):
            wanted = [torch] if torch and "torch" in words else words
            wanted = [str(wheel) if word == "." else word for word in wanted]
            subprocess.run([*pip, "download", "-d", str(files), *wanted], check=True)
            offline = ["--no-index", "--find-links", str(files), *_offline(wanted)]
            subprocess.run([*pip, "install", *offline], check=True)
        subprocess.run([python, "-m", "clipcodec", "demo", "--count", "1"], check=True, cwd=folder)
        images = subprocess.run([python, "-c", _IMAGES], check=False, capture_output=True)
        found = subprocess.run([str(python), "-m", "pip", "list", "--format=freeze"], check=True,
                               capture_output=True, text=True).stdout.split()  # fmt: skip
        own = [name for name in found if name.split("==")[0] not in ("pip", "setuptools")]
        return {
            "download": _bytes(files), "disk": _bytes(environment), "packages": len(own),
            "torch": next((p[7:] for p in own if p.startswith("torch==")), "none"),
            "images": images.returncode == 0,
        }  # fmt: skip


def _offline(words: Sequence[str]) -> list[str]:
    """Arguments of `pip install`, without an index."""
    return [
        word for before, word in zip(["", *words], words, strict=False)
        if "--index-url" not in (before, word)
    ]  # fmt: skip


def _bytes(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())


def main(arguments: Sequence[str] | None = None) -> None:
    parser = kept.parser(__doc__)
    parser.add_argument("ways", nargs="*", metavar="WAY", help=", ".join(WAYS))
    parser.add_argument("--torch", metavar="REQUIREMENT", help="for the way `cpu`")
    parser.add_argument("--print", action="store_true", help="print README's lines, and do nothing")
    args = parser.parse_args(arguments)
    unknown = set(args.ways) - set(WAYS)
    if unknown:
        parser.error(f"{', '.join(sorted(unknown))}: the ways are {', '.join(WAYS)}")
    ways = args.ways or WAYS
    if args.print:
        for way in ways:
            print(lines()[way])
        return
    file = kept.Kept("install", args)
    for way in ways:
        file.add(way, measure(way, args.torch if way == "cpu" else None), data="", modules=(),
                 times=True, line=lines()[way])  # fmt: skip


if __name__ == "__main__":
    main()
