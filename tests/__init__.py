"""The tests mirror the package; CONTRIBUTING.md says what else is here."""

import os

# Processes of xdist share the processors: more threads of BLAS would only wait for each other. Set
# here, as nothing may have imported numpy yet.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
