// The end of a job's log, and what comes. Only the last lines stay on the page.

import { ask } from "./api.js";
import { h, put } from "./dom.js";

const LINES = 400;

export function logTail(where) {
  const text = h("pre", { class: "log", tabindex: "0", role: "log", "aria-label": "Log" });
  let lines = [];
  let asking = new AbortController();

  function show() {
    const atEnd = text.scrollHeight - text.scrollTop - text.clientHeight < 40;
    put(text, lines.some(Boolean) ? lines.join("\n") : h("span", { class: "quiet" }, "It has said nothing yet."));
    if (atEnd) text.scrollTop = text.scrollHeight;
  }

  function add(words, isFirst = false) {
    const parts = words.split("\n");
    if (isFirst) lines = parts;
    else {
      lines[Math.max(0, lines.length - 1)] = (lines.at(-1) ?? "") + parts[0];
      lines.push(...parts.slice(1));
    }
    lines = lines.slice(-LINES);
    show();
  }

  async function last() {
    const answer = await ask("GET", `${where}/log?tail=${LINES}`, { signal: asking.signal }).catch(() => null);
    if (!answer) return 0;
    add((await answer.text()).trimEnd(), true);
    return Number(answer.headers.get("content-range")?.split("/")[1] ?? 0);
  }

  async function follow() {
    asking.abort();
    asking = new AbortController();
    const { signal } = asking;
    try {
      const start = await last();
      const answer = await ask("GET", `${where}/log/follow?start=${start}`, { signal });
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      if (start) lines.push("");
      for (let part = await reader.read(); !part.done; part = await reader.read()) add(part.value);
    } catch (error) {
      if (error.name !== "AbortError") add(`\n(${error.message})`);
    }
  }

  show();
  return { element: text, last, follow, close: () => asking.abort() };
}
