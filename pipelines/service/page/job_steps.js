// Progress of a job: a bar for each step, coloured by outcome.

import { h } from "./dom.js";
import { duration, number, spaced, thousands } from "./format.js";

const TONES = { queued: "waiting", running: "scanned", cancelling: "filtered", cancelled: "waiting", failed: "failed",
  stopped: "filtered", done: "kept" };

export const live = (job) => ["queued", "running", "cancelling"].includes(job.state);

export function state(job) {
  const some = job.state === "done" && job.exit_code === 3;
  return h("span", { class: `state${job.state === "running" ? " runs" : ""}`, "data-state": job.state },
    h("span", { class: `dot back-${TONES[job.state]}` }), some ? "done, some inputs failed" : job.state);
}

export function bars(job, isShort = false) {
  return h("ol", { class: `steps${isShort ? " short" : ""}` }, job.steps.map((step, at) =>
    stepOf(step, isShort, job.state === "running" && (step.done < step.total || at === job.steps.length - 1))));
}

function stepOf(step, isShort, isAtWork) {
  const done = `${thousands(step.done)} of ${thousands(step.total)}`;
  const bar = h("div", { class: "bar-of-step", role: "progressbar", "aria-label": step.step, "aria-valuemin": "0",
    "aria-valuemax": String(step.total), "aria-valuenow": String(step.done), "aria-valuetext": done }, parts(step));
  const rate = isAtWork && step.rate ? `${number(step.rate)} ${step.unit} a second` : "";
  const remaining = isAtWork && step.eta_s ? `about ${duration(step.eta_s)} left` : "";
  return h("li", { class: isAtWork ? "at-work" : "" },
    h("div", { class: "head" }, h("span", { class: "step" }, step.step), h("span", { class: "num quiet" }, done, isShort ? "" : ` ${step.unit}`)),
    bar,
    !isShort && h("p", { class: "num quiet small" }, [outcomes(step.counts), rate, remaining, isAtWork ? "" : `took ${duration(step.elapsed_s)}`].filter(Boolean).join(" · ")));
}

function parts(step) {
  const total = Math.max(1, step.total);
  const counted = Object.entries(step.counts).filter(([, amount]) => amount > 0);
  const sum = counted.reduce((partial, [, amount]) => partial + amount, 0);
  // Where counts and units differ, one plain bar is more accurate.
  const segments = sum === step.done && counted.length ? counted : [["done", step.done]];
  return segments.map(([name, amount]) => {
    const part = h("i", { class: `back-${step.tones[name] || "kept"}`, title: `${spaced(name)}: ${thousands(amount)}` });
    part.style.width = `${Math.min(100, (100 * amount) / total)}%`;
    return part;
  });
}

const outcomes = (counts) => Object.entries(counts).filter(([, amount]) => amount)
  .map(([name, amount]) => `${thousands(amount)} ${spaced(name)}`).join(", ");
