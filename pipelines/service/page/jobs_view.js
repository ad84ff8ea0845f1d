// All jobs, newest first, as they are now.

import * as api from "./api.js";
import { h, put } from "./dom.js";
import * as places from "./place.js";
import { bars, live, state } from "./stages.js";
import { ago } from "./words.js";

const QUICK_MS = 1500;
const SLOW_MS = 10000;

export function jobsView(root) {
  const list = h("ul", { class: "jobs", role: "list" });
  const wrong = h("p", { class: "wrong", role: "alert" });
  const rest = h("div", { class: "rest" });
  let timer;
  let closed = false;
  let older = [];
  put(root, h("section", { class: "page" }, h("div", { class: "title" }, h("h1", {}, "Jobs"),
    api.may("submit") && h("a", { class: "button main", href: places.elsewhere({ view: "submit" }) }, "New job")), wrong, list, rest));

  async function look() {
    clearTimeout(timer);
    let wait = SLOW_MS;
    try {
      const found = await api.get("/v1/jobs?limit=30");
      if (closed) return;
      put(wrong);
      show(found);
      if (found.jobs.some(live)) wait = QUICK_MS;
    } catch (error) {
      if (closed) return;
      put(wrong, error.message);
    }
    timer = setTimeout(look, document.hidden ? 6 * wait : wait);
  }

  function show(found) {
    const focus = document.activeElement?.closest?.("[data-job]")?.dataset.job;
    const known = new Set(found.jobs.map((job) => job.job_id));
    const all = [...found.jobs, ...older.filter((job) => !known.has(job.job_id))];
    put(list, all.map(entry));
    put(rest, !all.length && h("div", { class: "empty" }, h("p", {}, "No job has been asked for yet."),
      h("p", { class: "quiet" }, "Jobs curate videos, select anew, render, caption, tokenize and export.")),
      found.next && !older.length && h("button", { class: "button", onclick: () => more(found.next) }, "Show older"));
    if (focus) list.querySelector(`[data-job="${CSS.escape(focus)}"] a`)?.focus();
  }

  async function more(before) {
    older = (await api.get(`/v1/jobs?limit=200&before=${before}`)).jobs;
    look();
  }

  look();
  return { close: () => { closed = true; clearTimeout(timer); } };
}

function entry(job) {
  const name = h("a", { class: "name", href: places.elsewhere({ view: "jobs", job: job.job_id, collection: job.collection }) },
    h("b", {}, job.kind), " ", job.collection);
  return h("li", { class: "job card", "data-job": job.job_id },
    h("div", { class: "head" }, name, state(job), h("span", { class: "quiet small" }, `${ago(job.created)} by ${job.owner}`)),
    job.error && h("p", { class: "small wrong-of" }, job.error),
    job.steps.length > 0 && bars(job, true));
}
