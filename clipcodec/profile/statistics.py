"""Statistics of a profile's training embeddings: they detect a wrong backbone, and give samples."""

from __future__ import annotations

import sys
import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..embeddings import Embeddings
from ..errors import BackboneWarning, WeightsError
from ..system.threads import thin_product

# Least cosine of a text to the mean of texts. Measured: all texts have .30 or more; for a random
# direction in 512 dimensions .25 is more than five standard deviations.
_TEXT = 0.25
_ANY = "any"  # the backbone of a profile that does not say which model its rows were of
_REMEDY = (
    "If another model made them, or if they were changed since (centred, scaled by dimension, cut),"
    " little of them is kept: `clipcodec compare` shows how much by each profile, and"
    " `clipcodec compress --train` learns a profile from them"
)
_STORE = "to store them, use any/rotation or `clipcodec compress --train`"
_MIN_BATCH = 8  # rows from which on the mean and the share of low rows are checked


@dataclass(frozen=True)
class Statistics:
    """Statistics of training embeddings of unit norm (formats/profile-file.md).

    mean   (D,) float32, mean of the embeddings
    low    cosine to the mean direction; one training row in a thousand is below it
    floor  cosine to the mean direction; no embedding of the right backbone is below it
    basis  (D, k) float32, the first k principal axes
    scale  (k + 1,) float32, standard deviation along each axis, then along every other direction
    text   (D,) float32, mean of text embeddings of the same model; None: unknown
    bank   (M, D) float32, unit norm, text embeddings of common things, or centroids of many: what
           an encoder with more effort keeps apart; decoders do not look at it. None: none
    """

    mean: NDArray[np.float32]
    low: float
    floor: float
    basis: NDArray[np.float32]
    scale: NDArray[np.float32]
    text: NDArray[np.float32] | None = None
    bank: NDArray[np.float32] | None = None

    def __repr__(self) -> str:
        from ..system.shown import counted, shown

        def parts() -> list[object]:
            return [counted(len(self.mean), "dimension"), f"low {self.low:.2f}",
                    f"floor {self.floor:.2f}", counted(self.basis.shape[1], "axis", "axes"),
                    None if self.bank is None else f"a bank of {len(self.bank)}"]  # fmt: skip

        return shown("profile.Statistics", parts)

    def are_texts(self, x: Embeddings) -> NDArray[np.bool_]:
        """Which of the rows (N, D) of unit norm lie nearer to the mean of texts than of images.

        CLIP puts images and texts into two narrow cones apart from each other (Liang et al. 2022,
        "Mind the gap"). A direction of neither kind has a cosine of 0 ± 1/sqrt(D) to either mean.
        """
        if self.text is None:
            return np.zeros(len(x), bool)
        text, image = (mean / np.linalg.norm(mean) for mean in (self.text, self.mean))
        to_text, to_image = thin_product(x, text), thin_product(x, image)
        found: NDArray[np.bool_] = (to_text > to_image) & (to_text > _TEXT)
        return found

    def draw(self, count: int, seed: int) -> NDArray[np.float32]:
        """Random embeddings (count, D) of unit norm, from the Gaussian with these statistics."""
        rng = np.random.default_rng(seed)
        rest = rng.standard_normal((count, len(self.mean)))
        rest -= rest @ self.basis @ self.basis.T
        main = rng.standard_normal((count, len(self.scale) - 1)) * self.scale[:-1]
        rows = self.mean + main @ self.basis.T + self.scale[-1] * rest
        unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        samples: NDArray[np.float32] = unit.astype(np.float32)
        return samples


def check_statistics(
    embeddings: NDArray[np.float32], stats: Statistics, name: str, *, ours: bool = False
) -> bool:
    """Check whether rows (N, D) of unit norm come from the network that `stats` were measured on.

    name  of the profile's backbone; "any": the profile does not say

    Returns True, after a BackboneWarning, if they seem not to. Raises WeightsError if that is
    certain and the rows are `ours`: computed here, by the backbone `name`. Rows that a caller gives
    may be anything, so they cause a warning at most.

    CLIP's image embeddings lie in a cone around their mean direction `stats.mean`. Another network
    has another cone, and the cosine between the two is that of random directions, 0 ± 1/sqrt(D).
    All cosines below are to the mean direction.

    * Warning, one per call: with fewer than 8 rows, any row is below `stats.low`; with 8 or more,
      their mean is, or more than 1 % of them and more than one.
    * Error, only if `ours`: any row is below `stats.floor`, or the mean of 8 or more rows is below
      the batch limit, floor + (low - floor) / 3.

    Measured with OpenAI's ViT-B/32: low 0.31, floor 0.01, batch limit 0.11. Of 16,576 images from
    four other data sets none is below 0.36. The lowest of 48,399 training rows has 0.157, so a
    batch of copies of it gives no error; the eight lowest have a mean of 0.23. Random networks give
    -0.07 to 0.07. A random direction is below the batch limit in 99 of 100 cases, and below `low`
    always. ViT-L/14: low 0.39, floor 0.11, batch limit 0.21; the lowest real row has 0.26, random
    directions -0.15 to 0.15.
    """
    if len(embeddings) == 0:
        return False
    texts = int(stats.are_texts(embeddings).sum())
    if 2 * texts > len(embeddings) or texts > max(1, len(embeddings) // 100):
        warnings.warn(
            f"{texts} of {len(embeddings)} embeddings lie among the text embeddings of backbone"
            f" {name!r}, not among its images: the profile is made for images, and keeps far less"
            " of texts. To search by texts, or to classify, give them as they are, uncompressed;"
            f" {_STORE}",
            BackboneWarning,
            stacklevel=_caller(),
        )
        return True
    mean = stats.mean.astype(np.float64)  # float64, as squares may overflow float32
    cosines = thin_product(embeddings, (mean / np.linalg.norm(mean)).astype(np.float32))
    lowest, average = float(cosines.min()), float(cosines.mean())
    batch = len(embeddings) >= _MIN_BATCH
    batch_limit = stats.floor + (stats.low - stats.floor) / 3
    if ours and (lowest < stats.floor or (batch and average < batch_limit)):
        raise WeightsError(
            f"the embeddings computed here are not those of backbone {name!r}: their cosine to its"
            f" mean direction is {lowest:.2f} at the lowest, {average:.2f} on average, but images"
            f" have {stats.low:.2f} or more: the weights file is of another network"
        )
    count = int((cosines < stats.low).sum())
    allowed = max(1, len(embeddings) // 100) if batch else 0  # some are low in any large batch
    if count > allowed or (batch and average < stats.low):
        own = f"those of backbone {name!r}"
        if name == _ANY:
            own = "those that this profile was learned from"
        warnings.warn(
            f"{count} of {len(embeddings)} embeddings are unlike {own}: their cosine to the mean"
            f" direction is {lowest:.2f} at the lowest, but 99.9 % of the right ones have"
            f" {stats.low:.2f} or more. {_REMEDY}",
            BackboneWarning,
            stacklevel=_caller(),
        )
        return True
    return False


def warn_of_images(texts: Embeddings, stats: Statistics, what: str) -> bool:
    """Warn (BackboneWarning) if rows (N, D) of unit norm that should be texts lie among the images.

    what  they are called in the message
    """
    to_images = thin_product(texts, stats.mean / np.linalg.norm(stats.mean))
    images = int((~stats.are_texts(texts) & (to_images > stats.low)).sum())
    if stats.text is None or images <= len(texts) // 100:
        return False
    warnings.warn(
        f"{images} of {len(texts)} {what} lie among the images of this profile, not among the texts"
        " of its model: give embeddings of texts, by the text tower of the same model",
        BackboneWarning,
        stacklevel=_caller(),
    )
    return True


def _caller() -> int:
    """The stack level of the code outside this package that called into it."""
    level, frame = 1, sys._getframe(1)
    package = __name__.partition(".")[0] + "."
    while frame.f_back is not None and f"{frame.f_globals.get('__name__')}.".startswith(package):
        level, frame = level + 1, frame.f_back
    return level
