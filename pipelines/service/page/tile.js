// One clip in the grid: its thumbnail, which plays under the pointer, source, score and verdict.

import * as api from "./api.js";
import { h, notify } from "./dom.js";
import { playable } from "./hover.js";
import { icon } from "./icons.js";
import { mark, press } from "./reviews.js";
import * as router from "./router.js";
import { clock, duration, spaced } from "./format.js";

export function tile(hit, route) {
  const where = `${hit.source}, ${clock(hit.start_s)}–${clock(hit.end_s)}`;
  const picture = h("img", { src: api.thumbnail(route.collection, hit.clip_id), loading: "lazy", decoding: "async",
    alt: hit.caption ?? `Frame of ${where}`, onerror: retry });
  const frame = h("span", { class: "frame" }, picture,
    h("span", { class: "badge num" }, duration(hit.duration_s ?? hit.end_s - hit.start_s)));
  const open = h("a", { class: "open", href: router.linkWith({ clip: hit.clip_id }), tabindex: "-1", "aria-label": `Open ${where}` }, frame);
  const element = h("li", { class: "tile", "data-clip": hit.clip_id },
    open, buttons(hit, route),
    h("p", { class: "name", title: hit.source }, h("bdi", {}, hit.source)),
    h("p", { class: "num quiet span" }, `${clock(hit.start_s)}–${clock(hit.end_s)}`,
      hit.score !== null && h("span", { class: "score", title: SCORE }, "score ", h("b", {}, Number(hit.score.toPrecision(3))))),
    verdict(hit), mark(hit.clip_id),
    hit.caption && h("p", { class: "caption", title: hit.caption }, highlight(hit.caption, route.text)));
  playable(element, frame, api.video(route.collection, hit.clip_id), hit.verdict === "kept" ? 120 : 450);
  open.addEventListener("keydown", (event) => act(event, hit.clip_id));
  return element;
}

const SCORE = "How well it fits: a cosine, BM25 with words alone, a sum of 1/(60 + rank) where both are asked";

export function verdict(hit) {
  if (!hit.verdict) return null;
  const words = [h("span", { class: `dot back-${hit.verdict}` }), hit.verdict];
  if (hit.verdict === "filtered") words.push(": ", h("b", {}, spaced(hit.reason ?? "")));
  if (hit.duplicate_of) words.push(" of ", h("a", { href: router.linkWith({ clip: hit.duplicate_of }) }, hit.duplicate_of.slice(0, 8)));
  return h("p", { class: "verdict" }, words);
}

function buttons(hit, route) {
  const button = (name, words, run, on) => h("button", { class: "ghost", title: words, "aria-label": `${words}: ${hit.source} ${clock(hit.start_s)}`,
    "aria-pressed": on === undefined ? null : String(on), onclick: run }, icon(name));
  return h("div", { class: "acts" },
    button("similar", "More like this", () => alike(hit.clip_id)),
    button("plus", "Wanted, too", () => example("like", hit.clip_id), route.like.includes(hit.clip_id)),
    button("minus", "Less of this", () => example("minus", hit.clip_id), route.minus.includes(hit.clip_id)));
}

function act(event, clip) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (press(event.key, clip)) {
    event.preventDefault();
    if (event.key !== "u") event.target.closest("li").nextElementSibling?.querySelector("a.open")?.focus();
    return;
  }
  const keys = { m: () => alike(clip), "+": () => example("like", clip), "-": () => example("minus", clip) };
  if (!(event.key in keys)) return;
  event.preventDefault();
  keys[event.key]();
}

export const alike = (clip) => router.update({ text: "", like: [clip], minus: [], picture: false, clip: "" });

export function example(side, clip) {
  const now = router.current();
  const other = side === "like" ? "minus" : "like";
  const has = now[side].includes(clip);
  const changes = { [side]: has ? now[side].filter((id) => id !== clip) : [...now[side], clip],
    [other]: now[other].filter((id) => id !== clip), picture: false };
  const next = { ...now, ...changes };
  if (next.minus.length && !next.like.length && !next.text.trim()) {
    notify("Less of something needs something wanted beside it: words, or a clip marked with +.");
    return;
  }
  router.update(changes);
}

function highlight(caption, text) {
  const words = new Set(text.toLowerCase().match(/[\p{L}\p{N}]{3,}/gu) ?? []);
  if (!words.size) return [caption];
  return caption.split(/([\p{L}\p{N}]+)/u).map((part) => (words.has(part.toLowerCase()) ? h("mark", {}, part) : part));
}

// Rate-limited requests are repeated once; then no thumbnail is shown.
function retry(event) {
  const picture = event.target;
  if (picture.dataset.retried) {
    picture.replaceWith(h("span", { class: "blank" }, "no picture"));
    return;
  }
  picture.dataset.retried = "1";
  const source = picture.src;
  setTimeout(() => { picture.src = source; }, 1500);
}
