"""Where things lie in the checkout. This file needs the standard library alone."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]  # of the checkout
FORMATS = ROOT / "formats"
REFERENCE = FORMATS / "reference"
TOOLS = FORMATS / "tools"
SHARED = ROOT.parent / "shared" / "data"  # real embeddings, where they are at hand
