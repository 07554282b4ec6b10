"""What the pages take for granted: the files that commands name, and the arrays that code names.

A page runs in an empty folder. A file is made there when a block names it first, unless a block
before has made it. A name of `NAMES` is set when a block uses it first, and has not been set by the
page itself. Everything else a page must make or import.
"""

from __future__ import annotations

import json
import logging
import re
import shutil
import tarfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import clipcodec
from clipcodec.bulk import Job
from clipcodec.profile import registry
from tests.helpers import tiny_encoders
from tests.helpers.low_rank import low_rank
from tests.helpers.pictures import write_classes, write_picture
from tests.helpers.tiny_captioners import CAPTIONS, write_language_model, write_published
from tests.helpers.tiny_sam import make_sam

PICTURES = ("beach", "dog", "cat", "horse", "car", "house", "tree", "snow")
MANY = 64  # pictures of a folder: of fewer, a container's own bytes count too much for --mean-bytes
FEW = 128  # rows of an array
ALL = 1200  # rows to train on


@cache
def rows(count: int, seed: int = 1) -> NDArray[np.float32]:
    """Embeddings (count, 512), as the images of the default profile's backbone have them."""
    statistics = registry.by_name(registry.DEFAULT).statistics
    assert statistics is not None
    return statistics.draw(count, seed)


# files


def picture(path: Path) -> None:
    write_picture(path, sum(path.stem.encode()), (160, 120))


def pictures(folder: Path) -> None:
    for name in (*PICTURES, *(f"{number:04d}" for number in range(MANY - len(PICTURES)))):
        picture(folder / f"{name}.jpg")


def by_class(folder: Path) -> None:
    """Pictures of three classes, a folder for each."""
    write_classes(folder, {"cat": 4, "dog": 4, "horse": 4})


def array(path: Path) -> None:
    _save(path, rows(FEW))


def one_row(path: Path) -> None:
    _save(path, rows(1)[0])


def many_rows(path: Path) -> None:
    """Enough to train on."""
    _save(path, rows(ALL))


def rows_of_other_model(path: Path) -> None:
    """Of another width, and from which a profile can be learned."""
    _save(path, low_rank(200, 96))


def _save(path: Path, x: NDArray[np.float32]) -> None:
    if path.suffix == ".npy":
        np.save(path, x)
    elif path.suffix == ".npz":
        np.savez(path, embeddings=x)
    elif path.suffix == ".csv":
        np.savetxt(path, x, delimiter=",")
    elif path.suffix == ".safetensors":
        from safetensors.numpy import save_file

        save_file({"embeddings": x}, path)
    else:
        import torch

        torch.save(torch.from_numpy(x), path)


def labelled(path: Path) -> None:
    """Embeddings of three classes, and of the classes' names, to measure with."""
    from safetensors.numpy import save_file

    centres, noise = rows(3, 5), rows(60, 6)
    labels = np.arange(len(noise)) % 3
    x = centres[labels] + 0.7 * noise
    x = x / np.linalg.norm(x, axis=1, keepdims=True)
    texts = clipcodec.embed_texts(["cat", "dog", "horse"])
    save_file({"embeddings": x.astype(np.float32), "labels": labels, "texts": texts}, path)


def own_profile(path: Path) -> None:
    """A private profile: the default one by another name, so of another digest."""
    data = Path(clipcodec.Codec().profile.path).read_bytes()
    path.write_bytes(data.replace(b"openai-vit-b-32/predictive", b"private/vit-b-32-of-my-own"))


def container(path: Path) -> None:
    """A folder of pictures, compressed."""
    folder = path.parent / "photos"
    known = folder.exists()
    if not known:
        pictures(folder)
    Job(f"{folder.name}/", path, clipcodec.Target(), workers=0).run()
    if not known:
        shutil.rmtree(folder)


def cut_container(path: Path) -> None:
    with clipcodec.create(path, block_items=10) as writer:
        writer.extend(clipcodec.encode_embeddings(rows(FEW)))
    path.write_bytes(path.read_bytes()[:-100])


def one_stream(path: Path) -> None:
    path.write_bytes(clipcodec.encode_embedding(rows(1)[0]))


def table(path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    x = pa.FixedSizeListArray.from_arrays(pa.array(rows(FEW).ravel()), 512)
    ids = pa.array(range(FEW), pa.int64())
    pq.write_table(pa.table({"id": ids, "embedding": x}), path)


def table_of_images(path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    made = path.with_name("one.png")
    picture(made)
    images = [made.read_bytes()] * 2
    made.unlink()
    pq.write_table(pa.table({"id": [0, 1], "image": pa.array(images, pa.binary())}), path)


def tables_of_images(folder: Path) -> None:
    for number in range(2):
        table_of_images(folder / f"{number}.parquet")


def lines(path: Path) -> None:
    """A text on each line."""
    path.write_text("cat\ndog\nhorse\na red car\n", "utf-8")


def names_of_rows(path: Path) -> None:
    """An id for each row of an array."""
    path.write_text("".join(f"{name}\n" for name in _names()), "utf-8")


def text_embeddings(path: Path) -> None:
    from clipcodec.texts import TextEmbeddings

    names = ("cat", "dog", "horse")
    TextEmbeddings(names, clipcodec.embed_texts(names), "openai-vit-b-32").save(path)


def list_of_pictures(path: Path) -> None:
    """Names of pictures, one a line, and the pictures."""
    names = [f"listed/{name}.jpg" for name in PICTURES]
    for name in names:
        picture(path.parent / name)
    path.write_text("\n".join(names), "utf-8")


def shard(path: Path) -> None:
    """An archive of pictures, as WebDataset has them."""
    made = path.with_name("one.jpg")
    picture(made)
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as archive:
        for name in PICTURES:
            archive.add(made, f"{path.name.partition('.')[0]}/{name}.jpg")
    made.unlink()


def captions(path: Path) -> None:
    """A caption for each row of `coco.npy` or `x.npy`."""
    texts = [CAPTIONS[i % len(CAPTIONS)] for i in range(FEW)]
    numbered = path.suffix == ".tsv"
    path.write_text("\n".join(f"{i}\t{t}" if numbered else t for i, t in enumerate(texts)), "utf-8")


def language_model(folder: Path) -> None:
    write_language_model(folder)


def captioner(path: Path) -> None:
    """A captioner that has learned for one epoch."""
    from clipcodec.tasks.captioning import Recipe, train

    prepare("gpt2", path.parent)
    recipe = Recipe(prefix_length=4, epochs=1, batch_size=6)
    lm, backbone = str(path.parent / "gpt2"), "openai-vit-b-32"
    train(rows(len(CAPTIONS)), CAPTIONS, path, recipe, language_model=lm, backbone=backbone)


def published_captioner(path: Path) -> None:
    prepare("gpt2", path.parent)
    write_published(path, str(path.parent / "gpt2"))


def masks(folder: Path) -> None:
    make_sam(folder, sure=True)


def boxes(path: Path) -> None:
    path.write_text(json.dumps([[10, 10, 80, 60], [40, 30, 150, 110]]), "utf-8")


def index(path: Path) -> None:
    """An index of faiss, of the kind that its name says."""
    import faiss

    made: Any = faiss.IndexFlatIP(512)
    if path.stem == "trained":
        made = faiss.IndexIVFFlat(made, 512, 2, faiss.METRIC_INNER_PRODUCT)
        made.train(rows(100))
    else:
        made.add(rows(FEW))
    faiss.write_index(made, str(path))


FILES: dict[str, Callable[[Path], object]] = {
    "photos/": pictures,
    "shots/": pictures,
    "images/": tables_of_images,
    "by-class/": by_class,
    "photos.clpc": container,
    "more.clpc": container,
    "cut.clpc": cut_container,
    "embeddings.npy": array,
    "rows.npy": array,
    "rows.npz": array,
    "rows.pt": array,
    "x.npy": array,
    "coco.npy": array,
    "row.npy": one_row,
    "mine.npy": many_rows,
    "siglip.npy": rows_of_other_model,
    "mine.safetensors": labelled,
    "own.safetensors": own_profile,
    "table.parquet": table,
    "t.parquet": table,
    "names.txt": names_of_rows,
    "words.txt": lines,
    "labels.txt": lines,
    "words.safetensors": text_embeddings,
    "labels.safetensors": text_embeddings,
    "y.txt": captions,
    "coco.tsv": captions,
    "captioner.safetensors": captioner,
    "c.safetensors": captioner,
    "coco_weights.pt": published_captioner,
    "gpt2": language_model,
    "facebook/sam-vit-base": masks,
    "openai/clip-vit-base-patch32": tiny_encoders.clip,
    "google/siglip2-base-patch16-224": tiny_encoders.siglip,
    "facebook/dinov2-base": tiny_encoders.dinov2,
    "sentence-transformers/all-MiniLM-L6-v2": tiny_encoders.sentence_text,
    "clip-ViT-B-32": tiny_encoders.sentence_clip,
    "list.txt": list_of_pictures,
    "shard.tar": shard,
    "shard-000.tar": shard,
    "shard-001.tar.gz": shard,
    "boxes.json": boxes,
    "flat.faiss": index,
    "trained.faiss": index,
}
# What a command reads without naming it.
IMPLIED = {"train-captioner": "gpt2", "clipcodec locate": "facebook/sam-vit-base"}
PICTURE = re.compile(r"(?<![\w./-])(?:[\w-]+/)*[\w-]+\.(?:jpg|png)(?![\w.])")
STREAM = re.compile(r"(?<![\w./-])[\w-]+(?:\.(?:jpg|png))?\.clip(?![\w.])")
PATTERN = re.compile(r"(?<![\w./-])([\w-]+/|)\*\.(jpg|png|webp|avif)\b")


def prepare(code: str, folder: Path) -> None:
    """Make what the code names and is not there: `FILES`, and pictures and streams of any name."""
    named = [name for name in FILES if re.search(rf"(?<![\w./-]){re.escape(name)}(?![\w.-])", code)]
    named += [name for word, name in IMPLIED.items() if word in code]
    for name in named:
        if not (folder / name).exists():
            FILES[name](folder / name)
    for name in PICTURE.findall(code):
        if not (folder / name).exists():
            picture(folder / name)
    for name in STREAM.findall(code):
        if not (folder / name).exists():
            one_stream(folder / name)
    for parent, kind in PATTERN.findall(code):
        if not any((folder / parent).glob(f"*.{kind}")):
            for number in range(3):
                picture(folder / parent / f"{number}.{kind}")


# names


def _log() -> logging.Logger:
    return logging.getLogger("page")


def _names() -> list[str]:
    return [f"{name}.jpg" for name in (*PICTURES, *range(FEW - len(PICTURES)))]


def _image() -> Any:
    from PIL import Image

    return Image.fromarray(np.random.default_rng(3).integers(0, 256, (60, 80, 3), np.uint8))


NAMES: dict[str, tuple[str, Callable[[], Any]]] = {
    "my_embeddings": ("(N, 512) float32", lambda: rows(FEW)),
    "rows": ("(N, 512) float32", lambda: rows(FEW)),
    "ids": ("a list of N file names", _names),
    "names": ("a list of N file names", _names),
    "X": ("(N, 512) float32", lambda: rows(FEW)),
    "x": ("(512,) float32", lambda: rows(1)[0]),
    "query": ("(512,) float32", lambda: rows(FEW)[3]),
    "queries": ("(N, 512) float32", lambda: rows(FEW)[:5]),
    "image": ("a picture, by Pillow", _image),
    "pil_image": ("a picture, by Pillow", _image),
    "images": ("a list of pictures", lambda: [_image(), _image()]),
    "another_stream": ("bytes of one stream", lambda: clipcodec.encode_embedding(rows(2)[1])),
    "stream": ("bytes of one stream", lambda: clipcodec.encode_embedding(rows(1)[0])),
    "streams": ("a list of streams", lambda: clipcodec.encode_embeddings(rows(FEW))),
    "some_rows": ("(N, 512) float32", lambda: rows(FEW)),
    "some_embeddings": ("(N, 512) float32", lambda: rows(FEW)),
    "more_streams": ("a list of streams", lambda: clipcodec.encode_embeddings(rows(FEW, 8))),
    "embeddings": ("(N, 512) float32", lambda: rows(FEW)),
    "array": ("(H, W, 3) uint8", lambda: np.asarray(_image())),
    "numbers": ("(N,) integers, one for each stream", lambda: np.arange(1000, 1000 + FEW)),
    "labels": ("(N,) integers", lambda: np.arange(FEW) % 3),
    "class_names": ("a list of names", lambda: ["cat", "dog", "horse"]),
    "log": ("a logger", _log),
}
