"""Integer symbol statistics, shared by every coder (formats/clipcodec-1.md, section 4)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import WeightsError
from ..system.forks import cached_property

FREQUENCY_BITS = 16
MAX_CODE_LENGTH = 24
MAX_ALPHABET = 1 << 15
MAX_ENTRIES = 1 << 21  # of all tables together: bounds memory

Symbols = NDArray[np.int64]


class FrequencyTables:
    """Frequencies and Huffman code lengths of n symbols of one alphabet.

    frequencies  (T, K) integers >= 1, each row summing to 2**16
    lengths      (T, K) Huffman code lengths, 1 … 24, each row a complete prefix code
    table_of     (n,) the row that position i uses

    Raises WeightsError when the tables do not describe a decodable code.
    """

    def __init__(self, frequencies: Any, lengths: Any, table_of: Any) -> None:
        if np.size(frequencies) > MAX_ENTRIES:
            raise WeightsError(f"frequency tables of more than {MAX_ENTRIES} entries")
        self.frequencies = np.ascontiguousarray(frequencies, dtype=np.int64)
        self.lengths = np.ascontiguousarray(lengths, dtype=np.int64)
        self.table_of = np.ascontiguousarray(table_of, dtype=np.int64)
        self._validate()
        self.count = len(self.table_of)
        self.alphabet = self.frequencies.shape[1]
        self.bits = (self.alphabet - 1).bit_length()  # of one raw symbol

    def _validate(self) -> None:
        f, lengths, rows = self.frequencies, self.lengths, self.table_of
        if f.ndim != 2 or not 2 <= f.shape[1] <= MAX_ALPHABET or lengths.shape != f.shape:
            raise WeightsError(
                f"frequency tables of shape {f.shape} and code lengths of shape {lengths.shape}: "
                f"expected two equal (T, K) with K in 2 … {MAX_ALPHABET}"
            )
        if rows.ndim != 1 or not len(rows) or rows.min() < 0 or rows.max() >= len(f):
            raise WeightsError(f"a position uses a frequency table outside 0 … {len(f) - 1}")
        if f.min() < 1 or (f.sum(axis=1) != 1 << FREQUENCY_BITS).any():
            raise WeightsError(f"frequencies must be >= 1 and sum to 2**{FREQUENCY_BITS}")
        if lengths.min() < 1 or lengths.max() > MAX_CODE_LENGTH:
            raise WeightsError(f"Huffman code lengths must lie in 1 … {MAX_CODE_LENGTH}")
        if ((1 << (MAX_CODE_LENGTH - lengths)).sum(axis=1) != 1 << MAX_CODE_LENGTH).any():
            raise WeightsError("Huffman code lengths are not those of a complete prefix code")

    @cached_property
    def ideal_bits(self) -> NDArray[np.float64]:
        """(T, K) information content of each symbol in bits."""
        return FREQUENCY_BITS - np.log2(self.frequencies)

    def information(self, symbols: Symbols) -> NDArray[np.float64]:
        """(N,) ideal code length in bits of symbols (N, n)."""
        bits: NDArray[np.float64] = self.ideal_bits[self.table_of, symbols].sum(axis=1)
        return bits

    @classmethod
    def from_counts(cls, counts: Any, table_of: Any) -> FrequencyTables:
        """Tables for counts (T, K) >= 0; every symbol stays codable."""
        counts = np.asarray(counts, dtype=np.float64)
        frequencies = np.stack([_to_frequencies(row) for row in counts])
        lengths = np.stack([_huffman_lengths(row) for row in frequencies])
        return cls(frequencies, lengths, table_of)


def _to_frequencies(counts: NDArray[np.float64]) -> NDArray[np.int64]:
    """Counts (K,) to integers >= 1 that sum to 2**16, by largest remainder."""
    if counts.sum() <= 0:
        counts = np.ones_like(counts)
    share = counts / counts.sum() * ((1 << FREQUENCY_BITS) - len(counts))
    f: NDArray[np.int64] = np.floor(share).astype(np.int64)
    left = (1 << FREQUENCY_BITS) - len(counts) - int(f.sum())
    f[np.argsort(f - share, kind="stable")[:left]] += 1
    f += 1
    return f


def _huffman_lengths(frequencies: NDArray[np.int64]) -> NDArray[np.int64]:
    """Code lengths of a Huffman code. Frequencies >= 1 of 2**16 keep them below 24."""
    import heapq

    k = len(frequencies)
    heap = [(int(f), i) for i, f in enumerate(frequencies)]
    heapq.heapify(heap)
    parent = [0] * (2 * k - 1)
    for node in range(k, 2 * k - 1):
        a, b = heapq.heappop(heap), heapq.heappop(heap)
        parent[a[1]] = parent[b[1]] = node
        heapq.heappush(heap, (a[0] + b[0], node))
    depth = [0] * (2 * k - 1)
    for node in range(2 * k - 3, -1, -1):
        depth[node] = depth[parent[node]] + 1
    return np.array(depth[:k], dtype=np.int64)
