"""From images with classes to a set file of embeddings, which `clipcodec evaluate` measures on.

    python -m clipcodec.evaluation.images SOURCE -o OUT.safetensors [--backbone NAME]

SOURCE is a folder with one folder of images for each class, or one of the paper's data sets in
--root: imagenet, pets, caltech101, tiny-imagenet, food101. The output is laid out as `sets.py`
says, with `embeddings`, `labels`, `texts`, `pixels` and, of ImageNet, `class_is_val`; its metadata
entry `clipcodec.set` is JSON: data set, class names, sentences, backbone and weights.

Finished parts are kept in OUT.safetensors.parts until the file is written, so that the same command
goes on after an interruption. An image that cannot be read is named and left out (exit code 1).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from ..errors import ImageError, OptionError
from ..images import load_rgb
from ..models import BATCH, Backbone, Templates, TextTower, sha256, shorten
from ..models.templates import templates_of
from ..system.files import refuse_existing, write_atomic
from ..system.locks import lock
from ..system.threads import in_threads
from .commands import exit_code, say
from .image_sets import DATA_SETS, SPLITS, ImageSet, image_set

if TYPE_CHECKING:
    from ..models.device import Device, Weights

BACKBONE = "openai-vit-b-32"
METADATA_KEY = "clipcodec.set"
COMMAND = "images"
_PART = 2 * BATCH  # images of a part; an interruption loses at most this work


@dataclass(frozen=True)
class Embedded:
    """What was written: how many images, and what is wrong with those that are left out."""

    path: Path
    images: int
    failed: tuple[str, ...]


def embed_images_to_set(
    source: ImageSet,
    out: Path,
    *,
    backbone: str = BACKBONE,
    templates: Templates = None,
    device: Device = None,
    weights: Weights = None,
    precision: str = "fp32",
    overwrite: bool = False,
    quiet: bool = False,
) -> Embedded:
    """Embed the images and class names of a set, and write a set file in float32.

    templates  sentences for the class names; None: those of the set
    backbone, device, weights, precision   as of `Backbone.load`

    Raises OutputExistsError before any work, LockedError if another process makes the same file,
    OptionError if the finished parts are of another job, ImageError if no image can be read, and
    what `Backbone.load` and `TextTower.load` raise.
    """
    refuse_existing(out, overwrite=overwrite)
    forms = templates_of(source.templates if templates is None else templates)
    tower = Backbone.load(backbone, device=device, weights=weights, precision=precision)
    about = {
        "version": 1, "set": source.name, "split": source.split, "classes": list(source.classes),
        "templates": forms, "backbone": tower.spec.name, "weights": sha256(tower.path),
        "precision": precision, "images": len(source.images),
    }  # fmt: skip
    folder = out.with_name(out.name + ".parts")
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder):
        _check_job(folder, {**about, "files": files_digest(source)})
        texts = _texts(folder / "texts.safetensors", source, forms, backbone,
                       device, weights, precision)  # fmt: skip
        parts = [
            _part(folder / f"{at:08d}.safetensors", source, at, tower)
            for at in _steps(len(source.images), quiet)
        ]
        data, failed = _joined(source, parts)
        if texts is not None:
            data["texts"] = texts
        about["left_out"] = len(failed)
        content = save(data, metadata={METADATA_KEY: json.dumps(about, sort_keys=True)})
        write_atomic(out, content, overwrite=overwrite)
    shutil.rmtree(folder)
    return Embedded(out, len(data["embeddings"]), tuple(failed))


def read_about(path: Path) -> dict[str, Any]:
    """What the metadata entry of a set file says; {} if it has none."""
    with safe_open(path, framework="numpy") as file:
        found: dict[str, Any] = json.loads((file.metadata() or {}).get(METADATA_KEY, "{}"))
        return found


def _steps(count: int, quiet: bool) -> Iterator[int]:
    """The number of the first image of each part, with a progress bar on a terminal."""
    from tqdm import tqdm

    with tqdm(total=count, disable=True if quiet else None, unit="image", leave=False) as bar:
        for at in range(0, count, _PART):
            yield at
            bar.update(min(_PART, count - at))


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    path = folder / "lock"
    with open(path, "ab") as file:
        lock(file.fileno(), path)
        yield


def files_digest(source: ImageSet) -> str:
    """A digest of the names, sizes and classes of all files."""
    found = hashlib.sha256()
    for image in source.images:
        try:
            size = image.path.stat().st_size
        except OSError:
            size = -1
        found.update(f"{image.path.absolute()}\0{size}\0{image.label}\0".encode(errors="replace"))
    return found.hexdigest()


def _check_job(folder: Path, job: dict[str, Any]) -> None:
    """Parts that are there must be of the same job."""
    path, text = folder / "job.json", json.dumps(job, sort_keys=True).encode()
    if not path.exists():
        write_atomic(path, text, overwrite=True)
    elif path.read_bytes() != text:
        raise OptionError(
            f"{str(folder)!r} holds parts of other images or of another model: give the options of "
            "then to go on, or delete it to begin anew"
        )


def _texts(
    path: Path, source: ImageSet, forms: list[str], backbone: str, device: Device,
    weights: Weights, precision: str,
) -> NDArray[np.float32] | None:  # fmt: skip
    """The embeddings (C, D) of the class names; kept, since they may take an hour."""
    if not source.classes:
        return None
    kept = _kept(path)
    if kept is None:
        tower = TextTower.load(backbone, device=device, weights=weights, precision=precision)
        kept = {"texts": tower.embed(source.classes, forms)}, {}
        write_atomic(path, save(kept[0]), overwrite=True)
    return kept[0]["texts"]


Part = tuple[dict[str, NDArray[Any]], dict[str, str]]  # tensors, and what failed: number, reason


def _kept(path: Path) -> Part | None:
    """A finished part; None if there is none, or if it cannot be read."""
    with suppress(SafetensorError, ValueError, OSError), safe_open(path, framework="numpy") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return tensors, json.loads((file.metadata() or {}).get("failed", "{}"))
    return None


def _part(path: Path, source: ImageSet, start: int, tower: Backbone) -> Part:
    """Images from number `start` on: the part that is kept, or embedded and kept now."""
    if (kept := _kept(path)) is not None:
        return kept
    images = source.images[start : start + _PART]

    def load(number: int) -> tuple[NDArray[np.uint8], int] | str:
        try:
            image = load_rgb(images[number].path)
        except ImageError as error:
            return str(error)
        return tower.preprocess(shorten(image)), image.width * image.height

    rows, numbers, pixels = [np.empty((0, tower.dim), np.float32)], [], []
    failed: dict[str, str] = {}
    for at in range(0, len(images), BATCH):
        batch = list(range(at, min(at + BATCH, len(images))))
        ready = []
        for number, loaded in zip(batch, in_threads(load, batch), strict=True):
            if isinstance(loaded, str):
                failed[str(start + number)] = loaded
                continue
            ready.append(loaded[0])
            numbers.append(start + number)
            pixels.append(loaded[1])
        if ready:
            rows.append(tower.embed_pixels(np.stack(ready)))
    tensors: dict[str, NDArray[Any]] = {
        "embeddings": np.concatenate(rows),
        "numbers": np.array(numbers, np.int64),
        "pixels": np.array(pixels, np.int64),
    }
    write_atomic(path, save(tensors, metadata={"failed": json.dumps(failed)}), overwrite=True)
    return tensors, failed


def _joined(source: ImageSet, parts: list[Part]) -> tuple[dict[str, NDArray[Any]], list[str]]:
    """The tensors of the set without `texts`, and what is wrong with each image left out."""
    failed = [reason for _, reasons in parts for reason in reasons.values()]
    numbers = np.concatenate([tensors["numbers"] for tensors, _ in parts]) if parts else np.empty(0)
    if not len(numbers):
        first = f"; {failed[0]}" if failed else ""
        raise ImageError(f"none of the {len(source.images)} images can be read{first}")
    data: dict[str, NDArray[Any]] = {
        name: np.concatenate([tensors[name] for tensors, _ in parts])
        for name in ("embeddings", "pixels")
    }
    if source.classes:
        data["labels"] = np.array([image.label for image in source.images], np.int64)[numbers]
    if source.held_out is not None:
        data["class_is_val"] = np.zeros(len(source.classes), np.uint8)
        data["class_is_val"][list(source.held_out)] = 1
    return data, failed


def add_source(parser: argparse.ArgumentParser, *, optional: bool = False) -> None:
    """Arguments that say which images, for `source_of`."""
    add = parser.add_argument
    add("source", metavar="SOURCE", nargs="?" if optional else None,
        help=f"a folder by class, or {', '.join(DATA_SETS)}")  # fmt: skip
    add("--root", type=Path, metavar="DIR", help="the folder that holds the data set")
    split_help = "which images of a data set: those that the paper took, or those for tests"
    add("--split", choices=SPLITS, default="paper", help=f"{split_help}; %(default)s")
    add("--names", type=Path, metavar="FILE", help="class names: FOLDER, a tab, NAME in each line")
    add("--download", action="store_true",
        help="let torchvision download into --root what is missing")  # fmt: skip
    add("--limit-per-class", type=int, metavar="N", help="only the first N images of each class")


def add_model(parser: argparse.ArgumentParser, backbone: str | None) -> None:
    """Arguments that say which model embeds."""
    add = parser.add_argument
    add("--backbone", default=backbone, metavar="NAME", help=f"the model; {backbone or 'none'}")
    add("--weights", metavar="FILE", help="its weights, both towers")
    add("--device", metavar="NAME", help="such as cpu or cuda:0")
    add("--templates", action="append", metavar="TEXT",
        help="a sentence with {} for the class name, in place of those of the data set; repeat it "
        "for more; `imagenet` or `simple` alone for open_clip's lists")  # fmt: skip


def source_of(args: argparse.Namespace) -> ImageSet:
    """What `add_source` has read. Raises as `image_set` does."""
    if args.limit_per_class is not None and args.limit_per_class < 1:
        raise OptionError(f"--limit-per-class {args.limit_per_class}: at least 1")
    found = image_set(args.source, root=args.root, split=args.split, names=args.names,
                      download=args.download)  # fmt: skip
    return found if args.limit_per_class is None else found.first(args.limit_per_class)


def templates_given(args: argparse.Namespace) -> Templates:
    """The sentences given on the command line; None: those of the set."""
    given: list[str] | None = args.templates
    return given[0] if given is not None and len(given) == 1 else given


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m clipcodec.evaluation.images",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_source(parser)
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUT.safetensors")
    add_model(parser, BACKBONE)
    parser.add_argument("--precision", default="fp32", help="fp32, bf16 or fp16; %(default)s")
    parser.add_argument("-f", "--force", action="store_true", help="replace the output")
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress bar")
    args = parser.parse_args(arguments)

    def work() -> int:
        done = embed_images_to_set(
            source_of(args), args.output, backbone=args.backbone, templates=templates_given(args),
            device=args.device, weights=args.weights, precision=args.precision,
            overwrite=args.force, quiet=args.quiet,
        )  # fmt: skip
        for reason in done.failed:
            say(COMMAND, reason)
        if done.failed:
            say(COMMAND, f"{len(done.failed)} images are left out, {done.images} written")
        elif not args.quiet:
            say(COMMAND, f"{done.images} images to {done.path}")
        return 1 if done.failed else 0

    return exit_code(COMMAND, work)


if __name__ == "__main__":
    sys.exit(main())
