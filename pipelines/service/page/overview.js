// A collection at a glance: inputs, kept clips, distributions of values, failures.

import * as api from "./api.js";
import { h, put } from "./dom.js";
import { failures } from "./failures.js";
import { funnel } from "./funnel.js";
import { histograms } from "./histograms.js";
import { ago, duration, share, thousands } from "./format.js";

export function overview(root, route, { collections }) {
  const stop = new AbortController();
  if (!collections.length) {
    put(root, h("section", { class: "page narrow" }, h("div", { class: "empty" }, h("h1", {}, "No collection yet"),
      h("p", {}, "When a job has curated some videos, their way from input to training data is drawn here."))));
    return {};
  }
  const name = route.collection;
  const body = h("div", {});
  put(root, h("section", { class: "page" }, h("div", { class: "title" }, h("h1", {}, name),
    h("a", { class: "button", href: api.collection(name, "report"), target: "_blank", rel: "noopener" }, "Full report")), body));
  fill().catch((error) => {
    if (error.name !== "AbortError") put(body, h("p", { class: "wrong", role: "alert" }, error.message));
  });
  return { close: () => stop.abort() };

  async function fill() {
    const ask = (...parts) => api.get(api.collection(name, ...parts), { signal: stop.signal });
    put(body, h("p", { class: "quiet" }, "Reading the tables …"));
    const [numbers, funnelData, values, runs] = await Promise.all([ask(), ask("funnel"), ask("values"), ask("runs")]);
    put(body, totals(numbers, funnelData.seconds, runs),
      h("h2", {}, "Funnel"), funnel(funnelData.rows, name),
      histograms(name, values, numbers),
      await failures(name, numbers, stop.signal));
  }
}

function totals(numbers, seconds, runs) {
  const inputs = Object.values(numbers.sources).reduce((sum, count) => sum + count, 0);
  const failed = numbers.sources.failed ?? 0;
  const kept = numbers.verdicts.kept ?? 0;
  const last = runs.at(-1);
  const cells = [
    ["Inputs", thousands(inputs), failed ? `${thousands(failed)} failed` : "none failed"],
    ["Source video", duration(seconds.source), ""],
    ["Clips", thousands(numbers.clips), `${duration(seconds.clips / Math.max(1, numbers.clips))} on average`],
    ["Kept", numbers.selection ? thousands(kept) : "–", numbers.selection ? `${share(kept, numbers.clips)} of the clips` : "no selection yet"],
    ["Kept video", numbers.selection ? duration(seconds.kept) : "–", numbers.selection ? `${share(seconds.kept, seconds.source)} of the video` : ""],
    ["Last run", last?.step ?? "–", last ? ago(last.started) : ""],
  ];
  return h("dl", { class: "totals" }, cells.map(([label, value, note]) =>
    h("div", {}, h("dt", {}, label), h("dd", { class: "num" }, value, h("small", {}, note)))));
}
