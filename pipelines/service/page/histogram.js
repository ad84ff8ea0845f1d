// The histogram of one value, with its bounds as handles to drag, or to move with the arrow keys.

import { h, s } from "./dom.js";
import { number, plain, spaced, thousands } from "./format.js";

const WIDTH = 320;
const HEIGHT = 104;
const SIDES = { min: "≥", max: "≤" };

// `moved(side, value)` is called with a new bound; null removes it.
export function histogram(data, moved) {
  const bounds = { ...data.bounds };
  const plot = s("svg", { viewBox: "-4 -20 328 148", class: "plot-of", role: "group", "aria-label": words(data) });
  const fields = {};
  const sides = Object.keys(SIDES).filter((side) => data[`takes_${side}`]);
  const toX = (value) => (WIDTH * (value - data.low)) / (data.high - data.low || 1);

  function draw() {
    const shades = sides.filter((side) => bounds[side] !== null).map((side) => {
      const x = Math.min(WIDTH, Math.max(0, toX(bounds[side])));
      return s("rect", { class: "shade", x: side === "min" ? 0 : x, y: 0, width: side === "min" ? x : WIDTH - x, height: HEIGHT });
    });
    const old = plot.querySelector("[role=slider]:focus")?.dataset.side;
    plot.replaceChildren(...shades, ...ticks(data, toX), ...bars(data),
      s("line", { class: "base", x1: 0, x2: WIDTH, y1: HEIGHT, y2: HEIGHT }), ...sides.map(handle));
    if (old) plot.querySelector(`[data-side=${old}]`)?.focus();
    for (const side of sides) {
      if (document.activeElement !== fields[side]) fields[side].value = bounds[side] ?? "";
    }
  }

  function handle(side) {
    const open = bounds[side] === null;
    const value = bounds[side] ?? (side === "min" ? data.low : data.high);
    const x = Math.min(WIDTH, Math.max(0, toX(value)));
    const anchor = x < 30 ? "start" : x > WIDTH - 30 ? "end" : "middle";
    const element = s("g", { class: `handle${open ? " open" : ""}`, role: "slider", tabindex: "0", "data-side": side,
      "aria-label": `${spaced(data.name)}, ${side === "min" ? "at least" : "at most"}`, "aria-valuemin": data.low, "aria-valuemax": data.high,
      "aria-valuenow": value, "aria-valuetext": open ? "no bound" : plain(value) },
      s("rect", { class: "grip", x: x - 9, y: -16, width: 18, height: HEIGHT + 22 }),
      s("line", { class: "bound", x1: x, x2: x, y1: -3, y2: HEIGHT }), s("circle", { class: "knob", cx: x, cy: HEIGHT, r: 5 }),
      !open && s("text", { class: "limit", x, y: -7, "text-anchor": anchor }, `${SIDES[side]} ${number(value)}`));
    element.addEventListener("pointerdown", (event) => drag(event, side));
    element.addEventListener("keydown", (event) => key(event, side, value));
    return element;
  }

  function set(side, value) {
    let next = value;
    if (next !== null) {
      const other = bounds[side === "min" ? "max" : "min"];
      if (other !== null) next = side === "min" ? Math.min(next, other) : Math.max(next, other);
      next = Number(Number(next).toPrecision(3));
    }
    if (next === bounds[side]) return;
    bounds[side] = next;
    draw();
    moved(side, next);
  }

  function drag(event, side) {
    event.preventDefault();
    plot.querySelector(`[data-side=${side}]`).focus();
    const at = (moment) => {
      const box = plot.getBoundingClientRect();
      const x = ((moment.clientX - box.left) / box.width) * 328 - 4;
      const off = side === "min" ? x <= 0 : x >= WIDTH;
      set(side, off ? null : data.low + (x / WIDTH) * (data.high - data.low));
    };
    const end = () => {
      window.removeEventListener("pointermove", at);
      window.removeEventListener("pointerup", end);
      window.removeEventListener("pointercancel", end);
    };
    window.addEventListener("pointermove", at);
    window.addEventListener("pointerup", end);
    window.addEventListener("pointercancel", end);
  }

  function key(event, side, value) {
    const bin = (data.high - data.low) / 40;
    const by = { ArrowLeft: -bin, ArrowDown: -bin, ArrowRight: bin, ArrowUp: bin, PageDown: -5 * bin, PageUp: 5 * bin }[event.key];
    if (by) set(side, Math.min(data.high, Math.max(data.low, value + by)));
    else if (event.key === "Delete" || event.key === "Backspace") set(side, null);
    else return;
    event.preventDefault();
  }

  const inputs = sides.map((side) => {
    fields[side] = h("input", { type: "number", step: "any", inputmode: "decimal", placeholder: "none",
      "aria-label": `${spaced(data.name)}, ${side === "min" ? "at least" : "at most"}`,
      onchange: (event) => set(side, event.target.value === "" ? null : Number(event.target.value)) });
    return h("label", {}, h("span", {}, SIDES[side]), fields[side]);
  });
  draw();
  const element = h("figure", { class: "plot", "data-value": data.name },
    h("figcaption", {}, h("h3", {}, spaced(data.name)), h("p", {}, data.about)), plot,
    h("div", { class: "bounds" }, inputs, h("span", { class: "quiet small num" }, `median ${number(data.median)}`,
      data.missing ? ` · ${thousands(data.missing)} not measured` : "")));
  return { element, reset: () => { Object.assign(bounds, data.bounds); draw(); } };
}

function bars(data) {
  const amount = data.layers[0]?.counts.length ?? 0;
  const heights = Array.from({ length: amount }, (_, at) => data.layers.reduce((sum, layer) => sum + layer.counts[at], 0));
  const scale = HEIGHT / Math.max(1, ...heights);
  const slot = WIDTH / amount;
  return heights.flatMap((_, at) => {
    let floor = HEIGHT;
    return data.layers.filter((layer) => layer.counts[at]).map((layer) => {
      const tall = Math.max(1.5, layer.counts[at] * scale);
      floor -= tall;
      return s("rect", { class: `fill-${layer.verdict}`, x: at * slot + 0.5, y: floor, width: slot - 1, height: tall },
        s("title", {}, `${thousands(layer.counts[at])} ${layer.verdict}`));
    });
  });
}

function ticks(data, toX) {
  const amount = Math.round((data.high - data.low) / data.step);
  return Array.from({ length: amount + 1 }, (_, at) => {
    const value = Number((data.low + at * data.step).toPrecision(9));
    const x = toX(value);
    const anchor = at === 0 ? "start" : at === amount ? "end" : "middle";
    return [s("line", { class: "grid-line", x1: x, x2: x, y1: 0, y2: HEIGHT }),
      s("text", { class: "tick", x, y: HEIGHT + 18, "text-anchor": anchor }, number(value))];
  }).flat();
}

const words = (data) => `${spaced(data.name)}: ${thousands(data.measured)} clips from ${number(data.low)} to ${number(data.high)}, median ${number(data.median)}`;
