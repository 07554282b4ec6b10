"""From rows to a small profile that the file of their streams carries (kind compact). No torch.

Every choice is made on rows held out, whole groups of them: how many axes are kept, how coarsely
they are stored, which tables code the coefficients. Then the axes are made anew from all rows.
"""

from __future__ import annotations

import os
import time
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..container.embedded import Embedded
from ..embeddings import Embeddings, as_embeddings
from ..errors import EmbeddingError, OptionError, RateError, TrainingError
from ..kinds import MAX_DIM
from ..kinds.trellis.engine import Engine
from ..kinds.trellis.tables import LevelTables
from ..mean import hashes_of
from ..profile.file import Tensors
from ..system.files import write_atomic
from ..target import Target
from . import compact, level_tables, paying
from .choosing import COSINE, LEAST_BYTES, Choosing, Chosen
from .data import thinned
from .estimate import HEADER
from .folds import folds
from .klt import QUALITIES, RDO_WEIGHT
from .measured import Measured, Part, measure, rotation
from .principal import Axes, axes_without
from .rank import Choice

__all__ = ["Learned", "learn"]

LEAST_ROWS = 64  # distinct ones
_FOLDS, _FOLD_WIDTH = 5, 1024  # sets of held-out rows, up to this many axes; one set of wider ones
_SHARE = 0.1  # of the rows, in each set; of few rows all are held out in turn
_FEW = 5_000
_MOST_RANK = 1024
_TABLE_ROWS = 2_000  # held-out rows to which the tables are fitted
_OWN_MEASURED = 300
_OWN = 0.5  # of the rows that tables are fitted to, if those learned from are all of the file
_MEASURED = 1_000  # held-out rows that the result is measured on
_SAME = 1e-6  # mean squared distance to the mean of rows that are one embedding but for rounding

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Learned:
    """A profile for a container, and what it does for held-out rows at the target.

    Attributes:
        data: The profile file, of kind compact.
        size: Bytes of the block that holds it in a container.
        share: Of these for each item.
        rows: Distinct rows learned from.
        held_out: Rows that were held out in turn.
        rank: Coefficients n of D.
        hidden: Units of its networks; 0: none.
        cosine: Mean, of held-out rows with what is decoded.
        bytes: Of an item in the container, without its share.
        own_cosine: Mean, of rows that it was learned from.
        rotation_cosine: What any/rotation keeps in a file of the same size.
        better: Whether the file keeps more than that: its rows are those learned from, as far as
            these reach, then rows like those held out.
        seconds: All of it took.

    Examples:
        >>> from clipcodec.training.learn import learn
        >>> rows = np.random.default_rng(0).standard_normal((100, 4)) + 1
        >>> learned = learn(rows, target=clipcodec.Target(quality=50))
        >>> learned.rows, learned.hidden
        (100, 0)
    """

    data: bytes
    size: int
    share: float
    rows: int
    held_out: int
    rank: int
    hidden: int
    cosine: float
    bytes: float
    own_cosine: float
    rotation_cosine: float
    better: bool
    seconds: float

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write the profile file, whole or not at all.

        Args:
            path: Of the file.
            overwrite: Replace it if it exists.

        Raises:
            OutputExistsError: It exists, and `overwrite` is false.
            OSError: It cannot be written.

        Examples:
            >>> from clipcodec.training.learn import learn
            >>> rows = np.random.default_rng(0).standard_normal((100, 4)) + 1
            >>> learn(rows, target=clipcodec.Target(quality=50)).save("own.safetensors")
            >>> clipcodec.Codec("own.safetensors").profile.dim
            4
        """
        write_atomic(path, self.data, overwrite=overwrite)


def learn(
    rows: Any,
    *,
    target: Target,
    items: int | None = None,
    counts: NDArray[np.int64] | None = None,
    groups: NDArray[Any] | None = None,
    minutes: float = 3.0,
    name: str = "private/learned",
    backbone: str = "any",
    device: str = "cpu",
    progress: Progress | None = None,
) -> Learned:
    """Learn a profile from rows, for a file of such rows that carries it.

    Args:
        rows: (N, D) embeddings.
        target: What streams will be made with.
        items: Embeddings that will share the file; None: N.
        counts: (N,) how often each row counts; None: once.
        groups: (N,) what each row belongs to, such as a video: its rows are held out together.
        minutes: That networks may train, where the items are so many that they may pay.
        name: Of the profile.
        backbone: That its embeddings come from; "any": unknown.
        device: That networks are trained on.
        progress: Is told what is being done, in a few words.

    Returns:
        The profile, and how good it is.

    Raises:
        TrainingError: The rows are too few, all the same, or hold NaN.
        OptionError: An argument is out of range.
        RateError: No stream with a profile of its own can be as small as asked.

    Examples:
        >>> from clipcodec.training.learn import learn
        >>> rows = np.random.default_rng(0).standard_normal((500, 8)) + 1
        >>> learn(rows, target=clipcodec.Target(quality=50)).rank
        8
    """
    started = time.perf_counter()
    x, weights = _checked(rows, counts, groups)
    items = max(len(x), 1) if items is None else items
    if not 0 <= minutes <= 1440:
        raise OptionError(f"minutes={minutes} is not in 0 … 1440")
    _check_size(target)
    if items < 1:
        raise OptionError(f"items={items}: expected the number of embeddings, at least 1")
    say = progress or (lambda text: None)
    learner = _Learner(x, weights, groups, target, items, say)
    return learner.learned(name, backbone, minutes, device, started)


def _checked(
    rows: Any, counts: NDArray[np.int64] | None, groups: NDArray[Any] | None
) -> tuple[Embeddings, NDArray[np.float64]]:
    """Rows (N, D) of unit norm, and their weights (N,). Raises TrainingError or OptionError."""
    try:
        x = as_embeddings(rows)
    except EmbeddingError as error:
        raise TrainingError(f"rows to learn from: {error}") from error
    for what, given in (("counts", counts), ("groups", groups)):
        if given is not None and np.shape(given) != (len(x),):
            raise OptionError(f"{what} of shape {np.shape(given)}: expected ({len(x)},)")
    if counts is not None and not (np.asarray(counts) > 0).all():
        raise OptionError("counts must be above zero")
    if len(x) and x.shape[1] > MAX_DIM:
        raise TrainingError(f"embeddings of width {x.shape[1]}: at most {MAX_DIM} is possible")
    weights = np.ones(len(x)) if counts is None else np.asarray(counts, np.float64)
    return x, weights


def _check_size(target: Target) -> None:
    """Raises RateError for a size that no stream with a private profile can have."""
    least = HEADER + LEAST_BYTES
    if target.max_bytes is not None and target.max_bytes < least:
        raise RateError(
            f"max_bytes is {target.max_bytes}: a stream with a profile of its own has at least "
            f"{least} bytes, {HEADER} of them its header: allow more"
        )


_REMEDY = "use any/rotation, which needs no training, or learn from more rows"


class _Learner:
    """Rows (N, D) on their way to a profile."""

    def __init__(
        self,
        x: Embeddings,
        weights: NDArray[np.float64],
        groups: NDArray[Any] | None,
        target: Target,
        items: int,
        say: Progress,
    ) -> None:
        self.x, self.weights, self.target, self.items, self.say = x, weights, target, items, say
        hashes = hashes_of(x)
        self.distinct = len(np.unique(hashes))
        if self.distinct < LEAST_ROWS:
            same = " (all rows are the same)" if self.distinct == 1 and len(x) > 1 else ""
            raise TrainingError(
                f"{self.distinct} distinct embeddings among {len(x)} rows{same}: at least "
                f"{LEAST_ROWS} are needed to learn a profile; {_REMEDY}"
            )
        width = min(x.shape)
        few = len(x) < _FEW
        # copies of a row stay together: they are no test of each other
        self.grouped = groups is not None
        together = hashes if groups is None else np.asarray(groups)
        self.held = folds(
            together, _FOLDS if width <= _FOLD_WIDTH else 1, 1 / _FOLDS if few else _SHARE / _FOLDS
        )
        say("finding the axes")
        self.axes, *self.left = axes_without(x, weights, self.held, min(width, _MOST_RANK))
        spread = float(self.axes.variance.sum())
        if spread < _SAME:
            raise TrainingError(
                f"the {len(x)} rows are all but the same (their mean squared distance from their "
                f"mean is {spread:.1e}): there is nothing to learn; {_REMEDY}"
            )

    def learned(
        self, name: str, backbone: str, minutes: float, device: str, started: float
    ) -> Learned:
        self.say("weighing coefficients")
        choice, steps, start = self._chosen()
        count, bands = choice.rank, [0, choice.rank]

        def tensors(axes: Axes, scale: NDArray[np.float64]) -> Tensors:
            return compact.without_networks(axes, choice.coarsest, scale, steps, RDO_WEIGHT)

        self.say(f"fitting the tables of {count} coefficients")
        rough = np.sqrt(self.axes.variance[:count])
        parts = [
            (compact.transform_of(tensors(axes, rough), bands), rows)
            for axes, rows in self._mixed(_TABLE_ROWS)
        ]
        latents = np.concatenate([part.analyse(self.x[rows]) for part, rows in parts])
        scale = np.sqrt((latents.astype(np.float64) ** 2).mean(axis=0) + 1e-18)
        final = tensors(self.axes, scale)
        transform = compact.transform_of(final, bands)
        fitted = level_tables.fit(
            transform, latents, bands, steps, final["weights"],
            scale=scale, start=start, known=True, rounds=6,
        )  # fmt: skip
        engine = Engine(
            transform,
            LevelTables(fitted.frequencies, fitted.class_of, fitted.flag_of, bands),
            steps, final["weights"],
        )  # fmt: skip
        coded = [(part, self.x[rows]) for part, rows in parts]
        quality = self._default(engine, coded, latents)

        def file(axes: Axes) -> bytes:
            return compact.file(
                tensors(axes, scale), fitted, bands, hidden=0, restore=0, quality=quality,
                measured=compact.statistics(self.x, axes.mean), name=name, backbone=backbone,
                card=self._card(count),
            )  # fmt: skip

        data = file(self.axes)
        size = len(Embedded.of(data).block)
        share = size / self.items
        self.say("measuring it on rows held out")
        some = [
            Part(file(axes), self.x[rows])
            for axes, rows in zip(self.left, self._some(_MEASURED), strict=True)
        ]
        found = measure(some, self.target)
        hidden = 0
        networks = self._networks(choice, some[0].profile, found, minutes, device, name, backbone)
        if networks is not None:
            data, size, hidden = networks.data, networks.size, networks.hidden
            some = [Part(data, self.x[thinned(self.held[0], _MEASURED)])]
            share, found = size / self.items, measure(some, self.target)
        own = measure([Part(data, thinned(self.x, _OWN_MEASURED))], self.target)
        known = min(1.0, len(self.x) / self.items)
        expected = known * own.cosine + (1 - known) * found.cosine
        beside = rotation(np.concatenate([part.rows for part in some]), found.bytes + share,
                          self.target)  # fmt: skip
        return Learned(
            data=data, size=size, share=share, rows=self.distinct,
            held_out=sum(map(len, self.held)), rank=count, hidden=hidden,
            cosine=found.cosine, bytes=found.bytes, own_cosine=own.cosine,
            rotation_cosine=beside, better=expected > beside, seconds=time.perf_counter() - started,
        )  # fmt: skip

    def _networks(
        self,
        choice: Choice,
        plain: bytes,
        found: Measured,
        minutes: float,
        device: str,
        name: str,
        backbone: str,
    ) -> paying.Paying | None:
        """The profile with networks, where these pay; plain: the one of the same rows without."""
        held = self.held[0]
        if not minutes or not paying.possible(len(self.x) - len(held)):
            return None
        hidden = paying.units(self.x.shape[1], choice.rank, found.bytes, self.items)
        if not hidden:
            return None
        self.say(f"training networks of {hidden} units for {minutes:g} minutes")
        left = np.setdiff1d(np.arange(len(self.x)), held)

        def quality(engine: Engine, rows: Embeddings) -> int:
            some = thinned(rows, _MEASURED)
            y = engine.transform.analyse(some)
            return self._default(engine, [(engine.transform, some)], y)

        made = paying.train(
            self.x[left], self.weights[left].astype(np.int64), self.x[held], self.left[0],
            choice.coarsest, hidden=hidden, minutes=minutes, device=device, quality=quality,
            name=name, backbone=backbone, card=self._card(choice.rank),
        )  # fmt: skip
        self.say("seeing whether the networks pay")
        return made if paying.pays(made, plain, self.x[held], self.target, self.items) else None

    def _card(self, rank: int) -> dict[str, Any]:
        held = sum(map(len, self.held))
        return {"learned": {"rows": self.distinct, "held_out": held, "rank": rank}}

    def _some(self, most: int) -> list[NDArray[np.int64]]:
        """Of each set of held-out rows the same share, so that all are `most` rows at most."""
        every = max(1, -(-sum(map(len, self.held)) // max(most, 1)))
        return [rows[::every] for rows in self.held]

    def _mixed(self, most: int) -> list[tuple[Axes, NDArray[np.int64]]]:
        """Axes and rows as the file will see them: rows held out, and some of those learned from.

        The rows in the file lie nearer to its axes than others do, if these were made from them.
        """
        own = _OWN * min(1.0, len(self.x) / self.items)
        sets = (
            list(zip(self.left, self._some(round((1 - own) * most)), strict=True))
            if own < 1
            else []
        )
        count = sum(len(rows) for _, rows in sets)
        wanted = round(count * own / (1 - own)) if own < 1 else most
        if wanted:
            order = np.random.default_rng(0).permutation(len(self.x))[:wanted]
            sets.append((self.axes, np.sort(order)))
        return sets

    def _chosen(self) -> Chosen:
        most = 4 * _TABLE_ROWS
        if self.grouped:  # rows to come are of other groups
            sets = list(zip(self.left, self._some(most), strict=True))
        else:
            sets = self._mixed(most)
        seen = [(axes, self.x[rows]) for axes, rows in sets]
        return Choosing(seen, self.axes, self.target, self.items, self.x).chosen()

    def _default(self, engine: Engine, parts: list[Any], latents: NDArray[np.float32]) -> int:
        """The lowest quality that meets the target on average, or else the highest."""
        target = self.target
        if target.quality is not None:
            return min(int(target.quality), QUALITIES)
        size = target.max_bytes or target.mean_bytes
        bounds = np.cumsum([len(rows) for _, rows in parts])[:-1]

        def fine_enough(quality: int) -> bool:
            attempt = engine.attempt(latents, np.full(len(latents), quality))
            if size is not None:
                return bool(
                    HEADER + engine.coder.sizes(attempt.levels, attempt.bits).mean() >= size
                )
            cosines = []
            for (part, rows), y in zip(parts, np.split(attempt.latent, bounds), strict=True):
                x = part.synthesise(y)
                cosines.append((x * rows).sum(axis=1) / np.linalg.norm(x, axis=1))
            return bool(np.concatenate(cosines).mean() >= (target.min_cosine or COSINE))

        return 1 + bisect_left(range(1, QUALITIES), True, key=fine_enough)
