// Playing a clip where it is: under the pointer, or with the space bar. One at a time, without sound.

import { h, reducedMotion } from "./dom.js";

let playing = null;

export function playable(area, frame, source, delay) {
  let timer;
  const start = (wait) => {
    clearTimeout(timer);
    timer = setTimeout(() => play(frame, source), wait);
  };
  const end = () => {
    clearTimeout(timer);
    if (playing?.frame === frame) stop();
  };
  area.addEventListener("pointerenter", (event) => {
    if (event.pointerType === "mouse" && !reducedMotion.matches) start(delay);
  });
  area.addEventListener("pointerleave", end);
  area.addEventListener("focusout", (event) => { if (!area.contains(event.relatedTarget)) end(); });
  area.addEventListener("keydown", (event) => {
    if (event.key !== " " || event.target.matches("button")) return;
    event.preventDefault();
    if (playing?.frame === frame) end();
    else start(0);
  });
}

function play(frame, source) {
  stop();
  const video = h("video", { src: source, muted: true, loop: true, playsinline: true, preload: "auto",
    tabindex: "-1", "aria-hidden": "true", disablepictureinpicture: true });
  video.addEventListener("playing", () => frame.classList.add("plays"), { once: true });
  video.addEventListener("error", () => stop(frame), { once: true });
  frame.append(video);
  playing = { frame, video };
  video.play().catch(() => {}); // removed before it started
}

function stop(of = null) {
  if (!playing || (of && playing.frame !== of)) return;
  playing.frame.classList.remove("plays");
  playing.video.removeAttribute("src");
  playing.video.load(); // lets go of the connection
  playing.video.remove();
  playing = null;
}
