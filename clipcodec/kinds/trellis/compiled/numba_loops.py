"""All compiled loops, by name. Importing this compiles them, or reads them from numba's cache."""

from .decoding import check_values, decode, dequantize
from .encoding import encode
from .networks import change, inputs, network, units
from .trellis import band

__all__ = [
    "band", "change", "check_values", "decode", "dequantize", "encode", "inputs", "network",
    "units",
]  # fmt: skip
