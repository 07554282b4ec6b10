"""A captioner: mapping network, language model, and the search for words. Embeddings → captions."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ...codec import Codec
from ...embeddings import Embeddings, as_embeddings
from ...errors import EmbeddingError, OptionError, WeightsError
from ...models.device import device_of
from ...profile.registry import ANY_BACKBONE
from ...retrieval.sources import check_backbone, codec_of, decode, parts
from . import files
from .files import Facts
from .language import DEFAULT, Language, load_transformers, quiet, width_of
from .language import load as load_language
from .layout import MLP, Layout

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ...images import ImageInput
    from ...profile.registry import ProfileLike

MAX_TOKENS = 67  # as published
_BATCH = 32  # embeddings that are captioned at a time
_NO_SCALE = (
    "this state dict does not say of which norm the embeddings were that it was trained on; 1 is "
    "taken, and ClipCap's published MLP weights expect those of CLIP as they are, whose norm is "
    "about 10: give --scale (scale=), or train it on with `clipcodec train-captioner --start`"
)
_BYTES = (bytes, bytearray, memoryview)


class Captioner:
    """Makes captions of embeddings, one sentence each (ClipCap, Mokady et al. 2021).

    `load` reads one from its file; `clipcodec train-captioner` and `train` make one.

    Args:
        facts: Layout, scale, language model: what its file says.
        mapping: The mapping network.
        language: GPT-2 and its tokenizer.
        own_language: The language model was trained, too, and is stored with it.
        device: "cpu", "cuda", …; None: the best there is.

    Raises:
        WeightsError: Mapping network and language model do not fit.

    Examples:
        >>> from clipcodec.tasks.captioning import Captioner
        >>> captioner = Captioner.load("captioner.safetensors", device="cpu")
        >>> captions = captioner.caption(clipcodec.open("photos.clpc")[:2], max_tokens=5)
        >>> len(captions)
        2
    """

    def __init__(
        self,
        facts: Facts,
        mapping: nn.Module,
        language: Language,
        *,
        own_language: bool = False,
        device: str | None = None,
    ) -> None:
        _check_fit(facts.layout, language, "this captioner")
        self.facts, self.mapping, self.language = facts, mapping, language
        self.own_language = own_language
        self.device = device_of(device)
        mapping.to(self.device).eval()
        language.network.to(self.device).eval()

    def __repr__(self) -> str:
        from ...system.shown import counted, shown

        def parts() -> list[object]:
            return [f"{self.layout.kind} for {counted(self.layout.dim, 'dimension')}",
                    counted(self.layout.prefix_length, "prefix vector"),
                    f"language model {self.language.name!r}",
                    f"backbone {self.facts.backbone or 'unknown'}",
                    f"device {self.device}"]  # fmt: skip

        return shown("tasks.captioning.Captioner", parts)

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        *,
        language_model: str | None = None,
        prefix_length: int | None = None,
        scale: float | None = None,
        device: str | None = None,
    ) -> Captioner:
        """Read a captioner from its file: one of ours, or a published state dict of ClipCap.

        Args:
            path: Of the file.
            language_model: Folder or hub name of GPT-2 and its tokenizer; None: what the file says,
                or "gpt2". Its weights are needed only if the file has none.
            prefix_length: How many prefix vectors the weights must make; None: any number.
            scale: What unit-norm embeddings are multiplied with; None: what the file says, or 1
                (docs/captions.md says what the published weights were trained on).
            device: "cpu", "cuda", …; None: the best there is.

        Returns:
            The captioner.

        Raises:
            WeightsUnavailableError: A file or model is not there.
            WeightsError: It is damaged, of another prefix length, or for another language model.
            OptionError: The device or the scale cannot be used.
            MissingDependencyError: transformers is not installed.

        Examples:
            >>> from clipcodec.tasks.captioning import Captioner
            >>> Captioner.load("captioner.safetensors", device="cpu").layout.kind
            'mlp'
        """
        load_transformers()
        found = files.read(path)
        name = language_model or (found.facts.language_model if found.facts else DEFAULT)
        if os.path.isdir(name):
            name = os.path.abspath(name)  # `save` writes it
        width = None if found.facts or found.width else width_of(name)
        layout = found.layout(width)
        if prefix_length is not None and prefix_length != layout.prefix_length:
            raise WeightsError(
                f"{found.source} has {layout.prefix_length} prefix vectors, and {prefix_length} "
                "were asked for: give the weights of that prefix length, or leave the number out"
            )
        language = load_language(name, found.language)
        facts = found.facts or Facts(layout, name)
        if found.facts is None and scale is None and layout.kind == MLP:
            warnings.warn(_NO_SCALE, stacklevel=2)
        if scale is not None:
            facts = replace(facts, scale=checked_scale(scale))
        _check_fit(layout, language, found.source)
        mapping = mapping_with(layout, found.mapping)
        return cls(
            replace(facts, language_model=name), mapping, language,
            own_language=bool(found.language), device=device,
        )  # fmt: skip

    @property
    def layout(self) -> Layout:
        """Kind and sizes of the mapping network."""
        return self.facts.layout

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write it to a .safetensors file, complete or not at all.

        The language model is stored only if it was trained, too; else its name is.

        Args:
            path: Of the file.
            overwrite: Replace a file that exists.

        Raises:
            OutputExistsError: It exists, and `overwrite` is false.
            OSError: It cannot be written.

        Examples:
            >>> from clipcodec.tasks.captioning import Captioner
            >>> Captioner.load("captioner.safetensors", device="cpu").save("copy.safetensors")
        """
        language = self.language.tensors() if self.own_language else {}
        files.write(
            path, self.facts, self.mapping.state_dict(), language, overwrite=overwrite
        )  # fmt: skip

    # captions

    def caption(
        self,
        source: Any,
        *,
        beams: int = 1,
        max_tokens: int = MAX_TOKENS,
        profile: ProfileLike = None,
    ) -> list[str]:
        """Make a caption for each embedding.

        Args:
            source: Embeddings (N, D) of any norm, or one (D,); a container; or several streams.
            beams: Texts that are followed at a time: 1 takes the likeliest token each time
                (greedy), more is beam search.
            max_tokens: Longest caption; it ends before with a full stop, or where the model ends
                it.
            profile: The profile, or its file, of private streams.

        Returns:
            One text for each embedding.

        Raises:
            EmbeddingError: They have another width than the captioner's.
            DecodeError: Names streams that are damaged or of another backbone.
            OptionError: `beams` or `max_tokens` is no positive whole number.

        Examples:
            >>> from clipcodec.tasks.captioning import Captioner
            >>> captioner = Captioner.load("captioner.safetensors", device="cpu")
            >>> len(captioner.caption(np.load("embeddings.npy")[:2], max_tokens=5))
            2
        """
        self._check_search(beams, max_tokens)
        captions: list[str] = []
        for rows in self._embeddings(source, profile):
            for at in range(0, len(rows), _BATCH):
                captions += self._captions(rows[at : at + _BATCH], beams, max_tokens)
        return captions

    def caption_images(
        self,
        images: Sequence[ImageInput],
        *,
        backbone: str | None = None,
        weights: str | os.PathLike[str] | None = None,
        beams: int = 1,
        max_tokens: int = MAX_TOKENS,
    ) -> list[str]:
        """Make a caption for each image, without compression.

        Args:
            images: Several of what `clipcodec.encode` takes.
            backbone: What embeds them; None: what the captioner was trained on, if its file says
                it.
            weights: A local file with the backbone's weights, as for `Codec`.
            beams: As for `caption`.
            max_tokens: As for `caption`.

        Returns:
            One text for each image.

        Raises:
            ImageError: Names the images at fault.
            OptionError: As `caption`; also if nothing says which backbone it is.
            EmbeddingError: The backbone's embeddings have another width.
            WeightsError: The backbone's weights are missing or damaged.

        Examples:
            >>> from clipcodec.tasks.captioning import Captioner
            >>> captioner = Captioner.load("captioner.safetensors", device="cpu")
            >>> captions = captioner.caption_images(["photo.jpg"], backbone="openai-vit-b-32")
            >>> len(captions)
            1
        """
        self._check_search(beams, max_tokens)
        chosen = backbone or self.facts.backbone
        if chosen is None:
            raise OptionError(
                "the captioner's file does not say which backbone it was trained on: give "
                "backbone=NAME, such as openai-vit-b-32"
            )
        codec = Codec(backbone=chosen, device=str(self.device), weights=weights)
        rows = codec.embed_images(list(images))
        return self.caption(rows, beams=beams, max_tokens=max_tokens) if len(rows) else []

    def check(self, dim: int, backbone: str | None = None) -> None:
        """Raise an error unless it takes embeddings of this width and backbone.

        Args:
            dim: Width D.
            backbone: What made them; None or "any": unknown.

        Raises:
            EmbeddingError: It takes others.

        Examples:
            >>> from clipcodec.tasks.captioning import Captioner
            >>> Captioner.load("captioner.safetensors", device="cpu").check(512)
        """
        own = self.facts.backbone
        made = "" if own is None else f" of {own}"
        if dim != self.layout.dim:
            raise EmbeddingError(
                f"embeddings of {dim} dimensions, the captioner takes those{made} of "
                f"{self.layout.dim}: give a captioner for them, or train one with `clipcodec "
                "train-captioner`"
            )
        unknown = (None, ANY_BACKBONE)
        if backbone not in unknown and own not in unknown and backbone != own:
            raise EmbeddingError(
                f"embeddings of {backbone}, the captioner takes those{made}: give a captioner for "
                "them, or train one with `clipcodec train-captioner`"
            )

    def _embeddings(self, source: Any, profile: ProfileLike) -> Iterator[Embeddings]:
        """Unit-norm rows, some thousands at a time."""
        if _is_numbers(source):
            shape = getattr(source, "shape", None)
            rows = as_embeddings(source[None] if shape is not None and len(shape) == 1 else source)
            if len(rows):
                self.check(rows.shape[1])
                yield rows
            return
        codec = codec_of(source, profile)
        for part in parts(source, codec):
            self.check(part.dim)
            if self.facts.backbone not in (None, ANY_BACKBONE):
                check_backbone(part, self.facts.backbone)
            yield decode(codec, part)

    def _check_search(self, beams: int, max_tokens: int) -> None:
        for name, value in (("beams", beams), ("max_tokens", max_tokens)):
            if type(value) is not int or value < 1:
                raise OptionError(f"{name}={value!r}: expected a whole number, at least 1")

    def prefixes(self, rows: Tensor) -> Tensor:
        """Make the prefix vectors of embeddings.

        Args:
            rows: (n, D), unit norm, a tensor on the captioner's device.

        Returns:
            (n, P, W): P vectors of the width of the language model's word embeddings.

        Examples:
            >>> import torch
            >>> from clipcodec.tasks.captioning import Captioner
            >>> captioner = Captioner.load("captioner.safetensors", device="cpu")
            >>> tuple(captioner.prefixes(torch.from_numpy(np.load("embeddings.npy")[:2])).shape)
            (2, 10, 32)
        """
        prefix: Tensor = self.mapping(rows * self.facts.scale)
        return prefix

    def _captions(self, rows: Embeddings, beams: int, max_tokens: int) -> list[str]:
        import torch

        language = self.language
        ends = [token for token in (language.stop, language.end) if token is not None]
        config = load_transformers().GenerationConfig(
            max_new_tokens=min(max_tokens, language.positions - self.layout.prefix_length),
            num_beams=beams,
            do_sample=False,
            eos_token_id=ends or None,
            pad_token_id=language.end if language.end is not None else 0,
        )
        with torch.inference_mode(), quiet(load_transformers()):
            prefix = self.prefixes(torch.from_numpy(rows).to(self.device))
            seen = torch.ones(prefix.shape[:2], dtype=torch.long, device=self.device)
            made = language.network.generate(
                inputs_embeds=prefix, attention_mask=seen, generation_config=config
            )
        return [language.text(_until(tokens, ends)) for tokens in made.tolist()]


def _is_numbers(source: Any) -> bool:
    """Is it an array or a list of numbers? Else it is a source of streams."""
    if isinstance(source, (list, tuple)):
        return bool(source) and not isinstance(source[0], _BYTES)
    kind = getattr(getattr(source, "dtype", None), "kind", "f")  # "O": objects, such as bytes
    return hasattr(source, "shape") and kind != "O"


def _until(tokens: list[int], ends: list[int]) -> list[int]:
    """The tokens up to the first that ends a caption; what follows fills up the batch."""
    for place, token in enumerate(tokens):
        if token in ends:
            return tokens[: place + 1]
    return tokens


def checked_scale(scale: float) -> float:
    """Raise OptionError unless it is a number above 0."""
    if not isinstance(scale, (int, float)) or not 0 < scale < float("inf"):
        raise OptionError(f"scale={scale!r}: expected a number above 0")
    return float(scale)


def mapping_with(layout: Layout, tensors: dict[str, Tensor] | None = None) -> nn.Module:
    """A mapping network with these tensors; None: random ones."""
    from .mapping import mapping_of

    network = mapping_of(layout)
    if tensors is not None:
        network.load_state_dict(tensors)
    return network


def _check_fit(layout: Layout, language: Language, source: str) -> None:
    """Raise WeightsError unless the prefix vectors are such as this language model takes."""
    if layout.width != language.width:
        raise WeightsError(
            f"{source}: its mapping network is for a language model of width {layout.width}, and "
            f"{language.name!r} has {language.width}: name the language model that it was trained "
            "with, --language-model (language_model=)"
        )
    if layout.prefix_length >= language.positions:
        raise WeightsError(
            f"{source}: {layout.prefix_length} prefix vectors leave no room for words: the "
            f"language model {language.name!r} takes {language.positions} in all"
        )
