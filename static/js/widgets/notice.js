// Says things calmly: a spoken line for screen readers and a short-lived note in a corner.

import { h, replace } from "../dom.js";

const SHOWN_MS = 6000;

const spoken = h("div", { class: "visually-hidden", role: "status", "aria-live": "polite" });
const notes = h("div", { class: "notes" });

export function mountNotices(parent) {
  parent.append(spoken, notes);
}

export function announce(text) {
  // A change is read only if the text differs from what stood there.
  replace(spoken, spoken.textContent === text ? `${text} ` : text);
}

export function note(text, ...actions) {
  const node = h("div", { class: "note" }, h("span", {}, text), actions);
  notes.append(node);
  announce(text);
  setTimeout(() => node.remove(), SHOWN_MS);
  return node;
}
