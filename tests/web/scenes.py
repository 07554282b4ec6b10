"""Drawn pictures of a few kinds, and embeddings for them of which the same kinds are neighbours.

No CLIP weights are needed: embeddings are planted around centres that are drawn from the statistics
of the default profile, one centre for the kind of a scene and one for its light. The embeddings of
words lie near those centres, about as far from the pictures as CLIP's texts do.

    python -m tests.web.scenes FOLDER COUNT    writes photos/, photos.clpc, words.safetensors
"""

from __future__ import annotations

import colorsys
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

import clipcodec
from clipcodec.profile.registry import DEFAULT, by_name
from clipcodec.texts import TextEmbeddings

WIDTH, HEIGHT = 480, 360
Colour = tuple[int, int, int]
LIGHTS = {  # sky above, sky below, ground
    "morning": (0.58, 0.10, 0.33),
    "sunset": (0.72, 0.05, 0.03),
    "noon": (0.56, 0.52, 0.28),
    "night": (0.66, 0.70, 0.62),
}


def _rgb(hue: float, saturation: float, value: float) -> Colour:
    red, green, blue = colorsys.hsv_to_rgb(hue % 1, min(1, saturation), min(1, value))
    return round(255 * red), round(255 * green), round(255 * blue)


class Scene:
    """A picture that is being drawn: its light, and the random numbers for it."""

    def __init__(self, light: str, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.dark = light == "night"
        top, bottom, self.ground = (hue + self.random.normal() * 0.015 for hue in LIGHTS[light])
        bright = (0.22, 0.45) if self.dark else (0.82, 0.98)
        rows = np.linspace(0, 1, HEIGHT)[:, None, None]
        first = np.array(_rgb(top, 0.62, bright[0]))
        last = np.array(_rgb(bottom, 0.55 if light in ("sunset", "night") else 0.22, bright[1]))
        sky = first * (1 - rows) + last * rows + np.zeros((1, WIDTH, 1))
        self.image = Image.fromarray(sky.astype(np.uint8))
        self.draw = ImageDraw.Draw(self.image)

    def between(self, low: float, high: float) -> float:
        return float(self.random.uniform(low, high))

    def shade(self, hue: float, saturation: float, value: float) -> Colour:
        return _rgb(hue, saturation, value * (0.45 if self.dark else 1))

    def sun(self) -> None:
        x, y, r = self.between(60, WIDTH - 60), self.between(40, 120), self.between(20, 36)
        glow = Image.new("L", self.image.size)
        ImageDraw.Draw(glow).ellipse((x - 2 * r, y - 2 * r, x + 2 * r, y + 2 * r), fill=110)
        ImageDraw.Draw(glow).ellipse((x - r, y - r, x + r, y + r), fill=255)
        colour = (236, 236, 220) if self.dark else (255, 240, 200)
        self.image.paste(colour, mask=glow.filter(ImageFilter.GaussianBlur(3)))
        if self.dark:
            for _ in range(60):
                sx, sy = self.between(0, WIDTH), self.between(0, HEIGHT * 0.6)
                self.draw.ellipse((sx, sy, sx + 1.6, sy + 1.6), fill=(230, 230, 245))

    def ridge(self, base: float, rough: float, colour: Colour, bends: float = 1.0) -> None:
        x = np.linspace(0, 2 * np.pi, 120)
        y = np.full(120, float(base))
        for k in (1.0, 2.3, 4.1):
            y += rough / k * np.sin(k * bends * x + self.between(0, 6.3))
        line = list(zip(np.linspace(0, WIDTH, 120).tolist(), y.tolist(), strict=True))
        self.draw.polygon([(0, HEIGHT), *line, (WIDTH, HEIGHT)], fill=colour)


def hills(scene: Scene) -> None:
    for i in range(4):
        scene.ridge(190 + 42 * i, 22, scene.shade(scene.ground, 0.35 + 0.1 * i, 0.75 - 0.13 * i))


def mountains(scene: Scene) -> None:
    for layer, (base, tall) in enumerate(((230, 150), (280, 100))):
        at, line = -40.0, [(-40.0, float(HEIGHT))]
        while at < WIDTH + 60:
            peak = base - tall * scene.between(0.5, 1)
            line += [(at, base + 20.0), (at + 45, peak)]
            if layer == 0:
                scene.draw.polygon(
                    [(at + 27, peak + 34), (at + 45, peak - 8), (at + 63, peak + 34),
                     (at + 50, peak + 26), (at + 40, peak + 36)], fill=scene.shade(0.6, 0.04, 1),
                )  # fmt: skip
            at += scene.between(70, 110)
        colour = scene.shade(0.62, 0.28 + 0.1 * layer, 0.62 - 0.2 * layer)
        scene.draw.polygon([*line, (WIDTH + 60, HEIGHT)], fill=colour)
    scene.ridge(320, 8, scene.shade(scene.ground, 0.4, 0.4))


def sea(scene: Scene) -> None:
    for i in range(7):
        scene.ridge(205 + 22 * i, 3 + i, scene.shade(0.54, 0.45 + 0.06 * i, 0.85 - 0.07 * i), 3)
    for _ in range(int(scene.between(1, 4))):
        x, y, s = scene.between(60, WIDTH - 60), scene.between(215, 290), scene.between(16, 34)
        scene.draw.polygon([(x, y), (x, y - 2.4 * s), (x + 1.2 * s, y - 4)], fill=(250, 248, 240))
        scene.draw.polygon([(x - 4, y), (x - 4, y - 2 * s), (x - s, y - 4)], fill=(226, 92, 70))
        scene.draw.polygon(
            [(x - s, y), (x + 1.2 * s, y), (x + 0.8 * s, y + 9), (x - 0.7 * s, y + 9)],
            fill=scene.shade(0.06, 0.6, 0.45),
        )


def forest(scene: Scene) -> None:
    scene.ridge(250, 10, scene.shade(scene.ground, 0.4, 0.5))
    for depth in range(3):
        for _ in range(11):
            x, y, s = scene.between(0, WIDTH), 260 + 34 * depth, scene.between(26, 44) + 8 * depth
            green = scene.shade(0.36 + scene.between(-0.03, 0.03), 0.55, 0.30 + 0.12 * depth)
            scene.draw.rectangle((x - 4, y, x + 4, y + 18), fill=scene.shade(0.07, 0.5, 0.35))
            for k in range(3):
                half, top = s * (0.75 - 0.16 * k), y - s * (0.55 * k + 0.9)
                scene.draw.polygon([(x - half, top + s * 0.9), (x, top), (x + half, top + s * 0.9)],
                                   fill=green)  # fmt: skip


def city(scene: Scene) -> None:
    for depth in range(2):
        x = -10.0
        while x < WIDTH:
            wide, tall = scene.between(34, 62), scene.between(90, 210) - 30 * depth
            wall = scene.shade(0.62 + 0.03 * depth, 0.22, 0.62 - 0.25 * depth)
            scene.draw.rectangle((x, HEIGHT - 20 - tall, x + wide, HEIGHT), fill=wall)
            for wy in range(int(HEIGHT - 8 - tall), HEIGHT - 30, 17):
                for wx in range(int(x + 6), int(x + wide - 9), 13):
                    lit = scene.random.random() < (0.6 if scene.dark else 0.35)
                    window = (255, 226, 140) if lit else scene.shade(0.6, 0.3, 0.5)
                    scene.draw.rectangle((wx, wy, wx + 6, wy + 9), fill=window)
            x += wide + scene.between(2, 10)


def balloons(scene: Scene) -> None:
    scene.ridge(310, 14, scene.shade(scene.ground, 0.4, 0.55))
    for _ in range(int(scene.between(2, 5))):
        x, y, r = scene.between(60, WIDTH - 60), scene.between(60, 210), scene.between(24, 48)
        hue = scene.between(0, 1)
        for k in range(5):
            half = r * (1 - 0.4 * k / 2)
            colour = _rgb(hue + 0.1 * (k % 2), 0.72, 0.95 if not scene.dark else 0.75)
            scene.draw.ellipse((x - half, y - r, x + half, y + r), fill=colour)
        top, end = y + r * 0.86, y + r * 1.5
        scene.draw.polygon(
            [(x - r / 2, top), (x + r / 2, top), (x + 5, end), (x - 5, end)],
            fill=_rgb(hue, 0.7, 0.7),
        )
        scene.draw.rectangle((x - 6, y + r * 1.5, x + 6, y + r * 1.5 + 9), fill=(110, 74, 44))


KINDS: dict[str, Callable[[Scene], None]] = {
    "hills": hills, "mountains": mountains, "sea": sea,
    "forest": forest, "city": city, "balloons": balloons,
}  # fmt: skip


def draw(kind: str, light: str, seed: int) -> Image.Image:
    """A picture of 480 x 360 pixels, the same for the same arguments."""
    scene = Scene(light, seed)
    scene.sun()
    KINDS[kind](scene)
    return scene.image.filter(ImageFilter.GaussianBlur(0.6))


def names(count: int) -> list[tuple[str, str]]:
    """The kind and the light of each of `count` pictures, mixed."""
    pairs = [(kind, light) for kind in KINDS for light in LIGHTS]
    chosen = np.random.default_rng(7).integers(0, len(pairs), count).tolist()
    return [pairs[i] for i in chosen]


def embeddings(pairs: list[tuple[str, str]], seed: int = 0) -> np.ndarray:
    """An embedding (N, 512) for each picture, of unit norm."""
    mean, of_kind, of_light = _centres()
    noise = _drawn(len(pairs), seed + 100) - mean
    rows = [mean + 0.85 * of_kind[kind] + 0.5 * of_light[light] for kind, light in pairs]
    return _unit(np.array(rows) + 0.55 * noise)


def words() -> TextEmbeddings:
    """Embeddings of the kinds, of the lights, and of both together."""
    mean, of_kind, of_light = _centres()
    text = _unit(np.random.default_rng(3).normal(size=(1, len(mean))))[0]
    rows = {kind: of_kind[kind] for kind in KINDS} | {light: of_light[light] for light in LIGHTS}
    for kind in KINDS:
        rows |= {f"{kind} at {light}": of_kind[kind] + 0.6 * of_light[light] for light in LIGHTS}
    found = np.array([0.34 * row / np.linalg.norm(row) + 0.94 * text for row in rows.values()])
    return TextEmbeddings(tuple(rows), _unit(found).astype(np.float32), None, 60.0)


def _centres() -> tuple[np.ndarray, dict[str, np.ndarray], dict[str, np.ndarray]]:
    statistics = by_name(DEFAULT).statistics
    assert statistics is not None
    rows = _drawn(len(KINDS) + len(LIGHTS), 1) - statistics.mean
    named = dict(zip([*KINDS, *LIGHTS], rows, strict=True))
    return (
        statistics.mean, {kind: named[kind] for kind in KINDS},
        {light: named[light] for light in LIGHTS},
    )  # fmt: skip


def _drawn(count: int, seed: int) -> np.ndarray:
    statistics = by_name(DEFAULT).statistics
    assert statistics is not None
    return statistics.draw(count, seed=seed)


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def write(folder: Path, count: int, *, max_bytes: int | None = None) -> None:
    """`photos/`, `photos.clpc` and `words.safetensors` in a folder."""
    pairs = names(count)
    for kind in KINDS:
        (folder / "photos" / kind).mkdir(parents=True, exist_ok=True)
    ids = []
    for i, (kind, light) in enumerate(pairs):
        ids.append(f"{kind}/{light}-{i:04}.jpg")
        draw(kind, light, i).save(folder / "photos" / ids[-1], quality=90)
    rows = embeddings(pairs)
    with clipcodec.create(folder / "photos.clpc") as writer:
        for at in range(0, count, 1000):
            streams = clipcodec.encode_embeddings(rows[at : at + 1000], max_bytes=max_bytes)
            writer.extend(streams, ids[at : at + 1000])
    words().save(folder / "words.safetensors")


if __name__ == "__main__":
    write(Path(sys.argv[1]), int(sys.argv[2]))
