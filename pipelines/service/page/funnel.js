// The funnel from inputs to tokens: rows of bars, each narrowing into the next. A bar leads to its clips.

import { h, s } from "./dom.js";
import * as router from "./router.js";
import { spaced } from "./format.js";

export function funnel(rows, name) {
  return h("div", { class: "funnel card" }, rows.map((row) => stage(row, name)));
}

function stage(row, name) {
  const flow = row.flow && s("svg", { class: "flow", viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" },
    s("polygon", { points: row.flow }));
  return h("div", { class: "stage-of" },
    h("div", { class: "head" }, flow, h("h3", {}, row.title, h("span", { class: "num" }, row.total)),
      h("ul", { class: "legend" }, row.legend.map((part) => h("li", {}, h("span", { class: `dot back-${part.kind}` }), part.label, " ",
        h("b", { class: "num" }, part.text))))),
    row.parts.length > 0 && s("svg", { class: "bar-of", viewBox: "0 0 100 10", preserveAspectRatio: "none", role: "img", "aria-label": row.alt },
      row.parts.map((part, at) => bar(part, at, row, name))),
    row.empty && h("p", { class: "empty" }, row.empty, " ", next(row.command, name)));
}

// `reelmill select` and its like, as a way to ask for that job.
function next(command, name) {
  const kind = command.split(" ").at(-1);
  return h("a", { href: router.linkTo({ view: "submit", collection: name, kind }) }, h("code", {}, command));
}

function bar(part, at, row, name) {
  const odd = part.kind === "filtered" && at % 2 ? " odd" : "";
  const shape = s("rect", { class: `fill-${part.kind}${odd}`, x: part.x, y: 0, width: part.width, height: 10 },
    s("title", {}, `${spaced(part.label)}: ${part.text}`));
  const words = row.title === "Clips" ? chosen(part) : null;
  return words ? s("a", { href: router.linkTo({ view: "clips", collection: name, words, all: true }), "aria-label": `Clips: ${spaced(part.label)}` }, shape) : shape;
}

function chosen(part) {
  if (part.kind === "filtered") return { reason: [part.label] };
  if (part.kind === "kept" || part.kind === "duplicate") return { verdict: [part.kind] };
  return null;
}
