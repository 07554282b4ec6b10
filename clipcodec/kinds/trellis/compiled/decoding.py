"""From payloads to coefficients: the loops of the plain kinds/trellis/{batch,quantizer,kind}.py."""

from __future__ import annotations

from typing import Any

import numpy as np

from ....entropy.ans import PRECISION
from ..tables import SEED_SIGNS, SIGNS_PER_PUSH
from .jit import array, compiled, inner

Array = Any
_MASK = np.uint64((1 << PRECISION) - 1)
_SHIFT, _WORD = np.uint64(PRECISION), np.uint64(32)
_LOW = np.uint64(0xFFFFFFFF)
_BYTE, _ONE = np.uint64(8), np.uint64(1)
_SEED_SIGNS, _CHECK_BITS = np.uint64(SEED_SIGNS), np.uint64(16)
_SIGNS, _EACH = SEED_SIGNS, SIGNS_PER_PUSH


@inner
def _refill(state: Any, words: int, payload: Array) -> tuple[Any, int]:
    """One word more, of those that are left before this one, if the state is short of it."""
    if state <= _LOW and words > 0:
        words -= 1
        word = np.uint64(0)
        for byte in range(4 * words, min(4 * words + 4, len(payload))):
            word |= np.uint64(payload[byte]) << (_BYTE * np.uint64(byte - 4 * words))
        state = state << _WORD | word
    return state, words


@inner
def _pop(state: Any, left: Array, width: Array) -> tuple[int, Any]:
    """The next symbol by its table, and the state without it, not refilled."""
    quantile = state & _MASK
    symbol, last = 0, len(left) - 1
    while symbol < last and np.uint64(left[symbol + 1]) <= quantile:
        symbol += 1
    state = (state >> _SHIFT) * np.uint64(width[symbol]) + (quantile - np.uint64(left[symbol]))
    return symbol, state


@inner
def _negate(levels: Array, places: Array, signs: Any) -> None:
    """Change the sign of the levels at places (k,) whose bit is set."""
    for j in range(len(places)):
        if signs >> np.uint64(j) & _ONE:
            levels[places[j]] = -levels[places[j]]


@compiled(
    array("uint8", 1), array("int64", 1), array("int64", 1), array("int64", 1),
    array("int64", 2), array("int64", 2), array("int64", 2), array("uint32", 2),
    array("uint32", 2),
    array("int64", 2, out=True), array("int64", 1, out=True), array("bool_", 1, out=True),
)  # fmt: skip
def decode(
    buffer: Array, starts: Array, lengths: Array, qualities: Array,
    class_of: Array, flag_of: Array, groups: Array, left: Array, width: Array,
    levels: Array, checks: Array, alone: Array,
) -> None:  # fmt: skip
    """Levels (N, n), zeros before, and check values of N payloads in one buffer (uint8).

    starts, lengths   (N,) of the payloads
    class_of, flag_of (Q, n) and (Q, 2·G), or (Q, 1) and (Q, 2) where all are alike
    groups            (G, 3) begin, end, whether the group begins a band
    left, width       (R, K) intervals of the tables
    alone             (N,) is set where the payload has an escape or is damaged
    """
    escape = left.shape[1] - 1
    every, every_flag = class_of.shape[1] > 1, 2 * (flag_of.shape[1] > 2)
    places = np.empty(levels.shape[1], np.int64)  # of levels other than zero
    for row in range(len(starts)):
        payload = buffer[starts[row] : starts[row] + lengths[row]]
        quality, words = qualities[row] - 1, (len(payload) + 3) >> 2
        state, words = _refill(np.uint64(0), words, payload)
        state, words = _refill(state, words, payload)
        full, count, good = 1, 0, True
        odd, before, earlier = 0, 0, 0  # the quantiser now, and the two before: `quantizer.odd`
        for group in range(len(groups)):
            if groups[group, 2]:
                odd, before, earlier = 0, 0, 0
            table = flag_of[quality, every_flag * group + full]
            full, state = _pop(state, left[table], width[table])
            state, words = _refill(state, words, payload)
            if full == 0:
                continue
            first = count
            for i in range(groups[group, 0], groups[group, 1]):
                table = class_of[quality, every * i] + odd
                symbol, state = _pop(state, left[table], width[table])
                state, words = _refill(state, words, payload)
                if symbol:
                    good &= symbol != escape
                    levels[row, i] = symbol
                    places[count] = i
                    count += 1
                odd, before, earlier = odd ^ before ^ earlier ^ (symbol & 1), odd, before
            if full > 1 or count == first or not good:
                good = False
                break
        for at in range(_SIGNS, count if good else 0, _EACH):
            bits = min(_EACH, count - at)
            shift = np.uint64(PRECISION - bits)
            quantile = state & _MASK
            signs = quantile >> shift
            state = ((state >> _SHIFT) << shift) + (quantile - (signs << shift))
            state, words = _refill(state, words, payload)
            _negate(levels[row], places[at : at + bits], signs)
        seed = state - _ONE  # of no state at all: far above every check value
        check, signs = seed >> _SEED_SIGNS, seed & ((_ONE << _SEED_SIGNS) - _ONE)
        inside = min(count, _SIGNS)
        good &= words == 0 and check >> _CHECK_BITS == 0 and signs >> np.uint64(inside) == 0
        if good:
            checks[row] = np.int64(check)
            _negate(levels[row], places[:inside], signs)
        alone[row] = not good


@compiled(array("int64", 2), array("int64", 1), array("uint16", 3), array("int64", 1, out=True))
def check_values(levels: Array, seeds: Array, tables: Array, checks: Array) -> None:
    """CRC-16 of levels (N, n) as `TrellisKind.packed` puts them into bytes, each after its seed.

    tables  (T, 2, 256) what the high and the low byte of the CRC become after two bytes of zeros,
            after four, and so on: T levels are taken together, and do not wait for each other
    """
    high, low, together = tables[0, 0], tables[0, 1], len(tables)
    for row in range(len(levels)):
        crc, whole = seeds[row], levels.shape[1] // together * together
        for at in range(0, whole, together):
            first = crc ^ (abs(levels[row, at]) & 0xFFFF)
            after = np.int64(0)
            for j in range(1, together):
                magnitude = abs(levels[row, at + j]) & 0xFFFF
                after ^= np.int64(tables[together - 1 - j, 1, magnitude & 0xFF])
                if magnitude > 0xFF:
                    after ^= np.int64(tables[together - 1 - j, 0, magnitude >> 8])
            crc = after ^ np.int64(
                tables[together - 1, 0, first >> 8] ^ tables[together - 1, 1, first & 0xFF]
            )
        for level in levels[row, whole:]:
            crc ^= abs(level) & 0xFFFF
            crc = np.int64(high[crc >> 8] ^ low[crc & 0xFF])
        byte, bits = np.int64(0), np.int64(0)
        for level in levels[row]:
            one = np.int64(level != 0)  # no branch: which levels are zero cannot be foreseen
            byte = byte << one | np.int64(level < 0)
            bits += one
            if bits == 8:
                crc = (crc << 8 & 0xFFFF) ^ np.int64(low[crc >> 8 ^ byte])
                byte, bits = np.int64(0), np.int64(0)
        if bits:
            byte <<= 8 - bits
            crc = (crc << 8 & 0xFFFF) ^ np.int64(low[crc >> 8 ^ byte])
        checks[row] = crc


@compiled(array("int64", 2), array("float32", 1), array("int64", 1), array("float32", 2, out=True))
def dequantize(levels: Array, steps: Array, bands: Array, out: Array) -> None:
    """Levels (N, n) to coefficients, by the step of each row (N,). bands: 0 … n, their bounds."""
    for row in range(len(levels)):
        step = steps[row]
        for band in range(len(bands) - 1):
            odd, before, earlier = 0, 0, 0
            for i in range(bands[band], bands[band + 1]):
                level = levels[row, i]
                sign = (level > 0) - (level < 0)
                out[row, i] = np.float32(2 * level - sign * odd) * step
                odd, before, earlier = odd ^ before ^ earlier ^ (level & 1), odd, before
