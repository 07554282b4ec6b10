"""Kind and sizes of a mapping network, found from the shapes of its tensors, and the other way."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ...errors import OptionError, WeightsError

MLP = "mlp"
TRANSFORMER = "transformer"
KINDS = (MLP, TRANSFORMER)
PREFIX_LENGTH = 10  # as published
HEADS = 8  # of the published transformer; no tensor shows it
LAYERS = 8
_RATIO = 2  # hidden units of a transformer layer's MLP, for each of its outputs
_LARGEST = 1 << 16  # of any size; far above what is published

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Layout:
    """Kind and sizes of a mapping network.

    Attributes:
        kind: "mlp": two linear layers with tanh between them; "transformer": a transformer that
            reads `clip_length` vectors made of the embedding and `prefix_length` learned ones.
        dim: Width D of the embeddings.
        width: W, of the language model's word embeddings.
        prefix_length: P, how many vectors the network makes.
        clip_length: Of the transformer; 0 for an MLP.
        layers: Of the transformer; 0 for an MLP.
        heads: Of the transformer; 0 for an MLP.

    Raises:
        OptionError: These sizes cannot be.

    Examples:
        >>> from clipcodec.tasks.captioning import Layout
        >>> Layout("mlp", dim=512, width=768).hidden
        3840
    """

    kind: str
    dim: int
    width: int
    prefix_length: int = PREFIX_LENGTH
    clip_length: int = 0
    layers: int = 0
    heads: int = 0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise OptionError(f"kind={self.kind!r}: expected {' or '.join(KINDS)}")
        sizes = {name: value for name, value in asdict(self).items() if name != "kind"}
        own = ("clip_length", "layers", "heads")
        for name, value in sizes.items():
            least = 0 if self.kind == MLP and name in own else 1
            if type(value) is not int or not least <= value <= _LARGEST:
                raise OptionError(f"{name}={value!r}: expected a whole number, at least {least}")
        if self.kind == TRANSFORMER and self.width % self.heads:
            raise OptionError(f"heads={self.heads}: must divide the width {self.width} evenly")

    @property
    def hidden(self) -> int:
        """Hidden units of the MLP, as published."""
        return self.prefix_length * self.width // 2

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Give the network's tensors by their published names, without `clip_project.`.

        Returns:
            The shape of each tensor.

        Examples:
            >>> from clipcodec.tasks.captioning import Layout
            >>> Layout("mlp", dim=512, width=768).shapes()["model.0.weight"]
            (3840, 512)
        """
        width, out = self.width, self.prefix_length * self.width
        if self.kind == MLP:
            return {
                "model.0.weight": (self.hidden, self.dim),
                "model.0.bias": (self.hidden,),
                "model.2.weight": (out, self.hidden),
                "model.2.bias": (out,),
            }
        found: dict[str, tuple[int, ...]] = {
            "prefix_const": (self.prefix_length, width),
            "linear.weight": (self.clip_length * width, self.dim),
            "linear.bias": (self.clip_length * width,),
        }
        layer: dict[str, tuple[int, ...]] = {
            "norm1.weight": (width,),
            "norm1.bias": (width,),
            "attn.to_queries.weight": (width, width),
            "attn.to_keys_values.weight": (2 * width, width),
            "attn.project.weight": (width, width),
            "attn.project.bias": (width,),
            "norm2.weight": (width,),
            "norm2.bias": (width,),
            "mlp.fc1.weight": (_RATIO * width, width),
            "mlp.fc1.bias": (_RATIO * width,),
            "mlp.fc2.weight": (width, _RATIO * width),
            "mlp.fc2.bias": (width,),
        }
        for number in range(self.layers):
            found |= {f"transformer.layers.{number}.{name}": s for name, s in layer.items()}
        return found


def check_shapes(layout: Layout, shapes: Shapes, source: str) -> None:
    """Raise WeightsError, naming a tensor, unless these are the tensors of such a network."""
    expected = layout.shapes()
    odd = sorted(expected.keys() ^ shapes.keys())
    if odd:
        what = "lacks" if odd[0] in expected else "has also"
        raise WeightsError(
            f"{source} {what} the tensor clip_project.{odd[0]}: expected those of ClipCap's "
            f"{layout.kind} mapping network (docs/captions.md)"
        )
    for name, shape in expected.items():
        if shapes[name] != shape:
            raise WeightsError(
                f"{source}: clip_project.{name} has shape {shapes[name]}, and {shape} was expected "
                f"for {layout.prefix_length} prefix vectors of width {layout.width}: these weights "
                "have another prefix length, or are for another language model"
            )


def found_layout(shapes: Shapes, width: int | None, source: str, heads: int = HEADS) -> Layout:
    """The layout of a published state dict's mapping network. Raises WeightsError.

    width   of the language model, which an MLP's tensors do not show; None: unknown
    source  the file, for messages
    """
    if "prefix_const" in shapes:
        sizes = _transformer_sizes(shapes, source, heads)
    elif "model.0.weight" in shapes and "model.2.weight" in shapes:
        sizes = _mlp_sizes(shapes, width, source)
    else:
        found = ", ".join(sorted(shapes)[:3]) or "none"
        raise WeightsError(
            f"{source} has no mapping network of ClipCap: expected clip_project.model.0.weight … "
            f"(MLP) or clip_project.prefix_const … (transformer), found {found}; give a captioner "
            "file (docs/captions.md)"
        )
    try:
        layout = Layout(**sizes)
    except OptionError as error:
        raise WeightsError(f"{source}: its tensors have impossible sizes: {error}") from error
    check_shapes(layout, shapes, source)
    return layout


def _transformer_sizes(shapes: Shapes, source: str, heads: int) -> dict[str, Any]:
    constant, linear = shapes["prefix_const"], shapes.get("linear.weight", ())
    if len(constant) != 2 or len(linear) != 2 or not constant[1]:
        raise WeightsError(
            f"{source}: clip_project.prefix_const has shape {constant} and "
            f"clip_project.linear.weight {linear}: two axes each were expected"
        )
    layers = {
        int(match[1]) for name in shapes if (match := re.match(r"transformer\.layers\.(\d+)", name))
    }
    return {
        "kind": TRANSFORMER, "dim": linear[1], "width": constant[1], "prefix_length": constant[0],
        "clip_length": linear[0] // constant[1], "layers": len(layers), "heads": heads,
    }  # fmt: skip


def _mlp_sizes(shapes: Shapes, width: int | None, source: str) -> dict[str, Any]:
    first, last = shapes["model.0.weight"], shapes["model.2.weight"]
    if len(first) != 2 or len(last) != 2:
        raise WeightsError(
            f"{source}: clip_project.model.0.weight has shape {first} and "
            f"clip_project.model.2.weight {last}: two axes each were expected"
        )
    if width is None:
        raise WeightsError(f"{source}: the width of its language model is not known: name it")
    if last[0] % width:
        raise WeightsError(
            f"{source} makes {last[0]} numbers, which are no prefix vectors of width {width}: it "
            "is for a language model of another width; name that one with --language-model "
            "(language_model=)"
        )
    return {"kind": MLP, "dim": first[1], "width": width, "prefix_length": last[0] // width}
