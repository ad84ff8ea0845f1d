// The tail of a job's log, followed while it grows. Only the last lines stay on the page.

import { request } from "./api.js";
import { h, put } from "./dom.js";

const LINES = 400;

export function logTail(jobPath) {
  const text = h("pre", { class: "log", tabindex: "0", role: "log", "aria-label": "Log" });
  let lines = [];
  let controller = new AbortController();

  function show() {
    const atEnd = text.scrollHeight - text.scrollTop - text.clientHeight < 40;
    put(text, lines.some(Boolean) ? lines.join("\n") : h("span", { class: "quiet" }, "No output yet."));
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

  async function loadTail() {
    const response = await request("GET", `${jobPath}/log?tail=${LINES}`, { signal: controller.signal }).catch(() => null);
    if (!response) return 0;
    add((await response.text()).trimEnd(), true);
    return Number(response.headers.get("content-range")?.split("/")[1] ?? 0);
  }

  async function follow() {
    controller.abort();
    controller = new AbortController();
    const { signal } = controller;
    try {
      const start = await loadTail();
      const response = await request("GET", `${jobPath}/log/follow?start=${start}`, { signal });
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      if (start) lines.push("");
      for (let part = await reader.read(); !part.done; part = await reader.read()) add(part.value);
    } catch (error) {
      if (error.name !== "AbortError") add(`\n(${error.message})`);
    }
  }

  show();
  return { element: text, last: loadTail, follow, close: () => controller.abort() };
}
