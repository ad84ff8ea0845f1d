// The query: a text field, examples as thumbnails, and saved searches.

import * as api from "./api.js";
import { h, debounce, put } from "./dom.js";
import { icon } from "./icons.js";
import { choosePicture, heldImage } from "./picture.js";
import * as router from "./router.js";
import { savedMenu } from "./saved.js";
import { spaced } from "./format.js";

export function searchBar() {
  const field = h("input", { type: "search", name: "q", autocomplete: "off", spellcheck: "false",
    placeholder: "What should be seen? A car at night, a slow pan over water …", "aria-label": "Search clips" });
  let isTyping = false; // text being typed is not overwritten
  const submitSoon = debounce(350, () => submit());
  const chips = h("ul", { class: "chips", "aria-label": "Examples and filters" });
  const saved = h("div", { class: "saved" });

  function submit() {
    isTyping = false;
    if (field.value.trim() === router.current().text.trim()) return;
    router.update({ text: field.value.trim(), picture: false });
  }
  function key(event) {
    if (event.key === "Escape") {
      if (field.value) field.value = "";
      else field.blur();
      submit();
      event.preventDefault();
    } else if (event.key === "ArrowDown") {
      document.querySelector(".tile a.open")?.focus();
      event.preventDefault();
    }
  }
  field.addEventListener("input", () => { isTyping = true; submitSoon(); });
  field.addEventListener("keydown", key);
  const form = h("form", { class: "search", role: "search",
    onsubmit: (event) => { event.preventDefault(); submit(); } },
    icon("search"), field,
    h("button", { type: "button", class: "ghost square", title: "Search by a picture: choose, drop or paste one",
      "aria-label": "Search by a picture", onclick: choosePicture }, icon("picture")));

  function show(route) {
    if (!isTyping) field.value = route.text;
    put(saved, savedMenu(route));
    put(chips, examples(route), filters(route));
    chips.hidden = !chips.children.length;
  }
  return { element: h("div", { class: "ask" }, h("div", { class: "row" }, form, saved), chips), show };
}

function examples(route) {
  const found = [
    ...route.like.map((clip) => example(route, "like", clip)),
    ...route.minus.map((clip) => example(route, "minus", clip)),
  ];
  if (route.picture && heldImage.url) {
    found.unshift(chip("example", [h("img", { src: heldImage.url, alt: "" }), "like this picture"],
      "the picture", { picture: false }));
  }
  return found;
}

function example(route, side, clip) {
  const others = route[side].filter((id) => id !== clip);
  const changes = { [side]: others };
  // Unwanted examples make no sense alone.
  if (side === "like" && !others.length && !route.text) changes.minus = [];
  const words = side === "like" ? "more like" : "less like";
  const picture = h("img", { src: api.thumbnail(route.collection, clip), alt: "" });
  return chip(`example ${side}`, [picture, words], `${words} clip ${clip.slice(0, 8)}`, changes);
}

function filters(route) {
  const found = [];
  for (const [column, words] of Object.entries(route.words)) {
    for (const word of words) {
      const rest = { ...route.words, [column]: words.filter((one) => one !== word) };
      found.push(chip("filter", [`${spaced(column)}: `, h("b", {}, spaced(word))], `${column} ${word}`, { words: rest }));
    }
  }
  for (const [column, { min, max }] of Object.entries(route.ranges)) {
    const { [column]: _, ...rest } = route.ranges;
    const text = `${min === null ? "" : `${min} ≤ `}${spaced(column)}${max === null ? "" : ` ≤ ${max}`}`;
    found.push(chip("filter num", [text], column, { ranges: rest }));
  }
  if (route.where) found.push(chip("filter code", [route.where], "the condition", { where: "" }));
  if (found.length + route.like.length + route.minus.length > 1) {
    found.push(h("li", {}, h("a", { class: "clear", href: router.linkTo({ text: route.text }) }, "Clear all")));
  }
  return found;
}

function chip(kind, words, name, changes) {
  return h("li", { class: `chip ${kind}` }, h("span", {}, words),
    h("button", { class: "ghost", "aria-label": `Without ${name}`, onclick: () => router.update(changes) }, icon("close")));
}
