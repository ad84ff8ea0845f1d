// Clips: a question on top, what narrows it at the side, and what was found.

import * as api from "./api.js";
import { clipView } from "./clip_view.js";
import { h, put } from "./dom.js";
import { exportDialog } from "./export.js";
import { facetsPanel } from "./facets.js";
import { grid } from "./grid.js";
import { acceptPictures, held } from "./picture.js";
import * as places from "./place.js";
import { base, isRanked, question, same } from "./question.js";
import { searchBar } from "./search_bar.js";
import { count, thousands } from "./words.js";

const PAGE = 48;

export function clipsView(root, first, { collections }) {
  if (!collections.length) return nothingYet(root);
  let place = first;
  let asking = new AbortController();
  let next = null;
  let total = null;
  let isJudged = false; // whether clips have verdicts
  const bar = searchBar();
  const panel = facetsPanel();
  const wrong = h("div", { class: "wrong notice", role: "alert" });
  const line = h("p", { class: "found", role: "status" });
  const tools = h("div", { class: "tools" });
  const sheet = grid(more);
  const opened = clipView(() => sheet.ids());
  put(root, h("div", { class: "clips" }, panel.element,
    h("section", { class: "results", "aria-label": "Clips" }, bar.element, wrong,
      h("div", { class: "line" }, line, tools), sheet.element)));
  const forget = acceptPictures(root);

  async function ask(after) {
    const signal = asking.signal;
    const where = api.collection(place.collection, "search");
    if (place.picture) return askPicture(where, signal);
    const asked = { ...question(place, isJudged), top: PAGE, ...(after ? { after } : {}) };
    return api.post(where, asked, { signal });
  }

  async function askPicture(where, signal) {
    const params = new URLSearchParams({ top: 100, collapse: !place.all });
    const { where: narrowed } = question(place, isJudged);
    if (narrowed) params.set("where", narrowed);
    const found = await api.post(`${where}/picture?${params}`, held.blob, { type: held.blob.type, signal });
    return { ...found, next: null };
  }

  async function renew() {
    asking.abort();
    asking = new AbortController();
    put(wrong);
    sheet.wait();
    try {
      const facets = await countFacets(asking.signal);
      total = facets.total;
      isJudged = facets.facets.some((facet) => facet.column === "verdict");
      const found = await ask();
      next = found.next;
      panel.show(facets, place);
      sheet.show(found.hits, place, Boolean(next));
      tell(found.hits.length);
    } catch (error) {
      if (error.name !== "AbortError") refuse(error);
    }
  }

  function countFacets(signal, isRight = true) {
    const body = { where: base(isRight ? place : { ...place, where: "" }), words: place.words };
    return api.post(api.collection(place.collection, "facets"), body, { signal });
  }

  async function more() {
    if (!next) return;
    const after = next;
    next = null;
    try {
      const found = await ask(after);
      next = found.next;
      sheet.add(found.hits, Boolean(next));
      tell(sheet.ids().length);
    } catch (error) {
      if (error.name !== "AbortError") refuse(error);
    }
  }

  function refuse(error) {
    if (error.status === 401) return;
    put(line);
    put(tools);
    sheet.show([], place, false, true);
    if (error.status === 403) {
      put(wrong, "Your token may look but not search; ask for one with the scope search.");
      return;
    }
    const [what, known] = error.message.split("; there are ");
    put(wrong, what, known && h("details", {}, h("summary", {}, "What there is"), known));
    // What narrows the clips stays there to be mended.
    if (place.where) countFacets(asking.signal, false).then((facets) => panel.show(facets, place), () => {});
  }

  function tell(shown) {
    const words = isRanked(place)
      ? [h("b", {}, next ? `Best ${thousands(shown)}` : thousands(shown)), ` of ${count(total, "clip")}`, next ? "" : shown === 1 ? " fits" : " fit, best first"]
      : [h("b", {}, thousands(shown)), shown === total ? (total === 1 ? " clip" : " clips") : ` of ${count(total, "clip")}`];
    put(line, words, !place.all && !next && !isRanked(place) && shown < total
      ? h("span", { class: "quiet" }, `, ${count(total - shown, "near-duplicate")} hidden`) : "");
    const all = h("input", { type: "checkbox", checked: !place.all,
      onchange: () => places.change({ all: !place.all }) });
    put(tools, h("label", { class: "switch" }, all, h("span", {}, "Hide duplicates")),
      api.may("submit") && h("button", { class: "button", disabled: !shown || place.picture,
        title: place.picture ? "Mark some of these with + first: a picture cannot be asked for again later" : null,
        onclick: () => exportDialog(place, question(place, isJudged), next ? null : shown, total) }, "Export as dataset"));
  }

  function update(now, isFirst = false) {
    if (now.picture && !held.blob) {
      places.change({ picture: false }, true);
      return;
    }
    const changed = isFirst || !same(place, now);
    place = now;
    bar.show(place);
    if (changed) renew();
    opened.show(place);
  }

  update(first, true);
  return {
    update,
    close() {
      asking.abort();
      forget();
      opened.close();
      sheet.close();
    },
  };
}

function nothingYet(root) {
  put(root, h("section", { class: "page narrow" }, h("div", { class: "empty" },
    h("h1", {}, "No collection yet"),
    h("p", {}, "A collection is what a job makes of videos: their clips, what was measured of them, and which are worth keeping."),
    api.may("submit") && h("a", { class: "button main", href: places.elsewhere({ view: "submit" }) }, "Curate some videos"))));
  return {};
}

