"""Every verb with numpy, constriction and safetensors alone: it works, or names what is missing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

import clipcodec
from clipcodec.cli.arguments.parser import build_parser
from tests.helpers.low_rank import low_rank
from tests.helpers.processes import PACKAGE
from tests.helpers.profiles import drawn
from tests.helpers.sets import write_folder

# Python runs this file before anything else, in worker processes, too.
BLOCK = """
import sys
BLOCKED = {"torch", "torchvision", "open_clip", "PIL", "huggingface_hub", "tqdm", "threadpoolctl",
           "pyarrow", "faiss", "pandas", "scipy", "ray", "starlette", "uvicorn", "shtab"}
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Block())
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("light")
    (folder / "block").mkdir()
    (folder / "block" / "sitecustomize.py").write_text(BLOCK)
    rows = drawn(40)
    np.save(folder / "row.npy", rows[0])
    np.save(folder / "rows.npy", rows)
    np.savez(folder / "row.npz", rows[0])
    np.savez(folder / "many.npz", low_rank(900))
    np.savetxt(folder / "row.csv", rows[:1], delimiter=",")
    save_file({"embeddings": rows[:1]}, folder / "row.safetensors")
    (folder / "row.pt").write_bytes(b"needs torch")
    clipcodec.TextEmbeddings(("cat", "dog"), rows[:2]).save(folder / "words.safetensors")
    streams = clipcodec.encode_embeddings(rows)
    (folder / "a.clip").write_bytes(streams[0])
    with clipcodec.create(folder / "a.clpc") as writer:
        writer.extend(streams)
    with clipcodec.create(folder / "regions.clpc") as writer:
        writer.append(streams[0], id="a.jpg#xywh=0,0,4,4")
    (folder / "photos").mkdir()
    (folder / "classes" / "cat").mkdir(parents=True)
    for path in (folder / "a.jpg", folder / "photos" / "b.jpg", folder / "classes/cat/c.jpg"):
        Image.new("RGB", (8, 8)).save(path)
    (folder / "with.jpg").write_bytes(clipcodec.attach(folder / "a.jpg", streams[0]))
    (folder / "shard.tar").write_bytes(bytes(10240))
    Image.new("RGB", (8, 8)).save(folder / "a.gif")
    write_folder(folder / "sets", dim=32)
    (folder / "t.parquet").write_bytes(b"PAR1" + bytes(20) + b"PAR1")
    return folder


def light(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(folder / "block"), str(PACKAGE)])
    return subprocess.run(
        [sys.executable, *args], cwd=folder, capture_output=True, text=True, timeout=120,
        check=False, env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip


WORKS = [
    "compare rows.npy --profile any/rotation --only --max-bytes 40",
    "evaluate sets --codec any/rotation@max_bytes=20 -o r.json",
    "compress row.npy -o 1.clip",
    "compress row.npy rows.npy -o out/",
    "compress rows.npy -o 1.clpc",
    "compress row.npz row.safetensors row.csv -o out/",
    "compress row.npz row.safetensors row.csv -o 8.clpc",
    "compress rows.npy -o 2.clpc --workers 0 -q",
    "compress many.npz -o own.clpc --train --mean-bytes 12",
    "decompress own.clpc -o own.out",
    "compress *.npy -o 9.clpc",  # a pattern, as no shell reads it here
    "compress *ow.safetensors *ow.csv ro[w].npy -o 10.clpc",
    "compress rows.npy -o 3.clpc --dry-run",
    "decompress a.clip -o 1.npy",
    "decompress a.clpc -o 2.npy --ids ids.txt",
    "decompress a.clip a.clpc --json",
    "info a.clip a.clpc",
    "info row.npy row.npz row.csv row.safetensors a.jpg with.jpg a.gif",
    "attach a.jpg --stream a.clip -o 1.jpg",
    "extract with.jpg",
    "search a.clpc --query row.npy",
    "ids a.clpc",
    "head a.clpc -n 3",
    "cat a.clpc --index 0 -o cat.clip",
    "cat a.clpc --index 0 1 -o cat/",
    "filter a.clpc --not-match x* -o some.clpc",
    "dedupe a.clpc --cosine 0.9 -o apart.clpc",
    "delete a.clpc --index 0 --dry-run",
    "update a.clpc a.clip --dry-run",
    "compact a.clpc --dry-run",
    "convert a.clpc -o 3.npy",
    "convert rows.npy -o 13.clpc",
    "convert a.clpc -o a-{00..}.tar",
    "merge a.clpc a.clip -o merged.clpc",
    "split a.clpc -o parts --items 9",
    "split a.clpc -o streams --streams",
    "locate regions.clpc --text-embeddings words.safetensors --json",
    "search a.clpc --text-embeddings words.safetensors",
    "search rows.npy --index 12.clpc --query row.npy",
    "classify a.clpc a.clip row.npy --labels words.safetensors",
    "profiles",
    "profiles any/rotation",
    "demo --count 1",
    "help",
    "help compress",
]
NEEDS = {
    "compare photos": "Pillow",
    "compare row.pt": "torch",
    "evaluate classes --keep kept": "huggingface_hub",
    "evaluate sets --codec faiss:SQ8 --training sets": "faiss",
    "compress a.jpg": "Pillow",
    "compress row.pt": "torch",
    "compress row.pt -o 7.clpc": "torch",
    "compress a.jpg -o 4.clpc": "huggingface_hub",
    "compress photos -o 5.clpc": "Pillow",
    "compress shard.tar -o 6.clpc": "Pillow",
    "compress *.jpg -o 11.clpc": "Pillow",
    "compress *.j?g *.npy -o 11.clpc": "Pillow",
    "convert a.clpc -o x.parquet": "pyarrow",
    "convert a.clpc -o x.lance": "pyarrow",
    "convert a.clpc -o x.faiss": "faiss",
    "compress t.parquet --column e": "pyarrow",
    "decompress t.clip.parquet": "pyarrow",
    "info t.parquet": "pyarrow",
    "info row.pt": "torch",
    "attach -f a.jpg": "Pillow",
    "search a.clpc --query a.jpg": "Pillow",
    "locate a.jpg --text cat": "Pillow",
    "search a.clpc --text dog": "huggingface_hub",
    "classify a.clpc --labels cat dog": "huggingface_hub",
    "embed-text --text dog -o w.safetensors": "huggingface_hub",
    "caption a.clip --captioner c.safetensors": "torch",
    "train-captioner --embeddings rows.npy --captions c.txt -o c.safetensors": "torch",
    "demo --count 1 a.jpg": "Pillow",
    "browse a.clpc": "starlette",
    "fetch": "huggingface_hub",
    "completion bash": "shtab",
    "train --embeddings rows.npy -o p.safetensors": "torch",
    "train --embeddings rows.npy -o p.safetensors --recipe pqvae": "torch",
}


@pytest.mark.parametrize("line", WORKS)
def test_works(folder: Path, line: str) -> None:
    done = light(folder, "-m", "clipcodec", *line.split())
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("line", NEEDS)
def test_says_what_is_missing(folder: Path, line: str) -> None:
    done = light(folder, "-m", "clipcodec", *line.split())
    assert done.returncode == 1
    assert f"{NEEDS[line]}" in done.stderr
    assert "pip install " in done.stderr
    assert "Traceback" not in done.stderr


def test_an_image_is_described_by_its_header(folder: Path) -> None:
    """Without Pillow; what only Pillow knows is left out, and said."""
    done = light(folder, "-m", "clipcodec", "info", "a.jpg", "with.jpg", "a.gif", "--json")
    plain, carrier, other = map(json.loads, done.stdout.splitlines())
    assert (plain["width"], plain["height"], plain["streams"]) == (8, 8, [])
    assert [stream["profile"] for stream in carrier["streams"]] == ["openai-vit-b-32/predictive"]
    assert other["width"] is None
    assert "pip install Pillow" in other["note"]


def test_a_page_without_pictures_needs_the_web_packages_alone(folder: Path) -> None:
    for module in ("starlette", "uvicorn"):
        pytest.importorskip(module)
    (folder / "web").mkdir()
    block = BLOCK.replace(', "starlette", "uvicorn"', "")
    assert block != BLOCK
    (folder / "web" / "sitecustomize.py").write_text(block)
    path = os.pathsep.join([str(folder / "web"), str(PACKAGE)])
    with subprocess.Popen(
        [sys.executable, "-m", "clipcodec", "browse", "a.clpc", "--port", "0"], cwd=folder,
        stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path},
    ) as page:  # fmt: skip
        assert page.stderr is not None
        said = page.stderr.readline()
        page.terminate()
        assert "40 pictures at http://127.0.0.1:" in said, said + page.stderr.read()


def test_what_every_image_lacks_is_said_once(folder: Path) -> None:
    for line in ("compress a.jpg photos/b.jpg -o mixed/", "search a.clpc --query a.jpg a.jpg"):
        done = light(folder, "-m", "clipcodec", *line.split())
        assert done.returncode == 1
        assert len(done.stderr.splitlines()) == 1


def test_every_verb_is_tried() -> None:
    assert {line.split()[0] for line in [*WORKS, *NEEDS]} == {*build_parser().verbs}


@pytest.mark.parametrize(
    "call", ["encode('a.jpg')", "encode_batch(['a.jpg'])", "Codec().embed_images(['a.jpg'])",
             "Codec().backbone()"],
)  # fmt: skip
def test_python_says_it_with_its_own_error(folder: Path, call: str) -> None:
    code = f"import clipcodec\ntry: clipcodec.{call}\n"
    code += "except clipcodec.MissingDependencyError as error: print(error.name)"
    done = light(folder, "-c", code)
    assert done.stdout.strip() in ("PIL", "huggingface_hub"), done.stderr
