// Named searches in the storage of this browser.

import { h, newId, put, notify } from "./dom.js";
import { icon } from "./icons.js";
import * as router from "./router.js";

const KEY = "reelmill.saved";

export function list() {
  try {
    const searches = JSON.parse(localStorage.getItem(KEY) ?? "[]");
    return Array.isArray(searches) ? searches.filter((search) => typeof search?.name === "string" && typeof search?.at === "string") : [];
  } catch {
    return [];
  }
}

function store(all) {
  try {
    localStorage.setItem(KEY, JSON.stringify(all));
  } catch {
    notify("This browser keeps nothing for this page.", "bad");
  }
}

export function savedMenu(route) {
  const id = newId("saved");
  const box = h("div", { id, class: "menu", popover: "auto" });
  box.addEventListener("toggle", (event) => { if (event.newState === "open") fill(box, route); });
  return [
    h("button", { type: "button", class: "ghost square", popovertarget: id, title: "Saved searches",
      "aria-label": "Saved searches" }, icon("star")),
    box,
  ];
}

function fill(box, route) {
  const name = h("input", { type: "text", name: "name", required: true, maxlength: "60",
    placeholder: "Name of this search", "aria-label": "Name of this search" });
  function keep(event) {
    event.preventDefault();
    event.stopPropagation();
    const at = router.linkWith({ clip: "", picture: false });
    store([{ name: name.value.trim(), at }, ...list().filter((search) => search.name !== name.value.trim())]);
    notify(`Saved as “${name.value.trim()}”.`);
    fill(box, route);
  }
  const rows = list().map((search) => h("li", {},
    h("a", { href: address(search.at), onclick: () => box.hidePopover() }, search.name),
    h("button", { type: "button", class: "ghost", "aria-label": `Forget ${search.name}`,
      onclick: () => { store(list().filter((other) => other.name !== search.name)); fill(box, route); } }, icon("close"))));
  const save = h("button", { type: "button", class: "button", onclick: (event) => { if (name.reportValidity()) keep(event); } }, "Save");
  name.addEventListener("keydown", (event) => { if (event.key === "Enter" && name.reportValidity()) keep(event); });
  put(box, h("h2", {}, "Saved searches"),
    rows.length ? h("ul", {}, rows) : h("p", { class: "quiet small" }, "None yet. They stay in this browser."),
    h("div", { class: "row" }, name, save));
}

// Whatever the storage holds becomes a route of this page.
const address = (at) => router.format(router.parse(new URL(at, location.origin).search));
