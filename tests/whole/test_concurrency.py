"""`Codec` in threads, forks, pools and pickles. Everything that could hang runs in a subprocess."""

from __future__ import annotations

import copy
import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from clipcodec import Codec
from clipcodec.errors import OptionError, ProfileError, WeightsError, WeightsUnavailableError
from clipcodec.profile.file import Profile, read_profile
from clipcodec.profile.registry import by_name
from tests.helpers import tiny_models
from tests.helpers.processes import PACKAGE
from tests.helpers.profiles import cone, drawn, write_tiny_profile

NAMES = ("openai-vit-b-32/pqvae-400", "openai-vit-b-32/predictive", "any/rotation")
forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")


def run(code: str | Path, *args: object, cwd: Path | None = None, **env: str) -> str:
    """Output of a script in a fresh interpreter; a hang kills it with its children, and fails."""
    script = [str(code)] if isinstance(code, Path) else ["-c", code]
    process = subprocess.Popen(
        [sys.executable, *script, *map(str, args)], cwd=cwd, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(PACKAGE), **env},
    )  # fmt: skip
    try:
        out, err = process.communicate(timeout=240)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
        pytest.fail(f"hangs: {out}{err}")
    assert process.returncode == 0, out + err
    return out


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory, tiny_path: Path) -> Path:
    """Profiles, rows, and what one thread makes of them, pickled."""
    rows = drawn(40)
    jobs = []
    for name, x in [*((name, rows) for name in NAMES), (str(tiny_path), cone(40, 8))]:
        codec = Codec(name)
        options: dict[str, Any] = {"max_bytes": 60} if codec.profile.kind.qualities else {}
        few = codec.encode_embeddings(x[:4], **options)
        streams = codec.encode_embeddings(x)
        single = codec.encode_embedding(x[0])
        decoded = codec.decode_batch(streams)
        assert len({*streams}) > 10, "rows must not all look the same"
        jobs.append((name, x, options, streams, single, decoded, codec.decode(single), few))
    path = tmp_path_factory.mktemp("work") / "work.pickle"
    path.write_bytes(pickle.dumps(jobs))
    return path


# --- pickles ---


def used(codec: Codec) -> Codec:
    """After all that fills caches: both coders, one and many, information."""
    x = drawn(30, codec.profile)
    streams = codec.encode_embeddings(x)
    codec.decode_batch(streams)
    codec.decode(codec.encode_embedding(x[0]))
    codec.info(streams[0])
    return codec


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickled_codec_is_a_few_hundred_bytes(protocol: int, tiny_path: Path) -> None:
    """Never weights, coders or locks, used or not."""
    for codec in (Codec(), used(Codec()), used(Codec(NAMES[0])), used(Codec(tiny_path))):
        data = pickle.dumps(codec, protocol)
        assert len(data) < 400 + len(str(tiny_path))
        again = pickle.loads(data)
        assert again.profile.digest == codec.profile.digest
        x = drawn(1, codec.profile, seed=1)[0]
        assert again.encode_embedding(x) == codec.encode_embedding(x)


def test_registered_profiles_travel_by_name_and_are_shared() -> None:
    codec = pickle.loads(pickle.dumps(Codec(NAMES[0])))
    assert NAMES[0].encode() in pickle.dumps(codec)
    assert codec.profile is by_name(NAMES[0])
    unknown = pickle.dumps(codec).replace(b"pqvae-400", b"pqvae-4xx")
    with pytest.raises(ProfileError, match=r"pqvae-4xx.*did you mean .*pqvae-400"):
        pickle.loads(unknown)


def test_what_a_codec_was_made_with_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path of weights means the same file wherever the pickle is opened."""
    monkeypatch.chdir(tmp_path)
    codec = Codec("any/rotation", backbone="local-dir:none", device="cpu", weights="w.pt")
    again = pickle.loads(pickle.dumps(codec))
    state = {**vars(codec), "_weights": str(tmp_path / "w.pt")}
    assert vars(again) == state
    assert vars(copy.copy(codec)) == vars(copy.deepcopy(codec)) == state


def test_private_profiles_travel_by_absolute_path_and_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    path = write_tiny_profile(tmp_path / "p.safetensors")
    monkeypatch.chdir(tmp_path)
    codec = Codec("p.safetensors")
    data = pickle.dumps(codec)
    assert str(path).encode() in data
    assert codec.profile.digest.hex().encode() in data
    stream = codec.encode_embedding(np.arange(8.0))
    code = (
        "import pickle, sys; codec = pickle.loads(bytes.fromhex(sys.argv[1]))\n"
        "print(codec.decode(bytes.fromhex(sys.argv[2])).tolist())"
    )
    out = run(code, data.hex(), stream.hex(), cwd=tmp_path / "elsewhere")
    assert out.strip() == str(codec.decode(stream).tolist())


def test_a_private_profile_that_is_gone_or_changed_is_named_with_the_remedy(tmp_path: Path) -> None:
    """Each time it is opened, though it was opened before."""
    path = write_tiny_profile(tmp_path / "p.safetensors")
    content = path.read_bytes()
    codec = Codec(path)
    for data in (pickle.dumps(codec), pickle.dumps(codec.profile)):
        pickle.loads(data)
        path.unlink()
        with pytest.raises(WeightsError, match=r"p\.safetensors'.*put the file there"):
            pickle.loads(data)
        write_tiny_profile(path, seed=1)
        with pytest.raises(WeightsError, match=r"p\.safetensors has SHA-256.*was changed; bring"):
            pickle.loads(data)
        path.write_bytes(content[:-1])
        with pytest.raises(WeightsError, match=r"p\.safetensors: damaged"):
            pickle.loads(data)
        path.write_bytes(content)
        pickle.loads(data)


def test_many_pickles_of_one_file_share_its_profile(tiny_path: Path) -> None:
    """A pool pickles a bound method once a task: the file is not read that often."""
    data = pickle.dumps(Codec(tiny_path))
    first, second = pickle.loads(data), pickle.loads(data)
    assert first.profile is second.profile


def test_copies_share_the_profile_and_ask_for_no_file(tmp_path: Path) -> None:
    path = write_tiny_profile(tmp_path / "p.safetensors")
    codec = used(Codec(path))
    path.unlink()
    for again in (copy.copy(codec), copy.deepcopy(codec)):
        assert again is not codec
        assert again.profile is codec.profile
    assert copy.deepcopy({"profile": codec.profile})["profile"] is codec.profile


def test_every_profile_knows_its_file(tiny_path: Path) -> None:
    for profile in (by_name(NAMES[0]), read_profile(os.path.relpath(tiny_path))):
        assert isinstance(profile, Profile)
        assert os.path.isabs(profile.path)
        assert read_profile(profile.path).digest == profile.digest


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small image encoder in a folder, large enough that torch shares work between threads."""
    pytest.importorskip("open_clip")
    made = tiny_models.make_folder(
        tmp_path_factory.mktemp("network") / "model", dim=32, width=128, image=96
    )
    folder = Path(made.arch.removeprefix("local-dir:"))
    tiny_models.save(tiny_models.make_model(made), folder / "open_clip_model.safetensors")
    return folder


def pictures(count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (50, 40, 3), dtype=np.uint8) for _ in range(count)]


def test_a_pickled_backbone_is_its_file_and_device(network: Path) -> None:
    from clipcodec.models import Backbone

    backbone = Backbone.load(f"local-dir:{network}", device="cpu")
    data = pickle.dumps(backbone)
    assert len(data) < 400 + 3 * len(str(network))
    again = pickle.loads(data)
    images = [Image.fromarray(picture) for picture in pictures(3)]
    assert np.allclose(again.embed(images), backbone.embed(images), atol=1e-6)
    assert pickle.loads(data) is again, "loaded once a process"
    assert copy.copy(backbone) is copy.deepcopy(backbone) is backbone


def test_a_pickled_backbone_without_its_file_says_so(network: Path, tmp_path: Path) -> None:
    from clipcodec.models import Backbone

    weights = tmp_path / "w.safetensors"
    weights.write_bytes((network / "open_clip_model.safetensors").read_bytes())
    data = pickle.dumps(Backbone.load(f"local-dir:{network}", weights=weights, device="cpu"))
    weights.unlink()
    with pytest.raises(WeightsUnavailableError, match=r"w\.safetensors' does not exist"):
        pickle.loads(data)


# --- threads ---

THREADS = """
import sys, threading
sys.setswitchinterval(1e-4)
import numpy as np

def race(work, count=16):
    start, faults, results = threading.Barrier(count), [], [None] * count
    def one(i):
        start.wait()
        try:
            results[i] = work(i)
        except BaseException as error:
            faults.append(repr(error))
    threads = [threading.Thread(target=one, args=(i,)) for i in range(count)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    assert not faults, faults
    return results
"""
CHECK = """
import pickle
jobs = pickle.load(open(sys.argv[1], "rb"))

def check(codec, job, search):
    name, x, options, streams, single, decoded, row, few = job
    assert codec.encode_embedding(x[0]) == single
    assert np.allclose(codec.decode(single), row, atol=1e-6)
    assert codec.encode_embeddings(x) == streams
    if search:
        assert codec.encode_embeddings(x[:4], **options) == few
    assert np.allclose(codec.decode_batch(streams), decoded, atol=1e-6)
    assert codec.info(single).size == len(single)
"""


@pytest.mark.slow
def test_sixteen_threads_through_one_codec_that_is_new(work: Path) -> None:
    """The first loads race, in a fresh interpreter, and all get what one thread gets."""
    code = """
import clipcodec
for job in jobs:
    codec = clipcodec.Codec(job[0])
    race(lambda i: check(codec, job, search=i % 4 == 0))
print("done")
"""
    assert run(THREADS + CHECK + code, work) == "done\n"


@pytest.mark.slow
def test_sixteen_threads_through_as_many_codecs(work: Path) -> None:
    """Of all profiles at once, and all importing the package at once."""
    code = """
def all_jobs(i):
    import clipcodec
    for turn in range(len(jobs)):
        job = jobs[(i + turn) % len(jobs)]
        check(clipcodec.Codec(job[0]), job, search=i % 4 == turn)
        if len(job[5][0]) != 8:  # not the private one, which a default codec does not know
            assert np.allclose(clipcodec.decode(job[4]), job[6], atol=1e-6)
race(all_jobs)
print("done")
"""
    assert run(THREADS + CHECK + code, work) == "done\n"


@pytest.mark.slow
def test_sixteen_threads_load_one_backbone_and_embed(network: Path) -> None:
    """And the streams are those of one thread."""
    code = """
import clipcodec, pickle
rng = np.random.default_rng(0)
images = [rng.integers(0, 256, (50, 40, 3), dtype=np.uint8) for _ in range(3)]
def encode(i):
    return clipcodec.Codec(backbone="local-dir:" + sys.argv[1], device="cpu").embed_images(images)
results = race(encode)
from clipcodec.models.tower import _cache
assert len(_cache) == 1, _cache
assert all(np.allclose(result, results[0], atol=1e-5) for result in results)
assert np.allclose(encode(0), results[0], atol=1e-5)
print("done")
"""
    assert run(THREADS + code, network) == "done\n"


# --- forks ---

FORK = """
import os, sys, threading, time

def forked(work):
    '''Run `work` in a forked child, which must end within seconds.'''
    pid = os.fork()
    if not pid:
        try:
            work()
        except BaseException as error:
            print("child:", repr(error), file=sys.stderr)
            os._exit(1)
        os._exit(0)
    end = time.monotonic() + 90
    while time.monotonic() < end:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            assert status == 0, status
            return
        time.sleep(0.002)
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    raise SystemExit("the child hangs")
"""


@pytest.mark.slow
@forks
@pytest.mark.parametrize("milliseconds", [2, 6, 12, 18, 25, 32, 40, 50, 65])
def test_a_fork_while_another_thread_uses_the_package_for_the_first_time(
    work: Path, milliseconds: int
) -> None:
    """Whatever that thread holds just then, the child decodes."""
    code = """
sys.setswitchinterval(1e-5)
import clipcodec
streams = [bytes.fromhex(text) for text in sys.argv[2:]]
def decode():
    for stream in streams:
        clipcodec.decode(stream)
threading.Thread(target=decode, daemon=True).start()
time.sleep(float(sys.argv[1]) / 1000)
forked(decode)
print("done")
"""
    jobs = pickle.loads(work.read_bytes())
    streams = [job[4].hex() for job in jobs[:3]]
    assert run(FORK + code, milliseconds, *streams) == "done\n"


@forks
@pytest.mark.parametrize("where", ["a profile", "a property", "a module"])
def test_a_fork_in_the_midst_of_a_first_use(work: Path, tmp_path: Path, where: str) -> None:
    """A thread is held up where it loads: the fork waits for it, or the child does without."""
    (tmp_path / "slow_module.py").write_text("import time; time.sleep(0.5); ready = True")
    code = """
import clipcodec, clipcodec.profile.registry as registry
from clipcodec.models.spec import load_module
from clipcodec.system.forks import cached_property
where, stream = sys.argv[1], bytes.fromhex(sys.argv[2])
busy = threading.Event()

def slow(real):
    def slowed(*args, **options):
        busy.set()
        time.sleep(0.5)
        return real(*args, **options)
    return slowed

class Thing:
    @cached_property
    def value(self):
        return slow(lambda: 7)()

registry.read_profile = slow(registry.read_profile)
thing = Thing()
def module():
    busy.set()
    return load_module("slow_module").ready
use = {"a profile": lambda: clipcodec.decode(stream), "a property": lambda: thing.value,
       "a module": module}[where]
threading.Thread(target=use, daemon=True).start()
busy.wait()
time.sleep(0.05)
forked(use)
print("done")
"""
    stream = pickle.loads(work.read_bytes())[1][4].hex()
    path = os.pathsep.join([str(PACKAGE), str(tmp_path)])
    assert run(FORK + code, where, stream, PYTHONPATH=path) == "done\n"


@pytest.mark.slow
@forks
def test_a_fork_during_a_download_does_not_wait_for_it(network: Path) -> None:
    """And the child may load a backbone, though the parent's thread holds the cache."""
    code = """
import clipcodec.models.tower as model
from clipcodec.models import Backbone
here, arrived, go = os.getpid(), threading.Event(), threading.Event()
real = model.locate
def locate(*args):
    if os.getpid() == here:
        arrived.set()
        go.wait()
    return real(*args)
model.locate = locate
def load():
    Backbone.cached("local-dir:" + sys.argv[1], device="cpu")
thread = threading.Thread(target=load)
thread.start()
arrived.wait()
forked(load)
go.set()
thread.join()
print("done")
"""
    assert run(FORK + code, network) == "done\n"


@pytest.mark.slow
@forks
@pytest.mark.parametrize("loaded", ["before", "after"])
def test_images_in_a_fork_of_a_process_that_ran_torch(network: Path, loaded: str) -> None:
    """OpenMP's threads do not follow: the child goes on with one, and does not wait for them."""
    code = """
import numpy as np
import clipcodec
rng = np.random.default_rng(0)
images = [rng.integers(0, 256, (50, 40, 3), dtype=np.uint8) for _ in range(8)]
codec = clipcodec.Codec(backbone="local-dir:" + sys.argv[1], device="cpu")
if sys.argv[2] == "before":
    expected = codec.embed_images(images)
import torch
assert torch.get_num_threads() == 2
big = torch.ones(1000, 1000)
float((big @ big).softmax(1).sum())
def child():
    rows = codec.embed_images(images)
    assert rows.shape == (8, 32)
    if sys.argv[2] == "before":
        assert np.allclose(rows, expected, atol=1e-5)
forked(child)
assert torch.get_num_threads() == 2
print("done")
"""
    assert run(FORK + code, network, loaded, OMP_NUM_THREADS="2") == "done\n"


def test_a_backbone_on_another_device_does_not_follow_a_fork(network: Path) -> None:
    from clipcodec.models import Backbone

    backbone = Backbone.load(f"local-dir:{network}", device="cpu")
    backbone._process, backbone.device = os.getpid() + 1, "cuda:0"  # as a forked child sees it
    with pytest.raises(OptionError, match=r"cuda:0.*does not follow a fork.*'spawn'"):
        backbone.embed([Image.new("RGB", (40, 40))])


# --- pools ---

POOL = """
import multiprocessing, pickle, sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np

import clipcodec


def size(stream):
    return len(stream), clipcodec.info(stream).size


def main():
    jobs = pickle.load(open(sys.argv[2], "rb"))
    context = multiprocessing.get_context(sys.argv[1])
    codecs = [clipcodec.Codec(job[0]) for job in jobs]
    if sys.argv[3] == "used":
        with ThreadPoolExecutor(16) as threads:
            for codec, job in zip(codecs, jobs):
                list(threads.map(codec.decode, job[3]))
                codec.decode_batch(job[3] * 60)
    with context.Pool(2) as pool:
        assert pool.map(size, jobs[0][3]) == [(len(s), len(s)) for s in jobs[0][3]]
        for codec, job in zip(codecs, jobs):
            rows = np.stack(pool.map(codec.decode, job[3], chunksize=7))
            assert np.allclose(rows, job[5], atol=1e-6)
            streams = pool.map(codec.encode_embedding, job[1][:4])
            assert streams == [codec.encode_embedding(x) for x in job[1][:4]]
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        for codec, job in zip(codecs, jobs):
            parts = pool.map(codec.decode_batch, [job[3][:20], job[3][20:]])
            assert np.allclose(np.concatenate(list(parts)), job[5], atol=1e-6)
    print("done")


if __name__ == "__main__":
    main()
"""


@pytest.mark.slow
@pytest.mark.parametrize("state", ["new", "used"])
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_pools_of_processes(work: Path, tmp_path: Path, method: str, state: str) -> None:
    """Functions and bound methods; codecs not used yet, or by sixteen threads before."""
    import multiprocessing

    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {method} on this system")
    (tmp_path / "pool.py").write_text(POOL)
    assert run(tmp_path / "pool.py", method, work, state) == "done\n"
