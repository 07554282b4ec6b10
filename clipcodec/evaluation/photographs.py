"""Photographs that Python packages ship: real images where nothing can be downloaded."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from ..errors import MissingDependencyError
from .image_sets import ImageSet, LabelledImage

NAME = "packaged"
# Those that are photographs of things; others of these packages are drawings, textures or medical.
# rocket.jpg, china.jpg and flower.jpg were JPEG before, the others are PNG
_FILES = {
    "skimage": (
        "scikit-image", "data",
        ("astronaut.png", "camera.png", "chelsea.png", "coffee.png", "motorcycle_left.png",
         "rocket.jpg"),
    ),
    "sklearn": ("scikit-learn", "datasets/images", ("china.jpg", "flower.jpg")),
}  # fmt: skip


def packaged_photographs() -> ImageSet:
    """The photographs in scikit-image and scikit-learn, as a set without classes.

    The packages are not imported. Raises MissingDependencyError if one is not installed.
    """
    images = []
    for module, (package, folder, names) in _FILES.items():
        spec = find_spec(module)
        if spec is None or not spec.submodule_search_locations:
            raise MissingDependencyError(
                f"{package} is not installed, which ships photographs: pip install {package}",
                name=module,
            )
        root = Path(next(iter(spec.submodule_search_locations))) / folder
        images += [LabelledImage(root / name, 0) for name in names]
    return ImageSet(NAME, tuple(images))
