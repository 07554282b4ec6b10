"""clipcodec.kinds.trellis.device.states: rANS as in entropy/ans.py, on tensors with a sign."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from clipcodec.entropy.ans import AnsDecoder, AnsEncoder, intervals
from clipcodec.kinds.trellis.device.states import WHOLE, Decoder, Encoder, Symbols

# the first table is even, the second has one symbol that takes nearly all, and so large states
FREQUENCIES = np.array([[1 << 14] * 4, [(1 << 16) - 3, 1, 1, 1]])
LEFT, WIDTH = intervals(FREQUENCIES)


def symbols_of() -> Symbols:
    keys = (LEFT + np.array([[0], [WHOLE]])).ravel()
    symbol = np.tile(np.arange(4), 2)
    entries = np.stack([LEFT.ravel(), WIDTH.ravel(), symbol, (symbol & 1) * WHOLE])
    return Symbols(torch.from_numpy(keys[1:]), torch.from_numpy(entries))


def drawn(count: int, length: int, share: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Tables and symbols (length, N), a share of them of the first table, and seeds (N,)."""
    rng = np.random.default_rng(length)
    tables = (rng.random((length, count)) >= share).astype(np.int64)
    likely = np.where(tables > 0, 0.999, 0.25)
    symbols = np.where(rng.random(tables.shape) < likely, 0, rng.integers(0, 4, tables.shape))
    return tables, symbols, rng.integers(1 << 24, 1 << 32, count)


def numpys(tables: np.ndarray, symbols: np.ndarray, seeds: np.ndarray) -> list[bytes]:
    encoder = AnsEncoder(seeds, len(symbols))
    for table, symbol in zip(tables[::-1], symbols[::-1], strict=True):
        encoder.push(LEFT[table, symbol], WIDTH[table, symbol])
    return encoder.payloads()


def decoder_of(payloads: list[bytes]) -> Decoder:
    lengths = np.array([len(p) for p in payloads])
    data = torch.from_numpy(np.frombuffer(b"".join(payloads), np.uint8).copy())
    return Decoder(data, torch.from_numpy(np.cumsum(lengths) - lengths), torch.from_numpy(lengths))


@pytest.mark.parametrize("length", [0, 1, 7, 90])
@pytest.mark.parametrize("share", [0, 0.3, 1])
def test_the_payloads_are_numpys_and_come_back(length: int, share: float) -> None:
    """Also with states above 2**63, which are negative numbers here."""
    tables, symbols, seeds = drawn(40, length, share)
    encoder = Encoder(torch.from_numpy(seeds), length)
    negative = 0
    for table, symbol in zip(tables[::-1], symbols[::-1], strict=True):
        encoder.push(torch.from_numpy(LEFT[table, symbol]), torch.from_numpy(WIDTH[table, symbol]))
        negative += int((encoder.state < 0).sum())
    words, lengths = encoder.payloads()
    joined = [row.tobytes() for row in words.numpy()]
    payloads = [row[:n] for row, n in zip(joined, lengths.tolist(), strict=True)]
    assert payloads == numpys(tables, symbols, seeds)
    if length == 90 and share:
        assert negative
    decoder, known = decoder_of(payloads), symbols_of()
    for table, symbol in zip(tables, symbols, strict=True):
        found, parity = decoder.pop(torch.from_numpy(table * WHOLE), known)
        assert found.tolist() == symbol.tolist()
        assert parity.tolist() == (symbol % 2 * WHOLE).tolist()
    assert decoder.seeds().tolist() == seeds.tolist()


def test_equally_likely_bits_are_numpys() -> None:
    """Of none to sixteen bits; none leaves a state as it is."""
    rng = np.random.default_rng(0)
    payloads = [bytes(rng.integers(1, 256, n).tolist()) for n in range(1, 60)]
    decoder, numpys = decoder_of(payloads), AnsDecoder(payloads)
    for _ in range(12):
        bits = rng.integers(0, 17, len(payloads))
        quantile = numpys.quantile()
        value = quantile >> 24 - bits
        numpys.advance(value << 24 - bits, np.left_shift(1, 24 - bits), quantile)
        assert decoder.pop_uniform(torch.from_numpy(bits)).tolist() == value.tolist()
    assert decoder.seeds().tolist() == numpys.seeds().tolist()


def test_an_empty_payload_reads_no_other() -> None:
    decoder = decoder_of([b"", b"abcdefgh", b""])
    assert decoder.state.tolist()[::2] == [0, 0]


def test_the_whole_interval_changes_nothing() -> None:
    seeds = torch.tensor([1, 1 << 24, (1 << 32) - 1])
    encoder = Encoder(seeds, 4)
    for _ in range(4):
        encoder.push(torch.zeros_like(seeds), torch.full_like(seeds, WHOLE))
    assert encoder.state.tolist() == seeds.tolist()
    assert encoder.payloads()[1].tolist() == [1, 4, 4]
