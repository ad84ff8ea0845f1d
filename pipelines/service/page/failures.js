// Inputs that failed, and why.

import * as api from "./api.js";
import { h } from "./dom.js";
import { count, size, spaced, thousands } from "./format.js";

const PAGE = 100;

export async function failures(name, numbers, signal) {
  const total = numbers.sources.failed ?? 0;
  const title = h("h2", {}, "Failed inputs", h("span", { class: "tally num" }, thousands(total)));
  if (!total) return [title, h("p", { class: "quiet" }, "None: every input was scanned.")];
  const body = h("tbody", {});
  const more = h("button", { class: "button", onclick: add }, "Show more");
  async function add() {
    const where = api.collection(name, "sources");
    const found = await api.get(`${where}?outcome=failed&offset=${body.children.length}&limit=${PAGE}`, { signal });
    body.append(...found.sources.map(row));
    more.hidden = body.children.length >= found.total;
  }
  await add();
  return [title, h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": count(total, "failed input") },
    h("table", { class: "failures" },
      h("thead", {}, h("tr", {}, ["Input", "Reason", "Seen"].map((words) => h("th", { scope: "col" }, words)))), body)), more];
}

function row(source) {
  return h("tr", {}, h("td", { class: "uri" }, h("bdi", {}, source.name), h("span", { class: "quiet small num" }, size(source.size_bytes))),
    h("td", {}, h("b", { class: "reason" }, spaced(source.reason ?? "unknown"))), h("td", { class: "detail" }, h("bdi", {}, source.detail ?? "")));
}
