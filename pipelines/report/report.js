"use strict";
const links = new Map([...document.querySelectorAll("nav a")].map((a) => [a.hash.slice(1), a]));
const mark = () => {
  let [current] = links.keys();
  for (const id of links.keys()) {
    if (document.getElementById(id).getBoundingClientRect().top < 140) current = id;
  }
  for (const [id, link] of links) {
    if (id === current) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
};
addEventListener("scroll", mark, { passive: true });
mark();
