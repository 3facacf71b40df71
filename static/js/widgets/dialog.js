// Modal dialogs on the browser's own <dialog>: focus stays inside and Escape closes.

import { button, h, uniqueId } from "../dom.js";
import { t } from "../i18n.js";

// options: title, body (nodes), actions (nodes), wide, onClose
export function openDialog({ title, body, actions = [], wide = false, onClose }) {
  const id = uniqueId("dialog");
  const node = h("dialog", { class: wide ? "dialog wide" : "dialog", "aria-labelledby": id });
  const close = () => node.close();
  node.append(h("h2", { id }, title), h("div", { class: "dialog-body" }, body),
    h("div", { class: "dialog-actions" }, actions,
      button(t("action.close"), close, { class: "quiet" })));
  node.addEventListener("close", () => {
    node.remove();
    onClose?.();
  });
  node.addEventListener("click", (event) => {
    if (event.target === node) close();
  });
  document.body.append(node);
  node.showModal();
  return { node, close };
}

// Asks before something that cannot be undone; resolves to whether to go on.
export function confirmDialog({ title, text, action }) {
  return new Promise((resolve) => {
    let answer = false;
    const go = button(action, () => {
      answer = true;
      dialog.close();
    }, { class: "danger" });
    const dialog = openDialog({ title, body: h("p", {}, text), actions: [go],
      onClose: () => resolve(answer) });
  });
}

export const isOpen = () => document.querySelector("dialog[open]") !== null;
