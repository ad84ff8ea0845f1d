// One clip, large: its video, what is known of it, where it lies in its source, and what to do with it.

import * as api from "./api.js";
import { h, put, quiet } from "./dom.js";
import { icon } from "./icons.js";
import * as places from "./place.js";
import { sourceStrip } from "./source_strip.js";
import { alike, example, verdict } from "./tile.js";
import { clock, duration, number, spaced } from "./words.js";

export function clipView(ids) {
  let shown = "";
  let asking = new AbortController();
  const body = h("div", { class: "body" });
  const box = h("dialog", { class: "clip", "aria-label": "Clip", tabindex: "-1" }, body);
  box.addEventListener("close", () => {
    const clip = shown;
    hide();
    if (places.here().clip) places.change({ clip: "" });
    document.querySelector(`.tile[data-clip="${CSS.escape(clip)}"] a.open`)?.focus();
  });
  box.addEventListener("click", (event) => { if (event.target === box) box.close(); });
  box.addEventListener("keydown", (event) => {
    if (event.target.matches("input, textarea, video")) return;
    if (event.key === "ArrowRight") step(1);
    else if (event.key === "ArrowLeft") step(-1);
    else if (event.key === "m") alike(shown);
    else return;
    event.preventDefault();
  });
  document.body.append(box);

  function step(by) {
    const all = ids();
    const to = all[all.indexOf(shown) + by];
    if (to) places.change({ clip: to }, true);
  }

  function hide() {
    asking.abort();
    shown = "";
    body.querySelectorAll("video").forEach((video) => { video.removeAttribute("src"); video.load(); });
    put(body);
  }

  async function show(place) {
    if (!place.clip) {
      shown = "";
      if (box.open) box.close();
      return;
    }
    if (place.clip === shown) return;
    hide();
    shown = place.clip;
    asking = new AbortController();
    put(body, top(null, step, box), h("p", { class: "quiet" }, "Looking it up …"));
    if (!box.open) box.showModal();
    try {
      const found = await api.get(api.collection(place.collection, "clips", place.clip), { signal: asking.signal });
      fill(place, found);
    } catch (error) {
      if (error.name !== "AbortError") put(body, top(null, step, box), h("p", { class: "wrong", role: "alert" }, error.message));
    }
  }

  function fill(place, { facts, captions, renders }) {
    const player = stage(place, facts);
    const words = Object.entries(captions).flatMap(([table, texts]) => texts.map((text) =>
      h("p", { class: "said", title: table }, text)));
    put(body, top(facts, step, box), player.element,
      h("div", { class: "beside" }, h("div", { class: "main" }, verdict(facts), words, choices(facts)),
        sourceStrip(place, facts, player, asking.signal)),
      measured(facts), rendered(renders));
  }
  return { show, close: () => { hide(); box.remove(); } };
}

function top(facts, step, box) {
  const name = facts ? [h("h1", {}, h("bdi", {}, facts.source)), h("p", { class: "num quiet" },
    `${clock(facts.start_s)}–${clock(facts.end_s)} · ${duration(facts.duration_s)} · ${facts.width}×${facts.height} · ${number(facts.fps)} fps`)] : [h("h1", {}, "Clip")];
  const button = (picture, words, run) => h("button", { class: "ghost square", title: words, "aria-label": words, onclick: run }, icon(picture));
  return h("header", {}, h("div", {}, name), h("div", { class: "ends" },
    button("left", "The clip before (←)", () => step(-1)), button("right", "The next clip (→)", () => step(1)),
    button("close", "Close (Esc)", () => box.close())));
}

function stage(place, facts) {
  const own = api.video(place.collection, facts.clip_id);
  const wrong = h("p", { class: "wrong", role: "alert" });
  const video = h("video", { src: own, controls: true, muted: true, loop: true, playsinline: true,
    poster: api.thumbnail(place.collection, facts.clip_id), autoplay: quiet.matches ? null : true });
  const what = h("p", { class: "what quiet small", hidden: true }, "The source, from the clip on");
  video.addEventListener("error", () => {
    if (!video.getAttribute("src")) return;
    put(wrong, video.loop ? "The clip cannot be shown just now: its source may be out of reach, or another clip is being cut." :
      "This browser cannot play the source as it is. The clip itself is shown by “Back to the clip”.");
  });
  function play(source, at, isClip) {
    put(wrong);
    what.hidden = isClip;
    video.loop = isClip;
    video.src = source;
    video.currentTime = at;
    video.play().catch(() => {});
  }
  return {
    element: h("div", { class: "stage" }, video, what, wrong),
    video,
    showClip: () => play(own, 0, true),
    showSource: (source, at) => play(source, at, false),
  };
}

function choices(facts) {
  const go = (name, words, run) => h("button", { class: "button", onclick: run }, icon(name), words);
  return h("div", { class: "choices" },
    go("similar", "More like this", () => alike(facts.clip_id)),
    go("plus", "Wanted, too", () => example("like", facts.clip_id)),
    go("minus", "Less of this", () => example("minus", facts.clip_id)));
}

const APART = new Set(["clip_id", "source_id", "source", "start_s", "end_s", "duration_s", "width", "height", "fps",
  "verdict", "reason", "duplicate_of", "group_id", "time_base", "start_frame", "end_frame", "start_pts", "end_pts",
  "shot_start_frame", "shot_end_frame"]);

function measured(facts) {
  const rows = Object.entries(facts).filter(([name, value]) => !APART.has(name) && value !== null)
    .map(([name, value]) => h("div", {}, h("dt", {}, spaced(name)),
      h("dd", { class: "num" }, typeof value === "number" ? number(value) : spaced(String(value)))));
  return h("section", { class: "measured" }, h("h2", {}, "Measured"), h("dl", {}, rows),
    h("p", { class: "quiet small ids" }, `frames ${facts.start_frame} to ${facts.end_frame}, clip `, h("code", {}, facts.clip_id)));
}

function rendered(renders) {
  const rows = Object.entries(renders).map(([table, row]) =>
    h("p", { class: "quiet small ids" }, h("code", {}, table), ` ${row.width ?? "?"}×${row.height ?? "?"} ${row.codec ?? ""}`));
  return rows.length ? h("section", {}, rows) : null;
}
