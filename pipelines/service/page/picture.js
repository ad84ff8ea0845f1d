// An image to search by: chosen, dropped or pasted; scaled down here before it is sent.

import { h, notify } from "./dom.js";
import * as router from "./router.js";

const LONGEST = 1024;

export const heldImage = { blob: null, url: "" };

async function take(file) {
  try {
    const bitmap = await createImageBitmap(file);
    const scale = Math.min(1, LONGEST / Math.max(bitmap.width, bitmap.height));
    const canvas = h("canvas", {});
    canvas.width = Math.max(1, Math.round(bitmap.width * scale));
    canvas.height = Math.max(1, Math.round(bitmap.height * scale));
    canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    const blob = await new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.92));
    if (heldImage.url) URL.revokeObjectURL(heldImage.url);
    heldImage.blob = blob;
    heldImage.url = URL.createObjectURL(blob);
  } catch {
    notify("This browser cannot read that as a picture.", "bad");
    return;
  }
  // The address alone would not change from item picture to the next.
  if (router.current().picture) router.update({ picture: false }, true);
  router.update({ picture: true, text: "", like: [], minus: [], by: "auto", clip: "" });
}

export function choosePicture() {
  const chooser = h("input", { type: "file", accept: "image/*" });
  chooser.addEventListener("change", () => chooser.files[0] && take(chooser.files[0]));
  chooser.click();
}

export function acceptPictures() {
  const veil = h("div", { class: "veil" }, h("p", {}, "Drop a picture to find clips that look like it"));
  const hasFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  let depth = 0;
  const over = (event) => { if (hasFiles(event)) event.preventDefault(); };
  const enter = (event) => { if (hasFiles(event) && depth++ === 0) document.body.append(veil); };
  const leave = (event) => { if (hasFiles(event) && --depth <= 0) { depth = 0; veil.remove(); } };
  function drop(event) {
    if (!hasFiles(event)) return;
    event.preventDefault();
    depth = 0;
    veil.remove();
    const file = [...event.dataTransfer.files].find((item) => item.type.startsWith("image/"));
    if (file) take(file);
    else notify("That is no picture.", "bad");
  }
  function paste(event) {
    const file = [...(event.clipboardData?.files ?? [])].find((item) => item.type.startsWith("image/"));
    if (file) take(file);
  }
  const listeners = [["dragover", over], ["dragenter", enter], ["dragleave", leave], ["drop", drop], ["paste", paste]];
  listeners.forEach(([name, act]) => document.addEventListener(name, act));
  return () => {
    listeners.forEach(([name, act]) => document.removeEventListener(name, act));
    veil.remove();
  };
}
