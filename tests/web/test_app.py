"""The page's addresses, over real connections."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

import clipcodec
from clipcodec.texts import TextEmbeddings
from clipcodec.web import app, thumbnails
from clipcodec.web.guard import HEADERS
from tests.helpers.tiny_models import TEXT, make_folder, make_model, save
from tests.web.serving import Site, serving

SCRIPT = "<script>alert(1)</script>.jpg"


@pytest.fixture(scope="module")
def site(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    known = TextEmbeddings.load(demo / "words.safetensors")
    cache = tmp_path_factory.mktemp("cache")
    with serving(demo / "photos.clpc", demo / "photos", cache, known=known) as site:
        yield site


def test_the_page_and_its_files(site: Site) -> None:
    """Nothing in it comes from another host, and the browser is told to load nothing from one."""
    page = site.get("/")
    assert page.status == 200
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    for name, media_type in app._STATIC.items():
        answer = site.get(f"/static/{name}")
        assert (answer.status, answer.headers["Content-Type"]) == (200, media_type)
        assert b"://" not in answer.data.replace(b"http://www.w3.org/2000/svg", b"")
    for answer in (page, site.get("/api/collection"), site.get("/nothing")):
        for header, value in HEADERS.items():
            assert answer.headers.get_all(header) == [value]
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert "unsafe" not in page.headers["Content-Security-Policy"]
    assert b"style=" not in page.data  # what this policy forbids
    assert b"onclick" not in page.data


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py", "/static/..%2fapp.py", "/static/index.html", "/static/",
        "/static//etc/passwd", "/api/view/48?bytes=50",
        "/static/%2e%2e%2fapp.py", "/../../etc/passwd", "/photos.clpc", "/docs", "/openapi.json",
        "/api/thumb/..%2f..%2fetc%2fpasswd", "/api/thumb/sea%2fnoon.jpg", "/api/thumb/-1",
        "/api/thumb/48", "/api/thumb/0?size=huge", "/api/thumb/0?size=../small",
        "/api/view/..%2f0", "/api/near/x",
    ],
)  # fmt: skip
def test_nothing_else_is_served(site: Site, path: str) -> None:
    assert site.get(path).status == 404


def test_other_hosts_and_sites_are_refused(site: Site) -> None:
    """As test_guard.py has in full; here that every address is behind the guard."""
    for path in ("/", "/static/app.js", "/api/collection", "/api/items", "/api/thumb/0"):
        assert site.get(path).status == 200
        assert site.get(path, Host="evil.example").status == 403
        assert site.get(path, Host=f"evil.example:{site.port}").status == 403
        assert site.get(path, Origin="http://evil.example").status == 403
    for path in ("/api/image", "/api/labels"):
        assert site.request("POST", path, b"{}").status == 403
        assert site.post(path, b"{}", Origin="http://evil.example").status == 403
    assert site.request("OPTIONS", "/api/image", headers={"Origin": site.url}).status == 403
    assert "Access-Control-Allow-Origin" not in site.get("/api/items", Origin=site.url).headers


def test_items_come_in_pages(site: Site, demo: Path) -> None:
    with clipcodec.open(demo / "photos.clpc") as container:
        ids = container.ids
    assert site.get("/api/items?offset=0&count=5").json == {"offset": 0, "ids": ids[:5]}
    assert site.get("/api/items?offset=45&count=99999").json["ids"] == ids[45:]
    assert site.get("/api/items?offset=99").json["ids"] == []
    assert site.get("/api/items?offset=x").status == 422
    facts = site.get("/api/collection").json
    assert (facts["name"], facts["count"]) == ("photos.clpc", 48)
    assert "sea at night" in facts["words"]


def test_thumbnails_are_kept_by_server_and_browser(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = site.get("/api/thumb/11")
    assert first.headers["Content-Type"] == "image/webp"
    monkeypatch.setattr(thumbnails, "load_rgb", lambda _: pytest.fail("made again"))
    again = site.get("/api/thumb/11")
    assert again.data == first.data
    tag = first.headers["ETag"]
    known = site.get("/api/thumb/11", If_None_Match=tag)
    assert (known.status, known.data) == (304, b"")


def test_search_by_words(site: Site) -> None:
    """Known words are found without an encoder; for others the answer says how to get one."""
    hits = site.get("/api/search?q=Sea%20at%20night&k=3").json["hits"]
    assert len(hits) == 3
    assert all(hit["id"].startswith("sea/") for hit in hits)
    assert hits[0]["score"] >= hits[1]["score"] >= hits[2]["score"]
    other = site.get("/api/search?q=a%20sea%20monster")
    assert other.status == 503
    assert "clipcodec fetch" in other.json["message"]
    assert other.json["like"] == ["sea"]
    for wrong in ("", "%20", "x" * 301):
        assert site.get(f"/api/search?q={wrong}").status == 422


def test_what_bytes_keep(site: Site) -> None:
    few, many = (site.get(f"/api/view/5?bytes={size}").json for size in (12, 250))
    assert few["bytes"] <= 12 < many["bytes"] <= 250
    assert few["cosine"] < many["cosine"]
    near = site.get("/api/near/5?k=10").json["hits"]
    kept = {hit["index"] for hit in few["neighbours"] if not hit["new"]}
    assert kept == {hit["index"] for hit in near} - {hit["index"] for hit in few["left"]}
    assert site.get("/api/view/5?bytes=50&labels=none").status == 404


def test_images_of_the_user(site: Site, demo: Path) -> None:
    """One that carries a stream is taken; for others the answer says what is missing."""
    with clipcodec.open(demo / "photos.clpc") as container:
        path, stream = demo / "photos" / str(container.ids[5]), container[5]
    made = site.post("/api/image", clipcodec.attach(path, stream))
    assert made.status == 200
    name = made.json["subject"]
    assert site.get(f"/api/near/{name}?k=1").json["hits"][0]["index"] == 5
    assert site.get(f"/api/view/{name}?bytes=34").json["index"] is None
    plain = site.post("/api/image", path.read_bytes())
    assert plain.status == 503
    assert "clipcodec fetch" in plain.json["message"]
    for wrong in (b"", b"GIF89a damaged", b"<svg onload=alert(1)>"):
        assert site.post("/api/image", wrong).status == 422


def test_what_is_sent_is_bounded(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """By what the request says, and by what arrives."""
    monkeypatch.setattr(app, "LARGEST_IMAGE", 1000)
    assert site.post("/api/image", bytes(1001)).status == 413
    assert site.post("/api/image", bytes(1000)).status == 422
    chunks = b"".join(b"100\r\n" + bytes(256) + b"\r\n" for _ in range(5)) + b"0\r\n\r\n"
    headers = {"Origin": site.url, "Transfer-Encoding": "chunked"}
    with closing(http.client.HTTPConnection("127.0.0.1", site.port, timeout=30)) as connection:
        connection.putrequest("POST", "/api/image")
        for header, value in headers.items():
            connection.putheader(header, value)
        connection.endheaders(chunks)
        assert connection.getresponse().status == 413


def test_labels_of_ones_own(site: Site) -> None:
    made = site.post("/api/labels", json.dumps({"labels": ["sea", " city ", "sea"]}).encode())
    assert made.json["names"] == ["sea", "city"]
    shown = site.get(f"/api/view/3?bytes=40&labels={made.json['labels']}").json["labels"]
    assert {label["name"] for label in shown} == {"sea", "city"}
    assert sum(label["after"] for label in shown) == pytest.approx(1, abs=1e-4)
    for wrong in (b"", b"[]", b'{"labels": "sea"}', b'{"labels": [1]}', b'{"labels": []}', b"\xff"):
        assert site.post("/api/labels", wrong).status == 422
    other = site.post("/api/labels", b'{"labels": ["sea", "a submarine"]}')
    assert other.status == 503


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory, demo: Path) -> Iterator[Site]:
    """Items whose ids are no names of pictures, and a file beside the folder."""
    folder = tmp_path_factory.mktemp("odd")
    (folder / "photos").mkdir()
    (folder / "secret.png").write_bytes(b"\x89PNG secret")
    (folder / "photos" / "text.jpg").write_bytes(b"no picture")
    with clipcodec.open(demo / "photos.clpc") as container:
        streams = container[:6]
    ids = ["../secret.png", str(folder / "secret.png"), SCRIPT, "text.jpg", None, "gone.jpg"]
    with clipcodec.create(folder / "odd.clpc") as writer:
        writer.extend(streams, ids)
    with serving(folder / "odd.clpc", folder / "photos", folder / "cache") as site:
        yield site


def test_ids_lead_nowhere_outside(odd: Site) -> None:
    """An item without a picture is answered as such, and its names are only ever data."""
    for index in range(6):
        answer = odd.get(f"/api/thumb/{index}")
        assert answer.status == (422 if index == 3 else 404)
        assert b"PNG secret" not in answer.data
    items = odd.get("/api/items")
    assert items.headers["Content-Type"] == "application/json"
    assert items.json["ids"][2] == SCRIPT
    assert items.json["ids"][4] is None
    assert odd.get("/api/view/2?bytes=50").json["id"] == SCRIPT


def test_with_weights_any_word_and_image_is_taken(tmp_path: Path) -> None:
    """A model with random weights: what it makes of the pictures is in the container."""
    spec = make_folder(tmp_path / "model", text=TEXT)
    save(make_model(spec), tmp_path / "model" / "open_clip_model.safetensors")
    (tmp_path / "photos").mkdir()
    names = [f"{i}.png" for i in range(4)]
    pixels = np.random.default_rng(0).integers(0, 255, (4, 48, 48, 3), np.uint8)
    for name, picture in zip(names, pixels, strict=True):
        Image.fromarray(picture).save(tmp_path / "photos" / name)
    codec = clipcodec.Codec("any/rotation", backbone=spec.name)
    with clipcodec.create(tmp_path / "tiny.clpc") as writer:
        writer.extend(codec.encode_batch([tmp_path / "photos" / name for name in names]), names)
    with serving(
        tmp_path / "tiny.clpc", tmp_path / "photos", tmp_path, backbone=spec.name, labels=["a", "b"]
    ) as site:
        assert len(site.get("/api/search?q=a%20sea%20monster").json["hits"]) == 4
        made = site.post("/api/image", (tmp_path / "photos" / "2.png").read_bytes()).json
        assert made["origin"] == "picture"
        hits = site.get(f"/api/near/{made['subject']}?k=1").json["hits"]
        assert hits[0]["id"] == "2.png"
        shown = site.get("/api/view/1?bytes=100").json
        assert shown["origin"] == "picture"
        assert {label["name"] for label in shown["labels"]} == {"a", "b"}
        facts = site.get("/api/collection").json
        assert facts["encoders"] == {"state": "ready", "message": ""}


def test_many_requests_at_once(site: Site) -> None:
    """Threads share everything; each gets its own answer."""

    def ask(i: int) -> float:
        found = site.get(f"/api/view/{i % 6}?bytes={20 + i % 5}").json
        assert found["index"] == i % 6
        return float(found["cosine"])

    with ThreadPoolExecutor(8) as pool:
        first, second = (list(pool.map(ask, range(30))) for _ in range(2))
    assert first == second


def test_an_empty_container_has_a_page(tmp_path: Path) -> None:
    with clipcodec.create(tmp_path / "empty.clpc"):
        pass
    known = TextEmbeddings(("sea",), np.eye(1, 512, dtype=np.float32))
    with serving(tmp_path / "empty.clpc", None, tmp_path, known=known) as site:
        assert site.get("/").status == 200
        assert site.get("/api/collection").json["count"] == 0
        assert site.get("/api/items").json["ids"] == []
        assert site.get("/api/search?q=sea").json["hits"] == []
        assert site.get("/api/view/0?bytes=50").status == 404
