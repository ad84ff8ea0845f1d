// One job, watched while it runs: its steps, its log, what happened to it, and what it made.

import * as api from "./api.js";
import { h, newId, put, say } from "./dom.js";
import { logTail } from "./log.js";
import * as places from "./place.js";
import { bars, live, state } from "./stages.js";
import { ago, duration, size } from "./words.js";

export function jobView(root, place, { renew }) {
  const where = `/v1/jobs/${encodeURIComponent(place.job)}`;
  const head = h("div", {});
  const steps = h("div", {});
  const made = h("section", {});
  const events = h("ol", { class: "events" });
  const log = logTail(where);
  let stream = null;
  let before = "";
  put(root, h("section", { class: "page job-page" },
    h("p", { class: "small" }, h("a", { href: places.elsewhere({ view: "jobs" }) }, "← All jobs")), head, steps, made,
    h("h2", {}, "Log"), log.element, h("h2", {}, "What happened"), events));

  function show(job) {
    put(head, h("div", { class: "title" }, h("h1", {}, `${job.kind} ${job.collection}`, state(job)), actions(job)),
      h("p", { class: "quiet" }, told(job)),
      job.error && h("p", { class: "wrong", role: "alert" }, job.error),
      job.cancelled_by && h("p", { class: "notice" }, `Cancelled by ${job.cancelled_by}`, job.cancel_reason && `: ${job.cancel_reason}`),
      asked(job));
    put(steps, job.steps.length ? bars(job) : h("p", { class: "empty" }, job.state === "queued" ? "It waits for its turn." : live(job) ? "It starts up …" : "No step was begun."));
    if (job.state !== before) changed(job);
  }

  async function changed(job) {
    const was = before;
    before = job.state;
    const happened = await api.get(`${where}/events`);
    put(events, happened.map((one) => h("li", {}, h("time", { class: "num quiet", datetime: one.at }, new Date(one.at).toLocaleTimeString("en", { hour12: false })),
      h("b", {}, one.kind), h("span", { class: "quiet" }, ` by ${one.who}`, one.detail && `: ${one.detail}`))));
    if (!live(job)) {
      await artefacts(job);
      log.last();
      if (was && job.state === "done") renew();
    }
  }

  async function artefacts(job) {
    const found = await api.get(`${where}/artefacts`);
    put(made, found.length > 0 && [h("h2", {}, "Files"), h("ul", { class: "files" }, found.map((one) =>
      h("li", {}, h("a", { href: `${where}/artefacts/${one.artefact_id}`, download: one.name.split("/").at(-1) }, h("bdi", {}, one.name)),
        h("span", { class: "num quiet" }, size(one.size_bytes)), h("code", { class: "quiet", title: `sha256 ${one.sha256}` }, one.sha256.slice(0, 12)))))],
    job.state === "done" && ["curate", "select", "scan", "render"].includes(job.kind) && h("p", {},
      h("a", { class: "button", href: places.elsewhere({ view: "overview", collection: job.collection }) }, "Look at the collection")));
  }

  function actions(job) {
    if (!api.may("submit")) return null;
    if (["queued", "running"].includes(job.state)) return h("button", { class: "button danger", onclick: () => cancelDialog(where, show) }, "Cancel …");
    if (["failed", "stopped", "cancelled"].includes(job.state)) return h("button", { class: "button", onclick: retry }, "Go on with it");
    return null;
  }

  async function retry() {
    try {
      show(await api.post(`${where}/retry`));
      watch();
    } catch (error) {
      say(error.message, "bad");
    }
  }

  function watch() {
    stream?.close();
    stream = new EventSource(`${where}/watch`);
    stream.onmessage = (event) => {
      const job = JSON.parse(event.data);
      show(job);
      if (!live(job)) stream.close();
    };
    log.follow();
  }

  async function begin() {
    try {
      const job = await api.get(where);
      show(job);
      if (live(job)) watch();
      else log.last();
    } catch (error) {
      put(head, h("p", { class: "wrong", role: "alert" }, error.status === 404 || error.status === 422 ? "There is no such job." : error.message));
    }
  }

  begin();
  return { close: () => { stream?.close(); log.close(); } };
}

function told(job) {
  const parts = [`asked for ${ago(job.created)} by ${job.owner}`];
  if (job.started && job.ended) parts.push(`took ${duration((Date.parse(job.ended) - Date.parse(job.started)) / 1000)}`);
  if (job.attempt > 1) parts.push(`attempt ${job.attempt}`);
  if (job.priority) parts.push(`priority ${job.priority}`);
  return parts.join(" · ");
}

function asked({ wish }) {
  const settings = Object.entries(wish.settings).map(([key, value]) => `${key} = ${JSON.stringify(value)}`);
  const rows = [["inputs", wish.inputs], ["settings", settings], ["selection", wish.selection ? [wish.selection] : []], ["retry", wish.retry]]
    .filter(([, words]) => words.length);
  return rows.length > 0 && h("dl", { class: "asked" }, rows.map(([name, words]) => h("div", {}, h("dt", {}, name),
    h("dd", {}, words.map((word) => h("code", {}, word))))));
}

function cancelDialog(where, show) {
  const reason = h("input", { type: "text", name: "reason", maxlength: "500", placeholder: "For those who ask later" });
  const title = newId("title");
  async function send(event) {
    event.preventDefault();
    try {
      show(await api.post(`${where}/cancel`, { reason: reason.value }));
    } catch (error) {
      say(error.message, "bad");
    }
    box.close();
  }
  const box = h("dialog", { class: "sheet", "aria-labelledby": title, onclose: () => box.remove() },
    h("form", { onsubmit: send }, h("h2", { id: title }, "Cancel this job?"),
      h("p", { class: "quiet" }, "Its processes end within five seconds. What it has done stays; it can go on later."),
      h("label", {}, h("span", {}, "Why"), reason),
      h("div", { class: "row end" }, h("button", { type: "button", class: "button", onclick: () => box.close() }, "Let it run"),
        h("button", { class: "button danger" }, "Cancel the job"))));
  document.body.append(box);
  box.showModal();
}
