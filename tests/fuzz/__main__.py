"""`python -m tests.fuzz`: see run.py, which processes started by it can import."""

import sys

from .run import main

if __name__ == "__main__":
    sys.exit(main())
