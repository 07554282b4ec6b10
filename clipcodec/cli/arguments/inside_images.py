"""Arguments of attach and extract."""

from __future__ import annotations

from ..suffixes import STREAM_SUFFIX
from . import options
from .options import Verbs, verb


def add(verbs: Verbs) -> None:
    p = verb(verbs, "attach", "put streams into image files, beside their other metadata")
    p.add_argument("inputs", nargs="+", metavar="IMAGE", help="JPEG, PNG, WebP, AVIF or HEIF file; "
                   "- for stdin")  # fmt: skip
    p.add_argument("-o", "--output", metavar="OUT", help="file, directory (several images) or - "
                   "for stdout; default, with -f: the image file itself")  # fmt: skip
    p.add_argument("--stream", metavar="FILE", help="an existing stream; - for stdin "
                   "(default: one made of the image)")  # fmt: skip
    options.profile(p)
    options.target(p)
    options.backbone(p)
    options.force(p)
    options.quiet(p)

    p = verb(verbs, "extract", "get streams out of image files", module="attach")
    p.add_argument("inputs", nargs="+", metavar="IMAGE", help="image file; - for stdin")
    p.add_argument("-o", "--output", metavar="OUT", help=f"file, directory (several images) or - "
                   f"for stdout; default: IMAGE{STREAM_SUFFIX}")  # fmt: skip
    options.profile(p, "of several streams, the one of this profile (name or file)")
    options.force(p)
    options.quiet(p)
