// The route: everything that a link to this page carries, parsed from the address and written to it.

const LISTS = { like: "like", minus: "minus" };
const TEXTS = { view: "view", c: "collection", q: "text", if: "where", by: "by", clip: "clip",
                job: "job", kind: "kind" };

export function parse(search = location.search) {
  const params = new URLSearchParams(search);
  const route = { view: "clips", collection: "", text: "", where: "", by: "auto", clip: "", job: "",
                  kind: "", like: [], minus: [], words: {}, ranges: {},
                  all: params.get("all") === "1", picture: params.get("picture") === "1" };
  for (const [key, name] of Object.entries(TEXTS)) if (params.has(key)) route[name] = params.get(key);
  for (const [key, name] of Object.entries(LISTS)) route[name] = params.getAll(key);
  for (const [key, value] of params) {
    if (key.startsWith("is.")) (route.words[key.slice(3)] ??= []).push(value);
    if (key.startsWith("in.")) route.ranges[key.slice(3)] = range(value);
  }
  return route;
}

function range(text) {
  const [low, high] = text.split("..").map((end) => (end === "" ? null : Number(end)));
  return { min: Number.isFinite(low) ? low : null, max: Number.isFinite(high) ? high : null };
}

export function format(route) {
  const params = new URLSearchParams();
  for (const [key, name] of Object.entries(TEXTS)) {
    const value = route[name];
    if (value && !(key === "view" && value === "clips") && !(key === "by" && value === "auto")) {
      params.set(key, value);
    }
  }
  for (const [key, name] of Object.entries(LISTS)) route[name].forEach((id) => params.append(key, id));
  for (const [column, words] of Object.entries(route.words)) {
    words.forEach((word) => params.append(`is.${column}`, word));
  }
  for (const [column, { min, max }] of Object.entries(route.ranges)) {
    if (min !== null || max !== null) params.set(`in.${column}`, `${min ?? ""}..${max ?? ""}`);
  }
  if (route.all) params.set("all", "1");
  if (route.picture) params.set("picture", "1");
  const text = params.toString();
  return text ? `/?${text}` : "/";
}

export const current = () => parse();
const BLANK = { text: "", where: "", by: "auto", clip: "", job: "", kind: "", like: [], minus: [],
                words: {}, ranges: {}, all: false, picture: false };

// A link to another view starts with a blank query; within a view everything else stays.
export const linkTo = (changes) => format({ ...current(), ...BLANK, ...changes });
export const linkWith = (changes) => format({ ...current(), ...changes });

export function navigate(address, replace = false) {
  history[replace ? "replaceState" : "pushState"](null, "", address);
  document.dispatchEvent(new CustomEvent("route"));
}

export const update = (changes, replace = false) => navigate(linkWith(changes), replace);

// Links within the page change the route; those with a modifier key are left to the browser.
export function followLink(event) {
  const anchor = event.target.closest?.("a[href]");
  if (!anchor || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey) return;
  if (event.shiftKey || event.altKey || anchor.target || anchor.hasAttribute("download")) return;
  const address = new URL(anchor.href);
  if (address.origin !== location.origin || address.pathname !== "/" || address.hash) return;
  event.preventDefault();
  navigate(address.pathname + address.search);
}
