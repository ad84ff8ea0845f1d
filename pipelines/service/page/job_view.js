// One job, watched while it runs: steps, log, events and artefacts.

import * as api from "./api.js";
import { h, newId, put, notify } from "./dom.js";
import { logTail } from "./log.js";
import * as router from "./router.js";
import { bars, live, state } from "./job_steps.js";
import { ago, duration, size } from "./format.js";

export function jobView(root, route, { reloadCollections }) {
  const jobPath = `/v1/jobs/${encodeURIComponent(route.job)}`;
  const head = h("div", {});
  const steps = h("div", {});
  const files = h("section", {});
  const events = h("ol", { class: "events" });
  const log = logTail(jobPath);
  let stream = null;
  let previous = "";
  put(root, h("section", { class: "page job-page" },
    h("p", { class: "small" }, h("a", { href: router.linkTo({ view: "jobs" }) }, "← All jobs")), head, steps, files,
    h("h2", {}, "Log"), log.element, h("h2", {}, "Events"), events));

  function show(job) {
    put(head, h("div", { class: "title" }, h("h1", {}, `${job.kind} ${job.collection}`, state(job)), actions(job)),
      h("p", { class: "quiet" }, summary(job)),
      job.error && h("p", { class: "wrong", role: "alert" }, job.error),
      job.cancelled_by && h("p", { class: "notice" }, `Cancelled by ${job.cancelled_by}`, job.cancel_reason && `: ${job.cancel_reason}`),
      requestOf(job));
    put(steps, job.steps.length ? bars(job) : h("p", { class: "empty" }, job.state === "queued" ? "It is queued." : live(job) ? "It starts up …" : "No step was started."));
    if (job.state !== previous) changed(job);
  }

  async function changed(job) {
    const last = previous;
    previous = job.state;
    const list = await api.get(`${jobPath}/events`);
    put(events, list.map((item) => h("li", {}, h("time", { class: "num quiet", datetime: item.at }, new Date(item.at).toLocaleTimeString("en", { hour12: false })),
      h("b", {}, item.kind), h("span", { class: "quiet" }, ` by ${item.who}`, item.detail && `: ${item.detail}`))));
    if (!live(job)) {
      await artefacts(job);
      log.last();
      if (last && job.state === "done") reloadCollections();
    }
  }

  async function artefacts(job) {
    const list = await api.get(`${jobPath}/artefacts`);
    put(files, list.length > 0 && [h("h2", {}, "Files"), h("ul", { class: "files" }, list.map((item) =>
      h("li", {}, h("a", { href: `${jobPath}/artefacts/${item.artefact_id}`, download: item.name.split("/").at(-1) }, h("bdi", {}, item.name)),
        h("span", { class: "num quiet" }, size(item.size_bytes)), h("code", { class: "quiet", title: `sha256 ${item.sha256}` }, item.sha256.slice(0, 12)))))],
    job.state === "done" && job.steps.length > 0 && h("p", {},
      h("a", { class: "button", href: router.linkTo({ view: "overview", collection: job.collection }) }, "Look at the collection")));
  }

  function actions(job) {
    if (!api.may("submit")) return null;
    if (["queued", "running"].includes(job.state)) return h("button", { class: "button danger", onclick: () => cancelDialog(jobPath, show) }, "Cancel …");
    if (["failed", "stopped", "cancelled"].includes(job.state)) return h("button", { class: "button", onclick: retry }, "Resume");
    return null;
  }

  async function retry() {
    try {
      show(await api.post(`${jobPath}/retry`));
      watch();
    } catch (error) {
      notify(error.message, "bad");
    }
  }

  function watch() {
    stream?.close();
    stream = new EventSource(`${jobPath}/watch`);
    stream.onmessage = (event) => {
      const job = JSON.parse(event.data);
      show(job);
      if (!live(job)) stream.close();
    };
    log.follow();
  }

  async function begin() {
    try {
      const job = await api.get(jobPath);
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

function summary(job) {
  const parts = [`submitted ${ago(job.created)} by ${job.owner}`];
  if (job.started && job.ended) parts.push(`took ${duration((Date.parse(job.ended) - Date.parse(job.started)) / 1000)}`);
  if (job.attempt > 1) parts.push(`attempt ${job.attempt}`);
  if (job.priority) parts.push(`priority ${job.priority}`);
  return parts.join(" · ");
}

function requestOf({ request }) {
  const settings = Object.entries(request.settings).map(([key, value]) => `${key} = ${JSON.stringify(value)}`);
  const rows = [["inputs", request.inputs], ["settings", settings], ["selection", request.selection ? [request.selection] : []], ["retry", request.retry]]
    .filter(([, words]) => words.length);
  return rows.length > 0 && h("dl", { class: "asked" }, rows.map(([name, words]) => h("div", {}, h("dt", {}, name),
    h("dd", {}, words.map((word) => h("code", {}, word))))));
}

function cancelDialog(jobPath, show) {
  const reason = h("input", { type: "text", name: "reason", maxlength: "500", placeholder: "For those who ask later" });
  const title = newId("title");
  async function send(event) {
    event.preventDefault();
    try {
      show(await api.post(`${jobPath}/cancel`, { reason: reason.value }));
    } catch (error) {
      notify(error.message, "bad");
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
