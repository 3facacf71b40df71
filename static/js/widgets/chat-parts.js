// Small pieces of a chat: icon buttons, the switch between siblings, the editor within a message.

import { button, h, icon, replace, uniqueId } from "../dom.js";
import * as drafts from "../drafts.js";
import { t } from "../i18n.js";
import { problemText } from "./problem.js";

export function iconButton(name, label, onClick, properties = {}) {
  return button(icon(name), onClick, { class: "icon-button", "aria-label": label, title: label,
    ...properties });
}

// ‹ 2/3 ›: one of several answers (or wordings of a question) is shown, the others stay.
export function siblings(list, current, label, onShow) {
  const place = list.indexOf(current);
  if (list.length < 2 || place < 0) return null;
  const step = (by) => () => onShow(list[place + by]);
  return h("div", { class: "siblings", role: "group", "aria-label": label },
    iconButton("previous", t("chat.previous"), step(-1), { disabled: place === 0 }),
    h("span", {}, h("span", { class: "visually-hidden" },
      t("chat.sibling", { place: place + 1, of: list.length })),
    h("span", { "aria-hidden": "true" }, `${place + 1}/${list.length}`)),
    iconButton("next", t("chat.next"), step(1), { disabled: place === list.length - 1 }));
}

// Enter in a text field that sends; never the one that ends a Hangul syllable.
export const isSendKey = (event) => event.key === "Enter" && !event.shiftKey && !event.isComposing
  && event.keyCode !== 229;

// options: label, value, draft (key), submit, hint, enterSends, onSubmit(text), onClose()
export function inlineEditor(options) {
  const id = uniqueId("chat-edit");
  const area = h("textarea", { id, rows: 3, value: drafts.load(options.draft) ?? options.value,
    on: { input: () => drafts.save(options.draft, area.value) } });
  const problem = h("p", { class: "form-error", role: "alert" });
  const go = h("button", { type: "submit", class: "primary" }, options.submit);
  const submit = async (event) => {
    event?.preventDefault();
    const text = area.value.trim();
    if (!text || go.disabled) return;
    go.disabled = true;
    replace(problem);
    try {
      await options.onSubmit(text);
      drafts.drop(options.draft);
    } catch (error) {
      replace(problem, problemText(error));
    } finally {
      go.disabled = false;
    }
  };
  const pressed = (event) => {
    const sends = options.enterSends ? isSendKey(event)
      : event.key === "Enter" && (event.ctrlKey || event.metaKey);
    if (sends) submit(event);
    if (event.key === "Escape") {
      event.stopPropagation();
      options.onClose();
    }
  };
  const discard = () => {
    drafts.drop(options.draft);
    options.onClose();
  };
  const node = h("form", { class: "inline-editor", on: { submit, keydown: pressed } },
    h("label", { htmlFor: id }, options.label), area, problem,
    h("div", { class: "form-actions" }, go, button(t("action.cancel"), discard, { class: "quiet" }),
      h("span", { class: "hint" }, options.hint)));
  return { node, focus: () => area.focus() };
}
