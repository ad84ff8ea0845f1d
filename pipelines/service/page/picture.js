// A picture to search by: chosen, dropped or pasted; made small here before it is sent.

import { h, say } from "./dom.js";
import * as places from "./place.js";

const LONGEST = 1024;

export const held = { blob: null, url: "" };

async function take(file) {
  try {
    const bitmap = await createImageBitmap(file);
    const scale = Math.min(1, LONGEST / Math.max(bitmap.width, bitmap.height));
    const canvas = h("canvas", {});
    canvas.width = Math.max(1, Math.round(bitmap.width * scale));
    canvas.height = Math.max(1, Math.round(bitmap.height * scale));
    canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    const blob = await new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.92));
    if (held.url) URL.revokeObjectURL(held.url);
    held.blob = blob;
    held.url = URL.createObjectURL(blob);
  } catch {
    say("This browser cannot read that as a picture.", "bad");
    return;
  }
  // The address alone would not change from one picture to the next.
  if (places.here().picture) places.change({ picture: false }, true);
  places.change({ picture: true, text: "", like: [], minus: [], by: "auto", clip: "" });
}

export function choosePicture() {
  const chooser = h("input", { type: "file", accept: "image/*" });
  chooser.addEventListener("change", () => chooser.files[0] && take(chooser.files[0]));
  chooser.click();
}

export function acceptPictures() {
  const veil = h("div", { class: "veil" }, h("p", {}, "Drop a picture to find clips that look like it"));
  const carries = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  let depth = 0;
  const over = (event) => { if (carries(event)) event.preventDefault(); };
  const enter = (event) => { if (carries(event) && depth++ === 0) document.body.append(veil); };
  const leave = (event) => { if (carries(event) && --depth <= 0) { depth = 0; veil.remove(); } };
  function drop(event) {
    if (!carries(event)) return;
    event.preventDefault();
    depth = 0;
    veil.remove();
    const file = [...event.dataTransfer.files].find((one) => one.type.startsWith("image/"));
    if (file) take(file);
    else say("That is no picture.", "bad");
  }
  function paste(event) {
    const file = [...(event.clipboardData?.files ?? [])].find((one) => one.type.startsWith("image/"));
    if (file) take(file);
  }
  const heard = [["dragover", over], ["dragenter", enter], ["dragleave", leave], ["drop", drop], ["paste", paste]];
  heard.forEach(([name, act]) => document.addEventListener(name, act));
  return () => {
    heard.forEach(([name, act]) => document.removeEventListener(name, act));
    veil.remove();
  };
}
