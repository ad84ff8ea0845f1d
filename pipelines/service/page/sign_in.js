// Signing in: an API key, exchanged for a cookie that scripts cannot read.

import * as api from "./api.js";
import { h, put } from "./dom.js";

export function signIn(root, done) {
  const field = h("input", { type: "password", name: "key", required: true,
    autocomplete: "current-password", placeholder: "reelmill_…", "aria-describedby": "key-help" });
  const wrong = h("p", { class: "wrong", role: "alert" });
  async function enter(event) {
    event.preventDefault();
    put(wrong);
    try {
      await api.request("POST", "/v1/session", { body: { key: field.value.trim() } });
    } catch (error) {
      if (error.status === 401) put(wrong, "This key is not valid. It may have been revoked or have expired.");
      else put(wrong, error.message);
      field.select();
      return;
    }
    done();
  }
  root.className = "view-sign-in";
  put(root, h("form", { class: "card sign-in", onsubmit: enter },
    h("p", { class: "brand" }, "Reelmill"), h("h1", {}, "Sign in"),
    h("label", {}, h("span", {}, "API key"), field),
    h("p", { id: "key-help", class: "quiet small" }, "The administrator of this server creates one with ",
      h("code", {}, "reelmill key create"), "."),
    wrong, h("button", { class: "button main" }, "Sign in")));
  field.focus();
}
