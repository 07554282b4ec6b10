"""All compiled loops, by name. Importing this compiles them, or reads them from numba's cache."""

from .decoding import check_values, decode, dequantize
from .encoding import encode
from .networks import change, inputs, network, units
from .trellis import information, quantize

__all__ = [
    "change", "check_values", "decode", "dequantize", "encode", "information", "inputs",
    "network", "quantize", "units",
]  # fmt: skip
