// The plan of a job: what it would do and cost.

import { h } from "./dom.js";
import { count, duration, size, thousands } from "./format.js";

export function planCard(plan) {
  const steps = Object.entries(plan.steps);
  return h("section", { class: "card", "aria-label": "Plan" }, h("h2", {}, "It would"),
    plan.inputs > 0 && h("p", {}, "read ", h("b", { class: "num" }, count(plan.new_inputs, "new input")), ` of ${thousands(plan.inputs)}`,
      plan.new_bytes > 0 && `, ${size(plan.new_bytes)}`),
    steps.length > 0 && h("table", {}, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Step"), h("th", { class: "right", scope: "col" }, "Things"), h("th", { class: "right", scope: "col" }, "Time"))),
      h("tbody", {}, steps.map(([name, step]) => h("tr", {}, h("td", {}, name), h("td", { class: "right num" }, step.items === null ? "–" : thousands(step.items)),
        h("td", { class: "right num" }, duration(step.seconds)))))),
    h("p", { class: "num" }, plan.seconds === null ? "No previous run shows how long all of it takes." : ["take about ", h("b", {}, duration(plan.seconds)), "."]),
    plan.measured_on.length > 0 && h("p", { class: "quiet small" }, `Measured on the runs of ${plan.measured_on.join(", ")}.`),
    h("pre", { class: "command" }, plan.command.join(" ")),
    h("details", {}, h("summary", {}, "Resolved configuration"), h("pre", { class: "config" }, JSON.stringify(plan.config, null, 2))));
}
