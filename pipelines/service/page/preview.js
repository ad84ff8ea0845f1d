// A selection that is tried out: how many clips it keeps, which come and go, and making it so.

import * as api from "./api.js";
import { h, put, say } from "./dom.js";
import * as places from "./place.js";
import { count, spaced, thousands } from "./words.js";

export function preview(name, reset) {
  const words = h("div", { class: "words", role: "status" });
  const details = h("div", { class: "details" });
  const element = h("div", { class: "preview", hidden: true }, words, details);

  function show(tried) {
    element.hidden = false;
    element.classList.remove("waits");
    const by = tried.kept_after - tried.kept_before;
    put(words, h("p", {}, h("b", { class: "num big", "data-kept": tried.kept_after }, thousands(tried.kept_after)), " kept",
      h("span", { class: "quiet" }, ` instead of ${thousands(tried.kept_before)}`),
      h("span", { class: `by num ${by < 0 ? "less" : by > 0 ? "more" : ""}` }, by > 0 ? `+${by}` : by < 0 ? `−${-by}` : "no change")),
      h("div", { class: "row" }, h("button", { class: "button", onclick: reset }, "Reset"),
        api.may("submit") && tried.settings && h("button", { class: "button main", onclick: () => make(tried.settings) }, "Make this selection")));
    put(details, reasons(tried), clips("Would go", tried.lost), clips("Would come", tried.gained),
      tried.uncompared > 0 && h("p", { class: "quiet small" }, `${count(tried.uncompared, "clip")} of these were never compared for duplicates; some may yet go.`),
      tried.settings === null && h("p", { class: "quiet small" }, "The policy has rules for some sources that no setting of a job can say; change them in the server's profile."));
  }

  function reasons({ before, after }) {
    const names = [...new Set([...Object.keys(before), ...Object.keys(after)])]
      .filter((key) => key !== "kept" && (before[key] ?? 0) !== (after[key] ?? 0));
    return names.length > 0 && h("ul", { class: "legend" }, names.map((key) =>
      h("li", { class: "num" }, `${spaced(key)} `, h("b", {}, `${thousands(before[key] ?? 0)} → ${thousands(after[key] ?? 0)}`))));
  }

  function clips(title, ids) {
    const shown = ids.slice(0, 12).map((id) => h("a", { href: places.elsewhere({ view: "clips", collection: name, clip: id }), title: id },
      h("img", { src: api.thumbnail(name, id), alt: `Clip ${id.slice(0, 8)}`, loading: "lazy" })));
    return ids.length > 0 && h("div", { class: "thumbs" }, h("span", { class: "quiet small" }, title), shown,
      ids.length > 12 && h("span", { class: "quiet small num" }, `and ${thousands(ids.length - 12)} more`));
  }

  async function make(settings) {
    try {
      const job = await api.post("/v1/jobs", { kind: "select", collection: name, settings });
      places.go(places.elsewhere({ view: "jobs", collection: name, job: job.job_id }));
    } catch (error) {
      say(error.message, "bad");
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
