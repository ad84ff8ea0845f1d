// The page: shows the view of the route, and keeps the header in step.

import * as api from "./api.js";
import { clipsView } from "./clips_view.js";
import { h, put } from "./dom.js";
import { header } from "./header.js";
import { jobView } from "./job_view.js";
import { jobsView } from "./jobs_view.js";
import { listen } from "./keyboard.js";
import { overview } from "./overview.js";
import * as router from "./router.js";
import { signIn } from "./sign_in.js";
import { submitView } from "./submit_view.js";

const VIEWS = { clips: clipsView, overview, jobs: jobsView, submit: submitView };
const TITLES = { clips: "Clips", overview: "Overview", jobs: "Jobs", submit: "New job" };
const main = document.getElementById("main");
const top = document.getElementById("top");

let view = null; // its key, and functions to update and close it
let collections = [];
let kinds = {}; // of jobs, by name

async function begin() {
  try {
    Object.assign(api.me, await api.get("/v1/me"));
    collections = await api.get("/v1/collections");
    kinds = Object.fromEntries((await api.get("/v1/kinds")).map((info) => [info.kind, info]));
  } catch (error) {
    if (error.status !== 401) fail(error);
    return;
  }
  show();
}

function fail(error) {
  view?.close?.();
  view = null;
  put(main, h("section", { class: "page narrow" },
    h("div", { class: "empty", role: "alert" },
      h("h1", {}, "That did not work"), h("p", {}, error.message),
      h("button", { class: "button", onclick: () => location.reload() }, "Try again"))));
}

function show() {
  const route = router.current();
  if (!Object.hasOwn(VIEWS, route.view)) route.view = "clips";
  if (!route.collection && collections.length) [route.collection] = collections;
  document.title = `${TITLES[route.view]}${route.collection ? ` · ${route.collection}` : ""} – Reelmill`;
  header(top, route, collections);
  const key = `${route.view} ${route.collection} ${route.job}`;
  if (view?.key === key) {
    view.update?.(route);
    return;
  }
  view?.close?.();
  main.className = `view-${route.view}`;
  put(main);
  window.scrollTo(0, 0);
  const make = route.view === "jobs" && route.job ? jobView : VIEWS[route.view];
  view = { key, ...make(main, route, { collections, kinds, reloadCollections }) };
}

async function reloadCollections() {
  collections = await api.get("/v1/collections");
  header(top, router.current(), collections);
}

function signedOut() {
  view?.close?.();
  view = null;
  put(top);
  signIn(main, begin);
}

window.addEventListener("popstate", show);
document.addEventListener("route", show);
document.addEventListener("signed-out", signedOut);
document.addEventListener("click", router.followLink);
listen();
begin();
