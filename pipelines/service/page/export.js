// Export of the hits as a dataset: stored as a subset, then written by a job in a format of other trainers.

import * as api from "./api.js";
import { h, newId, put } from "./dom.js";
import * as router from "./router.js";
import { isRanked } from "./query.js";
import { count } from "./format.js";

const MAX_CLIPS = 10000;

// `all` is how many fit, where that is known; a ranked list may go on to the last of `total` clips.
export function exportDialog(route, query, all, total) {
  const ranked = isRanked(route);
  const max = Math.min(MAX_CLIPS, all ?? total);
  const name = h("input", { type: "text", name: "name", required: true, maxlength: "64", autocomplete: "off",
    pattern: "[A-Za-z0-9][A-Za-z0-9_\\-]*", title: "Letters, digits, _ and -", value: suggested(route) });
  const top = h("input", { type: "number", name: "top", min: "1", max: String(max), required: true,
    value: String(all === null && ranked ? Math.min(100, max) : max) });
  const format = h("select", { name: "format" },
    h("option", { value: "webdataset" }, "WebDataset: tar shards"), h("option", { value: "hf" }, "Hugging Face: Parquet with a card"));
  const wrong = h("p", { class: "wrong", role: "alert" });
  const send = h("button", { class: "button main" }, "Export");
  const title = newId("title");
  const box = h("dialog", { class: "sheet", "aria-labelledby": title, onclose: () => box.remove() },
    h("form", { onsubmit: submit }, h("h2", { id: title }, "Export as dataset"),
      h("p", { class: "quiet" }, `${ranked ? "The best of " : ""}${count(all ?? total, "clip")}, near-duplicates ${route.all ? "too" : "left out"}.`,
        " Their renders, captions, tokens, licences and scores go along."),
      h("label", {}, h("span", {}, "Name"), name),
      h("label", {}, h("span", {}, ranked ? "How many of the best" : "At most"), top),
      h("label", {}, h("span", {}, "Format"), format), wrong,
      h("div", { class: "row end" }, h("button", { type: "button", class: "button", onclick: () => box.close() }, "Cancel"), send)));

  async function submit(event) {
    event.preventDefault();
    send.disabled = true;
    put(wrong);
    try {
      const subset = await api.post(api.collection(route.collection, "subsets"),
        { ...query, name: name.value, top: Number(top.value) });
      const job = await api.post("/v1/jobs", { kind: "export", collection: route.collection, selection: subset.subset, format: format.value });
      box.close();
      router.navigate(router.linkTo({ view: "jobs", job: job.job_id }));
    } catch (error) {
      put(wrong, error.message);
      send.disabled = false;
    }
  }
  document.body.append(box);
  box.showModal();
  name.select();
}

function suggested(route) {
  const words = route.text || Object.values(route.words).flat().join(" ") || route.collection;
  return words.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-+|-+$/g, "").slice(0, 40) || "found";
}

