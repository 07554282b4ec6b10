"""RGB image → the pixels that a backbone takes: open_clip's resizing and cropping, in Pillow.

So processes that decode images need no torch. Tests compare the pixels with open_clip's: they are
equal bit by bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

_MAX_ASPECT = 32


@dataclass(frozen=True)
class Preprocess:
    """Resizing and cropping as an `open_clip.transform.PreprocessCfg` describes them.

    Called with an RGB image, it gives its pixels (H, W, 3), uint8, resized and cropped.

    Attributes:
        size: (height, width) of the result, in pixels.
        resize_mode: "shortest", "longest" or "squash".
        interpolation: "bicubic", "bilinear" or "random" (which means bicubic outside training).
        fill_color: Grey level of the margin around an image that is too small, 0 … 255.

    Examples:
        >>> from PIL import Image
        >>> from clipcodec.models import Preprocess
        >>> Preprocess((224, 224), "shortest", "bicubic", 0)(Image.open("photo.jpg")).shape
        (224, 224, 3)
    """

    size: tuple[int, int]
    resize_mode: str
    interpolation: str
    fill_color: int

    @classmethod
    def from_config(cls, cfg: Any) -> Preprocess:
        """Take open_clip's configuration of a model's preprocessing.

        Args:
            cfg: An `open_clip.transform.PreprocessCfg`.

        Returns:
            The preprocessing.

        Raises:
            ValueError: It has a mode that is not known here.

        Examples:
            >>> from types import SimpleNamespace
            >>> from clipcodec.models import Preprocess
            >>> cfg = SimpleNamespace(size=224, resize_mode=None, interpolation=None, fill_color=0)
            >>> Preprocess.from_config(cfg).size
            (224, 224)
        """
        height, width = (cfg.size, cfg.size) if isinstance(cfg.size, int) else cfg.size
        mode, interpolation = cfg.resize_mode or "shortest", cfg.interpolation or "bicubic"
        if mode not in ("shortest", "longest", "squash"):
            raise ValueError(f"resize_mode {mode!r}")
        if interpolation not in ("bicubic", "bilinear", "random"):  # random: only in training
            raise ValueError(f"interpolation {interpolation!r}")
        if mode == "shortest" and height != width:
            interpolation = "bicubic"  # open_clip's resizing for this case takes no interpolation
        return cls((height, width), mode, interpolation, cfg.fill_color)

    def __call__(self, image: Image.Image) -> NDArray[np.uint8]:
        """An RGB image → uint8 pixels (H, W, 3), resized and cropped."""
        import numpy as np
        from PIL import Image

        bilinear = self.interpolation == "bilinear"
        resampling = Image.Resampling.BILINEAR if bilinear else Image.Resampling.BICUBIC
        size = self.resized(image.width, image.height)
        if image.size != size:
            image = image.resize(size, resampling)
        return np.asarray(self._centre(image))

    def resized(self, width: int, height: int) -> tuple[int, int]:
        """Width and height before cropping, rounded as in open_clip and torchvision.

        Args:
            width: Of the image, in pixels.
            height: Of the image.

        Returns:
            (width, height) in pixels.

        Examples:
            >>> from clipcodec.models import Preprocess
            >>> Preprocess((224, 224), "shortest", "bicubic", 0).resized(640, 480)
            (298, 224)
        """
        high, wide = self.size
        if self.resize_mode == "squash":
            return wide, high
        if self.resize_mode == "shortest" and high == wide:
            longer = int(high * max(width, height) / min(width, height))
            return (high, longer) if width <= height else (longer, high)
        pick = max if self.resize_mode == "longest" else min
        ratio = pick(height / high, width / wide)
        return round(width / ratio), round(height / ratio)

    def _centre(self, image: Image.Image) -> Image.Image:
        """The central part of the image, of size `self.size`; a smaller image gets a margin."""
        from PIL import Image

        high, wide = self.size
        if image.width < wide or image.height < high:
            whole = (max(image.width, wide), max(image.height, high))
            place = ((whole[0] - image.width) // 2, (whole[1] - image.height) // 2)
            framed = Image.new("RGB", whole, (self.fill_color,) * 3)
            framed.paste(image, place)
            image = framed
        left, top = round((image.width - wide) / 2), round((image.height - high) / 2)
        return image.crop((left, top, left + wide, top + high))


def shorten(image: Image.Image) -> Image.Image:
    """Cut an image that is more than 32 times as long as wide to 32:1 around its centre.

    CLIP's crop takes only the central square, but resizing the whole image could take gigabytes.

    Args:
        image: Any image of Pillow.

    Returns:
        The image, or its central part.

    Examples:
        >>> from PIL import Image
        >>> from clipcodec.models import shorten
        >>> shorten(Image.new("RGB", (10, 1000))).size
        (10, 320)
    """
    short, long = sorted(image.size)
    if long <= _MAX_ASPECT * short:
        return image
    width, height = (min(side, _MAX_ASPECT * short) for side in image.size)
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))
