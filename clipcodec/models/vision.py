"""The image encoder: built by open_clip, filled with checked weights, run in batches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ProfileError
from .build import NO_TEXT, build, fill
from .preprocess import Preprocess, shorten
from .spec import load_module
from .tower import Tower
from .weights import read_tensors

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from numpy.typing import NDArray
    from PIL import Image

BATCH = 64
"""Images that go through the network at once."""


class Backbone(Tower):
    """CLIP's image encoder.

    `load` and `cached` make one; a `Codec` does it for you.

    Attributes:
        spec: Which network it is.
        dim: Width D of the embeddings.
        device: Where it runs, as torch writes it: "cpu", "cuda:0", …
        path: The weights file that was loaded.
        precision: Of the arithmetic: "fp32", "bf16" or "fp16".

    Examples:
        >>> from clipcodec.models import Backbone
        >>> Backbone.cached("openai-vit-b-32", device="cpu").dim
        512
    """

    _item = "image"

    def _build(self, device: torch.device) -> None:
        tensors = read_tensors(self.path, self.spec)
        model = build(self.spec, NO_TEXT, lambda model: model.visual)
        self._preprocess, self._normalize = self._preprocessing(model)
        tower = fill(model.visual, tensors, self.spec, self.path, "visual.")
        self._tower: Any = tower.to(device)

    def _preprocessing(self, model: Any) -> tuple[Preprocess, tuple[Any, Any]]:
        """`Preprocess` of the model, and (mean, std) of its input."""
        open_clip = load_module("open_clip")
        try:
            cfg = open_clip.transform.PreprocessCfg(**model.visual.preprocess_cfg)
            normalize = open_clip.transform.image_transform_v2(cfg, is_train=False).transforms[-1]
            return Preprocess.from_config(cfg), (normalize.mean, normalize.std)
        except Exception as error:  # of any type, with a malformed local configuration
            raise ProfileError(
                f"backbone {self.spec.name!r}: the preprocessing of {self.spec.arch} is not"
                f" understood ({error}); check its configuration"
            ) from error

    def embed(self, images: Sequence[Image.Image]) -> NDArray[np.float32]:
        """Turn RGB images into embeddings.

        Preprocessing is open_clip's for this model; an image more than 32 times as long as wide is
        cut first (`shorten`). Another device or batch size changes a row by about 1e-5.

        Args:
            images: N upright images of Pillow, in mode "RGB"; N may be 0.

        Returns:
            (N, D) float32, rows of unit norm.

        Raises:
            WeightsError: The network's output is zero or not finite.
            OptionError: In a forked process, if the backbone is on a device other than the CPU.

        Examples:
            >>> from PIL import Image
            >>> from clipcodec.models import Backbone
            >>> backbone = Backbone.cached("openai-vit-b-32", device="cpu")
            >>> backbone.embed([Image.open("photo.jpg")]).shape
            (1, 512)
        """
        rows = [np.empty((0, self.dim), np.float32)]
        for start in range(0, len(images), BATCH):
            batch = [self._preprocess(shorten(item)) for item in images[start : start + BATCH]]
            rows.append(self.embed_pixels(np.stack(batch)))
        return np.concatenate(rows)

    @property
    def preprocess(self) -> Preprocess:
        """The preprocessing: `preprocess(shorten(image))` gives pixels (H, W, 3), without torch."""
        return self._preprocess

    def embed_pixels(self, pixels: NDArray[np.uint8] | torch.Tensor) -> NDArray[np.float32]:
        """Turn one batch of preprocessed images into embeddings.

        Args:
            pixels: (N, H, W, 3) uint8, as `preprocess` gives them; or a tensor of torch, on any
                device.

        Returns:
            (N, D) float32, rows of unit norm.

        Raises:
            WeightsError: As `embed`, and so is OptionError.

        Examples:
            >>> from PIL import Image
            >>> from clipcodec.models import Backbone, shorten
            >>> backbone = Backbone.cached("openai-vit-b-32", device="cpu")
            >>> pixels = backbone.preprocess(shorten(Image.open("photo.jpg")))
            >>> backbone.embed_pixels(pixels[None]).shape
            (1, 512)
        """
        import torch

        self._check_fork()
        mean, std = (torch.tensor(v, device=self.device)[:, None, None] for v in self._normalize)
        if isinstance(pixels, torch.Tensor):
            values = pixels.to(self.device)
        else:  # torch warns of what cannot be written
            own = np.require(pixels, requirements=("C", "W"))
            values = torch.from_numpy(own).to(self.device)
        values = values.permute(0, 3, 1, 2).contiguous().to(torch.float32).div_(255)
        with torch.inference_mode(), self._arithmetic():
            features = self._tower(values.sub_(mean).div_(std))
        if isinstance(features, tuple):  # CoCa's tower also returns its tokens
            features = features[0]
        return self._unit(features)
