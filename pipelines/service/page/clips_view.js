// Clips: the query on top, facets at the side, and the hits.

import * as api from "./api.js";
import { clipView } from "./clip_view.js";
import { h, put } from "./dom.js";
import { exportDialog } from "./export.js";
import { facetsPanel } from "./facets.js";
import { grid } from "./grid.js";
import { acceptPictures, heldImage } from "./picture.js";
import { loadReviews, tally } from "./reviews.js";
import * as router from "./router.js";
import { base, isRanked, same, toQuery } from "./query.js";
import { searchBar } from "./search_bar.js";
import { count, thousands } from "./format.js";

const PAGE = 48;

export function clipsView(root, first, { collections }) {
  if (!collections.length) return noCollections(root);
  let route = first;
  let controller = new AbortController();
  let next = null;
  let searched = []; // what words and examples were compared with
  let total = null;
  let hasVerdicts = false; // whether clips have verdicts
  const bar = searchBar();
  const panel = facetsPanel();
  const wrong = h("div", { class: "wrong notice", role: "alert" });
  const line = h("p", { class: "found", role: "status" });
  const tools = h("div", { class: "tools" });
  const clips = grid(more);
  const dialog = clipView(() => clips.ids());
  put(root, h("div", { class: "clips" }, panel.element,
    h("section", { class: "results", "aria-label": "Clips" }, bar.element, wrong,
      h("div", { class: "line" }, line, tools), clips.element)));
  const removeListeners = acceptPictures(root);

  async function search(after) {
    const signal = controller.signal;
    const path = api.collection(route.collection, "search");
    if (route.picture) return searchByImage(path, signal);
    const query = { ...toQuery(route, hasVerdicts), top: PAGE, ...(after ? { after } : {}) };
    return api.post(path, query, { signal });
  }

  async function searchByImage(path, signal) {
    const params = new URLSearchParams({ top: 100, collapse: !route.all });
    const { where: narrowed } = toQuery(route, hasVerdicts);
    if (narrowed) params.set("where", narrowed);
    const results = await api.post(`${path}/picture?${params}`, heldImage.blob, { type: heldImage.blob.type, signal });
    return { ...results, next: null };
  }

  async function reload() {
    controller.abort();
    controller = new AbortController();
    put(wrong);
    clips.wait();
    try {
      const facets = await countFacets(controller.signal);
      total = facets.total;
      hasVerdicts = facets.facets.some((facet) => facet.column === "verdict");
      const results = await search();
      next = results.next;
      panel.show(facets, route);
      loadReviews(route.collection, controller.signal).catch(() => {}); // the clips are what matters
      searched = results.searched;
      clips.show(results.hits, route, Boolean(next));
      showCount(results.hits.length);
    } catch (error) {
      if (error.name !== "AbortError") showError(error);
    }
  }

  function countFacets(signal, isRight = true) {
    const body = { where: base(isRight ? route : { ...route, where: "" }), words: route.words };
    return api.post(api.collection(route.collection, "facets"), body, { signal });
  }

  async function more() {
    if (!next) return;
    const after = next;
    next = null;
    try {
      const results = await search(after);
      next = results.next;
      clips.add(results.hits, Boolean(next));
      showCount(clips.ids().length);
    } catch (error) {
      if (error.name !== "AbortError") showError(error);
    }
  }

  function showError(error) {
    if (error.status === 401) return;
    put(line);
    put(tools);
    clips.show([], route, false, true);
    if (error.status === 403) {
      put(wrong, "Your API key may read but not search; ask for one with the scope search.");
      return;
    }
    const [what, known] = error.message.split("; there are ");
    put(wrong, what, known && h("details", {}, h("summary", {}, "What there is"), known));
    // The facets stay, so that the condition can be corrected.
    if (route.where) countFacets(controller.signal, false).then((facets) => panel.show(facets, route), () => {});
  }

  function showCount(shown) {
    const words = isRanked(route)
      ? [h("b", {}, next ? `Best ${thousands(shown)}` : thousands(shown)), ` of ${count(total, "clip")}`, next ? "" : shown === 1 ? " fits" : " fit, best first"]
      : [h("b", {}, thousands(shown)), shown === total ? (total === 1 ? " clip" : " clips") : ` of ${count(total, "clip")}`];
    put(line, words, !route.all && !next && !isRanked(route) && shown < total
      ? h("span", { class: "quiet" }, `, ${count(total - shown, "near-duplicate")} hidden`) : "",
      searched.length ? h("span", { class: "quiet" }, `, searched by ${searched.join(" and ")}`) : "");
    const all = h("input", { type: "checkbox", checked: !route.all,
      onchange: () => router.update({ all: !route.all }) });
    put(tools, tally(), h("label", { class: "switch" }, all, h("span", {}, "Hide duplicates")),
      api.may("submit") && h("button", { class: "button", disabled: !shown || route.picture,
        title: route.picture ? "Mark some of these with + first: a picture cannot be asked for again later" : null,
        onclick: () => exportDialog(route, toQuery(route, hasVerdicts), next ? null : shown, total) }, "Export as dataset"));
  }

  function update(now, isFirst = false) {
    if (now.picture && !heldImage.blob) {
      router.update({ picture: false }, true);
      return;
    }
    const changed = isFirst || !same(route, now);
    route = now;
    bar.show(route);
    if (changed) reload();
    dialog.show(route);
  }

  update(first, true);
  return {
    update,
    close() {
      controller.abort();
      removeListeners();
      dialog.close();
      clips.close();
    },
  };
}

function noCollections(root) {
  put(root, h("section", { class: "page narrow" }, h("div", { class: "empty" },
    h("h1", {}, "No collection yet"),
    h("p", {}, "A collection is what a job makes of videos: their clips, what was measured of them, and which are worth keeping."),
    api.may("submit") && h("a", { class: "button main", href: router.linkTo({ view: "submit" }) }, "Curate some videos"))));
  return {};
}

