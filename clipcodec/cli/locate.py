"""`clipcodec locate`: the regions of images that words name; or of a container, by words alone."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..codec import Codec
from ..container import create
from ..errors import (
    ClipcodecError,
    EmbeddingError,
    InputError,
    MissingDependencyError,
    OptionError,
    RateError,
    WeightsError,
    placed,
)
from ..system.files import refuse_existing
from ..tasks.locating import (
    Candidate,
    Mark,
    Region,
    best_regions,
    compress_regions,
    draw,
    embedded_texts,
    find_regions,
    image_bytes,
    image_format,
    keep_regions,
    load_upright,
    locate_kept,
    parse_boxes,
    sam_regions,
)
from ..texts import TextEmbeddings
from .common import (
    STDIO,
    codec_of,
    output_path,
    progress,
    refuse_no_folder,
    refuse_shared,
    refuse_terminal_or_existing,
    report,
    target_of,
    write_result,
)
from .containers import is_container, opened
from .formats import CONTAINER, PICTURES, refuse_foreign, refuse_other_format
from .inputs import label_of, open_input, path_or_bytes
from .terminal import ARROW, counted, note, size_text, tell, tell_json
from .words import read_text_embeddings, templates_of

if TYPE_CHECKING:
    from PIL import Image

    from ..tasks.locating import Box

_MARKED = ".marked.png"  # added to an image's name in a directory of results


def run(args: argparse.Namespace) -> int:
    _check_usage(args)
    outputs = _outputs(args)
    work = _Work(args)
    failed = 0
    pairs = list(zip(args.inputs, outputs, strict=True))
    for name, output in progress(pairs, quiet=args.quiet or len(pairs) == 1, unit="file"):
        try:
            if is_container(name):
                work.container(name)
            else:
                work.image(name, output)
        except (ClipcodecError, OSError) as error:
            usage = isinstance(error, OptionError) and not isinstance(error, RateError)
            if usage or isinstance(error, (WeightsError, MissingDependencyError)):
                raise  # every other image would fail alike
            report(name, error)
            failed += 1
    work.keep()
    return 1 if failed else 0


def _check_usage(args: argparse.Namespace) -> None:
    """Raise OptionError for what can be known before any work."""
    if args.text is None and args.text_embeddings is None:
        if args.keep is None:
            raise OptionError("no text: say what to look for, --text TEXT; or --keep FILE, to "
                              "keep the regions and look later")  # fmt: skip
        if args.output is not None or args.json:
            raise OptionError("-o and --json show what --text finds: give --text, too")
    if args.boxes is not None and args.sam is not None:
        raise OptionError("--boxes and --sam contradict each other: give one of them")
    if [*args.inputs, args.boxes, args.text_embeddings].count(STDIO) > 1:
        raise OptionError("stdin can be only one input")
    if args.keep is not None:
        refuse_other_format(args.keep, CONTAINER)
        if args.keep == STDIO:
            raise OptionError("--keep: stdout has the results; name a file")
        refuse_existing(Path(args.keep), overwrite=args.force)
        refuse_no_folder(args.keep, "--keep")


def _outputs(args: argparse.Namespace) -> list[str | None]:
    """Where each image goes with its regions drawn; None: nowhere."""
    if args.output is None:
        return [None] * len(args.inputs)
    if args.output == STDIO:
        raise OptionError("-o -: stdout has the results; name a file")
    for name in args.inputs:
        if is_container(name):
            raise OptionError(f"{name}: a container holds no image to draw into: leave -o out")
    outputs = [output_path(name, args.output, len(args.inputs), _MARKED) for name in args.inputs]
    refuse_shared(outputs)
    for path in outputs:
        image_format(path)
        refuse_terminal_or_existing(path, force=args.force)
    return [*outputs]


class _Work:
    """The inputs, one after the other, with what they share: codec, network, words, boxes."""

    def __init__(self, args: argparse.Namespace) -> None:
        self._args, self._target = args, target_of(args)
        self._codec = codec_of(args)
        self._texts: list[str] | TextEmbeddings | None = args.text
        if args.text_embeddings is not None:
            self._texts = read_text_embeddings(args.text_embeddings)
        self._words: TextEmbeddings | None = None
        self._templates = templates_of(args)
        self._boxes: dict[str | None, list[Box]] | None = None
        if args.boxes is not None:
            self._boxes = _read_boxes(args.boxes)
            if None in self._boxes and len(args.inputs) > 1:
                raise OptionError(
                    f"--boxes {args.boxes}: boxes that name no image, and {len(args.inputs)} "
                    "inputs: give the image's name with each box"
                )
        self._finder: Any = None
        self._kept: list[tuple[str, list[Region], list[bytes]]] = []

    def image(self, name: str, output: str | None) -> None:
        """One image: its regions are found, compressed, compared, drawn."""
        args, codec = self._args, self._codec
        refuse_foreign(name, "an image or a container of regions", CONTAINER, *PICTURES,
                       error=InputError)  # fmt: skip
        self._target.check(codec.profile)
        picture = load_upright(path_or_bytes(name))
        words = self._embedded()
        regions = find_regions(picture, self._regions(name))
        streams = compress_regions(picture, regions, codec, self._target, crop=args.crop)
        label = label_of(name)
        if args.keep is not None:
            boxes = [Region(region.box) for region in regions]  # masks of many images are large
            self._kept.append((label, boxes, streams))
        if words is None:
            return
        found = best_regions(regions, streams, words, codec=codec, k=args.k)
        if output is not None:
            marked = _marked(picture, regions, words.names, found)
            data = image_bytes(marked, output)
            write_result(output, data, args)
            if not args.quiet:
                note(f"{label}: {counted(len(found), 'region')} drawn, {output}")
        _print(label, words.names, found, as_json=args.json)

    def container(self, name: str) -> None:
        """The regions of a container that are nearest to the words, without any image."""
        args = self._args
        texts = self._texts
        if args.keep is not None or texts is None:
            raise InputError("--keep keeps regions of images, and this is a container")
        with opened(name, profile=args.profile) as container:
            codec = self._codec
            if args.profile is None and len(container):
                profile = container.codec.parse(container[0]).profile
                codec = Codec(profile, backbone=args.backbone, device=args.device,
                              weights=args.weights)  # fmt: skip
            found = locate_kept(container, texts, codec=codec, k=args.k, templates=self._templates)
            names = tuple(texts.names if isinstance(texts, TextEmbeddings) else texts)
        _print(None, names, found, as_json=args.json)

    def keep(self) -> None:
        """Write the container of all regions, if it was asked for and there are any."""
        if self._args.keep is None or not self._kept:
            return
        with create(self._args.keep, "w" if self._args.force else "x") as writer:
            for name, regions, streams in self._kept:
                keep_regions(writer, name, regions, streams)
        if not self._args.quiet:
            count = sum(len(streams) for _, _, streams in self._kept)
            size, path = os.path.getsize(self._args.keep), self._args.keep
            note(f"{counted(count, 'region')} {ARROW} {size_text(size)}, {path}")

    def _embedded(self) -> TextEmbeddings | None:
        """The texts with their embeddings, by the codec of the images; None: there is no text."""
        if self._words is None and self._texts is not None:
            try:
                self._words = embedded_texts(self._texts, self._codec, self._templates)
            except EmbeddingError as error:  # of all images, so it is said once
                raise OptionError(f"--text-embeddings: {error.reason}") from error
        return self._words

    def _regions(self, name: str) -> Any:
        """The boxes of an image, or what finds its regions, loaded once."""
        if self._boxes is not None:
            boxes = self._boxes.get(None, []) + self._boxes.get(name, [])
            if not boxes:
                raise InputError(f"{self._args.boxes} has no box of this image: name it as it is "
                                 "named on the command line")  # fmt: skip
            return boxes
        if self._finder is None:
            sam = {} if self._args.sam is None else {"model": self._args.sam}
            self._finder = sam_regions(
                **sam, device=self._args.device, points_per_side=self._args.points
            )
        return self._finder


def _read_boxes(name: str) -> dict[str | None, list[Box]]:
    with open_input(name) as file:
        data = file.read()
    source = label_of(name)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        with placed(source=source):
            raise InputError(f"not UTF-8 text ({error}): save it as UTF-8") from error
    return parse_boxes(text, source)


def _marked(
    picture: Image.Image,
    regions: Sequence[Region],
    names: Sequence[str],
    found: Sequence[Sequence[Candidate]],
) -> Image.Image:
    """The image with the best region of each text."""
    marks = [
        Mark(regions[best.place], f"{name}  {best.score:.2f}")
        for name, (best, *_) in zip(names, found, strict=True)
    ]
    return draw(picture, marks)


def _print(
    image: str | None,
    names: Sequence[str],
    found: Sequence[Sequence[Candidate]],
    *,
    as_json: bool,
) -> None:
    """image: the name of the candidates' image; None: each says its own."""
    for name, candidates in zip(names, found, strict=True):
        facts: list[dict[str, Any]] = [
            {
                "image": one.image if image is None else image,
                "box": None if one.box is None else list(one.box),
                "score": round(one.score, 6),
                "index": one.place,
            }
            for one in candidates
        ]
        if as_json:
            tell_json({"text": name, **facts[0], "candidates": facts})
            continue
        for fact in facts:
            box = "" if fact["box"] is None else ",".join(map(str, fact["box"]))
            tell(name, f"{fact['score']:.4f}", fact["image"] or fact["index"], box)
