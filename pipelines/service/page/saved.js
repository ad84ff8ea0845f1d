// Searches under a name, kept by this browser.

import { h, newId, put, say } from "./dom.js";
import { icon } from "./icons.js";
import * as places from "./place.js";

const KEY = "reelmill.saved";

export function list() {
  try {
    const found = JSON.parse(localStorage.getItem(KEY) ?? "[]");
    return Array.isArray(found) ? found.filter((one) => typeof one?.name === "string" && typeof one?.at === "string") : [];
  } catch {
    return [];
  }
}

function store(all) {
  try {
    localStorage.setItem(KEY, JSON.stringify(all));
  } catch {
    say("This browser keeps nothing for this page.", "bad");
  }
}

export function savedMenu(place) {
  const id = newId("saved");
  const box = h("div", { id, class: "menu", popover: "auto" });
  box.addEventListener("toggle", (event) => { if (event.newState === "open") fill(box, place); });
  return [
    h("button", { type: "button", class: "ghost square", popovertarget: id, title: "Saved searches",
      "aria-label": "Saved searches" }, icon("star")),
    box,
  ];
}

function fill(box, place) {
  const name = h("input", { type: "text", name: "name", required: true, maxlength: "60",
    placeholder: "Name of this search", "aria-label": "Name of this search" });
  function keep(event) {
    event.preventDefault();
    event.stopPropagation();
    const at = places.link({ clip: "", picture: false });
    store([{ name: name.value.trim(), at }, ...list().filter((one) => one.name !== name.value.trim())]);
    say(`Saved as “${name.value.trim()}”.`);
    fill(box, place);
  }
  const rows = list().map((one) => h("li", {},
    h("a", { href: address(one.at), onclick: () => box.hidePopover() }, one.name),
    h("button", { type: "button", class: "ghost", "aria-label": `Forget ${one.name}`,
      onclick: () => { store(list().filter((other) => other.name !== one.name)); fill(box, place); } }, icon("close"))));
  const save = h("button", { type: "button", class: "button", onclick: (event) => { if (name.reportValidity()) keep(event); } }, "Save");
  name.addEventListener("keydown", (event) => { if (event.key === "Enter" && name.reportValidity()) keep(event); });
  put(box, h("h2", {}, "Saved searches"),
    rows.length ? h("ul", {}, rows) : h("p", { class: "quiet small" }, "None yet. They stay in this browser."),
    h("div", { class: "row" }, name, save));
}

// What lies in the storage is only ever a place on this page.
const address = (at) => places.written(places.read(new URL(at, location.origin).search));
