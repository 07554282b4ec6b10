"""JPEG files decoded, resized and cropped by torch on a device: faster there, and nearly the same.

The usual path, Pillow's, stays the exact one. Here the pixels come from torchvision (nvJPEG on
CUDA), and are resized in float32 with antialiasing, so a value may differ by a few levels. Only
files are taken whose colours have one meaning (`plain`).
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..errors import OptionError, brief
from ..images import orientation
from .preprocess import Preprocess, shorten
from .spec import load_module

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

MOST_PIXELS = 1 << 24
"""Of one image; and of all that are resized at the same time. A gigabyte of a device at most."""
_END = b"\xff\xd9"  # a file that was cut has none
_PLAIN = ([(1, 1), (1, 1), (1, 1)], [(2, 1), (1, 1), (1, 1)], [(2, 2), (1, 1), (1, 1)])
_YCC = 1  # Adobe's word for the usual colours; a file without that word has them, too


class Jpeg(NamedTuple):
    """A file that a device may decode.

    Attributes:
        data: The file, as bytes or (N,) uint8.
        pixels: How many it has.
    """

    data: bytes | NDArray[np.uint8]
    pixels: int


def plain(data: bytes, preprocess: Preprocess) -> Jpeg | None:
    """Say whether a device may decode this file: a whole upright JPEG in YCbCr, of a usual size.

    Not taken are grey, CMYK and RGB files, an EXIF orientation, odd subsampling, several pictures
    in a file, what would need a margin or `shorten`, and whatever Pillow's settings refuse. ICC
    profiles do not matter: no path looks at them. Pillow reads the header alone.

    Args:
        data: The file.
        preprocess: What will be done with the pixels.

    Returns:
        The file; None if the exact path must decide about it.

    Examples:
        >>> from clipcodec.models import Preprocess
        >>> from clipcodec.models.jpegs import plain
        >>> plain(b"no image", Preprocess((224, 224), "shortest", "bicubic", 0)) is None
        True
    """
    from PIL import Image

    if not data.endswith(_END):
        return None
    try:
        image: Any = Image.open(io.BytesIO(data), formats=["JPEG"])
        limit = min(MOST_PIXELS, Image.MAX_IMAGE_PIXELS or MOST_PIXELS)
        pixels = image.width * image.height
        high, wide = preprocess.size
        resized = preprocess.resized(*image.size)
        taken = (
            "JPEG" in Image.ID
            and (image.format, image.mode) == ("JPEG", "RGB")
            and pixels <= limit
            and orientation(image) in (None, 1)
            and image.info.get("adobe_transform", _YCC) == _YCC
            and [layer[0] for layer in image.layer] == [1, 2, 3]
            and [layer[1:3] for layer in image.layer] in _PLAIN
            and shorten(image) is image
            and resized[0] >= wide
            and resized[1] >= high
        )
        return Jpeg(data, pixels) if taken else None
    except Exception:  # whatever a damaged header raises: the exact path says what is wrong
        return None


class DeviceJpegs:
    """Decodes JPEG files on a device.

    Attributes:
        device: As torch writes it.

    Raises:
        OptionError: torchvision cannot decode on this device; it is tried.
    """

    def __init__(self, preprocess: Preprocess, device: str) -> None:
        self.device, self._preprocess = device, preprocess
        try:
            with load_module("torch").inference_mode():
                self._decoded([_sample()])
        except (RuntimeError, ImportError, AttributeError, TypeError, ValueError) as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise OptionError(
                f"decode='device': torchvision does not decode JPEGs on {device!r} "
                f"({brief(Exception(reason))}): leave it out, which takes decode='exact'"
            ) from error

    def pixels(self, files: Sequence[Jpeg]) -> list[Tensor | None]:
        """Decode files that are plain.

        Args:
            files: What `plain` has taken.

        Returns:
            For each (H, W, 3) uint8 on the device, resized and cropped; or None if it fails.
        """
        found: list[Tensor | None] = []
        with load_module("torch").inference_mode():
            for part in _parts(files):
                found += self._part(part)
        return found

    def _part(self, files: Sequence[Jpeg]) -> list[Tensor | None]:
        """All at once; if this fails, one by one. Out of memory is a RuntimeError, too."""
        try:
            return [*self._resized(self._decoded(files))]
        except RuntimeError:
            if len(files) == 1:
                return [None]
            return [self._part([file])[0] for file in files]

    def _decoded(self, files: Sequence[Jpeg]) -> list[Tensor]:
        """(3, H, W) uint8 each."""
        torch, io_ = load_module("torch"), load_module("torchvision.io")
        data = [torch.frombuffer(_writable(file.data), dtype=torch.uint8) for file in files]
        kind = torch.device(self.device).type
        where = self.device if kind == "cuda" else "cpu"
        with warnings.catch_warnings():  # 0.29 says that a later release will not have it
            warnings.simplefilter("ignore", DeprecationWarning)
            decoded: list[Tensor] = io_.decode_jpeg(data, io_.ImageReadMode.RGB, device=where)
        return [image.to(self.device) for image in decoded]

    def _resized(self, images: list[Tensor]) -> list[Tensor]:
        """Those of one size together: a device spends more on starting work than on an image."""
        torch = load_module("torch")
        sizes: dict[tuple[int, ...], list[int]] = {}
        for i, image in enumerate(images):
            sizes.setdefault(tuple(image.shape[1:]), []).append(i)
        found = [*images]
        mode = "bilinear" if self._preprocess.interpolation == "bilinear" else "bicubic"
        high, wide = self._preprocess.size
        for (height, width), members in sizes.items():
            columns, rows = self._preprocess.resized(width, height)
            values = torch.stack([images[i] for i in members]).float()
            values = torch.nn.functional.interpolate(
                values, size=(rows, columns), mode=mode, antialias=True, align_corners=False
            )
            left, top = round((columns - wide) / 2), round((rows - high) / 2)
            values = values[:, :, top : top + high, left : left + wide]
            values = values.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)
            for i, row in zip(members, values, strict=True):
                found[i] = row
        return found


def _parts(files: Sequence[Jpeg]) -> list[list[Jpeg]]:
    """Files in order, so many together as have MOST_PIXELS."""
    parts, left = list[list[Jpeg]](), 0
    for file in files:
        if file.pixels > left:
            parts.append([])
            left = MOST_PIXELS
        parts[-1].append(file)
        left -= file.pixels
    return parts


def _writable(data: bytes | NDArray[np.uint8]) -> Any:
    """torch warns of memory that cannot be written."""
    return bytearray(data) if isinstance(data, bytes) else data


def _sample() -> Jpeg:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(np.full((16, 16, 3), 99, np.uint8)).save(file, "JPEG")
    return Jpeg(file.getvalue(), 256)
