"""Inputs made to break the package, and what must hold whatever they are.

    python -m tests.fuzz --inputs 1000000 --seed 1 --jobs 2

| module | holds |
|---|---|
| `seeds.py` | streams to begin with: the format's vectors, and those of small private profiles |
| `profiles.py` | profiles at the edges of what the format allows, and damaged profile files |
| `mutate.py` | damage to bytes, headers and JSON |
| `targets.py`, `readers.py`, `stores.py` | what is fuzzed: an input's making, and its check |
| `run.py` | the long run |

Everything is drawn from a `random.Random`, so that a seed says all.
"""
