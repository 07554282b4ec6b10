"""`clipcodec evaluate`: what codecs keep of embeddings, in the tasks people use them for."""

from __future__ import annotations

import argparse
import hashlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError, OptionError
from .common import refuse_terminal_or_existing
from .terminal import say, tell, tell_json

if TYPE_CHECKING:
    from ..evaluation.sets import EmbeddingSet

_BYTES = (25, 50, 100)


def run(args: argparse.Namespace) -> int:
    from ..evaluation import table
    from ..evaluation.bench import Bench
    from ..evaluation.codecs import Training, parse_codec
    from ..evaluation.evaluate import ORIGINAL, evaluate
    from ..evaluation.results import Results

    _check_outputs(args)
    sets, left_out = _sets(args)
    bench = Bench(sets)
    codecs = [parse_codec(spec) for spec in _specs(args, bench.rows.shape[1])]
    training = Training(_path(args.training), quick=args.quick, kept=_path(args.keep))
    command = "clipcodec evaluate " + " ".join(Path(name).name for name in args.data)
    path = _path(args.output)
    results = Results(None, command) if path is None else Results.load(path, command)
    if results.points.get(ORIGINAL, {}).get("data", bench.digest) != bench.digest:
        raise OptionError(f"-o {path} holds results of other data: give another file")
    failed = evaluate(bench, codecs, training, results, quiet=args.quiet)
    for line in failed:
        say(line)
    if args.json:
        for point in results.points.values():
            tell_json(point)
    else:
        for row in table.text(results.points.values()).splitlines():
            tell(row)
    if args.plot is not None:
        from ..evaluation.plots import plot

        plot(results, Path(args.plot))
    return 1 if failed or left_out else 0


def _path(name: str | None) -> Path | None:
    return None if name is None else Path(name)


def _sets(args: argparse.Namespace) -> tuple[list[EmbeddingSet], int]:
    """The sets to measure on, and how many images could not be read.

    What is no file or folder of embeddings is a source of images, which are embedded first.
    """
    from ..evaluation.sets import holds_sets, load_sets, of_one_width

    sets, left_out = [], 0
    for name in args.data:
        path = Path(name)
        if path.suffix == ".safetensors" or holds_sets(path):
            sets += load_sets([path])
        else:
            data, failed = _of_images(name, args)
            sets.append(data)
            left_out += failed
    sets = of_one_width(sets)
    return [data if args.rows is None else data.first(args.rows) for data in sets], left_out


def _of_images(name: str, args: argparse.Namespace) -> tuple[EmbeddingSet, int]:
    """The set of a folder of images by class, or of a data set; made once, and kept."""
    from ..evaluation.image_sets import DATA_SETS, image_set
    from ..evaluation.images import embed_images_to_set, files_digest
    from ..evaluation.sets import load_set

    if Path(name).is_file():
        raise InputError(f"{name}: expected embeddings with their labels, a .safetensors file as "
                         "docs/evaluation.md says; or a directory of images")  # fmt: skip
    if args.keep is None and (name in DATA_SETS or Path(name).is_dir()):
        raise OptionError(f"{name}: give --keep DIR, where the embeddings of its images are kept")
    source = image_set(name, root=_path(args.root), download=args.download)
    made_of = f"{files_digest(source)} {args.backbone} {args.weights}"
    digest = hashlib.sha256(made_of.encode(errors="replace")).hexdigest()
    path = Path(args.keep) / f"{source.name}-{digest[:12]}.safetensors"
    failed: tuple[str, ...] = ()
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        done = embed_images_to_set(
            source, path, backbone=args.backbone, device=args.device, weights=args.weights,
            quiet=args.quiet,
        )  # fmt: skip
        failed = done.failed
        for reason in failed:
            say(reason)
    return replace(load_set(path), name=source.name), len(failed)


def _check_outputs(args: argparse.Namespace) -> None:
    """Raise before long work if a result could not be written after it."""
    for name in filter(None, (args.output, args.plot)):
        if not Path(name).absolute().parent.is_dir():
            raise OptionError(f"{name}: there is no such directory")
    if args.output is not None and not args.output.endswith(".json"):
        raise OptionError(f"-o {args.output}: a result file is .json")
    if args.plot is not None:
        if not args.plot.endswith(".svg"):
            raise OptionError(f"--plot {args.plot}: a plot is .svg")
        refuse_terminal_or_existing(args.plot, force=args.force)
        from ..evaluation.plots import import_pyplot

        import_pyplot()


def _specs(args: argparse.Namespace, dim: int) -> list[str]:
    """The codecs asked for; else the profiles for embeddings of this width, at some sizes."""
    from ..profile import registry

    specs = list(args.codec or [])
    sized = args.max_bytes or args.mean_bytes or args.quality
    if specs and not (sized or args.profile):
        return list(dict.fromkeys(specs))
    profiles = args.profile or registry.fitting(dim)
    sizes = args.max_bytes if sized else _BYTES
    for profile in profiles:
        specs += [f"{profile}@max_bytes={value}" for value in sizes or ()]
        specs += [f"{profile}@mean_bytes={value:g}" for value in args.mean_bytes or ()]
        specs += [f"{profile}@quality={value:g}" for value in args.quality or ()]
    return list(dict.fromkeys(specs))
