"""Arguments of attach and extract."""

from __future__ import annotations

from ..suffixes import STREAM_SUFFIX
from . import options
from .options import Verbs, verb


def add(verbs: Verbs) -> None:
    p = verb(
        verbs, "attach", "put streams into image files, beside their other metadata",
        page="inside-image-files",
        examples=[
            ("Into the image file itself", "clipcodec attach -f a.jpg"),
            ("Into a copy, in at most 50 bytes",
             "clipcodec attach a.jpg -o with.jpg --max-bytes 50"),
            ("A stream that is there already",
             "clipcodec attach a.jpg --stream a.jpg.clip -o with.jpg"),
        ],
    )  # fmt: skip
    p.add_argument("inputs", nargs="+", metavar="IMAGE", help="JPEG, PNG, WebP, AVIF or HEIF file; "
                   "- for stdin")  # fmt: skip
    options.output(p, "file, directory (several images) or - for stdout; default, with -f: the "
                   "image file itself")  # fmt: skip
    p.add_argument("--stream", metavar="FILE", help="an existing stream; - for stdin "
                   "(default: one made of the image)")  # fmt: skip
    options.force(p)
    options.target(p)
    options.profile(p)
    options.backbone(p, options.ENCODER)
    options.weights(p)
    options.quiet(p)

    p = verb(
        verbs, "extract", "get streams out of image files", page="inside-image-files",
        module="attach",
        examples=[
            ("To a.jpg.clip", "clipcodec extract a.jpg"),
            ("Of many images, into a folder", "clipcodec extract a.jpg b.png -o streams/"),
        ],
    )  # fmt: skip
    p.add_argument("inputs", nargs="+", metavar="IMAGE", help="image file; - for stdin")
    options.output(p, "file, directory (several images) or - for stdout; default: "
                   f"IMAGE{STREAM_SUFFIX}")  # fmt: skip
    options.force(p)
    options.profile(p, "of several streams, the one of this profile (name or file)")
    options.quiet(p)
