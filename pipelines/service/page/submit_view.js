// The form of a new job: kind, collection, inputs and settings; and the plan with its cost.

import * as api from "./api.js";
import { h, newId, put } from "./dom.js";
import * as router from "./router.js";
import { planCard } from "./plan.js";

export function submitView(root, route, { collections, kinds }) {
  const names = newId("names");
  const kind = h("select", { name: "kind", onchange: showFields }, Object.keys(kinds).map((one) => h("option", { value: one, selected: one === route.kind }, one)));
  const about = h("small", { class: "quiet" });
  const collection = h("input", { type: "text", name: "collection", required: true, maxlength: "64", list: names, autocomplete: "off",
    pattern: "[A-Za-z0-9][A-Za-z0-9_\\-]*", title: "Letters, digits, _ and -", value: route.collection || "" });
  const inputs = h("textarea", { name: "inputs", rows: "2", spellcheck: "false" });
  const sources = h("small", { class: "quiet" });
  const settings = h("textarea", { name: "settings", rows: "3", spellcheck: "false", placeholder: "motion.min = 0.01" });
  const selection = h("input", { type: "text", name: "selection", placeholder: "the newest" });
  const format = h("select", { name: "format" }, ["webdataset", "hf"].map((one) => h("option", { value: one }, one)));
  const priority = h("input", { type: "number", name: "priority", min: "-100",
    max: api.may("admin") ? "100" : "0", value: "0" });
  const wrong = h("p", { class: "wrong", role: "alert" });
  const plan = h("div", { class: "plan", "aria-live": "polite" });
  const rows = { inputs: row("Inputs", inputs, sources), selection: row("Selection", selection), format: row("Format", format),
    settings: row("Settings", settings, h("small", { class: "quiet" }, "One a line, as KEY = VALUE; the plan shows what they lead to.")) };
  const send = h("button", { class: "button main", name: "submit" }, "Submit");
  const form = h("form", { class: "card submit", onsubmit: submit, oninput: () => { key = newKey(); } },
    row("What", kind, about), row("Collection", collection), h("datalist", { id: names }, collections.map((one) => h("option", { value: one }))),
    rows.inputs, rows.selection, rows.format, rows.settings, row("Priority", priority), wrong,
    h("div", { class: "row end" }, h("button", { type: "button", class: "button", name: "plan", onclick: showPlan }, "What would it do?"), send));
  put(root, h("section", { class: "page submit-page" }, h("h1", {}, "New job"), h("div", { class: "two" }, form, plan)));
  let key = newKey();
  showFields();
  loadSources();

  function showFields() {
    const info = kinds[kind.value];
    put(about, info.summary);
    rows.inputs.hidden = !info.takes_inputs;
    rows.selection.hidden = !info.takes_selection;
    rows.format.hidden = kind.value !== "export";
    rows.settings.hidden = !info.takes_settings;
  }

  async function loadSources() {
    const found = await api.get("/v1/sources").catch(() => []);
    if (!inputs.value && found.length) [inputs.value] = found;
    put(sources, found.length ? ["Sources: ", found.map((name) => h("code", {}, name)), " or a path below one, such as ", h("code", {}, `${found[0]}/folder`)]
      : "This server has no sources: start it with --source NAME=FOLDER.");
  }

  function formRequest() {
    const request = { kind: kind.value, collection: collection.value.trim(), priority: Number(priority.value) };
    if (!rows.inputs.hidden) request.inputs = inputs.value.split("\n").map((line) => line.trim()).filter(Boolean);
    if (!rows.settings.hidden) request.settings = parseSettings(settings.value);
    if (!rows.selection.hidden && selection.value.trim()) request.selection = selection.value.trim();
    if (!rows.format.hidden) request.format = format.value;
    return request;
  }

  async function withErrors(act) {
    put(wrong);
    if (!form.reportValidity()) return;
    try {
      await act(formRequest());
    } catch (error) {
      put(wrong, error.message);
    }
  }

  function showPlan() {
    return withErrors(async (request) => put(plan, planCard(await api.post("/v1/plan", request))));
  }

  function submit(event) {
    event.preventDefault();
    withErrors(async (request) => {
      send.disabled = true;
      try {
        // The same key makes one job, however often the same form is sent.
        const job = await api.post("/v1/jobs", request, { headers: { "Idempotency-Key": key } });
        key = newKey();
        router.navigate(router.linkTo({ view: "jobs", job: job.job_id, collection: job.collection }));
      } finally {
        send.disabled = false;
      }
    });
  }
  return {};
}

const newKey = () => [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");

function row(words, field, hint = null) {
  return h("label", { class: "field" }, h("span", {}, words), field, hint);
}

function parseSettings(text) {
  const settings = {};
  for (const line of text.split("\n").map((one) => one.trim()).filter(Boolean)) {
    const at = line.indexOf("=");
    if (at < 1) throw new Error(`“${line}”: write it as KEY = VALUE`);
    const value = line.slice(at + 1).trim();
    try {
      settings[line.slice(0, at).trim()] = JSON.parse(value);
    } catch {
      settings[line.slice(0, at).trim()] = value;
    }
  }
  return settings;
}
