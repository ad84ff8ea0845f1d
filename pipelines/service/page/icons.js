// Pictures of buttons, drawn with lines in a box of 20 by 20.

import { s } from "./dom.js";

const PATHS = {
  search: "M9 3.5a5.5 5.5 0 1 1 0 11 5.5 5.5 0 0 1 0-11M13 13l4 4",
  picture: "M3.5 4.5h13v11h-13zM3.5 13l4-4 3.5 3.5 2-2 3.5 3.5M12.8 7.6h.01",
  plus: "M10 4.5v11M4.5 10h11",
  minus: "M4.5 10h11",
  check: "M4 10.5l4 4 8-9",
  close: "M5 5l10 10M15 5L5 15",
  similar: "M3.5 3.5h8v8h-8zM8.5 14v2.5h8v-8H14",
  play: "M6.5 4.5v11l9-5.5z",
  star: "M10 3.2l2.1 4.4 4.7.6-3.5 3.3.9 4.8-4.2-2.4-4.2 2.4.9-4.8L3.2 8.2l4.7-.6z",
  out: "M10 3.5v9M6.5 9l3.5 3.5L13.5 9M4 16.5h12",
  left: "M12 4.5L6.5 10l5.5 5.5",
  right: "M8 4.5l5.5 5.5L8 15.5",
  film: "M3.5 4.5h13v11h-13zM6.5 4.5v11M13.5 4.5v11M3.5 10h13",
};

export function icon(name) {
  return s("svg", { class: "icon", viewBox: "0 0 20 20", "aria-hidden": "true" },
    s("path", { d: PATHS[name] }));
}
