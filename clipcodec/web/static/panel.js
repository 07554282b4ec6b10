// The picture at hand: what N bytes keep of it, its neighbours and its labels.

import { $, ask, debounced, imageOf, make, nameOf, picture, plural, shortName } from "./common.js";
import { Chart, placeOf, sizesOf } from "./chart.js";

const CURVE = [12, 18, 25, 34, 50, 70, 100, 140, 190, 250, 15, 21, 29, 42, 60, 84];
const calm = matchMedia("(prefers-reduced-motion: reduce)");

const ORIGINS = {
  picture: () => "the embedding of the picture itself",
  container: (stored) => `what the container keeps in ${stored} bytes`,
  file: () => "the stream that the file holds",
};

export class Panel {
  /** actions: open(index), near(subject, name), close() */
  constructor(facts, actions) {
    this.actions = actions;
    this.named = facts.labels.length > 0; // labels were given
    this.labels = "default";
    this.views = new Map(); // answers of the server, for the picture at hand
    this.items = new Map(); // elements of the neighbours, by index
    this.subject = null;
    this.bytes = 50;
    this.slider = $("slider");
    this.sizes = sizesOf(facts.fewest, facts.most);
    this.slider.min = 0;
    this.slider.max = this.sizes.length - 1;
    this.chart = new Chart($("chart"), this.sizes);
    const marks = [facts.fewest, 25, 50, 100, facts.most];
    for (const bytes of new Set(marks.filter((size) => size >= facts.fewest && size <= facts.most))) {
      const mark = $("ends").appendChild(make("span", { textContent: bytes }));
      mark.style.left = `${(100 * placeOf(bytes, this.sizes)) / (this.sizes.length - 1)}%`;
    }
    this.load = debounced(() => this.fetch(), 70);
    this.slider.addEventListener("input", () => this.move(this.sizes[this.slider.value]));
    $("chart").addEventListener("pointerdown", (event) => this.point(event));
    $("picture").addEventListener("error", () => this.picture(false));
    $("picture").addEventListener("load", () => this.picture(true));
    $("near").addEventListener("click", () => actions.near(this.subject, this.name));
    $("close").addEventListener("click", () => actions.close());
    this.say = debounced((text) => ($("said").textContent = text), 600);
  }

  get isOpen() {
    return this.subject !== null;
  }

  /** Show a subject: an item's index in digits, or that of a dropped image, given as {name, url}. */
  async open(subject, dropped = null) {
    this.close();
    this.subject = subject;
    this.name = dropped?.name ?? `item ${subject}`;
    $("title").textContent = this.name;
    $("facts").textContent = "";
    $("picture").hidden = true;
    $("nopicture").hidden = true;
    $("picture").src = dropped ? dropped.url : picture(subject, "large");
    $("panel").hidden = false;
    $("panel").scrollTop = 0;
    this.chart.clear();
    this.show(this.bytes);
    await this.fetch();
    await this.curve();
  }

  close() {
    this.request?.abort();
    this.subject = null;
    this.views.clear();
    this.items.clear();
    $("panel").hidden = true;
    $("neighbours").replaceChildren();
    $("left").replaceChildren();
    $("labels").replaceChildren();
    $("left-part").hidden = true;
    $("fault").hidden = true;
    for (const id of ["cosine", "kept", "dots", "against"]) $(id).textContent = "";
  }

  picture(there) {
    $("picture").hidden = !there;
    $("nopicture").hidden = there;
  }

  /** Use another set of labels. */
  async relabel(labels) {
    this.labels = labels;
    this.views.clear();
    if (this.isOpen) await this.fetch();
  }

  show(bytes) {
    this.bytes = bytes;
    this.slider.value = placeOf(bytes, this.sizes);
    this.slider.setAttribute("aria-valuetext", plural(bytes, "byte"));
    $("bytes").textContent = bytes;
    this.chart.mark(bytes);
  }

  move(bytes) {
    this.show(bytes);
    const known = this.views.get(bytes);
    if (known) this.fill(known);
    else this.load();
  }

  point(event) {
    const box = $("chart").getBoundingClientRect();
    const part = Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1);
    this.slider.focus();
    this.move(this.sizes[Math.round(part * (this.sizes.length - 1))]);
  }

  view(bytes, signal) {
    return ask(`/api/view/${this.subject}?bytes=${bytes}&labels=${this.labels}`, { signal });
  }

  /** Ask for the view of the bytes at hand; an older request is given up. */
  async fetch() {
    this.request?.abort();
    const request = (this.request = new AbortController());
    const { subject, bytes } = this;
    $("panel").classList.add("busy");
    try {
      const found = this.views.get(bytes) ?? (await this.view(bytes, request.signal));
      if (this.subject !== subject || request.signal.aborted) return;
      this.keep(bytes, found);
      $("fault").hidden = true;
      this.fill(found);
    } catch (error) {
      if (error.name === "AbortError") return;
      $("fault").textContent = error.message;
      $("fault").hidden = false;
    }
    if (this.request === request) $("panel").classList.remove("busy");
  }

  keep(bytes, found) {
    this.views.set(bytes, found);
    this.chart.add(bytes, found.cosine, found.neighbours.length ? found.kept / found.neighbours.length : 1);
  }

  /** The points of the curve, one after the other, while nothing else is asked for. */
  async curve() {
    const { subject } = this;
    for (const bytes of CURVE) {
      if (this.subject !== subject) return;
      if (this.views.has(bytes)) continue;
      try {
        const found = await this.view(bytes);
        if (this.subject !== subject) return;
        this.keep(bytes, found);
      } catch {
        continue; // too few bytes for this profile: the slider says it
      }
    }
  }

  fill(found) {
    this.name = found.index === null ? this.name : nameOf(found.id, found.index);
    const short = found.index === null ? this.name : shortName(this.name);
    $("title").textContent = short;
    $("title").title = this.name;
    const parts = [found.index === null ? "your image" : `item ${found.index}`];
    if (this.name !== short) parts.unshift(this.name);
    if (found.stored !== null) parts.push(`${found.stored} bytes in the container`);
    parts.push(found.profile);
    $("facts").replaceChildren(...parts.map((part) => make("span", { textContent: part })));
    $("cosine").textContent = found.cosine.toFixed(3);
    $("kept").textContent = `${found.kept} of ${found.neighbours.length}`;
    $("dots").replaceChildren(...found.neighbours.map((_, i) => make("span", { className: i < found.kept ? "stays" : "" })));
    $("against").textContent =
      `A stream of ${plural(found.bytes, "byte")}, compared with ${ORIGINS[found.origin](found.stored)}.`;
    this.neighbours(found);
    this.bars(found.labels);
    this.say(`${plural(found.bytes, "byte")}: cosine ${found.cosine.toFixed(2)}, ` +
      `${found.kept} of ${found.neighbours.length} neighbours stay`);
  }

  neighbours(found) {
    const list = $("neighbours");
    const before = new Map([...this.items].map(([i, item]) => [i, item.getBoundingClientRect()]));
    const left = new Map([...before].filter(([i]) => this.items.get(i).parentElement === list));
    list.replaceChildren(...found.neighbours.map((hit) => this.item(hit, hit.new ? "new" : "")));
    $("left").replaceChildren(...found.left.map((hit) => this.item(hit, "left")));
    $("left-part").hidden = !found.left.length;
    if (calm.matches) return;
    for (const hit of found.neighbours) {
      const item = this.items.get(hit.index);
      const now = item.getBoundingClientRect();
      const old = left.get(hit.index);
      const [x, y] = old ? [old.left - now.left, old.top - now.top] : [0, 0];
      if (x || y) item.animate([{ transform: `translate(${x}px, ${y}px)` }, {}], { duration: 260, easing: "ease-out" });
      else if (!old) item.animate([{ opacity: 0, transform: "scale(.9)" }, {}], { duration: 220, easing: "ease-out" });
    }
  }

  /** The element of a neighbour; the same one as long as this picture is at hand. */
  item(hit, state) {
    let item = this.items.get(hit.index);
    if (!item) {
      const button = make("button", { type: "button", className: "neighbour" },
        imageOf(hit.index, "small"),
        make("span", { className: "caption" }), make("span", { className: "badge" }));
      button.addEventListener("click", () => this.actions.open(hit.index));
      item = make("li", {}, button);
      this.items.set(hit.index, item);
    }
    const name = nameOf(hit.id, hit.index);
    const button = item.firstChild;
    const score = hit.score.toFixed(2);
    item.className = state;
    button.title = `${name}, cosine ${score}`;
    button.setAttribute("aria-label", [name, `cosine ${score}`, state].filter(Boolean).join(", "));
    button.querySelector(".caption").textContent = name;
    button.querySelector(".badge").textContent = state === "new" ? "new" : score;
    return item;
  }

  bars(labels) {
    const list = $("labels");
    $("labels-key").hidden = !labels.length;
    $("labels-none").hidden = labels.length > 0;
    $("labels-none").textContent = this.named
      ? "The labels that were given need CLIP’s weights."
      : "None were given: see --labels and --text-embeddings, or type some here.";
    const best = Math.max(...labels.map((label) => label.after));
    while (list.children.length > labels.length) list.lastChild.remove();
    labels.forEach((label, i) => {
      const item = list.children[i] ?? list.appendChild(bar());
      const [name, track, value] = item.children;
      const percent = (part) => `${(100 * part).toFixed(part > 0 && part < 0.01 ? 1 : 0)} %`;
      name.textContent = name.title = label.name;
      value.textContent = percent(label.after);
      track.firstChild.style.width = `${100 * label.after}%`;
      track.lastChild.style.left = `${100 * label.before}%`;
      item.classList.toggle("best", label.after === best);
      item.setAttribute("aria-label", `${label.name}: ${percent(label.after)}, before ${percent(label.before)}`);
    });
  }
}

const bar = () =>
  make("li", {},
    make("span", { className: "label" }),
    make("span", { className: "track", ariaHidden: "true" }, make("span", { className: "fill" }), make("span", { className: "tick" })),
    make("span", { className: "value" }));
