// The box where a message is written. What stands in it survives a reload and a lost connection.

import { h, icon, replace } from "../dom.js";
import * as drafts from "../drafts.js";
import { t } from "../i18n.js";
import { isSendKey } from "./chat-parts.js";

const LIMIT = 100000;

// options: label, extras (nodes beside the button), onSend(text) (whether it went), onStop(),
// onLeave() (Escape while nothing comes)
export class Composer {
  constructor(options) {
    this.options = options;
    this.key = null;
    this.unsent = null; // on its way, and not yet known to have arrived
    this.area = h("textarea", { rows: 1, maxlength: LIMIT, "aria-label": options.label,
      placeholder: options.label, enterkeyhint: "send",
      on: { input: () => this.keep(), keydown: (event) => this.pressed(event) } });
    this.hint = h("p", { class: "hint composer-hint" }, t("chat.composer_hint"));
    this.button = h("button", { type: "submit", class: "primary send" });
    this.node = h("form", { class: "composer", on: { submit: (event) => {
      event.preventDefault();
      this.go();
    } } }, this.area,
    h("div", { class: "composer-row" }, options.extras, this.hint, this.button));
    this.setBusy(false);
  }

  setBusy(busy) {
    this.busy = busy;
    const label = t(busy ? "chat.stop" : "chat.send");
    this.button.classList.toggle("primary", !busy);
    replace(this.button, icon(busy ? "stop" : "send"), h("span", {}, label));
  }

  pressed(event) {
    if (event.key === "Escape") {
      event.stopPropagation();
      if (this.busy) this.options.onStop();
      else this.options.onLeave();
    } else if (isSendKey(event)) {
      event.preventDefault();
      if (!this.busy) this.go();
    }
  }

  go() {
    if (this.busy) {
      this.options.onStop();
      return;
    }
    const text = this.area.value.trim();
    if (text && this.options.onSend(text)) this.take(text);
  }

  // The text is on its way; until it arrived it is kept.
  take(text) {
    this.unsent = text;
    this.area.value = "";
    this.keep();
  }

  // The server has it: only what was written since is still a draft.
  delivered() {
    this.unsent = null;
    this.keep();
  }

  useDraft(key) {
    if (this.key && this.key !== key) drafts.drop(this.key);
    this.key = key;
  }

  restore(key) {
    this.key = key;
    const { text = "", unsent } = drafts.load(key) ?? {};
    this.area.value = [unsent, text].filter(Boolean).join("\n\n");
  }

  keep() {
    const text = this.area.value;
    if (text || this.unsent) drafts.save(this.key, { text, unsent: this.unsent });
    else drafts.drop(this.key);
  }

  focus() {
    this.area.focus();
  }
}
