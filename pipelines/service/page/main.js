// The page: reads where one is, shows that view, and keeps the head of the page in step.

import * as api from "./api.js";
import { clipsView } from "./clips_view.js";
import { h, put } from "./dom.js";
import { head } from "./head.js";
import { jobView } from "./job_view.js";
import { jobsView } from "./jobs_view.js";
import { listen } from "./keyboard.js";
import { overview } from "./overview.js";
import * as places from "./place.js";
import { signIn } from "./sign_in.js";
import { submitView } from "./submit_view.js";

const VIEWS = { clips: clipsView, overview, jobs: jobsView, submit: submitView };
const TITLES = { clips: "Clips", overview: "Overview", jobs: "Jobs", submit: "New job" };
const main = document.getElementById("main");
const top = document.getElementById("top");

let shown = null; // the view, what it is of, and how to update and to close it
let collections = [];

async function begin() {
  try {
    Object.assign(api.me, await api.get("/v1/me"));
    collections = await api.get("/v1/collections");
  } catch (error) {
    if (error.status !== 401) fail(error);
    return;
  }
  show();
}

function fail(error) {
  shown?.close?.();
  shown = null;
  put(main, h("section", { class: "page narrow" },
    h("div", { class: "empty", role: "alert" },
      h("h1", {}, "That did not work"), h("p", {}, error.message),
      h("button", { class: "button", onclick: () => location.reload() }, "Try again"))));
}

function show() {
  const place = places.here();
  if (!(place.view in VIEWS)) place.view = "clips";
  if (!place.collection && collections.length) [place.collection] = collections;
  document.title = `${TITLES[place.view]}${place.collection ? ` · ${place.collection}` : ""} – Reelmill`;
  head(top, place, collections);
  const key = `${place.view} ${place.collection} ${place.job}`;
  if (shown?.key === key) {
    shown.update?.(place);
    return;
  }
  shown?.close?.();
  main.className = `view-${place.view}`;
  put(main);
  window.scrollTo(0, 0);
  const make = place.view === "jobs" && place.job ? jobView : VIEWS[place.view];
  shown = { key, ...make(main, place, { collections, renew }) };
}

async function renew() {
  collections = await api.get("/v1/collections");
  head(top, places.here(), collections);
}

function signedOut() {
  shown?.close?.();
  shown = null;
  put(top);
  signIn(main, begin);
}

window.addEventListener("popstate", show);
document.addEventListener("place", show);
document.addEventListener("signed-out", signedOut);
document.addEventListener("click", places.follow);
listen();
begin();
