// The curves above the slider: what each number of bytes keeps of the picture at hand.

const SPACE = "http://www.w3.org/2000/svg";
const [WIDTH, HEIGHT, TOP, BOTTOM] = [400, 130, 10, 122];

/** The sizes of a slider from `fewest` to `most`: the steps grow, as a byte counts less and less. */
export function sizesOf(fewest, most) {
  const sizes = [];
  for (let size = fewest; size < most; size += size < 50 ? 1 : size < 100 ? 2 : 5) sizes.push(size);
  return [...sizes, most];
}

/** The position of the largest size that is at most `bytes`. */
export const placeOf = (bytes, sizes) => Math.max(0, sizes.findLastIndex((size) => size <= bytes));

export class Chart {
  /** sizes: the numbers of bytes of the slider's positions, with the same distance between all */
  constructor(root, sizes) {
    this.sizes = sizes;
    this.points = new Map(); // bytes asked for → {cosine, kept}, both 0 to 1
    this.parts = {};
    for (const name of ["lines", "area", "kept", "cosine", "now"]) {
      this.parts[name] = document.createElementNS(SPACE, "path");
      this.parts[name].setAttribute("class", name);
      root.append(this.parts[name]);
    }
    const lines = [1, 0.5].map((value) => `M0 ${this.y(value)}H${WIDTH}`);
    this.parts.lines.setAttribute("d", lines.join(""));
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
    return (placeOf(bytes, this.sizes) / (this.sizes.length - 1)) * WIDTH;
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
