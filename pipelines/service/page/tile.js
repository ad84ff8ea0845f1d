// One clip in the sheet: its picture that plays under the pointer, where it is from, and why it is here.

import * as api from "./api.js";
import { h, say } from "./dom.js";
import { playable } from "./hover.js";
import { icon } from "./icons.js";
import * as places from "./place.js";
import { clock, duration, spaced } from "./words.js";

export function tile(hit, place) {
  const where = `${hit.source}, ${clock(hit.start_s)}–${clock(hit.end_s)}`;
  const picture = h("img", { src: api.thumbnail(place.collection, hit.clip_id), loading: "lazy", decoding: "async",
    alt: hit.caption ?? `Frame of ${where}`, onerror: again });
  const frame = h("span", { class: "frame" }, picture,
    h("span", { class: "badge num" }, duration(hit.duration_s ?? hit.end_s - hit.start_s)));
  const open = h("a", { class: "open", href: places.link({ clip: hit.clip_id }), tabindex: "-1", "aria-label": `Open ${where}` }, frame);
  const element = h("li", { class: "tile", "data-clip": hit.clip_id },
    open, buttons(hit, place),
    h("p", { class: "name", title: hit.source }, h("bdi", {}, hit.source)),
    h("p", { class: "num quiet span" }, `${clock(hit.start_s)}–${clock(hit.end_s)}`,
      hit.score !== null && h("span", { class: "score", title: SCORE }, "score ", h("b", {}, Number(hit.score.toPrecision(3))))),
    verdict(hit),
    hit.caption && h("p", { class: "caption", title: hit.caption }, marked(hit.caption, place.text)));
  playable(element, frame, api.video(place.collection, hit.clip_id), hit.verdict === "kept" ? 120 : 450);
  open.addEventListener("keydown", (event) => act(event, hit.clip_id));
  return element;
}

const SCORE = "How well it fits: a cosine, BM25 with words alone, a sum of 1/(60 + rank) where both are asked";

export function verdict(hit) {
  if (!hit.verdict) return null;
  const words = [h("span", { class: `dot back-${hit.verdict}` }), hit.verdict];
  if (hit.verdict === "filtered") words.push(": ", h("b", {}, spaced(hit.reason ?? "")));
  if (hit.duplicate_of) words.push(" of ", h("a", { href: places.link({ clip: hit.duplicate_of }) }, hit.duplicate_of.slice(0, 8)));
  return h("p", { class: "verdict" }, words);
}

function buttons(hit, place) {
  const button = (name, words, run, on) => h("button", { class: "ghost", title: words, "aria-label": `${words}: ${hit.source} ${clock(hit.start_s)}`,
    "aria-pressed": on === undefined ? null : String(on), onclick: run }, icon(name));
  return h("div", { class: "acts" },
    button("similar", "More like this", () => alike(hit.clip_id)),
    button("plus", "Wanted, too", () => example("like", hit.clip_id), place.like.includes(hit.clip_id)),
    button("minus", "Less of this", () => example("minus", hit.clip_id), place.minus.includes(hit.clip_id)));
}

function act(event, clip) {
  const keys = { m: () => alike(clip), "+": () => example("like", clip), "-": () => example("minus", clip) };
  if (event.ctrlKey || event.metaKey || event.altKey || !(event.key in keys)) return;
  event.preventDefault();
  keys[event.key]();
}

export const alike = (clip) => places.change({ text: "", like: [clip], minus: [], picture: false, clip: "" });

export function example(side, clip) {
  const now = places.here();
  const other = side === "like" ? "minus" : "like";
  const has = now[side].includes(clip);
  const changes = { [side]: has ? now[side].filter((id) => id !== clip) : [...now[side], clip],
    [other]: now[other].filter((id) => id !== clip), picture: false };
  const left = { ...now, ...changes };
  if (left.minus.length && !left.like.length && !left.text.trim()) {
    say("Less of something needs something wanted beside it: words, or a clip marked with +.");
    return;
  }
  places.change(changes);
}

function marked(caption, text) {
  const words = new Set(text.toLowerCase().match(/[\p{L}\p{N}]{3,}/gu) ?? []);
  if (!words.size) return [caption];
  return caption.split(/([\p{L}\p{N}]+)/u).map((part) => (words.has(part.toLowerCase()) ? h("mark", {}, part) : part));
}

// Asked too quickly, the server wants a moment: once more, then no picture.
function again(event) {
  const picture = event.target;
  if (picture.dataset.again) {
    picture.replaceWith(h("span", { class: "blank" }, "no picture"));
    return;
  }
  picture.dataset.again = "1";
  const source = picture.src;
  setTimeout(() => { picture.src = source; }, 1500);
}
