"""clipcodec.embeddings: any real array becomes unit float32 rows, or a typed error."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from clipcodec.embeddings import as_embedding, as_embeddings
from clipcodec.errors import EmbeddingError


@given(arrays(np.float64, (3, 5), elements=st.floats(-1e300, 1e300)))
def test_every_finite_nonzero_row_becomes_a_unit_row(x: np.ndarray) -> None:
    """Norms from the smallest to the largest floats are taken."""
    x[np.abs(x).max(axis=1) == 0, 0] = 5e-324
    rows = as_embeddings(x)
    assert rows.dtype == np.float32
    assert np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    peak = np.argmax(np.abs(x), axis=1)
    assert (np.sign(rows[range(3), peak]) == np.sign(x[range(3), peak])).all()


@pytest.mark.parametrize("dtype", ["<f2", "<f4", ">f4", "<f8", ">f8", "i4", ">i2", "u1"])
def test_every_real_dtype_and_layout_means_the_same(dtype: str) -> None:
    x = np.array([[3, 4, 0], [0, 0, 2]])
    expected = np.array([[0.6, 0.8, 0], [0, 0, 1]])
    assert np.allclose(as_embeddings(x.astype(dtype)), expected)
    assert np.allclose(as_embeddings(np.asfortranarray(x.astype(dtype))), expected)
    assert np.allclose(as_embeddings(x.astype(dtype)[::-1])[::-1], expected)


def test_lists_and_torch_tensors_are_taken() -> None:
    import torch

    assert np.allclose(as_embedding([3, 4]), [[0.6, 0.8]])
    tensor = torch.tensor([3.0, 4.0], dtype=torch.bfloat16, requires_grad=True)
    assert np.allclose(as_embedding(tensor), [[0.6, 0.8]])


@pytest.mark.parametrize(
    ("x", "message"),
    [
        ([[1, 2, 3]], r"shape \(1, 3\): expected \(N, 2\)"),
        ([1, 2], r"shape \(2,\): expected \(N, D\); encode_embedding takes one"),
        (np.ma.masked_array([[1.0, 2]], mask=True), "masked array"),
        ([[True, False]], "dtype bool"),
        ([[1, 2], [0, 0]], "embedding 1: all zero"),
        ([[1, 2], [3, float("nan")]], "embedding 1: NaN"),
        ([[float("inf"), 2]], "embedding 0: NaN or infinite"),
        ([["a", "b"]], "dtype"),
        ([[1j, 2]], "dtype"),
        ([[1, 2], [3]], "not an array of numbers|dtype"),
        (None, "dtype"),
    ],
)
def test_bad_rows_name_what_is_wrong(x: object, message: str) -> None:
    with pytest.raises(EmbeddingError, match=message):
        as_embeddings(x, 2)


def test_one_embedding_is_not_many() -> None:
    with pytest.raises(EmbeddingError, match="encode_embeddings takes many"):
        as_embedding([[1, 2]])


def test_no_rows_are_no_error() -> None:
    assert as_embeddings(np.empty((0, 4))).shape == (0, 4)
    assert as_embeddings([]).shape == (0, 0)


def test_tensors_and_objects_that_are_no_numbers_are_refused() -> None:
    import torch

    class Odd:
        def __array__(self, *_: object, **__: object) -> None:
            raise RuntimeError("no array today")

    for x in (torch.ones(1, 2, dtype=torch.complex64), torch.ones(1, 2, dtype=torch.bool),
              torch.ones(1, 2).to_sparse(), torch.empty(1, 2, device="meta"), Odd()):  # fmt: skip
        with pytest.raises(EmbeddingError):
            as_embeddings(x, 2)


def test_all_bad_rows_are_named_and_a_single_one_is_not_numbered() -> None:
    """Rows count over all chunks; the message says the first and how many more."""
    x = np.ones((5000, 3))
    x[[7, 9, 4000]], x[5] = np.nan, 0
    with pytest.raises(EmbeddingError, match=r"^embedding 5 and 3 more: all zero") as caught:
        as_embeddings(x)
    assert (caught.value.index, caught.value.rows) == (5, (5, 7, 9, 4000))
    assert [e.reason[:3] for e in caught.value.each()] == ["all", "NaN", "NaN", "NaN"]
    with pytest.raises(EmbeddingError, match=r"^NaN or infinite values$") as caught:
        as_embedding(x[7])
    assert caught.value.index is None
