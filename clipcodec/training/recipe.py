"""How the recipes `predictive` and `compact` train: every choice, and its value by the rows."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch

from ..errors import OptionError


@dataclass(frozen=True)
class Recipe:
    """How to train; docs/recipes.md says how the shipped profiles were.

    Where a value is None, `complete` chooses it by the number of rows.

    steps        of the optimiser in the first phase, with a scalar quantiser
    replay       of the optimiser in the second phase, with the real encoder
    hidden       units of each prediction; 0: no networks, the KLT alone
    restore      units of the restoration; twice `hidden` if None
    batch        rows per step of the optimiser
    shrinkage    of the covariance, 0 … 1; None: estimated (`klt.oas`)
    text_weight  weight of the text embeddings in the metric, 0 … 0.99 (see `klt.klt`)
    device       that torch trains on, such as cuda
    cosine       least mean cosine of held-out rows at the default quality
    """

    steps: int | None = None
    replay: int | None = None
    hidden: int | None = None
    restore: int | None = None
    batch: int = 1024
    learning_rate: float = 2e-3
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
    """A recipe with every value chosen."""

    steps: int
    replay: int
    hidden: int
    restore: int
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
    """Choose the values that are None. With few rows, a large network or many steps overfit."""
    steps = min(7_500, rows // 7) if recipe.steps is None else recipe.steps
    hidden = 0 if rows < 4_000 else 96 if rows < 30_000 else 256
    by_rows = {
        "steps": steps,
        "replay": min(300, rows // 100),
        "hidden": hidden,
        "dropout": 0.2 if rows < 30_000 else 0.1,
    }
    given = {name: value for name, value in asdict(recipe).items() if value is not None}
    chosen = {"shrinkage": None, **by_rows, **given}
    return Plan(**{"restore": 2 * chosen["hidden"], **chosen})


def check(recipe: Recipe) -> None:
    """Raise OptionError for a value out of range."""
    for name, low, high in (
        ("steps", 0, 10**7), ("replay", 0, 10**7), ("hidden", 0, 4096),
        ("restore", 0, 8192), ("batch", 1, 10**6), ("weight_decay", 0, 100), ("seed", 0, 2**32 - 1),
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
