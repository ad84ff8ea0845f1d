// Numbers and times for people, as in the report.

export function thousands(number) {
  return Math.round(number).toLocaleString("en");
}

export function count(number, thing) {
  return `${thousands(number)} ${thing}${number === 1 ? "" : "s"}`;
}

export function number(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  if (value === 0) return "0";
  const digits = Math.max(0, Math.min(6, 3 - Math.floor(Math.log10(Math.abs(value)))));
  const text = value.toLocaleString("en", { maximumFractionDigits: digits });
  return text;
}

export function plain(value, digits = 4) {
  return String(Number(value.toPrecision(digits)));
}

export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "unknown";
  if (seconds < 120) return `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`;
  if (seconds < 7200) return `${(seconds / 60).toFixed(1)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}

export function clock(seconds) {
  const tenths = Math.round(seconds * 10);
  const rest = (tenths % 600) / 10;
  const minutes = Math.floor(tenths / 600) % 60;
  const hours = Math.floor(tenths / 36000);
  const tail = `${String(minutes).padStart(2, "0")}:${rest.toFixed(1).padStart(4, "0")}`;
  return hours ? `${hours}:${tail}` : tail;
}

export function size(bytes) {
  for (const [unit, of] of [["TB", 1e12], ["GB", 1e9], ["MB", 1e6], ["kB", 1e3]]) {
    if (bytes >= of) return `${Number((bytes / of).toPrecision(3)).toLocaleString("en")} ${unit}`;
  }
  return `${thousands(bytes)} bytes`;
}

export function share(part, total) {
  if (!total) return "–";
  const percent = (100 * part) / total;
  return `${percent === 0 || percent === 100 ? percent : percent.toFixed(1)} %`;
}

export function ago(iso) {
  const seconds = (Date.now() - Date.parse(iso)) / 1000;
  if (seconds < 60) return "just now";
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
  return new Date(iso).toLocaleDateString("en", { day: "numeric", month: "short", year: "numeric" });
}

export function spaced(word) {
  return word.replace(/_s$/, ", s").replaceAll("_", " ");
}
