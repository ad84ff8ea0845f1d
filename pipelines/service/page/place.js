// Where one is: everything that a link to this page carries, read from the address and written to it.

const LISTS = { like: "like", minus: "minus" };
const TEXTS = { view: "view", c: "collection", q: "text", if: "where", by: "by", clip: "clip",
                job: "job", kind: "kind" };

export function read(search = location.search) {
  const params = new URLSearchParams(search);
  const place = { view: "clips", collection: "", text: "", where: "", by: "auto", clip: "", job: "",
                  kind: "", like: [], minus: [], words: {}, ranges: {},
                  all: params.get("all") === "1", picture: params.get("picture") === "1" };
  for (const [key, name] of Object.entries(TEXTS)) if (params.has(key)) place[name] = params.get(key);
  for (const [key, name] of Object.entries(LISTS)) place[name] = params.getAll(key);
  for (const [key, value] of params) {
    if (key.startsWith("is.")) (place.words[key.slice(3)] ??= []).push(value);
    if (key.startsWith("in.")) place.ranges[key.slice(3)] = range(value);
  }
  return place;
}

function range(text) {
  const [low, high] = text.split("..").map((end) => (end === "" ? null : Number(end)));
  return { min: Number.isFinite(low) ? low : null, max: Number.isFinite(high) ? high : null };
}

export function written(place) {
  const params = new URLSearchParams();
  for (const [key, name] of Object.entries(TEXTS)) {
    const value = place[name];
    if (value && !(key === "view" && value === "clips") && !(key === "by" && value === "auto")) {
      params.set(key, value);
    }
  }
  for (const [key, name] of Object.entries(LISTS)) place[name].forEach((id) => params.append(key, id));
  for (const [column, words] of Object.entries(place.words)) {
    words.forEach((word) => params.append(`is.${column}`, word));
  }
  for (const [column, { min, max }] of Object.entries(place.ranges)) {
    if (min !== null || max !== null) params.set(`in.${column}`, `${min ?? ""}..${max ?? ""}`);
  }
  if (place.all) params.set("all", "1");
  if (place.picture) params.set("picture", "1");
  const text = params.toString();
  return text ? `/?${text}` : "/";
}

export const here = () => read();
const BLANK = { text: "", where: "", by: "auto", clip: "", job: "", kind: "", like: [], minus: [],
                words: {}, ranges: {}, all: false, picture: false };

// A link to another view starts with a blank question; within a view what is not named stays.
export const elsewhere = (changes) => written({ ...here(), ...BLANK, ...changes });
export const link = (changes) => written({ ...here(), ...changes });

export function go(address, replace = false) {
  history[replace ? "replaceState" : "pushState"](null, "", address);
  document.dispatchEvent(new CustomEvent("place"));
}

export const change = (changes, replace = false) => go(link(changes), replace);

// Links that stay on the page change the place; those with a modifier key are the browser's.
export function follow(event) {
  const anchor = event.target.closest?.("a[href]");
  if (!anchor || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey) return;
  if (event.shiftKey || event.altKey || anchor.target || anchor.hasAttribute("download")) return;
  const address = new URL(anchor.href);
  if (address.origin !== location.origin || address.pathname !== "/" || address.hash) return;
  event.preventDefault();
  go(address.pathname + address.search);
}
