// All jobs, newest first, as they are now.

import * as api from "./api.js";
import { h, put } from "./dom.js";
import * as router from "./router.js";
import { bars, live, state } from "./job_steps.js";
import { ago } from "./format.js";

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
    api.may("submit") && h("a", { class: "button main", href: router.linkTo({ view: "submit" }) }, "New job")), wrong, list, rest));

  async function refresh() {
    clearTimeout(timer);
    let wait = SLOW_MS;
    try {
      const page = await api.get("/v1/jobs?limit=30");
      if (closed) return;
      put(wrong);
      show(page);
      if (page.jobs.some(live)) wait = QUICK_MS;
    } catch (error) {
      if (closed) return;
      put(wrong, error.message);
    }
    timer = setTimeout(refresh, document.hidden ? 6 * wait : wait);
  }

  function show(page) {
    const focus = document.activeElement?.closest?.("[data-job]")?.dataset.job;
    const ids = new Set(page.jobs.map((job) => job.job_id));
    const all = [...page.jobs, ...older.filter((job) => !ids.has(job.job_id))];
    put(list, all.map(entry));
    put(rest, !all.length && h("div", { class: "empty" }, h("p", {}, "No job has been submitted yet."),
      h("p", { class: "quiet" }, "Jobs curate videos, select again, render, caption, tokenize and export.")),
      page.next && !older.length && h("button", { class: "button", onclick: () => more(page.next) }, "Show older"));
    if (focus) list.querySelector(`[data-job="${CSS.escape(focus)}"] a`)?.focus();
  }

  async function more(before) {
    older = (await api.get(`/v1/jobs?limit=200&before=${before}`)).jobs;
    refresh();
  }

  refresh();
  return { close: () => { closed = true; clearTimeout(timer); } };
}

function entry(job) {
  const name = h("a", { class: "name", href: router.linkTo({ view: "jobs", job: job.job_id, collection: job.collection }) },
    h("b", {}, job.kind), " ", job.collection);
  return h("li", { class: "job card", "data-job": job.job_id },
    h("div", { class: "head" }, name, state(job), h("span", { class: "quiet small" }, `${ago(job.created)} by ${job.owner}`)),
    job.error && h("p", { class: "small wrong-of" }, job.error),
    job.steps.length > 0 && bars(job, true));
}
