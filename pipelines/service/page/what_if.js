// A selection that is result out: how many clips it keeps, which come and go, and making it so.

import * as api from "./api.js";
import { h, put, notify } from "./dom.js";
import * as router from "./router.js";
import { count, spaced, thousands } from "./format.js";

export function whatIf(name, reset) {
  const words = h("div", { class: "words", role: "status" });
  const details = h("div", { class: "details" });
  const element = h("div", { class: "preview", hidden: true }, words, details);

  function show(result) {
    element.hidden = false;
    element.classList.remove("waits");
    const by = result.kept_after - result.kept_before;
    put(words, h("p", {}, h("b", { class: "num big", "data-kept": result.kept_after }, thousands(result.kept_after)), " kept",
      h("span", { class: "quiet" }, ` instead of ${thousands(result.kept_before)}`),
      h("span", { class: `by num ${by < 0 ? "less" : by > 0 ? "more" : ""}` }, by > 0 ? `+${by}` : by < 0 ? `−${-by}` : "no change")),
      h("div", { class: "row" }, h("button", { class: "button", onclick: reset }, "Reset"),
        api.may("submit") && result.settings && h("button", { class: "button main", onclick: () => make(result.settings) }, "Make this selection")));
    put(details, reasons(result), clips("Would go", result.lost), clips("Would come", result.gained),
      result.uncompared > 0 && h("p", { class: "quiet small" }, `${count(result.uncompared, "clip")} of these were never compared for duplicates; some may yet go.`),
      result.settings === null && h("p", { class: "quiet small" }, "The policy has rules for some sources, which settings of a job cannot express; change them in the server's profile."));
  }

  function reasons({ before, after }) {
    const names = [...new Set([...Object.keys(before), ...Object.keys(after)])]
      .filter((key) => key !== "kept" && (before[key] ?? 0) !== (after[key] ?? 0));
    return names.length > 0 && h("ul", { class: "legend" }, names.map((key) =>
      h("li", { class: "num" }, `${spaced(key)} `, h("b", {}, `${thousands(before[key] ?? 0)} → ${thousands(after[key] ?? 0)}`))));
  }

  function clips(title, ids) {
    const thumbnails = ids.slice(0, 12).map((id) => h("a", { href: router.linkTo({ view: "clips", collection: name, clip: id }), title: id },
      h("img", { src: api.thumbnail(name, id), alt: `Clip ${id.slice(0, 8)}`, loading: "lazy" })));
    return ids.length > 0 && h("div", { class: "thumbs" }, h("span", { class: "quiet small" }, title), thumbnails,
      ids.length > 12 && h("span", { class: "quiet small num" }, `and ${thousands(ids.length - 12)} more`));
  }

  async function make(settings) {
    try {
      const job = await api.post("/v1/jobs", { kind: "select", collection: name, settings });
      router.navigate(router.linkTo({ view: "jobs", collection: name, job: job.job_id }));
    } catch (error) {
      notify(error.message, "bad");
    }
  }

  return {
    element, show,
    wait: () => element.classList.add("waits"),
    clear: () => { element.hidden = true; },
    refuse(text) {
      element.hidden = false;
      element.classList.remove("waits");
      put(details);
      put(words, h("p", { class: "wrong" }, text), h("button", { class: "button", onclick: reset }, "Reset"));
    },
  };
}
