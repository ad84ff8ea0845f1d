// Clips kept or dropped by hand: k keeps, x drops, u takes the last decision back.

import * as api from "./api.js";
import { h, notify } from "./dom.js";
import { icon } from "./icons.js";

const of = (collection) => ({
  collection,
  decided: new Map(), // by clip
  before: [], // what to go back to, the last decision at the end
});
let shown = of("");
let last = Promise.resolve();

// Runs after all that was asked before, on the collection that is shown now: whoever takes a decision
// back at once means that decision, though the server has not stored it yet.
function inTurn(run) {
  const reviews = shown;
  const result = last.then(() => run(reviews));
  last = result.catch(() => {});
  return result;
}

export function loadReviews(name, signal) {
  if (name !== shown.collection) shown = of(name);
  return inTurn(async ({ collection, decided }) => {
    const { reviews } = await api.get(api.collection(collection, "reviews"), { signal });
    decided.clear();
    for (const review of reviews) decided.set(review.clip_id, review);
    announce();
  });
}

export function decide(clip, decision) {
  if (!api.may("submit")) {
    notify("Your API key may not decide about clips; ask for one with the scope submit.");
    return;
  }
  inTurn(async (reviews) => {
    const old = reviews.decided.get(clip)?.decision ?? "undo";
    if (old === decision) return;
    if (await store(reviews, clip, decision)) reviews.before.push([clip, old]);
  });
}

export function takeBack() {
  inTurn(async (reviews) => {
    const back = reviews.before.pop();
    if (!back) notify("Nothing was decided here that could be taken back.");
    else if (!await store(reviews, ...back)) reviews.before.push(back);
  });
}

async function store({ collection, decided }, clip, decision) {
  try {
    const { by } = await api.post(api.collection(collection, "reviews"), { clips: [clip], decision });
    if (decision === "undo") decided.delete(clip);
    else decided.set(clip, { clip_id: clip, decision, by, at: new Date().toISOString(), note: null });
    announce();
    return true;
  } catch (error) {
    notify(error.message, "bad");
    return false;
  }
}

const announce = () => document.dispatchEvent(new CustomEvent("reviewed"));

// Keeps an element in step with what is decided about a clip, as long as it is shown.
function follow(element, show) {
  const update = () => {
    if (element.isConnected) show();
    else document.removeEventListener("reviewed", update);
  };
  document.addEventListener("reviewed", update);
  show();
  return element;
}

export function mark(clip) {
  const element = h("p", { class: "review", hidden: true });
  return follow(element, () => {
    const review = shown.decided.get(clip);
    element.hidden = !review;
    element.dataset.decision = review?.decision ?? "";
    element.textContent = review ? `${review.decision === "keep" ? "kept" : "dropped"} by hand` : "";
    element.title = review ? `by ${review.by}, ${review.at.slice(0, 16).replace("T", " ")} UTC` : "";
  });
}

export function choices(clip) {
  if (!api.may("submit")) return null;
  const button = (name, words, decision) => {
    const element = h("button", { class: "button", onclick: () =>
      decide(clip, shown.decided.get(clip)?.decision === decision ? "undo" : decision) }, icon(name), words);
    return follow(element, () => element.setAttribute("aria-pressed", String(shown.decided.get(clip)?.decision === decision)));
  };
  return [button("check", "Keep", "keep"), button("close", "Drop", "drop")];
}

// What a key does to a clip; whether it does anything.
export function press(key, clip) {
  if (key === "k") decide(clip, "keep");
  else if (key === "x") decide(clip, "drop");
  else if (key === "u") takeBack();
  else return false;
  return true;
}

export function tally() {
  const element = h("span", { class: "quiet small num", hidden: true });
  return follow(element, () => {
    element.hidden = !shown.decided.size;
    element.textContent = `${shown.decided.size} by hand`;
    element.title = "Kept or dropped by hand; the next select applies it";
  });
}
