// Requests to the server: JSON in, JSON out, and errors with a message.

export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

const UNREACHABLE = "The server does not answer. Is it running?";
const RETRYABLE = new Set([429, 503]);

export async function request(method, path, { body, type, headers = {}, signal } = {}) {
  const sentHeaders = { ...headers };
  if (body !== undefined) sentHeaders["Content-Type"] = type ?? "application/json";
  const payload = body === undefined || type ? body : JSON.stringify(body);
  const options = { method, headers: sentHeaders, body: payload, signal, credentials: "same-origin" };
  let response = await send(path, options);
  if (RETRYABLE.has(response.status) && method === "GET") {
    const waitS = Math.min(5, Number(response.headers.get("retry-after")) || 1);
    await new Promise((resolve) => setTimeout(resolve, 1000 * waitS));
    response = await send(path, options);
  }
  if (response.status === 401 && path !== "/v1/session") document.dispatchEvent(new CustomEvent("signed-out"));
  if (!response.ok) throw await toError(response);
  return response;
}

async function send(path, options) {
  try {
    return await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, UNREACHABLE);
  }
}

async function toError(response) {
  let detail = "";
  try {
    detail = (await response.json()).detail;
  } catch {
    detail = response.statusText;
  }
  if (Array.isArray(detail)) detail = detail.map((item) => `${item.loc}: ${item.msg}`).join("; ");
  return new ApiError(response.status, detail || `The server responded with ${response.status}.`);
}

async function json(response) {
  return (await response).json();
}

export const get = (path, options) => json(request("GET", path, options));
export const post = (path, body, options) => json(request("POST", path, { ...options, body }));

export function collection(name, ...parts) {
  return ["/v1/collections", name, ...parts].map((p, index) => (index ? encodeURIComponent(p) : p)).join("/");
}

export const thumbnail = (name, clip) => collection(name, "clips", clip, "thumbnail");
export const video = (name, clip) => collection(name, "clips", clip, "video");

export const me = { name: "", scope: "read" };
const SCOPES = ["read", "search", "submit", "admin"];
export const may = (scope) => SCOPES.indexOf(me.scope) >= SCOPES.indexOf(scope);
