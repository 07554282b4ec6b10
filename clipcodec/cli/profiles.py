"""`clipcodec profiles` and `clipcodec fetch`."""

from __future__ import annotations

import argparse
import os
from dataclasses import asdict

from ..container.profiles import profile_of
from ..profile.registry import DEFAULT, registered
from .terminal import note, size_text, tell, tell_json


def run(args: argparse.Namespace) -> int:
    if args.verb == "fetch":
        return _fetch(args.backbones, args.quiet)
    if args.name:
        profile = profile_of(args.name)
        # ours first and last: a card may say anything, but not what the file is; and in ASCII, as
        # it may hold what no terminal should see
        ours = {"name": profile.name, "sha256": profile.digest.hex()}
        tell_json({**ours, **profile.card, **ours}, indent=2)
    elif args.json:
        tell_json([asdict(row) for row in registered()], indent=2)
    else:
        tell(f"{'id':>3}  {'profile':<30} {'dim':>5} {'bits':>6} {'bpd':>6}  backbone")
        for row in registered():
            mark = " *" if row.name == DEFAULT else ""
            rate = f"{'any':>6} {'any':>6}"
            if row.bits is not None and row.dim is not None:
                rate = f"{row.bits:>6} {row.bits / row.dim:>6.3f}"
            tell(f"{row.id:>3}  {row.name + mark:<30} {row.dim or 'any':>5} {rate}  "
                  f"{row.backbone}")  # fmt: skip
        note("* the default")
    return 0


def _fetch(backbones: list[str], quiet: bool) -> int:
    from ..models import fetch

    for name in backbones:
        path = fetch(name, progress=False if quiet else None)
        if not quiet:
            note(f"{name}: {size_text(os.path.getsize(path))}, verified")
        tell(path)
    return 0
