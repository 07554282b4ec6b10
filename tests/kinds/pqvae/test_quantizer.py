"""clipcodec.kinds.pqvae.quantizer: one shared codebook, nearest codeword."""

from __future__ import annotations

import numpy as np

from clipcodec.kinds.pqvae.quantizer import SharedProductQuantizer


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


def test_coordinates_along_a_basis_stand_for_the_sub_vector_they_make() -> None:
    """Sub-vectors in a plane of 16 dimensions: the nearest codeword is the same either way."""
    rng = np.random.default_rng(1)
    basis = rng.normal(size=(2, 16)).astype(np.float32)
    codebook = rng.normal(size=(32, 16)).astype(np.float32)
    coordinates = rng.normal(size=(50, 20, 2))
    whole = SharedProductQuantizer(codebook).quantize(coordinates @ basis)
    along = SharedProductQuantizer(codebook, basis).quantize(coordinates)
    assert (along == whole).mean() > 0.999
    assert len(set(along.ravel().tolist())) > 5


def test_a_codebook_of_zeros_gives_the_first_symbol() -> None:
    still = SharedProductQuantizer(np.zeros((4, 16), np.float32))
    assert not still.quantize(np.ones((2, 3, 16))).any()
