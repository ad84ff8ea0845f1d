// A source as a strip of its clips in time, and a button to seek in it.

import * as api from "./api.js";
import { h, put } from "./dom.js";
import { icon } from "./icons.js";
import * as router from "./router.js";
import { clock, count, duration } from "./format.js";

export function sourceStrip(route, facts, player, signal) {
  const element = h("section", { class: "in-source" }, h("h2", {}, "In its source"));
  fill();
  return element;

  async function fill() {
    let data;
    try {
      data = await api.get(api.collection(route.collection, "sources", facts.source_id), { signal });
    } catch (error) {
      if (error.name !== "AbortError") element.append(h("p", { class: "quiet" }, error.message));
      return;
    }
    const totalS = data.source.duration_s || Math.max(...data.clips.map((clip) => clip.end_s));
    const needle = h("i", { class: "needle", hidden: true });
    const strip = h("ol", { class: "strip" }, data.clips.map((clip) => span(clip, facts, totalS)), needle);
    const words = `${count(data.clips.length, "clip")} in ${duration(totalS)}`;
    put(element, h("h2", {}, "In its source", h("span", { class: "tally" }, words)), strip,
      h("p", { class: "ends-of num quiet small" }, h("span", {}, clock(0)), h("span", {}, clock(totalS))),
      data.plays ? seek(needle, totalS) : h("p", { class: "quiet small" }, "Browsers do not play this container; the clip above was cut from it."));
  }

  function seek(needle, totalS) {
    const button = h("button", { class: "button" }, icon("film"), "Seek to it in the source");
    let inSource = false;
    const moved = () => { needle.style.left = `${(100 * player.video.currentTime) / totalS}%`; };
    player.video.addEventListener("timeupdate", moved);
    button.addEventListener("click", () => {
      inSource = !inSource;
      needle.hidden = !inSource;
      put(button, icon("film"), inSource ? "Back to the clip" : "Seek to it in the source");
      if (inSource) player.showSource(api.collection(route.collection, "sources", facts.source_id, "video"), facts.start_s);
      else player.showClip();
    });
    return button;
  }
}

function span(clip, facts, totalS) {
  const isHere = clip.clip_id === facts.clip_id;
  const words = `${clock(clip.start_s)}–${clock(clip.end_s)}, ${clip.verdict ?? "no verdict"}`;
  const bar = h("a", { class: `back-${clip.verdict ?? "waiting"}`, href: router.linkWith({ clip: clip.clip_id }), title: words,
    "aria-label": words, "aria-current": isHere ? "true" : null });
  const item = h("li", {}, bar);
  item.style.left = `${(100 * clip.start_s) / totalS}%`;
  item.style.width = `${(100 * (clip.end_s - clip.start_s)) / totalS}%`;
  return item;
}
