"""`clipcodec evaluate`: what codecs keep of embeddings, in the tasks people use them for."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import OptionError
from .common import refuse_terminal_or_existing
from .terminal import say, tell, tell_json

if TYPE_CHECKING:
    from ..evaluation.sets import EmbeddingSet

_BYTES = (25, 50, 100)


def run(args: argparse.Namespace) -> int:
    from ..evaluation import table
    from ..evaluation.bench import Bench
    from ..evaluation.codecs import Training, parse_codec
    from ..evaluation.evaluate import evaluate
    from ..evaluation.results import Results

    if args.rows is not None and args.rows < 2:
        raise OptionError(f"--rows {args.rows}: at least 2")
    _check_outputs(args)
    sets, left_out = _sets(args)
    bench = Bench(sets)
    codecs = [parse_codec(spec) for spec in _specs(args, bench.rows.shape[1])]
    training = Training(_path(args.training), quick=args.quick, kept=_path(args.keep))
    command = "clipcodec evaluate " + " ".join(Path(name).name for name in args.data)
    path = _path(args.output)
    results = Results(None, command) if path is None else Results.load(path, command)
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
    """The sets to measure on, and how many images could not be read."""
    from ..evaluation.sets import load_sets

    sets = load_sets([Path(name) for name in args.data])
    return [data if args.rows is None else data.first(args.rows) for data in sets], 0


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
