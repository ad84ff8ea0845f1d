// A source as a strip of its clips in time, and the way to seek in it.

import * as api from "./api.js";
import { h, put } from "./dom.js";
import { icon } from "./icons.js";
import * as places from "./place.js";
import { clock, count, duration } from "./words.js";

export function sourceStrip(place, facts, player, signal) {
  const element = h("section", { class: "in-source" }, h("h2", {}, "In its source"));
  fill();
  return element;

  async function fill() {
    let found;
    try {
      found = await api.get(api.collection(place.collection, "sources", facts.source_id), { signal });
    } catch (error) {
      if (error.name !== "AbortError") element.append(h("p", { class: "quiet" }, error.message));
      return;
    }
    const whole = found.source.duration_s || Math.max(...found.clips.map((clip) => clip.end_s));
    const needle = h("i", { class: "needle", hidden: true });
    const strip = h("ol", { class: "strip" }, found.clips.map((clip) => span(clip, facts, whole)), needle);
    const words = `${count(found.clips.length, "clip")} in ${duration(whole)}`;
    put(element, h("h2", {}, "In its source", h("span", { class: "tally" }, words)), strip,
      h("p", { class: "ends-of num quiet small" }, h("span", {}, clock(0)), h("span", {}, clock(whole))),
      found.plays ? seek(needle, whole) : h("p", { class: "quiet small" }, "Browsers do not play this container; the clip above was cut from it."));
  }

  function seek(needle, whole) {
    const there = h("button", { class: "button" }, icon("film"), "Seek to it in the source");
    let inSource = false;
    const moved = () => { needle.style.left = `${(100 * player.video.currentTime) / whole}%`; };
    player.video.addEventListener("timeupdate", moved);
    there.addEventListener("click", () => {
      inSource = !inSource;
      needle.hidden = !inSource;
      put(there, icon("film"), inSource ? "Back to the clip" : "Seek to it in the source");
      if (inSource) player.showSource(api.collection(place.collection, "sources", facts.source_id, "video"), facts.start_s);
      else player.showClip();
    });
    return there;
  }
}

function span(clip, facts, whole) {
  const isHere = clip.clip_id === facts.clip_id;
  const words = `${clock(clip.start_s)}–${clock(clip.end_s)}, ${clip.verdict ?? "no verdict"}`;
  const bar = h("a", { class: `back-${clip.verdict ?? "waiting"}`, href: places.link({ clip: clip.clip_id }), title: words,
    "aria-label": words, "aria-current": isHere ? "true" : null });
  const item = h("li", {}, bar);
  item.style.left = `${(100 * clip.start_s) / whole}%`;
  item.style.width = `${(100 * (clip.end_s - clip.start_s)) / whole}%`;
  return item;
}
