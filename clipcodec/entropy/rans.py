"""rANS coder over `FrequencyTables` (formats/clipcodec-1.md, section 4.3).

The check value and a few symbols are the seed of the state, so the 24 bits that it needs to begin
with are not wasted. A single message goes through `constriction`; many go through `ans`, with the
same bytes.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from ..errors import CorruptError
from ..system.forks import cached_property, loading
from .ans import PRECISION, SEED_BITS, AnsDecoder, AnsEncoder, check_payloads, intervals, trim
from .tables import FREQUENCY_BITS, FrequencyTables, Symbols

_BATCH = 16  # from this many messages on, numpy beats one constriction coder per message


class RansCoder:
    """rANS over one table per position; the tables have one alphabet."""

    def __init__(self, tables: FrequencyTables) -> None:
        self.frequencies, self.table_of = tables.frequencies, tables.table_of
        self.count, self.alphabet = tables.count, tables.alphabet
        self.left, self.width = intervals(self.frequencies)
        folded = 0  # symbols in the seed, beside the 16 bits of the check value
        while self.alphabet ** (folded + 1) <= 1 << SEED_BITS - 16:
            folded += 1
        # the flattest tables lose least by it
        steepness = self.frequencies.max(axis=1)[self.table_of]
        self.folded = np.sort(np.lexsort((-np.arange(self.count), steepness))[:folded])
        self.coded = np.setdiff1d(np.arange(self.count), self.folded)

    @cached_property
    def _models(self) -> list[Any]:
        """One model per coded position; `perfect=False` gives the very numbers of `intervals`."""
        categorical = _constriction().stream.model.Categorical
        scaled = self.frequencies / (1 << FREQUENCY_BITS)
        distinct = [categorical(row, perfect=False) for row in scaled]
        return [distinct[t] for t in self.table_of[self.coded]]

    def encode(self, symbols: Symbols, checks: list[int]) -> list[bytes]:
        """Payloads of N messages, check values inside."""
        seeds = np.array(checks, np.int64)
        for position in self.folded:
            seeds = seeds * self.alphabet + symbols[:, position]
        seeds += 1
        coded = symbols[:, self.coded]
        if len(symbols) >= _BATCH:
            return self._encode_batch(coded, seeds)
        return [self._encode_one(s, c) for s, c in zip(coded.tolist(), seeds.tolist(), strict=True)]

    def decode(self, payloads: list[bytes]) -> tuple[Symbols, list[int]]:
        """Symbols (N, n) and check values of N payloads.

        Raises TruncatedError (empty) or CorruptError (too long, not canonical).
        """
        longest = self.count * PRECISION // 8 + 8
        check_payloads(payloads, longest)
        symbols = np.empty((len(payloads), self.count), np.int64)
        if len(payloads) >= _BATCH:
            symbols[:, self.coded], seeds = self._decode_batch(payloads)
        else:
            seeds = np.empty(len(payloads), np.int64)
            for i, payload in enumerate(payloads):
                symbols[i, self.coded], seeds[i] = self._decode_one(payload)
        rest = seeds - 1
        for position in self.folded[::-1]:
            rest, symbols[:, position] = np.divmod(rest, self.alphabet)
        invalid = (rest < 0) | (rest >> 16 != 0)
        if invalid.any():
            bad = np.flatnonzero(invalid)
            raise CorruptError(
                "rANS state does not end in a check value: damaged", rows=bad.tolist()
            )
        return symbols, rest.tolist()

    def _encode_one(self, symbols: list[int], seed: int) -> bytes:
        coder = _ans_coder([seed])
        for symbol, model in zip(reversed(symbols), reversed(self._models), strict=True):
            coder.encode_reverse(symbol, model)
        return trim(coder.get_compressed())

    def _decode_one(self, payload: bytes) -> tuple[list[int], int]:
        """Coded symbols, and the seed; 0 where no single word is left."""
        coder = _ans_coder(np.frombuffer(payload.ljust(len(payload) + 3 & ~3, b"\0"), "<u4"))
        symbols = [coder.decode(model) for model in self._models]
        rest = coder.get_compressed()
        return symbols, int(rest[0]) if len(rest) == 1 else 0

    def _encode_batch(self, symbols: Symbols, seeds: Symbols) -> list[bytes]:
        encoder = AnsEncoder(seeds, self.count)
        tables = self.table_of[self.coded]
        for table, symbol in zip(tables[::-1], symbols.T[::-1], strict=True):
            encoder.push(self.left[table][symbol], self.width[table][symbol])
        return encoder.payloads()

    def _decode_batch(self, payloads: list[bytes]) -> tuple[Symbols, Symbols]:
        decoder = AnsDecoder(payloads)
        symbols = np.empty((len(payloads), len(self.coded)), np.int64)
        for position, table in enumerate(self.table_of[self.coded]):
            quantile = decoder.quantile()
            symbol = np.searchsorted(self.left[table], quantile, side="right") - 1
            symbols[:, position] = symbol
            decoder.advance(self.left[table][symbol], self.width[table][symbol], quantile)
        return symbols, decoder.seeds()


def _ans_coder(words: Any) -> Any:
    return _constriction().stream.stack.AnsCoder(np.asarray(words, np.uint32))


@lru_cache(maxsize=1)
def _constriction() -> Any:
    with loading:
        import constriction  # its submodules exist as attributes only

        # the first calls set up what is shared by all
        model = constriction.stream.model.Categorical(np.full(2, 0.5), perfect=False)
        coder = constriction.stream.stack.AnsCoder(np.ones(1, np.uint32))
        coder.encode_reverse(0, model)
        coder.decode(model)
        coder.get_compressed()
    return constriction
