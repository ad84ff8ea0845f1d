// The question: a field for words, examples as small pictures, and the searches that were saved.

import * as api from "./api.js";
import { h, later, put } from "./dom.js";
import { icon } from "./icons.js";
import { choosePicture, held } from "./picture.js";
import * as places from "./place.js";
import { savedMenu } from "./saved.js";
import { spaced } from "./words.js";

export function searchBar() {
  const field = h("input", { type: "search", name: "q", autocomplete: "off", spellcheck: "false",
    placeholder: "What should be seen? A car at night, a slow pan over water …", "aria-label": "Search clips" });
  let isTyping = false; // what is being written is not overwritten by what was asked before
  const typed = later(350, () => asked());
  const chips = h("ul", { class: "chips", "aria-label": "Examples and filters" });
  const saved = h("div", { class: "saved" });

  function asked() {
    isTyping = false;
    if (field.value.trim() === places.here().text.trim()) return;
    places.change({ text: field.value.trim(), picture: false });
  }
  function key(event) {
    if (event.key === "Escape") {
      if (field.value) field.value = "";
      else field.blur();
      asked();
      event.preventDefault();
    } else if (event.key === "ArrowDown") {
      document.querySelector(".tile a.open")?.focus();
      event.preventDefault();
    }
  }
  field.addEventListener("input", () => { isTyping = true; typed(); });
  field.addEventListener("keydown", key);
  const form = h("form", { class: "search", role: "search",
    onsubmit: (event) => { event.preventDefault(); asked(); } },
    icon("search"), field,
    h("button", { type: "button", class: "ghost square", title: "Search by a picture: choose, drop or paste one",
      "aria-label": "Search by a picture", onclick: choosePicture }, icon("picture")));

  function show(place) {
    if (!isTyping) field.value = place.text;
    put(saved, savedMenu(place));
    put(chips, examples(place), filters(place));
    chips.hidden = !chips.children.length;
  }
  return { element: h("div", { class: "ask" }, h("div", { class: "row" }, form, saved), chips), show };
}

function examples(place) {
  const found = [
    ...place.like.map((clip) => example(place, "like", clip)),
    ...place.minus.map((clip) => example(place, "minus", clip)),
  ];
  if (place.picture && held.url) {
    found.unshift(chip("example", [h("img", { src: held.url, alt: "" }), "like this picture"],
      "the picture", { picture: false }));
  }
  return found;
}

function example(place, side, clip) {
  const others = place[side].filter((id) => id !== clip);
  const changes = { [side]: others };
  // Unwanted examples make no sense alone.
  if (side === "like" && !others.length && !place.text) changes.minus = [];
  const words = side === "like" ? "more like" : "less like";
  const picture = h("img", { src: api.thumbnail(place.collection, clip), alt: "" });
  return chip(`example ${side}`, [picture, words], `${words} clip ${clip.slice(0, 8)}`, changes);
}

function filters(place) {
  const found = [];
  for (const [column, words] of Object.entries(place.words)) {
    for (const word of words) {
      const left = { ...place.words, [column]: words.filter((one) => one !== word) };
      found.push(chip("filter", [`${spaced(column)}: `, h("b", {}, spaced(word))], `${column} ${word}`, { words: left }));
    }
  }
  for (const [column, { min, max }] of Object.entries(place.ranges)) {
    const { [column]: _, ...left } = place.ranges;
    const text = `${min === null ? "" : `${min} ≤ `}${spaced(column)}${max === null ? "" : ` ≤ ${max}`}`;
    found.push(chip("filter num", [text], column, { ranges: left }));
  }
  if (place.where) found.push(chip("filter code", [place.where], "the condition", { where: "" }));
  if (found.length + place.like.length + place.minus.length > 1) {
    found.push(h("li", {}, h("a", { class: "clear", href: places.elsewhere({ text: place.text }) }, "Clear all")));
  }
  return found;
}

function chip(kind, words, name, changes) {
  return h("li", { class: `chip ${kind}` }, h("span", {}, words),
    h("button", { class: "ghost", "aria-label": `Without ${name}`, onclick: () => places.change(changes) }, icon("close")));
}
