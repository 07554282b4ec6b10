"""The tests, in folders that mirror the package; `helpers` holds what several of them share."""

import os

# Processes of xdist share the processors: more threads of BLAS would only wait for each other. Set
# here, as nothing may have imported numpy yet.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
