"""All compiled loops, by name. Importing this compiles them, or reads them from numba's cache."""

from .decoding import check_values, decode, dequantize
from .networks import change, inputs, network, units

__all__ = ["change", "check_values", "decode", "dequantize", "inputs", "network", "units"]
