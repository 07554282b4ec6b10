"""Sets of images with classes: a folder by class, or one of the paper's five data sets.

The paper's features say how many images it took of each: of Oxford-IIIT Pets all 7,349, of
Food101 all 101,000, of Tiny-ImageNet the 100,000 for training, of ImageNet the 50,000 for
validation. `split="paper"` takes the same; `split="test"` what each data set has for tests.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ImageFileError, OptionError
from ..models import Templates
from ..system.optional import missing_named
from .image_names import PLAIN, PROMPTS, caltech_name, spaced

SPLITS = ("paper", "test")
_TINY_ZIP = "http://cs231n.stanford.edu/tiny-imagenet-200.zip"
_TINY_MD5 = "90528d7ca1a48142e341f4ef8d21d0de"
_IMAGENET = ("ILSVRC2012_img_val.tar", "ILSVRC2012_devkit_t12.tar.gz")


@dataclass(frozen=True)
class LabelledImage:
    path: Path
    label: int


@dataclass(frozen=True)
class ImageSet:
    """Images with classes.

    name       of the set
    images     files, each with the number of its class
    classes    (C) names; () if the images have no classes
    templates  sentences for the class names, as `TextTower.embed` takes them
    split      which part of a data set this is; "" for a folder
    held_out   numbers of the classes that no codec may be trained on; None: there is no such split
    """

    name: str
    images: tuple[LabelledImage, ...]
    classes: tuple[str, ...] = ()
    templates: Templates = PLAIN
    split: str = ""
    held_out: tuple[int, ...] | None = None

    def first(self, per_class: int) -> ImageSet:
        """The first images of each class, `per_class` of them or fewer."""
        seen = [0] * max(1, len(self.classes))
        kept = []
        for image in self.images:
            seen[image.label] += 1
            if seen[image.label] <= per_class:
                kept.append(image)
        return replace(self, images=tuple(kept))

    def only_held_out(self) -> ImageSet:
        """The classes that no codec may be trained on, numbered anew; all, if there is no split."""
        if self.held_out is None:
            return self
        number = {label: new for new, label in enumerate(self.held_out)}
        images = [
            LabelledImage(image.path, number[image.label])
            for image in self.images
            if image.label in number
        ]
        classes = tuple(self.classes[label] for label in self.held_out)
        return replace(self, images=tuple(images), classes=classes, held_out=None)


def image_set(
    source: str,
    *,
    root: Path | None = None,
    split: str = "paper",
    names: Path | None = None,
    download: bool = False,
) -> ImageSet:
    """The images of a folder by class, or of one of `DATA_SETS`.

    source    a name of `DATA_SETS`, or a folder; write ./pets for a folder that has such a name
    root      the folder that holds the data set, or that it is to be downloaded into
    names     a file with the class names of a folder, as `folder_set` says
    download  whether a data set that is missing is downloaded, or unpacked

    Raises OptionError, or ImageFileError that says what to get, from where, and into which folder.
    """
    if split not in SPLITS:
        raise OptionError(f"split={split!r}: expected {' or '.join(SPLITS)}")
    if source not in DATA_SETS:
        return folder_set(Path(source), names)
    if names is not None:
        raise OptionError(f"{source} has class names of its own: --names is for a folder")
    if root is None:
        raise OptionError(f"{source}: give --root, the folder that holds the data set")
    return DATA_SETS[source].find(root, split, download)


def folder_set(folder: Path, names: Path | None = None) -> ImageSet:
    """A folder with one folder for each class, and images in them at any depth.

    names  a text file with a line for each class: FOLDER, a tab, and the name. None: the name of
           the folder, with spaces for underscores

    Hidden files are left out, all others must be images. Raises ImageFileError or OptionError.
    """
    if not folder.is_dir():
        raise ImageFileError(
            f"{str(folder)!r} is no folder of images, and none of {', '.join(DATA_SETS)}"
        )
    classes = sorted(
        path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")
    )
    if not classes:
        raise ImageFileError(f"{str(folder)!r} holds no folders: expected one for each class")
    images = tuple(
        LabelledImage(path, label)
        for label, name in enumerate(classes)
        for path in _files(folder / name)
    )
    if not images:
        raise ImageFileError(f"{str(folder)!r} holds no images: expected some in each folder")
    return ImageSet(folder.resolve().name, images, _names(classes, names))


def _files(folder: Path) -> list[Path]:
    """The files of a folder and of those below it, without hidden ones, in order."""
    found = folder.rglob("*")
    return sorted(
        path
        for path in found
        if path.is_file() and not any(p.startswith(".") for p in path.relative_to(folder).parts)
    )


def _names(folders: Sequence[str], file: Path | None) -> tuple[str, ...]:
    if file is None:
        return tuple(map(spaced, folders))
    try:
        lines = [line for line in file.read_text("utf-8").splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise OptionError(f"{str(file)!r} is not text in UTF-8: {error}") from error
    found = {}
    for line in lines:
        folder, tab, name = line.partition("\t")
        if not tab or not name.strip():
            raise OptionError(f"{str(file)!r}: {line!r} is not a folder, a tab and a name")
        found[folder.strip()] = name.strip()
    missing = [name for name in folders if name not in found]
    if missing:
        raise OptionError(f"{str(file)!r} has no name for the folders {missing[:3]}")
    return tuple(found[name] for name in folders)


@dataclass(frozen=True)
class _DataSet:
    """One of the paper's: what it is called, where it is to be had, and how it is read."""

    key: str
    title: str
    get: str
    folder: str
    read: Callable[[Path, str, bool], tuple[list[LabelledImage], list[str], str]]
    held_out: Callable[[], tuple[int, ...]] | None = None

    def find(self, root: Path, split: str, download: bool) -> ImageSet:
        if root.name == self.folder and not (root / self.folder).exists():
            root = root.parent  # the data set's own folder was given
        remedy = f"get {self.get}, unpacked to {str(root / self.folder)!r}"
        if not (download or (root / self.folder).is_dir()):
            what = "add --download to let torchvision get it"
            if self.key == "imagenet":
                what = "if both archives are in the folder above it, --download unpacks them"
            raise ImageFileError(f"{self.title} is not in {str(root)!r}: {remedy}; or {what}")
        try:
            with missing_named():
                images, classes, part = self.read(root, split, download)
        except (ImageFileError, ImportError):
            raise
        # torchvision's own RuntimeError for what is incomplete, and whatever its files do to it
        except (RuntimeError, OSError, ValueError, LookupError) as error:
            why = " ".join(str(error).split())
            raise ImageFileError(
                f"{self.title} in {str(root)!r} is incomplete or cannot be had ({why}): {remedy}"
            ) from error
        held = None if self.held_out is None else self.held_out()
        return ImageSet(
            self.key, tuple(images), tuple(classes), PROMPTS[self.key], part, held
        )  # fmt: skip


def imagenet_held_out() -> tuple[int, ...]:
    """The 200 classes of ImageNet that the paper validates on, in order.

    Its code has them as a file, data/indices/shuffled_test_indices.npy, which is the end of the
    permutation that numpy's legacy generator makes of seed 42. The 800 others are its beginning.
    """
    return tuple(sorted(np.random.RandomState(42).permutation(1000)[800:].tolist()))


def _imagenet(root: Path, split: str, download: bool) -> tuple[list[LabelledImage], list[str], str]:
    import open_clip
    from torchvision.datasets import ImageFolder, ImageNet

    if not (root / "val").is_dir():
        ImageNet(str(root), split="val")  # unpacks the archives; it cannot download them
    found = ImageFolder(str(root / "val"))
    if len(found.classes) != 1000:
        raise ValueError(f"{len(found.classes)} folders in val, not the 1000 of the classes")
    images = [LabelledImage(Path(path), label) for path, label in found.samples]
    return images, list(open_clip.IMAGENET_CLASSNAMES), "val"


def _parts(
    kind: Any, root: Path, parts: Sequence[str], files: str, download: bool
) -> tuple[list[LabelledImage], list[str], str]:
    """Parts of one of torchvision's data sets; files: its attribute with the paths of images."""
    images: list[LabelledImage] = []
    for part in parts:
        found = kind(str(root), split=part, download=download)
        images += map(LabelledImage, getattr(found, files), found._labels)
    return images, list(found.classes), "+".join(parts)


def _pets(root: Path, split: str, download: bool) -> tuple[list[LabelledImage], list[str], str]:
    from torchvision.datasets import OxfordIIITPet

    parts = ("trainval", "test") if split == "paper" else ("test",)
    return _parts(OxfordIIITPet, root, parts, "_images", download)


def _caltech101(
    root: Path, split: str, download: bool
) -> tuple[list[LabelledImage], list[str], str]:
    from torchvision.datasets import Caltech101

    found: Any = Caltech101(str(root), download=download)
    folder = Path(found.root) / "101_ObjectCategories"
    images = [
        LabelledImage(folder / found.categories[label] / f"image_{number:04d}.jpg", label)
        for label, number in zip(found.y, found.index, strict=True)
    ]
    return images, [caltech_name(name) for name in found.categories], "all"


def _food101(root: Path, split: str, download: bool) -> tuple[list[LabelledImage], list[str], str]:
    from torchvision.datasets import Food101

    parts = ("train", "test") if split == "paper" else ("test",)
    images, classes, part = _parts(Food101, root, parts, "_image_files", download)
    return images, [spaced(name) for name in classes], part


def _tiny_imagenet(
    root: Path, split: str, download: bool
) -> tuple[list[LabelledImage], list[str], str]:
    folder = root / "tiny-imagenet-200"
    if download and not (folder / "wnids.txt").is_file():
        from torchvision.datasets.utils import download_and_extract_archive

        download_and_extract_archive(_TINY_ZIP, str(root), md5=_TINY_MD5)
    wnids = sorted((folder / "wnids.txt").read_text("utf-8").split())
    number = {wnid: label for label, wnid in enumerate(wnids)}
    lines = (folder / "words.txt").read_text("utf-8").splitlines()
    words = dict(line.split("\t", 1) for line in lines if "\t" in line)
    classes = [words[wnid].split(",")[0].strip() for wnid in wnids]  # the first of its names
    if split == "test":
        table = (folder / "val" / "val_annotations.txt").read_text("utf-8").splitlines()
        rows = [line.split("\t") for line in table if line.strip()]
        images = [LabelledImage(folder / "val" / "images" / row[0], number[row[1]]) for row in rows]
        return images, classes, "val"
    images = [
        LabelledImage(path, number[wnid])
        for wnid in wnids
        for path in _files(folder / "train" / wnid / "images")
    ]
    if not images:
        raise ValueError("no images in train")
    return images, classes, "train"


DATA_SETS = {
    item.key: item
    for item in (
        _DataSet(
            "imagenet", "ImageNet",
            f"{' and '.join(_IMAGENET)} from https://image-net.org/download.php (an account is "
            "needed; a folder for each of the 1000 classes, named such as n01440764)",
            "val", _imagenet, imagenet_held_out,
        ),
        _DataSet(
            "pets", "Oxford-IIIT Pets",
            "images.tar.gz and annotations.tar.gz from https://www.robots.ox.ac.uk/~vgg/data/pets/",
            "oxford-iiit-pet", _pets,
        ),
        _DataSet(
            "caltech101", "Caltech101",
            "101_ObjectCategories.tar.gz and Annotations.tar from "
            "https://data.caltech.edu/records/mzrjq-6wc02",
            "caltech101", _caltech101,
        ),
        _DataSet("tiny-imagenet", "Tiny-ImageNet", _TINY_ZIP, "tiny-imagenet-200", _tiny_imagenet),
        _DataSet(
            "food101", "Food101",
            "http://data.vision.ee.ethz.ch/cvl/food-101.tar.gz", "food-101", _food101,
        ),
    )
}  # fmt: skip
