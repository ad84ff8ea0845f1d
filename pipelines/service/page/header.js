// The header of every view: name, collection, and links to the other views.

import * as api from "./api.js";
import { h, put } from "./dom.js";
import { help } from "./keyboard.js";
import * as router from "./router.js";

const VIEWS = [["clips", "Clips"], ["overview", "Overview"], ["jobs", "Jobs"], ["submit", "New job"]];

export function header(root, route, collections) {
  put(root, h("div", { class: "bar" },
    h("a", { class: "brand", href: "/", "aria-label": "Reelmill, start" }, "Reelmill"),
    chooser(route, collections),
    h("nav", { "aria-label": "Views" }, h("ul", {}, VIEWS.filter(allowed).map((view) => entry(view, route)))),
    h("div", { class: "ends" },
      h("button", { class: "ghost keys", title: "Keys (?)", "aria-label": "Keys", onclick: help }, "?"),
      api.me.name !== "local" && h("button", { class: "ghost", onclick: signOut }, "Sign out"))));
}

const allowed = ([view]) => view !== "submit" || api.may("submit");

function entry([view, words], route) {
  const isHere = route.view === view;
  const href = router.linkTo({ view, collection: route.collection });
  return h("li", {}, h("a", { href, "aria-current": isHere ? "page" : null }, words));
}

function chooser(route, collections) {
  if (!collections.length) return null;
  const names = collections.includes(route.collection) ? collections : [route.collection, ...collections];
  const options = names.map((name) =>
    h("option", { value: name, selected: name === route.collection }, name));
  const select = (event) => router.navigate(
    router.linkTo({ view: route.job ? "jobs" : route.view, collection: event.target.value }));
  return h("label", { class: "chooser" }, h("span", { class: "hidden" }, "Collection"),
    h("select", { name: "collection", onchange: select }, options));
}

async function signOut() {
  await api.request("DELETE", "/v1/session");
  document.dispatchEvent(new CustomEvent("signed-out"));
}
