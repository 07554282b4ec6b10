"""Pixel codecs: an image to bytes and back. A name says which, and at which quality.

    jpeg@30, webp@30, avif@30, jxl@30    through Pillow; quality 0 (smallest) to 100
    bmshj2018-hyperprior@1 … @8          through CompressAI, trained for mean squared error
    cheng2020-anchor@1 … @6              the same
    avif@30,size=224                     the image is scaled first, to a shorter side of 224 pixels

Encoders may take their time for a small file: WebP method 6, AVIF speed 4, JPEG XL effort 9. JPEG
is written both ways, baseline and progressive, with tables of its own, and the smaller file counts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ImageError, MissingDependencyError, OptionError, WeightsUnavailableError
from ..images import describe
from ..integrations.extras import need
from ..system.forks import loading
from ..system.optional import require

if TYPE_CHECKING:
    from PIL import Image

EXTRA = "pixels"
MODULES = ("evaluation/pixel_codecs.py", "images.py")  # what decides the bytes
QUALITIES = (5, 10, 20, 30, 50, 75, 90)
_PILLOW = {"jpeg": "JPEG", "webp": "WebP", "avif": "AVIF", "jxl": "JPEG XL"}
_LEARNED = {"bmshj2018-hyperprior": 8, "cheng2020-anchor": 6}  # the highest quality of each
_MULTIPLE = 64  # the sides that these networks take
SIZE = 224  # of the input of most CLIP models

Code = Callable[["Image.Image"], tuple[int, "Image.Image"]]


@dataclass(frozen=True)
class PixelCodec:
    """A pixel codec at one setting.

    spec     names it, as the module says
    series   codecs of one series form a curve
    setting  what sets its rate, as text
    code     an RGB image to the bytes it took and the decoded RGB image, of the same size unless
             the setting has another
    weights  what names the weights of a network; ""
    threads  whether several images may be coded at once
    """

    spec: str
    series: str
    setting: str
    code: Code
    weights: str = ""
    threads: bool = True


def default_specs() -> list[str]:
    """Each codec at all its qualities; those of Pillow also at the size that CLIP looks at."""
    whole = [f"{name}@{quality}" for name in _PILLOW for quality in QUALITIES]
    small = [f"{name}@{quality},size={SIZE}" for name in _PILLOW for quality in QUALITIES]
    learned = [f"{name}@{q}" for name, most in _LEARNED.items() for q in range(1, most + 1)]
    return whole + small + learned


def all_settings(name: str) -> list[str]:
    """The default specs of one codec, given by its name alone."""
    found = [spec for spec in default_specs() if spec.partition("@")[0] == name]
    if not found:
        raise OptionError(f"no pixel codec {name!r}: known are {', '.join((*_PILLOW, *_LEARNED))}")
    return found


def parse_pixel_codec(spec: str, *, download: bool = False) -> PixelCodec:
    """The codec that a spec names. The weights of a network are read when it is first used.

    download  whether weights that are not at hand are downloaded

    Raises OptionError for a spec that is wrong, MissingDependencyError for a package, or
    WeightsUnavailableError that says which file to get.
    """
    name, _, setting = spec.partition("@")
    quality, _, size = setting.partition(",size=")
    most = 100 if name in _PILLOW else _LEARNED.get(name)
    if most is None:
        all_settings(name)  # says which there are
    number, side = _number(quality), _number(size) if size else None
    fits = number is not None and most is not None and number <= most
    if not fits or (name in _LEARNED and not number) or (size and not side):
        raise OptionError(
            f"pixel codec {spec!r}: expected such as {name}@3 or {name}@3,size=224, of quality "
            f"{0 if name in _PILLOW else 1} to {most}"
        )
    assert number is not None
    if name in _PILLOW:
        series, code, weights = _PILLOW[name], _pillow(name, number), ""
    else:
        series = name
        weights, code = _learned(name, number, download)
    text = f"quality={number}"
    if side is not None:
        series, text, code = f"{series}, scaled", f"{text} size={side}", _scaled(side, code)
    return PixelCodec(spec, series, text, code, weights, threads=name in _PILLOW)


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() else None


def _scaled(side: int, code: Code) -> Code:
    """`code` on the image scaled to a shorter side of `side`; a smaller image is left as it is."""

    def scaled(image: Image.Image) -> tuple[int, Image.Image]:
        from PIL import Image

        factor = side / min(image.size)
        if factor < 1:
            size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
            image = image.resize(size, Image.Resampling.BICUBIC)
        return code(image)

    return scaled


def _pillow(name: str, quality: int) -> Code:
    from PIL import features

    if name == "jxl":
        with loading:
            need("pillow_jxl", EXTRA)  # registers itself with Pillow
    elif name != "jpeg" and not features.check(name):
        raise MissingDependencyError(
            f"this Pillow cannot write {_PILLOW[name]}: pip install --upgrade Pillow", name="PIL"
        )

    def code(image: Image.Image) -> tuple[int, Image.Image]:
        from PIL import Image

        files = []
        for chosen in _OPTIONS[name]:
            file = BytesIO()
            try:
                image.save(file, _FORMATS[name], quality=quality, **chosen)
            except (OSError, ValueError) as error:  # such as too wide for the format
                raise ImageError(
                    f"{describe(image)} cannot be written as {_PILLOW[name]} ({error})"
                ) from error
            files.append(file.getvalue())
        data = min(files, key=len)
        return len(data), Image.open(BytesIO(data)).convert("RGB")

    return code


_FORMATS = {"jpeg": "JPEG", "webp": "WEBP", "avif": "AVIF", "jxl": "JXL"}
_OPTIONS: dict[str, list[dict[str, Any]]] = {  # of each file that is written
    "jpeg": [{"optimize": True, "progressive": progressive} for progressive in (False, True)],
    "webp": [{"method": 6}],
    "avif": [{"speed": 4}],
    "jxl": [{"effort": 9}],
}


def _learned(name: str, quality: int, download: bool) -> tuple[str, Code]:
    """The file of its weights, and the codec."""
    require("torch")
    with loading:
        zoo = need("compressai.zoo", EXTRA)
        urls = need("compressai.zoo.image", EXTRA).model_urls
        import torch
    url: str = urls[name]["mse"][quality]
    file = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
    if not file.exists() and not download:
        raise WeightsUnavailableError(
            f"its weights are not at hand: get {url} as {str(file)!r}, or add "
            "--download to let CompressAI get it"
        )
    networks: list[Any] = []

    def code(image: Image.Image) -> tuple[int, Image.Image]:
        if not networks:
            networks.append(_network(zoo, name, quality, url))
        return _through(networks[0], image)

    return file.name, code


def _network(zoo: Any, name: str, quality: int, url: str) -> Any:
    """The network on the CPU, where its encoder and decoder compute the same."""
    try:
        make = getattr(zoo, name.replace("-", "_"))
        network = make(quality=quality, metric="mse", pretrained=True, progress=False).eval()
    except Exception as error:  # of the network, of a file that is damaged or of another network
        why = " ".join(str(error).split())[:300]
        raise WeightsUnavailableError(f"{url} cannot be used: {why}") from error
    network.update()
    return network


def _through(network: Any, image: Image.Image) -> tuple[int, Image.Image]:
    """The image padded with its edge to sides that the network takes, coded, decoded and cut."""
    import numpy as np
    import torch
    from PIL import Image

    values = torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1)[None].float() / 255
    right, below = -image.width % _MULTIPLE, -image.height % _MULTIPLE
    padded = torch.nn.functional.pad(values, (0, right, 0, below), mode="replicate")
    with torch.inference_mode():
        coded = network.compress(padded)
        decoded = network.decompress(coded["strings"], coded["shape"])["x_hat"]
    size = sum(len(string) for strings in coded["strings"] for string in strings)
    pixels = decoded[0, :, : image.height, : image.width].clamp(0, 1).mul(255).round()
    return size, Image.fromarray(pixels.to(torch.uint8).permute(1, 2, 0).numpy())
