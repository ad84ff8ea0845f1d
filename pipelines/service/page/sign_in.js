// A token, traded for a cookie that scripts cannot read.

import * as api from "./api.js";
import { h, put } from "./dom.js";

export function signIn(root, done) {
  const field = h("input", { type: "password", name: "token", required: true,
    autocomplete: "current-password", placeholder: "reelmill_…", "aria-describedby": "token-help" });
  const wrong = h("p", { class: "wrong", role: "alert" });
  async function enter(event) {
    event.preventDefault();
    put(wrong);
    try {
      await api.ask("POST", "/v1/session", { body: { token: field.value.trim() } });
    } catch (error) {
      if (error.status === 401) put(wrong, "This token does not hold. It may have been revoked or have expired.");
      else put(wrong, error.message);
      field.select();
      return;
    }
    done();
  }
  root.className = "view-sign-in";
  put(root, h("form", { class: "card sign-in", onsubmit: enter },
    h("p", { class: "brand" }, "Reelmill"), h("h1", {}, "Sign in"),
    h("label", {}, h("span", {}, "Token"), field),
    h("p", { id: "token-help", class: "quiet small" }, "Whoever runs this server makes one with ",
      h("code", {}, "reelmill token create"), "."),
    wrong, h("button", { class: "button main" }, "Sign in")));
  field.focus();
}
