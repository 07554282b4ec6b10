"""The page in a real browser: Chromium, where it and playwright are installed."""

from __future__ import annotations

import base64
import http.server
import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
pytest.importorskip("playwright.sync_api")

from playwright import sync_api as playwright

import clipcodec
from clipcodec.texts import TextEmbeddings
from tests.web import scenes
from tests.web.serving import Site, serving

expect = playwright.expect
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))), None)
ARGUMENTS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--host-resolver-rules=MAP evil.example 127.0.0.1",
]  # fmt: skip
SCRIPT = "<script>document.title='owned'</script><img src=x onerror=alert(1)>.jpg"

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")


@pytest.fixture(scope="module")
def browser() -> Iterator[playwright.Browser]:
    with playwright.sync_playwright() as started:
        launched = started.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def site(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    known = TextEmbeddings.load(demo / "words.safetensors")
    cache = tmp_path_factory.mktemp("cache")
    with serving(demo / "photos.clpc", demo / "photos", cache, known=known) as site:
        yield site


@pytest.fixture(scope="module")
def odd(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A thousand items; the first ids are a script, two paths outside, and none."""
    folder = tmp_path_factory.mktemp("thousand")
    (folder / "photos").mkdir()
    scenes.draw("sea", "noon", 0).resize((64, 48)).save(folder / "secret.png")
    data = (folder / "secret.png").read_bytes()
    ids: list[str | None] = [SCRIPT, "../secret.png", str(folder / "secret.png"), None]
    ids += [f"{i:04}.png" for i in range(4, 1000)]
    for id in ids[4:]:
        (folder / "photos" / str(id)).write_bytes(data)
    rows = np.random.default_rng(0).normal(size=(1000, 64))
    with clipcodec.create(folder / "odd.clpc") as writer:
        writer.extend(clipcodec.encode_embeddings(rows, profile="any/rotation"), ids)
    with serving(folder / "odd.clpc", folder / "photos", folder / "cache") as site:
        yield site


class Watched:
    """A page, and what it did that it must not."""

    def __init__(self, browser: playwright.Browser, site: Site, **options: Any) -> None:
        self.faults: list[str] = []
        self.page: playwright.Page = browser.new_page(
            **{"viewport": {"width": 1300, "height": 900}, **options}
        )
        self.page.on("pageerror", lambda error: self.faults.append(f"error: {error}"))
        self.page.on("dialog", lambda dialog: self.faults.append(f"dialog: {dialog.message}"))
        self.page.on("console", self._said)
        self.page.on("request", lambda request: self._asked(request.url, site))
        self.page.goto(site.url)
        expect(self.page.locator(".tile").first).to_be_visible()

    def _said(self, message: Any) -> None:
        if message.type == "error" and "Failed to load resource" not in message.text:
            self.faults.append(f"console: {message.text}")

    def _asked(self, url: str, site: Site) -> None:
        if not url.startswith((f"{site.url}/", "data:", f"blob:{site.url}/")):
            self.faults.append(f"asked for {url}")


@pytest.fixture
def open_page(browser: playwright.Browser) -> Iterator[Any]:
    """Opens pages; in the end none has raised, or asked another host for anything."""
    opened: list[Watched] = []

    def opener(site: Site, **options: Any) -> playwright.Page:
        opened.append(Watched(browser, site, **options))
        return opened[-1].page

    yield opener
    for watched in opened:
        watched.page.close()
        assert watched.faults == []


def loaded(page: playwright.Page, selector: str) -> None:
    """Wait until the pictures there have come."""
    expect(page.locator(f"{selector} img.there").first).to_be_visible()


def test_search_by_words(site: Site, open_page: Any) -> None:
    """A known word is found; for another the page says how to get the weights, and offers words."""
    page = open_page(site)
    expect(page.locator("#count")).to_have_text("48 pictures")
    page.get_by_role("combobox", name="Search by words").fill("sea at night")
    page.keyboard.press("Enter")
    expect(page.locator("#shown")).to_have_text("Nearest to “sea at night”")
    expect(page.get_by_role("option").first).to_have_attribute("aria-label", re.compile("^sea/"))
    page.get_by_role("combobox").fill("a sea monster")
    page.keyboard.press("Enter")
    expect(page.locator("#note-how")).to_contain_text("clipcodec fetch openai-vit-b-32")
    expect(page.locator("#shown")).to_have_text("Nearest to “sea at night”")  # as it was
    page.locator("#note-like").get_by_role("button", name="sea", exact=True).click()
    expect(page.locator("#shown")).to_have_text("Nearest to “sea”")
    expect(page.locator("#note")).to_be_hidden()
    page.get_by_role("button", name="Show all pictures").click()
    expect(page.locator("#count")).to_have_text("48 pictures")


def test_without_weights_the_page_says_so_at_once(site: Site, open_page: Any) -> None:
    page = open_page(site)
    expect(page.locator("#note-text")).to_have_text("34 words can be searched here.")
    expect(page.locator("#note-how")).to_contain_text("clipcodec fetch openai-vit-b-32")
    page.get_by_role("button", name="Close this note").click()
    expect(page.locator("#note")).to_be_hidden()


def test_click_a_picture_for_its_neighbours(site: Site, open_page: Any, demo: Path) -> None:
    """A neighbour can be clicked in its turn; Back leads back, Escape closes."""
    page = open_page(site)
    page.locator(".tile").nth(3).click()
    expect(page.locator("#neighbours li")).to_have_count(10)
    loaded(page, "#neighbours")
    with clipcodec.open(demo / "photos.clpc") as container:
        name = str(container.ids[3])
    expect(page.locator("#title")).to_have_text(name.split("/")[1])
    expect(page.locator("#picture")).to_be_visible()
    expect(page.locator(".tile[aria-selected=true]")).to_have_attribute("aria-label", name)
    neighbour = page.locator("#neighbours button").first
    other = str(neighbour.get_attribute("aria-label")).split(",")[0]
    neighbour.click()
    expect(page.locator("#title")).to_have_text(other.split("/")[1])
    page.go_back()
    expect(page.locator("#title")).to_have_text(name.split("/")[1])
    page.get_by_role("button", name="All its neighbours").click()
    expect(page.locator("#shown")).to_have_text(f"Nearest to {name}")
    page.keyboard.press("Escape")
    expect(page.locator("#panel")).to_be_hidden()


def test_the_slider_shows_what_bytes_keep(site: Site, open_page: Any) -> None:
    """Fewer bytes: a lower cosine, neighbours that come and go, other labels; the curve, too."""
    page = open_page(site)
    page.locator(".tile").nth(5).click()
    slider = page.get_by_role("slider", name="Bytes of the stream")
    slider.press("End")
    expect(page.locator("#bytes")).to_have_text("250")
    expect(page.locator("#against")).to_contain_text(re.compile(r"A stream of 2\d\d bytes"))
    many = float(page.locator("#cosine").inner_text())
    bars = page.locator("#labels li").all_inner_texts()
    expect(page.locator("#neighbours li.new")).to_have_count(0)
    slider.press("Home")
    expect(slider).to_have_attribute("aria-valuetext", "12 bytes")
    expect(page.locator("#against")).to_contain_text(re.compile("A stream of 1[0-2] bytes"))
    assert float(page.locator("#cosine").inner_text()) < many
    assert page.locator("#labels li").all_inner_texts() != bars
    kept = int(page.locator("#kept").inner_text().split()[0])
    new = page.locator("#neighbours li.new")
    assert 0 < new.count() == 10 - kept == page.locator("#left li").count()
    expect(new.first.get_by_role("button")).to_have_attribute("aria-label", re.compile(", new$"))
    expect(page.locator("#said")).to_contain_text(f"{kept} of 10 neighbours stay")
    expect(page.locator("#chart .cosine")).to_have_attribute("d", re.compile("(L.*){13}"))


def test_only_the_last_place_of_the_slider_counts(site: Site, open_page: Any) -> None:
    """Answers that come late change nothing."""
    page = open_page(site)
    page.locator(".tile").nth(6).click()
    expect(page.locator("#neighbours li")).to_have_count(10)

    held: list[Any] = []
    page.route(re.compile("bytes=13&"), lambda route: held.append(route))
    slider = page.get_by_role("slider")
    slider.press("Home")
    slider.press("ArrowRight")
    page.wait_for_timeout(300)
    assert len(held) == 1  # it was asked for
    for _ in range(29):
        slider.press("ArrowRight")
    expect(page.locator("#bytes")).to_have_text("42")
    expect(page.locator("#against")).to_contain_text(re.compile("A stream of (39|4[0-2]) bytes"))
    with suppress(playwright.Error):  # the page has given this request up
        held[0].continue_()
    page.wait_for_timeout(1000)
    expect(page.locator("#against")).to_contain_text(re.compile("A stream of (39|4[0-2]) bytes"))


DROP = """async ([data, name]) => {
  const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
  const transfer = new DataTransfer();
  transfer.items.add(new File([bytes], name, { type: "image/jpeg" }));
  const options = { bubbles: true, cancelable: true, dataTransfer: transfer };
  const event = (type) => new DragEvent(type, options);
  document.body.dispatchEvent(event("dragover"));
  const shown = !document.querySelector("#drop").hidden;
  document.body.dispatchEvent(event("drop"));
  return shown;
}"""


def test_drop_an_image(site: Site, open_page: Any, demo: Path) -> None:
    """One that carries a stream needs no weights; for another the page says what is missing."""
    page = open_page(site)
    with clipcodec.open(demo / "photos.clpc") as container:
        id, stream = str(container.ids[8]), container[8]
    path = demo / "photos" / id
    carrying = base64.b64encode(clipcodec.attach(path, stream)).decode()
    assert page.evaluate(DROP, [carrying, "<b>mine</b>.jpg"]) is True
    expect(page.locator("#title")).to_have_text("<b>mine</b>.jpg")
    expect(page.locator("#drop")).to_be_hidden()
    expect(page.locator("#picture")).to_be_visible()  # of the file, by a blob: address
    expect(page.locator("#shown")).to_have_text("Nearest to <b>mine</b>.jpg")
    expect(page.get_by_role("option").first).to_have_attribute("aria-label", id)
    expect(page.locator("#facts")).to_contain_text("your image")
    assert page.evaluate(DROP, [base64.b64encode(b"no image").decode(), "x.jpg"]) is True
    expect(page.locator("#note-text")).to_contain_text("not an image")
    page.locator("#file").set_input_files(path)
    expect(page.locator("#note-text")).to_contain_text("clipcodec fetch")


def test_labels_of_ones_own(site: Site, open_page: Any) -> None:
    page = open_page(site)
    page.locator(".tile").first.click()
    page.get_by_text("Labels of your own").click()
    box = page.get_by_label("One a line")
    box.fill("forest\nsea\n")
    page.get_by_role("button", name="Use them").click()
    expect(page.locator("#labels li")).to_have_count(2)
    box.fill("a submarine")
    page.get_by_role("button", name="Use them").click()
    expect(page.locator("#labels-fault")).to_contain_text("clipcodec fetch")


def test_without_labels_the_page_says_how_to_give_some(odd: Site, open_page: Any) -> None:
    page = open_page(odd)
    page.locator(".tile").first.click()
    expect(page.locator("#labels-none")).to_contain_text("--text-embeddings")
    expect(page.locator("#labels-key")).to_be_hidden()


def test_ids_are_only_text(odd: Site, open_page: Any) -> None:
    """A script in an id is shown, not run: in the grid, in the panel, as a heading."""
    page = open_page(odd)
    tile = page.locator(".tile").first
    expect(tile).to_have_class(re.compile("missing"))
    expect(tile.locator(".caption")).to_have_text(SCRIPT)
    tile.click()
    expect(page.locator("#facts")).to_contain_text(SCRIPT)
    page.get_by_role("button", name="All its neighbours").click()
    expect(page.locator("#shown")).to_have_text(f"Nearest to {SCRIPT}")
    assert page.locator("script").count() == 2  # our own
    assert "owned" not in page.title()


def test_a_path_outside_has_no_picture(odd: Site, open_page: Any) -> None:
    """Its place shows its name; so does an item without an id."""
    page = open_page(odd)
    loaded(page, ".tile:nth-child(6)")
    names = ["../secret.png", "/secret.png", "item 3"]
    for i, name in enumerate(names, 1):
        tile = page.locator(".tile").nth(i)
        expect(tile).to_have_class(re.compile("missing"))
        expect(tile.locator(".caption")).to_contain_text(name)
    page.locator(".tile").nth(1).click()
    expect(page.locator("#nopicture")).to_be_visible()
    expect(page.locator("#picture")).to_be_hidden()
    expect(page.locator("#neighbours li")).to_have_count(10)  # its embedding is there


def test_a_thousand_pictures(odd: Site, open_page: Any) -> None:
    """Only those near the window are in the page, wherever it is; the keyboard reaches the last."""
    page = open_page(odd)
    expect(page.locator("#count")).to_have_text("1,000 pictures")
    for part in (0.2, 0.9, 0.5, 1):
        page.evaluate("part => scrollTo(0, part * document.body.scrollHeight)", part)
        page.wait_for_timeout(150)
        assert page.locator(".tile").count() < 150
    last = page.get_by_role("option", name="0999.png")
    expect(last).to_be_visible()
    expect(last).to_have_attribute("aria-posinset", "1000")
    expect(last).to_have_attribute("aria-setsize", "1000")
    expect(last.locator("img.there")).to_be_visible()
    expect(last.locator("img")).to_have_js_property("naturalWidth", 64)


def test_the_keyboard_is_enough(site: Site, open_page: Any) -> None:
    """From the link that skips the bar, through the grid, into the panel and back."""
    page = open_page(site)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the pictures")).to_be_focused()
    page.keyboard.press("Enter")
    options = page.get_by_role("option")
    expect(options.first).to_be_focused()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowLeft")
    expect(options.nth(1)).to_be_focused()
    page.keyboard.press("ArrowDown")
    focused = page.evaluate("Number(document.activeElement.dataset.position)")
    assert focused > 3
    page.keyboard.press("Enter")
    expect(page.locator("#title")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="All its neighbours")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_role("slider")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("#panel")).to_be_hidden()
    assert page.evaluate("Number(document.activeElement.dataset.position)") == focused
    page.keyboard.press("End")
    expect(page.locator(".tile:focus")).to_have_attribute("aria-posinset", "48")
    page.keyboard.press("/")
    expect(page.get_by_role("combobox")).to_be_focused()


CONTRAST = """([front, back]) => {
  const probe = document.body.appendChild(document.createElement("p"));
  const canvas = document.createElement("canvas").getContext("2d");
  const light = (name) => {
    probe.style.color = `var(--${name})`;
    canvas.fillStyle = getComputedStyle(probe).color;
    canvas.fillRect(0, 0, 1, 1);
    const rgb = [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3).map((value) => {
      const part = value / 255;
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * rgb[0] + 0.7152 * rgb[1] + 0.0722 * rgb[2];
  };
  const [a, b] = [light(front), light(back)].sort((x, y) => y - x);
  probe.remove();
  return (a + 0.05) / (b + 0.05);
}"""
TEXT = [("ink", "paper"), ("ink", "card"), ("ink", "sunk"), ("soft", "paper"), ("soft", "card"),
        ("soft", "sunk"), ("accent", "paper"), ("accent", "card"), ("on-accent", "accent"),
        ("fault", "card"), ("fault", "paper")]  # fmt: skip


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_themes_have_contrast(site: Site, open_page: Any, theme: str) -> None:
    """WCAG AA: 4.5 for text, 3 for the edges of controls. The system's, until one is chosen."""
    page = open_page(site, color_scheme=theme)
    for front, back in TEXT:
        assert page.evaluate(CONTRAST, [front, back]) >= 4.5, (front, back)
    for back in ("paper", "card"):
        assert page.evaluate(CONTRAST, ["edge", back]) >= 3
    button = page.get_by_role("button", name="Dark theme")
    expect(button).to_have_attribute("aria-pressed", str(theme == "dark").lower())
    paper = "getComputedStyle(document.body).backgroundColor"
    before = page.evaluate(paper)
    button.click()
    assert page.evaluate(paper) != before
    after = page.evaluate(paper)
    page.reload()
    assert page.evaluate(paper) == after
    expect(button).to_have_attribute("aria-pressed", str(theme == "light").lower())


def test_a_phone(site: Site, open_page: Any) -> None:
    """Nothing is wider than the window; the picture at hand covers the page, and can be closed."""
    page = open_page(site, viewport={"width": 360, "height": 740}, has_touch=True)
    wide = "document.documentElement.scrollWidth > innerWidth"
    assert page.evaluate(wide) is False
    page.locator(".tile").nth(1).tap()
    expect(page.locator("#neighbours li")).to_have_count(10)
    box = page.locator("#panel").bounding_box()
    assert box is not None
    assert (box["x"], box["width"], box["height"]) == (0, 360, 740)
    assert (
        page.evaluate("(p => p.scrollWidth > p.clientWidth)(document.querySelector('#panel'))")
        is False
    )
    page.get_by_role("slider").press("End")
    expect(page.locator("#against")).to_contain_text(re.compile(r"2\d\d bytes"))
    page.get_by_role("button", name="Close", exact=True).tap()
    expect(page.locator("#panel")).to_be_hidden()
    assert page.evaluate(wide) is False


def test_other_sites_get_nothing(site: Site, browser: playwright.Browser) -> None:
    """A page of another port of this machine, and one under a host name that leads here."""
    script = f"""<script>
      const image = new Image();
      image.onload = () => (document.title += " image");
      image.src = "{site.url}/api/thumb/0";
      const ask = (mode, method) => fetch("{site.url}/api/items", {{mode, method}})
        .then((answer) => answer.text())
        .then((text) => (document.title += text ? " text" : ""))
        .catch(() => 0);
      Promise.allSettled([ask("cors", "GET"), ask("no-cors", "GET"), ask("no-cors", "POST")])
        .then(() => (document.title += " done"));
    </script>"""

    class Other(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(script.encode())

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Other) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{other.server_port}/")
        page.wait_for_function("document.title.includes('done')")
        page.wait_for_timeout(200)
        assert page.title().split() == ["done"]
        answer = page.goto(f"http://evil.example:{site.port}/")
        assert answer is not None
        assert answer.status == 403
        page.close()
        other.shutdown()
