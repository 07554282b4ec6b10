// A grid of pictures of which only those near the window are in the page: ten thousand stay smooth.

import { ask, imageOf, make, nameOf, picture } from "./common.js";

const GAP = 10;
const PAGE = 500; // ids in one request
const SETTLED = 70; // ms that a tile must stay before its picture is asked for

export class Grid {
  /** open: called with an item's index, and whether the keyboard chose it */
  constructor(root, open) {
    this.root = root;
    this.open = open;
    this.tiles = new Map(); // by position
    this.ids = new Map(); // by index
    this.asked = new Set(); // pages of ids
    this.list = null; // indices of hits; null: all items
    this.length = 0;
    this.active = 0; // position that has the focus, or would get it
    this.chosen = null; // index of the picture at hand
    new ResizeObserver(() => this.measure()).observe(root);
    addEventListener("scroll", () => this.refresh(), { passive: true });
    addEventListener("resize", () => this.measure());
    root.addEventListener("click", (event) => {
      const tile = event.target.closest(".tile");
      if (tile) this.choose(Number(tile.dataset.position), event.detail === 0);
    });
    root.addEventListener("keydown", (event) => this.key(event));
    root.addEventListener("focus", () => this.focus()); // by the link that skips the bar
  }

  /** Show all `count` items, or the `hits` of a search: [{index, id, score}]. */
  show(count, hits = null) {
    this.list = hits?.map((hit) => hit.index) ?? null;
    this.length = hits?.length ?? count;
    for (const hit of hits ?? []) this.ids.set(hit.index, hit.id);
    for (const position of [...this.tiles.keys()]) this.remove(position);
    this.active = 0;
    this.measure();
  }

  /** Mark the picture at hand. */
  mark(index) {
    this.chosen = index;
    for (const [position, tile] of this.tiles) {
      tile.setAttribute("aria-selected", String(this.at(position) === index));
    }
  }

  at(position) {
    return this.list ? this.list[position] : position;
  }

  measure() {
    const width = this.root.clientWidth;
    if (!width) return;
    const least = width < 480 ? 104 : 148;
    this.columns = Math.max(2, Math.floor((width + GAP) / (least + GAP)));
    this.tile = (width - GAP * (this.columns - 1)) / this.columns;
    this.row = this.tile + GAP;
    const rows = Math.ceil(this.length / this.columns);
    this.root.style.height = `${Math.max(0, rows * this.row - GAP)}px`;
    for (const [position, tile] of this.tiles) this.place(tile, position);
    this.refresh();
  }

  place(tile, position) {
    const x = (position % this.columns) * this.row;
    const y = Math.floor(position / this.columns) * this.row;
    tile.style.width = tile.style.height = `${this.tile}px`;
    tile.style.transform = `translate(${x}px, ${y}px)`;
  }

  /** Put the tiles near the window into the page, and take the others out. */
  refresh() {
    if (!this.row) return;
    const top = -this.root.getBoundingClientRect().top;
    const first = Math.floor((top - innerHeight / 2) / this.row) * this.columns;
    const last = Math.ceil((top + innerHeight * 1.5) / this.row) * this.columns;
    const from = Math.max(0, first);
    const to = Math.min(this.length, Math.max(last, 0));
    for (const position of [...this.tiles.keys()]) {
      const near = position >= from && position < to;
      if (!near && position !== this.active) this.remove(position); // the focus must not be lost
    }
    for (let position = from; position < to; position++) this.add(position);
    if (this.length) this.add(this.active);
    this.fetchIds(from, to);
  }

  add(position) {
    if (this.tiles.has(position)) return;
    const index = this.at(position);
    const image = imageOf(index);
    image.fetchPriority = "low"; // answers to clicks come first
    const tile = make("div", { className: "tile", role: "option", tabIndex: -1 },
      image, make("span", { className: "caption" }));
    tile.dataset.position = position;
    tile.setAttribute("aria-setsize", this.length);
    tile.setAttribute("aria-posinset", position + 1);
    tile.setAttribute("aria-selected", String(index === this.chosen));
    if (position === this.active) tile.tabIndex = 0;
    this.name(tile, index);
    this.place(tile, position);
    this.tiles.set(position, tile);
    const after = [...this.tiles.keys()].filter((other) => other > position);
    const next = after.length ? this.tiles.get(Math.min(...after)) : null;
    this.root.insertBefore(tile, next); // in the order of the list, for screen readers
    tile.timer = setTimeout(() => (image.src = picture(index)), SETTLED);
  }

  remove(position) {
    const tile = this.tiles.get(position);
    clearTimeout(tile.timer);
    const image = tile.querySelector("img");
    if (!image.complete) image.removeAttribute("src"); // the server need not make it
    tile.remove();
    this.tiles.delete(position);
  }

  name(tile, index) {
    if (!this.ids.has(index)) return;
    const name = nameOf(this.ids.get(index), index);
    tile.setAttribute("aria-label", name);
    tile.title = name;
    tile.querySelector(".caption").textContent = name;
  }

  async fetchIds(from, to) {
    if (this.list) return;
    for (let page = Math.floor(from / PAGE); page * PAGE < to; page++) {
      if (this.asked.has(page)) continue;
      this.asked.add(page);
      try {
        const { offset, ids } = await ask(`/api/items?offset=${page * PAGE}&count=${PAGE}`);
        ids.forEach((id, i) => this.ids.set(offset + i, id));
      } catch {
        this.asked.delete(page);
        return;
      }
      for (const [position, tile] of this.tiles) this.name(tile, this.at(position));
    }
  }

  choose(position, byKeyboard) {
    this.activate(position);
    this.open(this.at(position), byKeyboard);
  }

  /** Let one tile take part in the order of the Tab key. */
  activate(position) {
    const before = this.tiles.get(this.active);
    if (before) before.tabIndex = -1;
    this.active = position;
    this.add(position);
    this.tiles.get(position).tabIndex = 0;
  }

  focus() {
    if (!this.length) return;
    this.activate(this.active);
    this.tiles.get(this.active).focus({ preventScroll: true });
    this.reveal();
  }

  /** Scroll until the active tile is in the window, below the bar. */
  reveal() {
    const bar = document.querySelector(".bar").offsetHeight + GAP;
    const top = this.root.getBoundingClientRect().top + Math.floor(this.active / this.columns) * this.row;
    const bottom = top + this.tile + GAP;
    if (top < bar) scrollBy({ top: top - bar });
    else if (bottom > innerHeight) scrollBy({ top: bottom - innerHeight });
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || !this.length) return;
    const screen = Math.max(1, Math.floor(innerHeight / this.row) - 1) * this.columns;
    const steps = {
      ArrowRight: 1, ArrowLeft: -1, ArrowDown: this.columns, ArrowUp: -this.columns,
      PageDown: screen, PageUp: -screen, Home: -this.length, End: this.length,
    };
    if (event.key in steps) {
      event.preventDefault();
      const target = this.active + steps[event.key];
      this.activate(Math.min(Math.max(target, 0), this.length - 1));
      this.focus();
    } else if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      this.choose(this.active, true);
    }
  }
}
