// Facets: words with their counts, value ranges, and a free condition.

import { h, put, debounce } from "./dom.js";
import * as router from "./router.js";
import { plain, spaced, thousands } from "./format.js";

const WIDE = window.matchMedia("(min-width: 900px)");
const FIRST = 8;

export function facetsPanel() {
  const inside = h("div", { class: "inside" });
  const chosen = h("span", { class: "tally" });
  const element = h("details", { class: "filters", open: WIDE.matches },
    h("summary", {}, "Filters", chosen), inside);
  const unfolded = new Set();

  function show(results, route) {
    const amount = Object.values(route.words).flat().length + Object.keys(route.ranges).length + (route.where ? 1 : 0);
    put(chosen, amount ? String(amount) : "");
    const focus = document.activeElement?.dataset?.key;
    put(inside, results.facets.map((facet) => words(facet, route, unfolded)),
      values(results.spans, route, unfolded), free(route));
    if (focus) inside.querySelector(`[data-key="${CSS.escape(focus)}"]`)?.focus();
  }
  return { element, show };
}

function words(facet, route, unfolded) {
  const chosen = route.words[facet.column] ?? [];
  const most = Math.max(1, ...facet.words.map((one) => one.clips));
  const all = unfolded.has(facet.column) || facet.words.length <= FIRST + 2;
  const rows = facet.words.slice(0, all ? undefined : FIRST).map(({ word, clips }) => {
    const key = `${facet.column}=${word}`;
    const box = h("input", { type: "checkbox", checked: chosen.includes(word), "data-key": key,
      onchange: (event) => choose(facet.column, word, event.target.checked) });
    const meter = h("i", { class: `meter back-${facet.column === "verdict" ? word : "plain"}` });
    meter.style.width = `${(100 * clips) / most}%`;
    return h("li", {}, h("label", {}, box, h("span", { class: "word" }, spaced(word)),
      h("span", { class: "num quiet" }, thousands(clips))), meter);
  });
  const more = h("button", { class: "text", onclick: (event) => {
    unfolded.add(facet.column);
    event.target.closest("fieldset").replaceWith(words(facet, route, unfolded));
  } }, `${facet.words.length - FIRST} more`);
  return h("fieldset", { title: facet.about }, h("legend", {}, spaced(facet.column)), h("ul", {}, rows), !all && more);
}

function choose(column, word, on) {
  const { words: now } = router.current();
  const others = (now[column] ?? []).filter((one) => one !== word);
  router.update({ words: { ...now, [column]: on ? [...others, word] : others } });
}

function values(spans, route, unfolded) {
  const open = unfolded.has("values") || Object.keys(route.ranges).length > 0;
  const fold = h("details", { class: "values", open }, h("summary", {}, "Measured values"),
    h("ul", {}, spans.map((span) => range(span, route.ranges[span.column]))));
  fold.addEventListener("toggle", () => (fold.open ? unfolded.add("values") : unfolded.delete("values")));
  return fold;
}

function range({ column, about, min, max }, chosen) {
  const set = debounce(500, (side, text) => {
    const { ranges } = router.current();
    const bounds = { min: null, max: null, ...ranges[column], [side]: text === "" ? null : Number(text) };
    const { [column]: _, ...others } = ranges;
    router.update({ ranges: bounds.min === null && bounds.max === null ? others : { ...others, [column]: bounds } });
  });
  const end = (side, limit) => h("input", { type: "number", step: "any", inputmode: "decimal",
    "data-key": `${column}.${side}`, placeholder: plain(limit, 2), value: chosen?.[side] ?? "",
    "aria-label": `${spaced(column)}, ${side === "min" ? "at least" : "at most"}`,
    oninput: (event) => set(side, event.target.value) });
  return h("li", { title: `${about} ${plain(min)} to ${plain(max)} in this collection.` },
    h("span", { class: "word" }, spaced(column)), end("min", min), h("span", { class: "quiet" }, "–"), end("max", max));
}

function free(route) {
  const field = h("textarea", { name: "where", rows: "2", spellcheck: "false", "data-key": "where", value: route.where,
    placeholder: "motion > 0.1 and duration_s < 5", "aria-label": "Condition",
    onchange: (event) => router.update({ where: event.target.value.trim() }) });
  field.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      router.update({ where: field.value.trim() });
    }
  });
  const by = h("select", { name: "by", onchange: (event) => router.update({ by: event.target.value }) },
    [["auto", "captions and pictures"], ["words", "captions only"], ["vectors", "pictures only"]].map(
      ([value, text]) => h("option", { value, selected: route.by === value }, text)));
  return h("div", { class: "free" },
    h("label", {}, h("span", {}, "Condition"), field),
    h("label", {}, h("span", {}, "Words are looked up in"), by));
}
