"""Packages that a light installation leaves out: what needs one says which is missing."""

from __future__ import annotations

from contextlib import ContextDecorator
from importlib import import_module

from ..errors import MissingDependencyError

_INSTALLED_AS = {  # what images, backbones, training and progress bars need; numpy is not optional
    "PIL": "Pillow",
    "torch": "torch",
    "torchvision": "torchvision",
    "open_clip": "open_clip_torch",
    "huggingface_hub": "huggingface_hub",
    "tqdm": "tqdm",
}


class missing_named(ContextDecorator):
    """A context manager or decorator: a package that is not installed is named with its remedy.

    A ModuleNotFoundError about such a package becomes a MissingDependencyError. Others stay.
    """

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if not isinstance(error, ModuleNotFoundError):
            return
        module = (error.name or "").partition(".")[0]
        package = _INSTALLED_AS.get(module)
        if package is not None:
            raise MissingDependencyError(
                f"{package} is not installed: pip install {package}, or all that images and "
                "training need: pip install clipcodec",
                name=module,
            ) from error


def require(module: str) -> None:
    """Raise MissingDependencyError if the module is not installed. It is imported."""
    with missing_named():
        import_module(module)
