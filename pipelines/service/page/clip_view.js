// One clip in a dialog: video, measurements, position in its source, and actions.

import * as api from "./api.js";
import { h, put, reducedMotion } from "./dom.js";
import { icon } from "./icons.js";
import { choices, mark, press } from "./reviews.js";
import * as router from "./router.js";
import { sourceStrip } from "./source_strip.js";
import { alike, example, verdict } from "./tile.js";
import { clock, duration, number, spaced } from "./format.js";

export function clipView(ids) {
  let clipId = "";
  let controller = new AbortController();
  const body = h("div", { class: "body" });
  const box = h("dialog", { class: "clip", "aria-label": "Clip", tabindex: "-1" }, body);
  box.addEventListener("close", () => {
    const clip = clipId;
    hide();
    if (router.current().clip) router.update({ clip: "" });
    document.querySelector(`.tile[data-clip="${CSS.escape(clip)}"] a.open`)?.focus();
  });
  box.addEventListener("click", (event) => { if (event.target === box) box.close(); });
  box.addEventListener("keydown", (event) => {
    if (event.target.matches("input, textarea, video")) return;
    if (event.key === "ArrowRight") step(1);
    else if (event.key === "ArrowLeft") step(-1);
    else if (event.key === "m") alike(clipId);
    else if (!event.ctrlKey && !event.metaKey && !event.altKey && press(event.key, clipId)) { /* decided */ }
    else return;
    event.preventDefault();
  });
  document.body.append(box);

  function step(by) {
    const all = ids();
    const to = all[all.indexOf(clipId) + by];
    if (to) router.update({ clip: to }, true);
  }

  function hide() {
    controller.abort();
    clipId = "";
    body.querySelectorAll("video").forEach((video) => { video.removeAttribute("src"); video.load(); });
    put(body);
  }

  async function show(route) {
    if (!route.clip) {
      clipId = "";
      if (box.open) box.close();
      return;
    }
    if (route.clip === clipId) return;
    hide();
    clipId = route.clip;
    controller = new AbortController();
    put(body, top(null, step, box), h("p", { class: "quiet" }, "Loading …"));
    if (!box.open) box.showModal();
    try {
      const clip = await api.get(api.collection(route.collection, "clips", route.clip), { signal: controller.signal });
      fill(route, clip);
    } catch (error) {
      if (error.name !== "AbortError") put(body, top(null, step, box), h("p", { class: "wrong", role: "alert" }, error.message));
    }
  }

  function fill(route, { facts, captions, renders }) {
    const player = playerOf(route, facts);
    const words = Object.entries(captions).flatMap(([table, texts]) => texts.map((text) =>
      h("p", { class: "said", title: table }, text)));
    put(body, top(facts, step, box), player.element,
      h("div", { class: "beside" }, h("div", { class: "main" }, verdict(facts), mark(facts.clip_id), words, actions(facts)),
        sourceStrip(route, facts, player, controller.signal)),
      measured(facts), rendered(renders));
  }
  return { show, close: () => { hide(); box.remove(); } };
}

function top(facts, step, box) {
  const name = facts ? [h("h1", {}, h("bdi", {}, facts.source)), h("p", { class: "num quiet" },
    `${clock(facts.start_s)}–${clock(facts.end_s)} · ${duration(facts.duration_s)} · ${facts.width}×${facts.height} · ${number(facts.fps)} fps`)] : [h("h1", {}, "Clip")];
  const button = (picture, words, run) => h("button", { class: "ghost square", title: words, "aria-label": words, onclick: run }, icon(picture));
  return h("header", {}, h("div", {}, name), h("div", { class: "ends" },
    button("left", "Previous clip (←)", () => step(-1)), button("right", "Next clip (→)", () => step(1)),
    button("close", "Close (Esc)", () => box.close())));
}

function playerOf(route, facts) {
  const clipUrl = api.video(route.collection, facts.clip_id);
  const wrong = h("p", { class: "wrong", role: "alert" });
  const video = h("video", { src: clipUrl, controls: true, muted: true, loop: true, playsinline: true,
    poster: api.thumbnail(route.collection, facts.clip_id), autoplay: reducedMotion.matches ? null : true });
  const what = h("p", { class: "what quiet small", hidden: true }, "The source, from the clip on");
  video.addEventListener("error", () => {
    if (!video.getAttribute("src")) return;
    put(wrong, video.loop ? "The clip cannot be shown just now: its source may be unavailable, or another clip is being cut." :
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
    showClip: () => play(clipUrl, 0, true),
    showSource: (source, at) => play(source, at, false),
  };
}

// Decisions first, then what to look for.
function actions(facts) {
  const go = (name, words, run) => h("button", { class: "button", onclick: run }, icon(name), words);
  const decisions = choices(facts.clip_id);
  return [decisions && h("div", { class: "choices" }, decisions), h("div", { class: "choices" },
    go("similar", "More like this", () => alike(facts.clip_id)),
    go("plus", "Wanted, too", () => example("like", facts.clip_id)),
    go("minus", "Less of this", () => example("minus", facts.clip_id)))];
}

const SHOWN_ELSEWHERE = new Set(["clip_id", "source_id", "source", "start_s", "end_s", "duration_s", "width", "height", "fps",
  "verdict", "reason", "duplicate_of", "group_id", "time_base", "start_frame", "end_frame", "start_pts", "end_pts",
  "shot_start_frame", "shot_end_frame"]);

function measured(facts) {
  const rows = Object.entries(facts).filter(([name, value]) => !SHOWN_ELSEWHERE.has(name) && value !== null)
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
