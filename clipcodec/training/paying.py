"""Networks for a learned profile, where so many items share it that they may pay.

It goes by rows held out, whole groups of them where there are groups: networks are kept if these
rows keep more by them in a file of the same size, the networks counted. That says nothing of rows
of another kind. Of a million embeddings of ViT-L/14 rows of held-out videos gained (cosine .9267 to
.9385), but photographs and news pictures, which are unlike all rows learned from, fell a little
(.8757 to .8703, .8916 to .8901).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..container.embedded import Embedded
from ..embeddings import Embeddings
from ..kinds.trellis.compact import CompactTransform, rounded
from ..kinds.trellis.network import widths
from ..profile.file import Tensors
from ..target import Target
from . import compact
from .data import thinned
from .klt import Klt
from .measured import Part, measure
from .principal import Axes

LEAST_ROWS = 4_000  # networks that saw fewer predict nothing
_UNITS = (256, 192, 128, 96, 64, 48, 32)
_PART, _PART_OF_MANY, _MANY = 0.08, 0.028, 10**6  # of a file that networks may take
_DEFLATED = 0.92  # of their size
_HELD = 500  # rows that decide


@dataclass(frozen=True)
class Paying:
    """A profile file with networks, and what decided for it."""

    data: bytes
    size: int
    hidden: int


def units(dim: int, rank: int, payload: float, items: int) -> int:
    """Hidden units of the largest networks that these items can bear; 0: of none.

    payload  bytes of each in the container
    """
    from .trainer import bands_for

    bands = bands_for(dim, rank)
    part = _PART_OF_MANY if items >= _MANY else _PART
    changed = sum(widths(bands))
    for hidden in _UNITS:
        values = (len(bands) - 2) * rank * hidden + hidden * changed + 4 * rank * hidden
        if _DEFLATED * values <= part * payload * items:
            return hidden
    return 0


def possible(rows: int) -> bool:
    """Whether there are rows enough, and torch."""
    return rows >= LEAST_ROWS and find_spec("torch") is not None


def train(
    x: Embeddings,
    counts: NDArray[np.int64],
    held: Embeddings,
    axes: Axes,
    coarsest: NDArray[np.float64],
    *,
    hidden: int,
    minutes: float,
    device: str,
    quality: Callable[[Any, Any], int],
    name: str,
    backbone: str,
    card: dict[str, Any],
) -> Paying:
    """Train networks on rows x (N, D), whose axes these are; tables and gains by rows held out."""
    from .division import COUNTED
    from .recipe import Recipe, complete
    from .trainer import Form, Trainer, by_time

    count = len(coarsest)
    rows = axes.rows[:count]
    base = Klt(axes.mean, rows.T, rows, np.maximum(axes.variance[:count], 1e-12))

    def stored(base: Klt) -> Tensors:
        basis, shift = rounded(base.synthesis, coarsest)
        return {"center": base.mean.astype(np.float16), "basis": basis, "shift": shift}

    plan = complete(Recipe(hidden=hidden, minutes=minutes, device=device), len(x))
    plan = replace(plan, replay=min(plan.replay, 60))
    trainer = Trainer(x, counts, base, plan, form=Form("compact", stored, CompactTransform))
    trainer.phase_one(by_time(60 * minutes * 0.75))
    trainer.phase_two()
    fitted = trainer.fit_tables(thinned(held, COUNTED))
    tensors = trainer.tensors()
    for part in ("predict.unit", "predict.scale", "restore.unit", "restore.scale"):
        tensors[part] = tensors[part].astype(np.float32)
    for part in ("predict.gain", "restore.gain"):
        tensors[part] = tensors[part].astype(np.float16)
    data = compact.file(
        tensors, fitted, trainer.bands, hidden=hidden, restore=plan.restore,
        quality=quality(trainer.engine(fitted), held),
        measured=compact.statistics(x, axes.mean), name=name, backbone=backbone, card=card,
    )  # fmt: skip
    return Paying(data, len(Embedded.of(data).block), hidden)


def pays(found: Paying, plain: bytes, rows: Embeddings, target: Target, items: int) -> bool:
    """Whether rows held out keep more by the networks in a file of the same size.

    plain  the profile without networks, from the same rows
    """
    some = thinned(rows, _HELD)
    before = measure([Part(plain, some)], target)
    more = (found.size - len(Embedded.of(plain).block)) / items
    on_average = replace(Target(effort=target.effort), mean_bytes=before.bytes)
    alike = measure([Part(plain, some)], on_average)
    less = replace(on_average, mean_bytes=before.bytes - more)
    return measure([Part(found.data, some)], less).cosine > alike.cosine
