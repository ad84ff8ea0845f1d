// Keys that work everywhere, and what all of them do.

import { h } from "./dom.js";

const KEYS = [
  ["/", "go to the search"], ["← ↑ → ↓", "from clip to clip"], ["Enter", "open a clip"],
  ["Space", "play it where it is"], ["k", "keep it by hand"], ["x", "drop it by hand"], ["u", "take that back"],
  ["m", "more like this clip"], ["+", "more of this, too"],
  ["−", "less of this"], ["Esc", "close, or empty the search"], ["?", "these keys"],
];

export function help() {
  if (document.querySelector("dialog[open]")) return;
  const rows = KEYS.map(([key, words]) => h("div", {}, h("dt", {}, h("kbd", {}, key)), h("dd", {}, words)));
  const box = h("dialog", { class: "sheet keys", "aria-label": "Keys", onclose: () => box.remove() },
    h("h2", {}, "Keys"), h("dl", {}, rows),
    h("form", { method: "dialog" }, h("button", { class: "button" }, "Close")));
  document.body.append(box);
  box.showModal();
}

const isTyping = (element) => element?.matches?.("input:not([type=checkbox]), textarea, select");

export function listen() {
  document.addEventListener("keydown", (event) => {
    if (event.metaKey || event.ctrlKey || event.altKey || isTyping(event.target)) return;
    if (document.querySelector("dialog[open]")) return;
    if (event.key === "/") {
      const field = document.querySelector("input[type=search]");
      if (!field) return;
      event.preventDefault();
      field.focus();
      field.select();
    } else if (event.key === "?") {
      event.preventDefault();
      help();
    }
  });
}
