// Elements. Whatever comes from the data becomes text or an attribute's value, never markup.

const PROPERTIES = new Set(["checked", "disabled", "hidden", "loop", "muted", "open", "value"]);
const SVG = "http://www.w3.org/2000/svg";

export function h(tag, props = {}, ...children) {
  return filled(document.createElement(tag), props, children);
}

export function s(tag, props = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), props, children);
}

function filled(made, props, children) {
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (PROPERTIES.has(name)) made[name] = value;
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false) made.setAttribute(name, value);
  }
  append(made, children);
  return made;
}

export function append(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
  return element;
}

export function put(element, ...children) {
  element.replaceChildren();
  return append(element, children);
}

let counted = 0;
export function newId(stem) {
  counted += 1;
  return `${stem}-${counted}`;
}

// Tells people who cannot see it, and everybody else in the corner for a moment.
let clearing;
export function say(words, tone = "") {
  const said = document.getElementById("said");
  put(said, h("p", { class: tone }, words));
  clearTimeout(clearing);
  clearing = setTimeout(() => said.replaceChildren(), 6000);
}

export const quiet = window.matchMedia("(prefers-reduced-motion: reduce)");

export function later(wait, act) {
  let timer;
  return (...given) => {
    clearTimeout(timer);
    timer = setTimeout(() => act(...given), wait);
  };
}
