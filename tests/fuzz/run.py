"""Fuzz for as long as wanted.

    python -m tests.fuzz --inputs 1000000 --seed 1 --jobs 2
    python -m tests.fuzz --replay fuzz-crashes/stream-1f2e3d4c.bin

The same seed gives the same inputs, whatever the number of jobs. Prints how often each target had
each outcome. An input that breaks a rule is saved with its traceback; exit 1 if there is one.
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import os
import re
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

import clipcodec
from clipcodec import BackboneWarning

from . import readers, stores, targets
from .targets import Target

ALL = {t.name: t for t in (*targets.TARGETS, *readers.TARGETS, *stores.TARGETS)}
CHUNK = 500  # inputs drawn from one generator
SECONDS = 20  # of one input; far above any
MEMORY = 6 << 30  # address space of a process
_alarm = getattr(signal, "alarm", lambda seconds: None)  # Windows has none


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=100_000, help="of all targets together")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--targets", nargs="+", choices=ALL, default=[*ALL], metavar="TARGET",
                        help=f"of {', '.join(ALL)}")  # fmt: skip
    parser.add_argument("--crashes", type=Path, default=Path("fuzz-crashes"), metavar="DIRECTORY")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="check one saved input")
    args = parser.parse_args()
    if args.replay:
        prepare()
        print(ALL[args.replay.name.partition("-")[0]].check(args.replay.read_bytes()))
        return 0
    return run(args)


def run(args: argparse.Namespace) -> int:
    share = sum(ALL[name].share for name in args.targets)
    jobs = [
        (name, args.seed, chunk, str(args.crashes))
        for name in args.targets
        for chunk in range(round(args.inputs * ALL[name].share / share / CHUNK) or 1)
    ]
    Random(0).shuffle(jobs)  # so that what is printed on the way is of all targets
    found: Counter[tuple[str, str]] = Counter()
    slowest: dict[str, float] = {}
    peak = 0
    began = last = time.monotonic()
    # spawned, not forked: threads of numerical libraries do not survive a fork
    context = multiprocessing.get_context("spawn")
    with (
        tempfile.TemporaryDirectory(prefix="clipcodec-fuzz-") as folder,
        context.Pool(args.jobs, prepare, (folder,)) as pool,
    ):
        results = pool.imap_unordered(work, jobs)
        for done, (name, outcomes, longest, memory) in enumerate(results, 1):
            found.update({(name, outcome): n for outcome, n in outcomes.items()})
            peak = max(peak, memory)
            slowest[name] = max(slowest.get(name, 0), longest)
            if time.monotonic() - last > 60:
                last = time.monotonic()
                bad = sum(n for (_, o), n in found.items() if o.startswith("BUG"))
                print(f"{done * CHUNK:>11,} of {len(jobs) * CHUNK:,} in {last - began:.0f} s, "
                      f"bugs: {bad}", flush=True)  # fmt: skip
    for name in args.targets:
        rows = sorted((n, o) for (t, o), n in found.items() if t == name)
        total = sum(n for n, _ in rows)
        print(f"{name}: {total:,} inputs, the slowest {1e3 * slowest[name]:.0f} ms")
        for n, outcome in reversed(rows):
            print(f"  {n:>11,}  {outcome}")
    print(f"{sum(found.values()):,} inputs in {time.monotonic() - began:.0f} s, "
          f"memory of a process at most {peak / 1024:.0f} MiB")  # fmt: skip
    return 1 if any(outcome.startswith("BUG") for _, outcome in found) else 0


def prepare(folder: str | None = None) -> None:
    """Of each process: warnings are bugs, time and memory are bounded; files go into `folder`."""
    tempfile.tempdir = folder
    os.environ["HF_HUB_OFFLINE"] = "1"
    only_warnings_that_are_meant()
    if sys.platform != "win32":
        import resource

        signal.signal(signal.SIGALRM, _too_long)
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


def only_warnings_that_are_meant() -> None:
    """Any other is an error."""
    warnings.simplefilter("error")
    warnings.simplefilter("ignore", BackboneWarning)  # random rows are unlike any picture's
    for module in ("PIL", "torch", "open_clip", "timm"):
        warnings.filterwarnings("ignore", module=module)


def _too_long(*_: Any) -> None:
    raise TimeoutError(f"more than {SECONDS} s")


def work(job: tuple[str, int, int, str]) -> tuple[str, Counter[str], float, int]:
    """One chunk: how often each outcome came, the longest time of an input,
    and the memory of the process so far."""
    name, seed, chunk, crashes = job
    target, r = ALL[name], Random(f"{name} {seed} {chunk}")
    found: Counter[str] = Counter()
    longest = 0.0
    for _ in range(CHUNK):
        with np.errstate(all="ignore"):
            data = target.make(r)
        began = time.perf_counter()
        outcome = outcome_of(target, data, crashes)
        longest = max(longest, time.perf_counter() - began)
        found[outcome] += 1
    return name, found, longest, _memory()


def _memory() -> int:
    if sys.platform == "win32":
        return 0
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def outcome_of(target: Target, data: bytes, crashes: str) -> str:
    _alarm(SECONDS)
    try:
        return target.check(data)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a panic of a Rust library derives from this alone
        keep(target, data, Path(crashes))
        return f"BUG {type(error).__name__} at {place(error)}: {_short(error)}"
    finally:
        _alarm(0)


def place(error: BaseException) -> str:
    """The innermost line of the package, or of what checks it."""
    frames = traceback.extract_tb(error.__traceback__)
    package = Path(clipcodec.__file__).parent
    ours = [f for f in frames if package in Path(f.filename).parents] or frames
    return f"{Path(ours[-1].filename).name}:{ours[-1].lineno}"


def _short(error: BaseException) -> str:
    """So that one bug is counted under one name."""
    return re.sub(r"[0-9]+", "#", str(error).partition("\n")[0])[:60]


def keep(target: Target, data: bytes, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{target.name}-{hashlib.sha256(data).hexdigest()[:8]}"
    (folder / f"{name}.bin").write_bytes(data)
    (folder / f"{name}.txt").write_text(traceback.format_exc(), "utf-8", "backslashreplace")
