"""Build the documentation site, offline.

    python docs/build_site.py          # into site/
    python docs/build_site.py --serve  # on http://127.0.0.1:8000, again after every change

It stages the pages (docs/building/staging.py), makes those of the command line and the Python API,
and runs MkDocs in strict mode: a page outside the navigation, a link or an anchor that leads
nowhere is an error, and so is a page that would ask another host for anything, or
that GitHub shows differently. Needs
`pip install -e ".[docs]"`.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from building.alike import differences
from building.outside import requests
from building.staging import FRONT, ROOT, Broken, newest, sources, stage

SITE = ROOT / "site"


def mkdocs(folder: Path, *arguments: str) -> int:
    """Run MkDocs on staged pages."""
    # its theme warns of MkDocs 2, which pyproject.toml keeps out
    environment = {**os.environ, "DISABLE_MKDOCS_2_WARNING": "true", "NO_MKDOCS_2_WARNING": "true"}
    command = [sys.executable, "-m", "mkdocs", *arguments, "-f", str(folder / "mkdocs.yml")]
    return subprocess.run(command, env=environment).returncode


def build(folder: Path) -> int:
    stage(folder, SITE)
    status = mkdocs(folder, "build", "--strict", "--clean")
    if status:
        return status
    faults = unlike() + requests(SITE)
    print("\n".join(faults) or f"the site is in {SITE.relative_to(ROOT)}/")
    return 1 if faults else 0


def unlike() -> list[str]:
    """The pages that come out differently on GitHub, one line each."""
    pages = [page for page in sources() if page.endswith(".md") and page != FRONT]
    found = ((page, differences((ROOT / page).read_text("utf-8"))) for page in pages)
    return [f"{page}: the site has {what} on GitHub" for page, what in found if what]


def serve(folder: Path, address: str) -> int:
    """Serve, and stage again when a page or a docstring has changed."""
    stage(folder, SITE)

    def follow() -> None:
        seen = newest()
        while not done.wait(1):
            now = newest()
            if now != seen:
                seen = now
                try:
                    stage(folder, SITE)
                except Broken as error:  # half of a change
                    print(error, file=sys.stderr)

    done = threading.Event()
    threading.Thread(target=follow, daemon=True).start()
    try:
        return mkdocs(folder, "serve", "-a", address)
    except KeyboardInterrupt:
        return 130
    finally:
        done.set()


def main() -> int:
    parser = argparse.ArgumentParser(description="Build the documentation site, offline.")
    parser.add_argument("--serve", action="store_true", help="serve instead of writing site/")
    parser.add_argument("--address", default="127.0.0.1:8000", help="for --serve")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="clipcodec-site-") as folder:
        try:
            return serve(Path(folder), args.address) if args.serve else build(Path(folder))
        except Broken as error:
            print(error, file=sys.stderr)
            return 1


if __name__ == "__main__":
    sys.exit(main())
