// Histograms of all values, and the outcome of other bounds, tried at once.

import * as api from "./api.js";
import { h, debounce, put } from "./dom.js";
import { histogram } from "./histogram.js";
import { whatIf } from "./what_if.js";
import { count, spaced } from "./format.js";

export function histograms(name, values, numbers) {
  if (!values.histograms.length) {
    return [h("h2", {}, "Scores"), h("p", { class: "empty" }, "Nothing has been measured yet.")];
  }
  const limits = {};
  const trial = whatIf(name, () => { Object.keys(limits).forEach((key) => delete limits[key]); plots.forEach((one) => one.reset()); trial.clear(); });
  const ask = debounce(250, async () => {
    if (!Object.keys(limits).length) return;
    try {
      trial.show(await api.post(api.collection(name, "reselection"), { limits }));
    } catch (error) {
      trial.refuse(error.message);
    }
  });
  const plots = values.histograms.map((one) => histogram(one, (side, value) => {
    limits[one.name] = { ...(limits[one.name] ?? one.bounds), [side]: value };
    trial.wait();
    if (numbers.selection) ask();
    else trial.refuse("There is no selection yet to compare with.");
  }));
  const key = h("ul", { class: "legend" }, ["kept", "duplicate", "filtered", "waiting"]
    .filter((verdict) => values.histograms.some((one) => one.layers.some((layer) => layer.verdict === verdict)))
    .map((verdict) => h("li", {}, h("span", { class: `dot back-${verdict}` }), spaced(verdict))));
  const isBounded = (one) => one.bounds.min !== null || one.bounds.max !== null;
  const sheet = (isExpected) => h("div", { class: "plots" }, plots.filter((_, at) => isBounded(values.histograms[at]) === isExpected).map((one) => one.element));
  const free = values.histograms.filter((one) => !isBounded(one)).length;
  const sections = free === plots.length ? sheet(false) : [sheet(true),
    free > 0 && h("details", { class: "further" }, h("summary", {}, `${count(free, "value")} without a bound`), sheet(false))];
  const box = h("section", { "aria-label": "Scores" });
  put(box, h("h2", {}, "Scores"),
    h("p", { class: "intro" }, "Drag a bound, or change its number, to see what the selection would keep. Nothing is stored until you say so."),
    key, sections, trial.element);
  return box;
}
