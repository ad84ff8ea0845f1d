// Asking the server: JSON in, JSON out, and errors in words.

export class ApiError extends Error {
  constructor(status, words) {
    super(words);
    this.status = status;
  }
}

const SILENT = "The server does not answer. Is it running?";
const AGAIN = new Set([429, 503]);

export async function ask(method, path, { body, type, headers = {}, signal } = {}) {
  const said = { ...headers };
  if (body !== undefined) said["Content-Type"] = type ?? "application/json";
  const sent = body === undefined || type ? body : JSON.stringify(body);
  const options = { method, headers: said, body: sent, signal, credentials: "same-origin" };
  let answer = await reached(path, options);
  if (AGAIN.has(answer.status) && method === "GET") {
    const wait = Math.min(5, Number(answer.headers.get("retry-after")) || 1);
    await new Promise((go) => setTimeout(go, 1000 * wait));
    answer = await reached(path, options);
  }
  if (answer.status === 401 && path !== "/v1/session") document.dispatchEvent(new CustomEvent("signed-out"));
  if (!answer.ok) throw await failure(answer);
  return answer;
}

async function reached(path, options) {
  try {
    return await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, SILENT);
  }
}

async function failure(answer) {
  let detail = "";
  try {
    detail = (await answer.json()).detail;
  } catch {
    detail = answer.statusText;
  }
  if (Array.isArray(detail)) detail = detail.map((one) => `${one.loc}: ${one.msg}`).join("; ");
  return new ApiError(answer.status, detail || `The server answered ${answer.status}.`);
}

async function json(answer) {
  return (await answer).json();
}

export const get = (path, options) => json(ask("GET", path, options));
export const post = (path, body, options) => json(ask("POST", path, { ...options, body }));

export function collection(name, ...parts) {
  return ["/v1/collections", name, ...parts].map((p, at) => (at ? encodeURIComponent(p) : p)).join("/");
}

export const thumbnail = (name, clip) => collection(name, "clips", clip, "thumbnail");
export const video = (name, clip) => collection(name, "clips", clip, "video");

export const me = { name: "", scope: "read" };
const STEPS = ["read", "search", "submit", "admin"];
export const may = (scope) => STEPS.indexOf(me.scope) >= STEPS.indexOf(scope);
