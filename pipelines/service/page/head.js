// The head of every view: name, collection, and the way to the other views.

import * as api from "./api.js";
import { h, put } from "./dom.js";
import { help } from "./keyboard.js";
import * as places from "./place.js";

const WAYS = [["clips", "Clips"], ["overview", "Overview"], ["jobs", "Jobs"], ["submit", "New job"]];

export function head(root, place, collections) {
  put(root, h("div", { class: "bar" },
    h("a", { class: "brand", href: "/", "aria-label": "Reelmill, start" }, "Reelmill"),
    chooser(place, collections),
    h("nav", { "aria-label": "Views" }, h("ul", {}, WAYS.filter(allowed).map((way) => entry(way, place)))),
    h("div", { class: "ends" },
      h("button", { class: "ghost keys", title: "Keys (?)", "aria-label": "Keys", onclick: help }, "?"),
      api.me.name !== "local" && h("button", { class: "ghost", onclick: signOut }, "Sign out"))));
}

const allowed = ([view]) => view !== "submit" || api.may("submit");

function entry([view, words], place) {
  const isHere = place.view === view;
  const href = places.elsewhere({ view, collection: place.collection });
  return h("li", {}, h("a", { href, "aria-current": isHere ? "page" : null }, words));
}

function chooser(place, collections) {
  if (!collections.length) return null;
  const known = collections.includes(place.collection) ? collections : [place.collection, ...collections];
  const options = known.map((name) =>
    h("option", { value: name, selected: name === place.collection }, name));
  const chosen = (event) => places.go(
    places.elsewhere({ view: place.job ? "jobs" : place.view, collection: event.target.value }));
  return h("label", { class: "chooser" }, h("span", { class: "hidden" }, "Collection"),
    h("select", { name: "collection", onchange: chosen }, options));
}

async function signOut() {
  await api.ask("DELETE", "/v1/session");
  document.dispatchEvent(new CustomEvent("signed-out"));
}
