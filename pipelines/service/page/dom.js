// Elements. Whatever comes from the data becomes text or an attribute's value, never markup.

const PROPERTIES = new Set(["checked", "disabled", "hidden", "loop", "muted", "open", "value"]);
const SVG = "http://www.w3.org/2000/svg";

export function h(tag, props = {}, ...children) {
  return fill(document.createElement(tag), props, children);
}

export function s(tag, props = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), props, children);
}

function fill(element, props, children) {
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (PROPERTIES.has(name)) element[name] = value;
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false) element.setAttribute(name, value);
  }
  append(element, children);
  return element;
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

let idCount = 0;
export function newId(stem) {
  idCount += 1;
  return `${stem}-${idCount}`;
}

// Shows a message in the corner for a moment, and announces it to screen readers.
let hideTimer;
export function notify(words, tone = "") {
  const box = document.getElementById("notification");
  put(box, h("p", { class: tone }, words));
  clearTimeout(hideTimer);
  hideTimer = setTimeout(() => box.replaceChildren(), 6000);
}

export const reducedMotion = window.matchMedia("(prefers-reduced-motion: reduce)");

export function debounce(waitMs, act) {
  let timer;
  return (...args) => {
    clearTimeout(timer);
    timer = setTimeout(() => act(...args), waitMs);
  };
}
