// The hits as a grid of clips, walked with the arrow keys.

import { h, put } from "./dom.js";
import * as router from "./router.js";
import { isRanked } from "./query.js";
import { tile } from "./tile.js";

export function grid(more) {
  const list = h("ul", { class: "sheet-of-clips", role: "list" });
  const rest = h("div", { class: "rest" });
  const element = h("div", { class: "grid" }, list, rest);
  let route = router.current();
  let clipIds = [];
  const watcher = new IntersectionObserver((entries) => {
    if (entries.some((entry) => entry.isIntersecting)) more();
  }, { rootMargin: "600px" });

  function add(hits, hasMore) {
    clipIds.push(...hits.map((hit) => hit.clip_id));
    list.append(...hits.map((hit) => tile(hit, route)));
    watcher.disconnect();
    put(rest);
    if (hasMore) {
      const button = h("button", { class: "button", onclick: more }, "Show more");
      put(rest, button);
      watcher.observe(button);
    }
    setTabStop(list.querySelector("a.open[tabindex='0']") ?? list.querySelector("a.open"));
  }

  function show(hits, now, hasMore, isError = false) {
    route = now;
    clipIds = [];
    element.classList.remove("waits");
    put(list);
    add(hits, hasMore);
    if (!hits.length && !isError) put(rest, none(route));
  }

  function setTabStop(to) {
    list.querySelectorAll("a.open").forEach((link) => link.setAttribute("tabindex", "-1"));
    to?.setAttribute("tabindex", "0");
  }

  list.addEventListener("focusin", (event) => {
    if (event.target.matches("a.open")) setTabStop(event.target);
  });
  list.addEventListener("keydown", (event) => walk(event, list));
  return { element, add, show, ids: () => clipIds, wait: () => element.classList.add("waits"),
    close: () => watcher.disconnect() };
}

function walk(event, list) {
  if (event.ctrlKey || event.metaKey || event.altKey || !event.target.matches("a.open")) return;
  const all = [...list.querySelectorAll("a.open")];
  const at = all.indexOf(event.target);
  const top = all[0].offsetParent ? all[0].getBoundingClientRect().top : 0;
  const across = all.filter((link) => Math.abs(link.getBoundingClientRect().top - top) < 4).length || 1;
  const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: across, ArrowUp: -across, Home: -at, End: all.length - 1 - at };
  if (!(event.key in steps)) return;
  event.preventDefault();
  if (event.key === "ArrowUp" && at < across) document.querySelector("input[type=search]").focus();
  else all[Math.min(all.length - 1, Math.max(0, at + steps[event.key]))].focus();
}

function none(route) {
  const isNarrowed = Object.keys(route.words).length || Object.keys(route.ranges).length || route.where;
  const words = isNarrowed ? "Nothing in this collection passes all filters." : "Nothing fits. Try other words, or an example.";
  return h("div", { class: "empty" }, h("p", {}, isRanked(route) || isNarrowed ? words : "There are no clips yet."),
    (isRanked(route) || isNarrowed) && h("a", { class: "button", href: router.linkTo({}) }, "Show all clips"));
}
