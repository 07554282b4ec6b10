// The curves above the slider: what each number of bytes keeps of the picture at hand.

const SPACE = "http://www.w3.org/2000/svg";
const [WIDTH, HEIGHT, TOP, BOTTOM] = [400, 130, 10, 122];

export class Chart {
  constructor(root, fewest, most) {
    this.root = root;
    this.range = [fewest, most];
    this.points = new Map(); // bytes asked for → {cosine, kept}, both 0 to 1
    this.parts = {};
    for (const [tag, name] of [["path", "area"], ["path", "kept"], ["path", "cosine"], ["path", "now"]]) {
      this.parts[name] = document.createElementNS(SPACE, tag);
      this.parts[name].setAttribute("class", name);
      root.append(this.parts[name]);
    }
  }

  clear() {
    this.points.clear();
    this.draw();
  }

  add(bytes, cosine, kept) {
    this.points.set(bytes, { cosine, kept });
    this.draw();
  }

  x(bytes) {
    const [fewest, most] = this.range;
    return ((bytes - fewest) / (most - fewest)) * WIDTH;
  }

  y(value) {
    return BOTTOM - Math.min(Math.max(value, 0), 1) * (BOTTOM - TOP);
  }

  /** Mark the number of bytes at hand. */
  mark(bytes) {
    this.at = bytes;
    this.parts.now.setAttribute("d", `M${this.x(bytes)} 0V${HEIGHT}`);
  }

  draw() {
    const order = [...this.points.keys()].sort((a, b) => a - b);
    const line = (name) =>
      order.map((n, i) => `${i ? "L" : "M"}${this.x(n)} ${this.y(this.points.get(n)[name])}`).join("");
    const cosine = order.length > 1 ? line("cosine") : "";
    this.parts.cosine.setAttribute("d", cosine);
    this.parts.kept.setAttribute("d", order.length > 1 ? line("kept") : "");
    this.parts.area.setAttribute("d", cosine &&
      `${cosine}L${this.x(order.at(-1))} ${HEIGHT}L${this.x(order[0])} ${HEIGHT}Z`);
  }
}
