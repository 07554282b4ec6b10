"""clipcodec.kinds.exact: products whose sums no order changes, and how near to plain ones."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from clipcodec.kinds.exact import ExactProduct


@given(
    k=st.integers(1, 600),
    m=st.integers(1, 5),
    spread=st.floats(-3, 3),
    seed=st.integers(0, 1000),
)
def test_any_order_of_summation_gives_the_same(k: int, m: int, spread: float, seed: int) -> None:
    """Inputs and weights shuffled together; one row or many; forwards, backwards, in parts."""
    rng = np.random.default_rng(seed)
    weights = (rng.standard_normal((k, m)) * 10.0 ** (spread * rng.random((k, 1)))).astype("f4")
    x = rng.standard_normal((7, k)).astype(np.float32)
    product = ExactProduct(weights, 10)
    expected = product(x)
    order = rng.permutation(k)
    assert (ExactProduct(weights[order], 10)(x[:, order]) == expected).all()
    assert (product(x[3:4]) == expected[3:4]).all()
    units = np.clip(np.rint(x * product._fine), -product._largest, product._largest)
    forwards, backwards = np.zeros((7, m)), np.zeros((7, m))
    for i in range(k):
        forwards += units[:, i : i + 1] * product._weights[i]
        backwards += units[:, k - 1 - i : k - i] * product._weights[k - 1 - i]
    assert (forwards == expected).all()
    assert (backwards == expected).all()


def test_every_partial_sum_is_a_whole_number_below_two_to_the_53_of_its_unit() -> None:
    """Even when all inputs are at the limit and of the weights' sign."""
    rng = np.random.default_rng(3)
    weights = rng.standard_normal((700, 4)) ** 3
    product = ExactProduct(weights, 1)
    for column in product._weights.T:
        held = np.abs(column[column != 0])
        unit = max(float(v).as_integer_ratio()[1] for v in held)
        whole = held * unit
        assert (whole == np.rint(whole)).all()
        assert whole.sum() * product._largest <= 2.0**53


def test_it_is_the_product_within_the_precision_of_half_floats() -> None:
    rng = np.random.default_rng(1)
    weights = (rng.standard_normal((512, 64)) / 16).astype(np.float16)
    x = (rng.standard_normal((50, 512)) / 22).astype(np.float32)
    plain = x.astype(np.float64) @ weights.astype(np.float64)
    assert np.abs(ExactProduct(weights, 2)(x) - plain).max() < 1e-5
    reach = 10.0 ** rng.integers(-3, 3, 512)  # each input of a range of its own
    plain = (x * reach) @ (weights / reach[:, None])
    near = ExactProduct(weights / reach[:, None], reach)(x * reach)
    assert np.abs(near - plain).max() < 1e-5


def test_what_lies_beyond_its_reach_is_clipped() -> None:
    product = ExactProduct(np.eye(2), [1.0, 8.0])
    assert product(np.array([[0.5, -3.0]])).tolist() == [[0.5, -3.0]]
    assert product(np.array([[1e30, -np.inf]])).tolist() == [[2.0, -16.0]]  # the next power of two


def test_zeros_and_empty_products_are_zero() -> None:
    assert not ExactProduct(np.zeros((3, 2)), 1)(np.ones((4, 3))).any()
    assert ExactProduct(np.ones((3, 2)), 0)(np.zeros((4, 3))).shape == (4, 2)
    assert ExactProduct(np.ones((0, 2)), 1)(np.zeros((4, 0))).tolist() == [[0.0, 0.0]] * 4
