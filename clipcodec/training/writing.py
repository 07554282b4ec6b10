"""Writes what a `Trainer` has learned as a profile file of its kind."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..embeddings import Embeddings
from ..profile.file import write_profile
from ..system.files import write_atomic
from . import compact, level_tables
from .export import statistics
from .klt import QUALITIES
from .trainer import COMPACT, Trainer


def write(
    out: str | os.PathLike[str],
    trainer: Trainer,
    fitted: level_tables.Fitted,
    rows: Embeddings,
    texts: Embeddings | None,
    quality: int,
    *,
    name: str,
    backbone: str,
    card: Mapping[str, Any],
) -> None:
    """Write the profile `out`, whole or not at all.

    rows, texts  (N, D) of which its statistics are made
    quality      the default one
    """
    plan, tensors = trainer.plan, trainer.tensors()
    if trainer.form is COMPACT:
        data = compact.file(
            tensors, fitted, trainer.bands, hidden=plan.hidden, restore=plan.restore,
            quality=quality, measured=compact.statistics(rows), name=name, backbone=backbone,
            card=card,
        )  # fmt: skip
        write_atomic(out, data, overwrite=True)
        return
    stat_tensors, stat_meta = statistics(rows, texts)
    meta = {
        "kind": trainer.form.kind,
        "name": name,
        "backbone": backbone,
        "dim": rows.shape[1],
        "config": {
            "qualities": QUALITIES,
            "default_quality": quality,
            "rows": len(fitted.frequencies),
            "alphabet": fitted.frequencies.shape[1],
            "bands": trainer.bands,
            "hidden": plan.hidden,
            "restore": plan.restore,
        },
        "statistics": stat_meta,
        "card": dict(card),
    }
    everything = {
        **tensors,
        **stat_tensors,
        "tables.frequencies": fitted.frequencies,
        "tables.class_of": fitted.class_of,
        "tables.flag_of": fitted.flag_of,
    }
    write_profile(Path(out), meta, everything)
