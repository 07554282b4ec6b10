// The page: search by words, drop an image, open pictures, choose the theme.

import { $, ask, make, plural, session } from "./common.js";
import { Grid } from "./grid.js";
import { Panel } from "./panel.js";

const dropped = new Map(); // images of the user, by subject: {name, url}
const phone = matchMedia("(max-width: 899px)");
let facts, panel, grid, searching;
let returnTo = null; // what had the focus before the panel was opened
let byKeyboard = false; // the panel is to get the focus

async function start() {
  themes();
  try {
    facts = await ask("/api/collection");
  } catch (error) {
    note(error.message);
    return;
  }
  session.version = facts.version;
  $("name").textContent = facts.name;
  document.title = `${facts.name} · clipcodec`;
  $("known").replaceChildren(...facts.words.map((word) => make("option", { value: word })));
  $("labels-text").value = facts.labels.slice(0, 2000).join("\n");
  $("empty").hidden = facts.count > 0;
  grid = new Grid($("grid"), (index, keyboard) => open(String(index), keyboard));
  panel = new Panel(facts, { open: (index) => open(String(index), true), near, close });
  all();
  events();
  encoders();
  route();
}

/** The notice about weights, once it is known whether there are any. */
async function encoders(tries = 30) {
  const { state, message } = facts.encoders;
  if (state === "checking" && tries) {
    await new Promise((resolve) => setTimeout(resolve, 500));
    facts.encoders = (await ask("/api/collection")).encoders;
    return encoders(tries - 1);
  }
  if (state === "missing") missing(message);
}

function missing(message) {
  const count = facts.words.length;
  const text = count ? `${plural(count, "word")} can be searched here.` : "Search by image, or click a picture.";
  note(text, facts.words.slice(0, 8), message);
  $("note-more").open = !phone.matches;
}

/** A note below the bar; words: to search by, as buttons; how: where words have no encoder, what to do. */
function note(text, words = [], how = "") {
  $("note-text").textContent = text;
  $("note-title").textContent = facts?.words.length ? "Any other word needs CLIP’s weights" : "Words need CLIP’s weights";
  $("note-how").textContent = how.charAt(0).toUpperCase() + how.slice(1);
  $("note-more").hidden = !how;
  $("note-more").open = true;
  $("note-like").replaceChildren(...words.map(wordButton));
  $("note-like").hidden = !words.length;
  $("note").hidden = false;
}

function wordButton(word) {
  const button = make("button", { type: "button", className: "button small", textContent: word });
  button.addEventListener("click", () => {
    $("words").value = word;
    search(word);
  });
  return button;
}

// lists

function all() {
  grid.show(facts.count);
  $("shown").textContent = "All pictures";
  $("count").textContent = plural(facts.count, "picture");
  $("all").hidden = true;
}

function hits(found, title) {
  grid.show(facts.count, found);
  $("shown").textContent = title;
  $("count").textContent = `${plural(found.length, "picture")}, the most similar first`;
  $("all").hidden = false;
  scrollTo({ top: 0 });
}

/** The answer to the last search only. */
async function searched(path, title) {
  searching?.abort();
  const request = (searching = new AbortController());
  $("main").classList.add("busy");
  try {
    const { hits: found } = await ask(path, { signal: request.signal });
    hits(found, title);
    return true;
  } catch (error) {
    if (error.name === "AbortError") return false;
    if (error.status === 503) {
      const words = error.like?.length ? error.like : facts.words.slice(0, 8);
      note(`${title} cannot be found without CLIP’s weights.`, words, error.message);
    } else note(error.message);
    return false;
  } finally {
    if (searching === request) $("main").classList.remove("busy");
  }
}

async function search(text) {
  if (!text.trim()) return all();
  if (phone.matches) close();
  if (await searched(`/api/search?q=${encodeURIComponent(text.trim())}`, `Nearest to “${text.trim()}”`)) {
    $("note").hidden = true;
  }
}

async function near(subject, name) {
  if (await searched(`/api/near/${subject}`, `Nearest to ${name}`) && phone.matches) close();
}

// the picture at hand: the part of the address after # names it, so that Back works

function open(subject, focus = false) {
  byKeyboard = focus;
  if (!panel.isOpen) returnTo = document.activeElement;
  if (location.hash === `#${subject}`) route();
  else location.hash = subject;
}

function close() {
  if (!panel.isOpen) return;
  history.pushState(null, "", location.pathname);
  route();
}

function route() {
  const subject = location.hash.slice(1);
  const known = /^\d{1,15}$/.test(subject) || dropped.has(subject);
  document.body.classList.toggle("opened", known);
  $("main").classList.toggle("split", known);
  cover();
  if (known) {
    const anchor = rowInView();
    panel.open(subject, dropped.get(subject) ?? null);
    grid.mark(dropped.has(subject) ? null : Number(subject));
    keepInView(anchor);
    if (byKeyboard || phone.matches) $("title").focus({ preventScroll: true });
    byKeyboard = false;
    return;
  }
  const focused = $("panel").contains(document.activeElement);
  panel.close();
  grid.mark(null);
  if (focused && returnTo?.isConnected) returnTo.focus({ preventScroll: true });
  else if (focused) grid.focus();
}

/** On a phone the panel covers the rest, which then takes no part in the order of the Tab key. */
function cover() {
  const covered = document.body.classList.contains("opened") && phone.matches;
  for (const part of [".bar", ".pictures", "#note"]) document.querySelector(part).inert = covered;
}

/** The grid gets narrower beside the panel: the tile that was chosen stays where the eye is. */
const rowInView = () => grid.tiles.get(grid.active)?.getBoundingClientRect().top ?? null;

function keepInView(top) {
  grid.measure();
  const tile = grid.tiles.get(grid.active);
  if (top === null || !tile || top < 0 || top > innerHeight) return;
  scrollBy({ top: tile.getBoundingClientRect().top - top, behavior: "instant" });
}

// images of the user

async function take(files) {
  const file = files?.[0];
  if (!file) return;
  if (file.size > facts.largest) return note(`${file.name}: more than ${facts.largest >> 20} MB`);
  $("main").classList.add("busy");
  try {
    const { subject } = await ask("/api/image", { method: "POST", body: file });
    dropped.set(subject, { name: file.name || "your image", url: URL.createObjectURL(file) });
    $("note").hidden = true;
    open(subject, true);
    if (!phone.matches) await near(subject, file.name || "your image");
    if (files.length > 1) note(`One image at a time: ${file.name} was taken, of ${files.length}.`);
  } catch (error) {
    note(`${file.name}: ${error.message}`);
  } finally {
    $("main").classList.remove("busy");
  }
}

const holdsFiles = (event) => event.dataTransfer?.types.includes("Files");

function events() {
  $("search").addEventListener("submit", (event) => {
    event.preventDefault();
    search($("words").value);
  });
  $("words").addEventListener("search", () => $("words").value || all()); // its own cross
  $("all").addEventListener("click", () => {
    $("words").value = "";
    all();
    grid.focus();
  });
  $("note-close").addEventListener("click", () => ($("note").hidden = true));
  document.querySelector(".skip").addEventListener("click", (event) => {
    event.preventDefault();
    grid.focus();
  });
  $("choose").addEventListener("click", () => $("file").click());
  $("file").addEventListener("change", () => {
    take([...$("file").files]);
    $("file").value = "";
  });
  addEventListener("dragover", (event) => {
    if (!holdsFiles(event)) return;
    event.preventDefault();
    $("drop").hidden = false;
  });
  addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) $("drop").hidden = true;
  });
  addEventListener("drop", (event) => {
    if (!holdsFiles(event)) return;
    event.preventDefault();
    $("drop").hidden = true;
    take([...event.dataTransfer.files]);
  });
  addEventListener("paste", (event) => take([...(event.clipboardData?.files ?? [])]));
  addEventListener("hashchange", route);
  phone.addEventListener("change", cover);
  addEventListener("keydown", (event) => {
    const typing = event.target.matches?.("input:not([type=range]), textarea");
    if (event.key === "Escape" && !typing) panel.isOpen ? close() : $("all").hidden || $("all").click();
    if (event.key === "/" && !typing) {
      event.preventDefault();
      $("words").focus();
    }
  });
  $("labels-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const fault = $("labels-fault");
    fault.hidden = true;
    try {
      const labels = $("labels-text").value.split("\n");
      const made = await ask("/api/labels", { method: "POST", body: JSON.stringify({ labels }) });
      await panel.relabel(made.labels);
    } catch (error) {
      fault.textContent = error.message;
      fault.hidden = false;
    }
  });
}

// light and dark

function themes() {
  const system = matchMedia("(prefers-color-scheme: dark)");
  const root = document.documentElement;
  const dark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
  const show = () => $("theme").setAttribute("aria-pressed", String(dark()));
  $("theme").addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark";
    try {
      localStorage.setItem("clipcodec-theme", root.dataset.theme);
    } catch {
      // no storage: until the page is left
    }
    show();
  });
  system.addEventListener("change", show);
  show();
}

start();
