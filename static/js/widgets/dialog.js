// Modal dialogs on the browser's own <dialog>: focus stays inside and Escape closes.

import { button, h, uniqueId } from "../dom.js";
import { t } from "../i18n.js";

// options: title, body (nodes), actions (nodes), wide, onClose
export function openDialog({ title, body, actions = [], wide = false, onClose }) {
  const id = uniqueId("dialog");
  const node = h("dialog", { class: wide ? "dialog wide" : "dialog", "aria-labelledby": id });
  let open = true;
  // The close event comes a moment late; what follows must not wait for it.
  const closed = () => {
    if (!open) return;
    open = false;
    node.remove();
    onClose?.();
  };
  const close = () => {
    node.close();
    closed();
  };
  const content = h("div", { class: "dialog-body" }, body);
  node.append(h("h2", { id }, title), content,
    h("div", { class: "dialog-actions" }, actions,
      button(t("action.close"), close, { class: "quiet" })));
  node.addEventListener("close", closed);
  node.addEventListener("click", (event) => {
    if (event.target === node) close();
  });
  document.body.append(node);
  node.showModal();
  // What scrolls must be reachable from the keyboard.
  if (content.scrollHeight > content.clientHeight) content.tabIndex = 0;
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
