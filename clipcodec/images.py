"""Any image input → an upright 8-bit RGB image. Only this module decodes image files.

`load_rgb` accepts, and `ImageInput` names:

* a path (`str` or `os.PathLike`), the bytes of an image file, or an object whose `read()` returns
  them;
* a PIL image (its current frame, if it has several);
* a numpy array of uint8: (H, W), (H, W, 1) grey, (H, W, 2) grey + alpha, (H, W, 3) RGB, (H, W, 4)
  RGBA;
* a torch tensor of uint8 (0 to 255) or of floats in [0, 1]: (H, W), (C, H, W) or (H, W, C) with
  C = 1 to 4 as above. If the first and the last axis could both be channels, the first is taken, as
  is usual in torch.

Alpha is dropped, not composited. `image.convert("RGB")`, and so open_clip's own pipeline, does the
same, and the embedding must be the one that users of CLIP get. Grey of 9 to 16 bits is scaled to 8
bits (Pillow alone would clip it to white); which values are black and white is taken from the file,
and a file that does not say so is refused. A PIL image that comes from no file has white at 65535.
Every failure is an `ImageError` that names the input; exceptions of Pillow are converted to it.
"""

from __future__ import annotations

import os
import struct
import sys
from io import BytesIO
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias

from .errors import ImageError, ImageFileError
from .system.forks import loading
from .system.pipes import read_path

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from PIL import Image
    from torch import Tensor

ImageInput: TypeAlias = (
    "str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO | Image.Image"
    " | np.ndarray[Any, np.dtype[Any]] | Tensor"
)

_ACCEPTED = "a path, bytes, a binary file object, a PIL image, a numpy array or a torch tensor"
# Vector formats: Pillow starts Ghostscript for EPS, and the system's renderer for WMF.
_REFUSED_FORMATS = frozenset({"EPS", "WMF"})
# Formats whose 16-bit grey Pillow gives as 0 (black) to 65535 (white), and those whose bits are 1
# for black, which Pillow takes for white. Of TIFF the tags decide.
_FULL_SCALE = frozenset({"PNG", "PPM", "JPEG2000"})
_ONE_IS_BLACK = frozenset({"XBM", "PSD"})
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_SCALE_IT = "scale the pixels to 0…255 and save as 8-bit grey"
_CHANNELS = (1, 2, 3, 4)
# EXIF orientation → PIL.Image.Transpose. Not ImageOps.exif_transpose: it rewrites the EXIF data,
# and fails if they are damaged.
_TURNS = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}


def load_rgb(image: ImageInput) -> Image.Image:
    """The image in PIL mode "RGB" (8 bits), EXIF orientation applied. The input is not changed.

    Images above Pillow's limit (`PIL.Image.MAX_IMAGE_PIXELS`, 89 million pixels by default; None
    means no limit) are refused before they are decoded. An animated file gives its first frame.

    Raises `ImageFileError` if a file cannot be read, `ImageError` if the input is not a usable
    image.
    """
    with loading:
        from PIL import Image

    if isinstance(image, Image.Image):
        return _as_image_error(image, lambda: _to_rgb(image))
    is_file = isinstance(image, (str, os.PathLike, bytes, bytearray, memoryview))
    if is_file or hasattr(image, "read"):
        data = _read(image)
        if not data:
            raise ImageError(f"{describe(image)} is empty: an image file was expected")
        return _as_image_error(image, lambda: _decode(data))
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(image, numpy.ndarray):
        return _as_image_error(image, lambda: _from_array(image))
    if _is_torch_tensor(image):
        return _as_image_error(image, lambda: _from_array(_tensor_to_array(image)))
    raise ImageError(f"{describe(image)} is not an image: give {_ACCEPTED}")


def describe(image: Any) -> str:
    """An input as messages name it: its path, '<bytes: 123 bytes>', '<array of shape …>'."""
    if isinstance(image, (str, os.PathLike)):
        return repr(os.fsdecode(image))
    if isinstance(image, (bytes, bytearray, memoryview)):
        size = image.nbytes if isinstance(image, memoryview) else len(image)
        return f"<{type(image).__name__}: {size} bytes>"
    if _is_torch_tensor(image):
        return f"<tensor of shape {tuple(image.shape)}, {str(image.dtype).removeprefix('torch.')}>"
    if hasattr(image, "shape") and hasattr(image, "dtype"):
        return f"<array of shape {tuple(image.shape)}, {image.dtype}>"
    if hasattr(image, "mode") and hasattr(image, "size"):
        return f"<PIL image, mode {image.mode}, size {image.size}>"
    if hasattr(image, "read"):
        name = getattr(image, "name", "")
        return f"<file {name!r}>" if name and isinstance(name, str) else "<file object>"
    return f"<{type(image).__name__}>"


def _as_image_error(image: object, convert: Callable[[], Image.Image]) -> Image.Image:
    """Run `convert`; turn any error that it raises into an ImageError that names `image`."""
    try:
        return convert()
    except ImageError as error:
        raise ImageError(f"{describe(image)}: {error}") from error.__cause__
    # Plugins raise OSError, SyntaxError, struct.error, zlib.error, OverflowError, MemoryError, …
    except Exception as error:
        from PIL import UnidentifiedImageError

        why = f"damaged or unsupported ({type(error).__name__}: {error})"
        if isinstance(error, UnidentifiedImageError):
            why = "not an image file of a known format"
        raise ImageError(f"{describe(image)}: {why}; export it as PNG or JPEG") from error


def _read(image: Any) -> bytes:
    """All bytes of a path, a buffer, or a file object from where it stands."""
    if isinstance(image, (bytes, bytearray, memoryview)):
        return bytes(image)
    try:
        data = image.read() if hasattr(image, "read") else read_path(image)
    except IsADirectoryError as error:
        raise ImageFileError(f"{describe(image)} is a directory: name a file inside") from error
    except FileNotFoundError as error:
        hint = "check the path"
        if "://" in describe(image):
            hint = "this looks like a URL: download it first and give the file or its bytes"
        raise ImageFileError(f"{describe(image)} does not exist: {hint}") from error
    except Exception as error:  # a NUL in the path, a closed file, a broken gzip stream, …
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        message = f"{describe(image)} cannot be read ({why}): check the file and its permissions"
        raise ImageFileError(message) from error
    if not isinstance(data, (bytes, bytearray, memoryview)):
        given = type(data).__name__
        raise ImageError(f"{describe(image)} gives {given}, not bytes: open it in binary mode")
    return bytes(data)


def _decode(data: bytes) -> Image.Image:
    from PIL import Image, UnidentifiedImageError

    with loading:
        Image.init()  # imports one module per format
    formats = [name for name in Image.ID if name not in _REFUSED_FORMATS]
    try:
        opened = Image.open(BytesIO(data), formats=formats)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(_too_large("the image")) from error
    except UnidentifiedImageError as error:
        if data.startswith(_TIFF):  # Pillow knows few of its many variants
            why = "a TIFF file that is damaged, or of a variant that Pillow does not read"
            raise ImageError(f"{why}; export it as PNG or JPEG") from error
        raise
    return _to_rgb(opened)


def _too_large(what: str) -> str:
    from PIL import Image

    remedy = "scale it down, or raise PIL.Image.MAX_IMAGE_PIXELS if you trust it"
    return f"{what} is above the limit of {Image.MAX_IMAGE_PIXELS} pixels: {remedy}"


def _to_rgb(image: Image.Image) -> Image.Image:
    """Check the size, decode, turn upright, convert to RGB. Pillow's errors are not caught here."""
    from PIL import Image

    # Image.open raises only at twice the limit, below that it warns. `load` takes the memory.
    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and image.width * image.height > limit:
        raise ImageError(_too_large(f"{image.width} x {image.height} pixels"))
    if image.width == 0 or image.height == 0:
        raise ImageError(f"it has no pixels (size {image.width} x {image.height})")
    levels = _black_and_white(image)
    image.load()
    turn = _TURNS.get(orientation(image))
    upright = image if turn is None else image.transpose(Image.Transpose(turn))
    if levels is not None:
        return _scaled(upright, *levels)
    if image.mode in ("P", "PA"):
        # Through RGBA: the same colours, without Pillow's warning about palette transparency.
        upright = upright.convert("RGBA")
    return upright.convert("RGB")


def orientation(image: Image.Image) -> Any:
    try:
        return image.getexif().get(0x0112, 1)
    # Damaged metadata are common in images that are fine otherwise. Their pixels are not turned.
    except (SyntaxError, ValueError, TypeError, LookupError, OSError, struct.error):
        return 1


def _black_and_white(image: Image.Image) -> tuple[int, int] | None:
    """Which pixel values of a grey image are black and white; None: Pillow knows it.

    Raises ImageError if this cannot be known.
    """
    mode, file_format = image.mode, image.format
    wide = mode in ("I", "F") or mode.startswith("I;16")
    tags = getattr(image, "tag_v2", None)  # of TIFF
    if tags is not None and (wide or mode == "L"):
        return _tiff_levels(tags, wide=wide)
    if mode == "1" and file_format in _ONE_IS_BLACK:
        return 1, 0
    if not wide:
        return None
    # Pillow opens 16-bit PGM, and some releases 16-bit PNG, as 32-bit integers.
    if mode == "F" or (mode == "I" and file_format not in _FULL_SCALE):
        raise ImageError(f"32-bit grey has no fixed white: {_SCALE_IT}")
    if file_format is not None and file_format not in _FULL_SCALE:
        raise ImageError(f"16-bit grey in {file_format} has no fixed white: {_SCALE_IT}")
    return 0, 65535


def _tiff_levels(tags: Any, *, wide: bool) -> tuple[int, int] | None:
    """`_black_and_white` of TIFF. Pillow ignores the tags of grey that it opens as 16 bits."""
    bits, kind, polarity = (_tiff_tag(tags, tag) for tag in (258, 339, 262))
    kind = 1 if kind is None else kind
    if kind != 1 or bits > 16:
        what = {1: "", 2: "signed ", 3: "float "}.get(kind, "unknown ")
        raise ImageError(f"{bits}-bit {what}grey has no fixed white: {_SCALE_IT}")
    if polarity is None:  # readers disagree which is meant
        raise ImageError(
            "its tag PhotometricInterpretation is missing, so black and white cannot be told "
            "apart: set it, or export the image as PNG or JPEG"
        )
    if not wide:
        return None
    white: int = 2**bits - 1
    return (white, 0) if polarity == 0 else (0, white)


def _tiff_tag(tags: Any, tag: int) -> Any:
    """The value of a tag, of its first sample; None: it is not there."""
    value = tags.get(tag)
    return value[0] if isinstance(value, tuple) and value else value


def _scaled(image: Image.Image, black: int, white: int) -> Image.Image:
    """Grey to 0…255, rounded to nearest."""
    import numpy as np
    from PIL import Image

    values = np.clip(np.asarray(image).astype(np.int64), min(black, white), max(black, white))
    span = abs(white - black)
    grey = (np.abs(values - black) * 255 + span // 2) // span
    return Image.fromarray(grey.astype(np.uint8)).convert("RGB")


def _from_array(array: Any) -> Image.Image:
    import numpy as np
    from PIL import Image

    if array.dtype != np.uint8:
        floats = "(array.clip(0, 1) * 255).round().astype('uint8') if its values are 0 to 1"
        conversion = {
            "b": "array.astype('uint8') * 255",
            "u": "(array // 257).astype('uint8') if white is 65535",
            "i": "array.astype('uint8') if its values are 0 to 255",
        }.get(array.dtype.kind, floats)
        raise ImageError(f"the array must be uint8, not {array.dtype}: use {conversion}")
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in _CHANNELS):
        hint = "give one image of shape (H, W) or (H, W, 1 to 4)"
        if array.ndim == 3 and array.shape[0] in _CHANNELS:
            hint = "channels come last: use array.transpose(1, 2, 0)"
        elif array.ndim == 4:
            hint = "give the images of a batch one by one"
        raise ImageError(f"this is not the shape of an image: {hint}")
    if array.size == 0:
        raise ImageError("the array has no pixels")
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    return Image.fromarray(np.ascontiguousarray(array)).convert("RGB")


def _is_torch_tensor(image: Any) -> bool:
    # A caller that has a tensor has imported torch; others should not wait for the import.
    torch = sys.modules.get("torch")
    return torch is not None and hasattr(torch, "Tensor") and isinstance(image, torch.Tensor)


def _tensor_to_array(tensor: Any) -> Any:
    """torch (C, H, W), (H, W, C) or (H, W), uint8 or float in [0, 1] → uint8, channels last."""
    import numpy as np

    array = (tensor.float() if tensor.is_floating_point() else tensor).detach().cpu().numpy()
    if array.dtype == np.float32:
        if not np.all((array >= 0) & (array <= 1)):  # NaN fails too
            raise ImageError("a float tensor must lie in [0, 1]: undo normalisation, or give uint8")
        array = np.rint(array * 255).astype(np.uint8)
    elif array.dtype != np.uint8:
        raise ImageError(f"a tensor must be uint8 or float in [0, 1], not {tensor.dtype}")
    if array.ndim == 3 and array.shape[0] in _CHANNELS:
        array = array.transpose(1, 2, 0)
    return array
