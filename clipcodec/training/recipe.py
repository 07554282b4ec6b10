"""How the recipes `predictive` and `compact` train: every choice, and its value by the rows."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch

from ..errors import OptionError

MINUTES = 3.0
FEW = 1_000  # rows; of fewer the KLT alone is learned, and tables from rows held out in turn
_FOR_NETWORKS = 4_000  # rows: of fewer they learn nothing that holds for others


@dataclass(frozen=True)
class Recipe:
    """How to train; docs/recipes.md says how the shipped profiles were.

    Where a value is None, `complete` chooses it by the number of rows.

    minutes      that all of it may take, MINUTES if neither this nor steps is given
    steps        of the optimiser in the first phase, with a scalar quantiser, instead of minutes:
                 the result does not depend on the clock
    replay       of the optimiser in the second phase, with the real encoder
    hidden       units of each prediction; 0: no networks, the KLT alone
    restore      units of the restoration; twice `hidden` if None
    rank         coefficients that are kept, of a compact profile
    batch        rows per step of the optimiser
    shrinkage    of the covariance, 0 … 1; None: estimated (`klt.oas`)
    text_weight  weight of the text embeddings in the metric, 0 … 0.99 (see `klt.klt`)
    device       that torch trains on, such as cuda
    cosine       least mean cosine of held-out rows at the default quality
    """

    minutes: float | None = None
    steps: int | None = None
    replay: int | None = None
    hidden: int | None = None
    restore: int | None = None
    rank: int | None = None
    batch: int = 256
    learning_rate: float = 4e-3
    restore_rate: float = 5e-4
    weight_decay: float = 0.6
    dropout: float | None = None
    shrinkage: float | None = None
    text_weight: float = 0.6
    cosine: float = 0.98
    seed: int = 0
    device: str = "cpu"


@dataclass(frozen=True)
class Plan:
    """A recipe with every value chosen; one of `minutes` and `steps` is None."""

    minutes: float | None
    steps: int | None
    replay: int
    hidden: int
    restore: int
    rank: int | None
    batch: int
    learning_rate: float
    restore_rate: float
    weight_decay: float
    dropout: float
    shrinkage: float | None
    text_weight: float
    cosine: float
    seed: int
    device: str


def complete(recipe: Recipe, rows: int) -> Plan:
    """Choose the values that are None. With few rows a large network overfits."""
    by_rows = {
        "replay": min(300, rows // 100),
        "hidden": 0 if rows < _FOR_NETWORKS else 96 if rows < 30_000 else 256,
        "dropout": 0.2 if rows < 30_000 else 0.1,
        "minutes": MINUTES if recipe.steps is None else None,
    }
    given = {name: value for name, value in asdict(recipe).items() if value is not None}
    chosen = {"shrinkage": None, "rank": None, "steps": None, **by_rows, **given}
    return Plan(**{"restore": 2 * chosen["hidden"], **chosen})


def check(recipe: Recipe) -> None:
    """Raise OptionError for a value out of range."""
    if recipe.steps is not None and recipe.minutes is not None:
        raise OptionError("minutes and steps exclude each other: give one of them")
    if recipe.minutes is not None and not 0 < recipe.minutes <= 1440:
        raise OptionError(f"minutes={recipe.minutes} is not above 0 and at most 1440")
    for name, low, high in (
        ("steps", 0, 10**7), ("replay", 0, 10**7), ("hidden", 0, 4096),
        ("restore", 0, 8192), ("rank", 1, 4096), ("batch", 1, 10**6),
        ("weight_decay", 0, 100), ("seed", 0, 2**32 - 1),
        ("text_weight", 0, 0.99), ("dropout", 0, 0.9), ("shrinkage", 0, 1), ("cosine", 0, 0.9999),
    ):  # fmt: skip
        value = getattr(recipe, name)
        if value is not None and not low <= value <= high:
            raise OptionError(f"{name}={value} is not in {low} … {high}")
    for name in ("learning_rate", "restore_rate"):
        if not 0 < getattr(recipe, name) <= 1:
            raise OptionError(f"{name}={getattr(recipe, name)} is not above 0 and at most 1")
    try:
        torch.zeros(1, device=recipe.device)
    except (RuntimeError, AssertionError) as error:
        raise OptionError(f"device={recipe.device!r}: {str(error).splitlines()[0]}") from error
