"""Pixel codecs against streams, as in the paper's Figure 6: accuracy by bits per pixel.

    python -m clipcodec.evaluation.pixels [SOURCE] -o RESULTS.json [--backbone NAME]

Each image is coded and decoded by each pixel codec, and the decoded image is embedded by the same
model. SOURCE is as of `python -m clipcodec.evaluation.images`; without it, photographs that
scikit-image and scikit-learn ship. Without --backbone only rates and PSNR are measured, and of
streams only what their sizes are in bits per pixel.

Points that the result file has are not measured again while images, code and weights are the same.
Cheng2020 and bmshj2018 need `pip install "clipcodec[pixels]"`, and weights that CompressAI
publishes.

A point has `bpp`, bits of all images over pixels of all source images; `bytes` and `most`, of an
image; `psnr`, the mean over the images in dB (a codec that scales is compared after scaling back);
and with a model what `clipcodec evaluate` measures.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from ..errors import WeightsUnavailableError
from ..profile.registry import for_backbone
from .codecs import MeasuredCodec, parse_codec
from .commands import exit_code, say
from .images import add_model, add_source, source_of, templates_given
from .photographs import NAME, packaged_photographs
from .pixel_bench import STREAM_BYTES, measure_pixels, pictures_of
from .pixel_codecs import PixelCodec, all_settings, default_specs, parse_pixel_codec
from .results import Results

COMMAND = "pixels"


def default_streams(backbone: str) -> list[str]:
    """Streams of a model at `STREAM_BYTES`, by the profile that the package has for it."""
    return [f"{for_backbone(backbone)}@max_bytes={size}" for size in STREAM_BYTES]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m clipcodec.evaluation.pixels",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_source(parser, optional=True)
    add = parser.add_argument
    add("-o", "--output", type=Path, required=True, metavar="RESULTS.json")
    add_model(parser, None)
    pixel_help = "such as jpeg, avif@30, cheng2020-anchor@3; a name alone: all its qualities; all"
    add("--codecs", nargs="+", metavar="CODEC", help=pixel_help)
    stream_help = "codecs of embeddings, as of `clipcodec evaluate`; 25, 50 and 100 bytes"
    add("--streams", nargs="*", metavar="CODEC", help=stream_help)
    add("-q", "--quiet", action="store_true", help="no progress bar")
    given = sys.argv[1:] if arguments is None else list(arguments)
    args = parser.parse_args(given)

    def work() -> int:
        failed: list[str] = []
        codecs: list[PixelCodec] = []
        names = default_specs() if args.codecs is None else args.codecs
        for name in names:
            for spec in [name] if "@" in name else all_settings(name):
                try:
                    codecs.append(parse_pixel_codec(spec, download=args.download))
                except (ImportError, WeightsUnavailableError) as error:
                    failed.append(f"{spec}: {error}")
        command = shlex.join(["python", "-m", "clipcodec.evaluation.pixels", *given])
        results = Results.load(args.output, command)
        streams: list[MeasuredCodec] = []
        if args.backbone is not None:
            specs = default_streams(args.backbone) if args.streams is None else args.streams
            streams = [parse_codec(spec) for spec in specs]
        source = packaged_photographs() if args.source in (None, NAME) else source_of(args)
        pictures = pictures_of(
            source, backbone=args.backbone, templates=templates_given(args), device=args.device,
            weights=args.weights, quiet=args.quiet,
        )  # fmt: skip
        failed += measure_pixels(pictures, codecs, results, streams=streams, quiet=args.quiet)
        for reason in (*pictures.failed, *failed):
            say(COMMAND, reason)
        return 1 if failed or pictures.failed else 0

    return exit_code(COMMAND, work)


if __name__ == "__main__":
    sys.exit(main())
