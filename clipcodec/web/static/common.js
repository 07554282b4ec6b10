// What the other modules share: elements, requests, names.

export const $ = (id) => document.getElementById(id);

/** An element with properties and children; text is only ever set as text. */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

/** An answer that is not what was asked for, in words; `status` and `like` are the server's. */
export class Refusal extends Error {
  constructor(message, status, like = []) {
    super(message);
    this.status = status;
    this.like = like;
  }
}

/** JSON of our server. Throws Refusal, or AbortError if `signal` says so. */
export async function ask(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal("The server does not answer. Is “clipcodec browse” still running?", 0);
  }
  const found = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Refusal(found.message ?? `error ${answer.status}`, answer.status, found.like);
  return found;
}

export const session = { version: "" };

/** The address of an item's picture. The version keeps pictures of another run out of caches. */
export const picture = (index, size = "small") =>
  `/api/thumb/${index}?size=${size}&v=${session.version}`;

/** What people call an item. */
export const nameOf = (id, index) => id ?? `item ${index}`;

/** The last part of a name that is a path. */
export const shortName = (name) => name.replace(/^.*\//, "") || name;

/** An image of an item; where there is none, its parent gets the class `missing`. */
export function imageOf(index, size) {
  const image = make("img", { alt: "", decoding: "async", draggable: false });
  image.addEventListener("error", () => image.parentElement?.classList.add("missing"));
  image.addEventListener("load", () => image.classList.add("there"));
  if (size) image.src = picture(index, size);
  return image;
}

/** `work` once, `wait` ms after the last call. */
export function debounced(work, wait) {
  let timer = 0;
  return (...values) => {
    clearTimeout(timer);
    timer = setTimeout(() => work(...values), wait);
  };
}

export const plural = (count, one, many = `${one}s`) =>
  `${count.toLocaleString("en")} ${count === 1 ? one : many}`;
