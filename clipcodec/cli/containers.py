"""`clipcodec info` and `clipcodec decompress` of containers (.clpc), known by how they begin."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ..container import Container
from ..container.layout import MAGIC
from ..errors import ClipcodecError, DecodeError, InputError, OptionError, TruncatedError
from ..files import replacing
from .common import STDIO, refuse_terminal_or_existing, report, words
from .decompress import describe_profile

SUFFIX = ".clpc"
_COPY = 1 << 20
_HEADER = 128  # bytes of a .npy header: those that numpy writes for (N, D), for any N
