"""The mapping networks of ClipCap: embeddings (n, D) → prefix vectors (n, P, W).

Parameters have the names of the published state dicts. Source: arXiv 2111.09734, section 3.2, and
the sizes of the authors' code (layout.py).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import relu, scaled_dot_product_attention

from .layout import MLP, Layout


class MlpMapping(nn.Module):
    """Two linear layers, tanh between them; the outputs are cut into prefix vectors."""

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        self._prefix = layout.prefix_length, layout.width
        self.model = nn.Sequential(
            nn.Linear(layout.dim, layout.hidden),
            nn.Tanh(),
            nn.Linear(layout.hidden, layout.prefix_length * layout.width),
        )

    def forward(self, x: Tensor) -> Tensor:
        prefix: Tensor = self.model(x)
        return prefix.view(len(x), *self._prefix)


class TransformerMapping(nn.Module):
    """A transformer over vectors made of the embedding, followed by learned ones.

    What becomes of the learned ones are the prefix vectors.
    """

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        self._clip = layout.clip_length, layout.width
        self.linear = nn.Linear(layout.dim, layout.clip_length * layout.width)
        self.prefix_const = nn.Parameter(torch.randn(layout.prefix_length, layout.width))
        self.transformer = _Layers(layout)

    def forward(self, x: Tensor) -> Tensor:
        made = self.linear(x).view(len(x), *self._clip)
        learned = self.prefix_const.expand(len(x), -1, -1)
        out: Tensor = self.transformer(torch.cat([made, learned], dim=1))
        return out[:, self._clip[0] :]


class _Layers(nn.Module):
    def __init__(self, layout: Layout) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_Layer(layout) for _ in range(layout.layers))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


class _Layer(nn.Module):
    """Attention, then an MLP; each is given normalised inputs, and added to them."""

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(layout.width)
        self.attn = _Attention(layout.width, layout.heads)
        self.norm2 = nn.LayerNorm(layout.width)
        self.mlp = _Mlp(layout.width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        added: Tensor = x + self.mlp(self.norm2(x))
        return added


class _Attention(nn.Module):
    """Every vector to every vector. The first half of `to_keys_values` makes the keys."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self._heads = heads
        self.to_queries = nn.Linear(width, width, bias=False)
        self.to_keys_values = nn.Linear(width, 2 * width, bias=False)
        self.project = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        n, length, width = x.shape
        keys, values = self.to_keys_values(x).split(width, dim=2)
        queries, keys, values = (
            part.reshape(n, length, self._heads, width // self._heads).transpose(1, 2)
            for part in (self.to_queries(x), keys, values)
        )
        seen = scaled_dot_product_attention(queries, keys, values)
        projected: Tensor = self.project(seen.transpose(1, 2).reshape(n, length, width))
        return projected


class _Mlp(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, 2 * width)
        self.fc2 = nn.Linear(2 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc2(relu(self.fc1(x)))
        return out


def mapping_of(layout: Layout) -> nn.Module:
    """A new network of this layout, with random weights."""
    return MlpMapping(layout) if layout.kind == MLP else TransformerMapping(layout)
