"""clipcodec.quantizers: one shared codebook, nearest codeword."""

from __future__ import annotations

import numpy as np

from clipcodec.quantizers import SharedProductQuantizer


def test_every_sub_vector_gets_its_nearest_codeword() -> None:
    """Compared with distances written out, over more rows than one chunk holds."""
    rng = np.random.default_rng(0)
    codebook = rng.normal(size=(1024, 3)).astype(np.float32)
    latent = rng.normal(size=(40, 25, 3)).astype(np.float32)
    quantizer = SharedProductQuantizer(codebook)
    distances = ((latent[:, :, None] - codebook) ** 2).sum(axis=3)
    symbols = quantizer.quantize(latent)
    assert symbols.shape == (40, 25)
    assert (symbols == distances.argmin(axis=2)).mean() > 0.999  # rounding may part near ties
    chosen = np.take_along_axis(distances, symbols[:, :, None], axis=2)[:, :, 0]
    assert np.allclose(chosen, distances.min(axis=2), atol=1e-5)


def test_codewords_come_back_as_themselves() -> None:
    codebook = np.array([[0, 0], [1, 0], [0, 1]], np.float32)
    quantizer = SharedProductQuantizer(codebook)
    symbols = np.array([[0, 1, 2], [2, 2, 0]])
    latent = quantizer.dequantize(symbols)
    assert latent.shape == (2, 3, 2)
    assert quantizer.quantize(latent).tolist() == symbols.tolist()


def test_ties_go_to_the_lower_symbol() -> None:
    quantizer = SharedProductQuantizer(np.array([[1, 0], [-1, 0], [1, 0]], np.float32))
    assert quantizer.quantize(np.zeros((1, 1, 2), np.float32)).tolist() == [[0]]
    assert quantizer.quantize(np.ones((1, 1, 2), np.float32)).tolist() == [[0]]


def test_a_flat_codebook_is_searched_where_it_lies() -> None:
    """Codewords in a plane of 16 dimensions: the nearest is the same, wherever the latent is."""
    rng = np.random.default_rng(1)
    plane = np.linalg.qr(rng.normal(size=(16, 2)))[0].T
    codebook = (rng.normal(size=(32, 2)) @ plane).astype(np.float32)
    latent = 3 * rng.normal(size=(50, 20, 16)).astype(np.float32)
    distances = ((latent[:, :, None] - codebook) ** 2).sum(axis=3)
    quantizer = SharedProductQuantizer(codebook)
    assert quantizer._axes.shape == (16, 2)
    assert (quantizer.quantize(latent) == distances.argmin(axis=2)).mean() > 0.999
    still = SharedProductQuantizer(np.zeros((4, 16), np.float32))
    assert not still.quantize(latent).any()
