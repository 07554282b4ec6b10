"""All compiled loops, by name. Importing this compiles them, or reads them from numba's cache."""

from .decoding import check_values, decode, dequantize
from .networks import change, inputs, product, units
from .trellis import information, quantize

__all__ = [
    "change", "check_values", "decode", "dequantize", "information", "inputs", "product",
    "quantize", "units",
]  # fmt: skip
