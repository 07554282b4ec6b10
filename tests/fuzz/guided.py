"""The same targets, guided by coverage, where atheris (libFuzzer) is installed.

    python -m tests.fuzz.guided stream CORPUS_DIRECTORY -max_total_time=600

What follows the target goes to libFuzzer. Half of its mutations are ours: bytes alone seldom
get beyond a header.
"""

from __future__ import annotations

import sys
from random import Random

import atheris
import numpy as np

with atheris.instrument_imports(include=["clipcodec"]):
    import clipcodec  # noqa: F401
    from clipcodec.kinds.trellis import rate  # noqa: F401

    from . import run


def main() -> None:
    target = run.ALL[sys.argv.pop(1)]
    run.only_warnings_that_are_meant()

    def one(data: bytes) -> None:
        target.check(data)

    def mutate(data: bytes, size: int, seed: int) -> bytes:
        if seed % 2:
            return bytes(atheris.Mutate(data, size))
        with np.errstate(all="ignore"):
            return target.make(Random(seed))[:size]

    atheris.Setup(sys.argv, one, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
