// Small pieces that most screens share: headers, empty states, tables, numbers, copy buttons.

import { button, h, icon } from "../dom.js";
import { t } from "../i18n.js";
import { announce } from "./notice.js";

export function pageHeader(title, { lead, actions } = {}) {
  return h("header", { class: "page-header" },
    h("div", {}, h("h1", { tabIndex: -1 }, title), lead && h("p", { class: "lead" }, lead)),
    actions && h("div", { class: "page-actions" }, actions));
}

export function section(title, ...children) {
  return h("section", { class: "panel" }, h("h2", {}, title), children);
}

export function emptyState(title, text, ...actions) {
  return h("div", { class: "empty" }, h("p", { class: "empty-title" }, title), h("p", {}, text),
    actions.length > 0 && h("div", { class: "empty-actions" }, actions));
}

export function figure(label, value, detail) {
  return h("div", { class: "figure" }, h("dt", {}, label), h("dd", {}, h("strong", {}, value),
    detail && h("span", { class: "hint" }, detail)));
}

export const figures = (...items) => h("dl", { class: "figures" }, items);

// columns: [heading, cell(row), class]
export function table(caption, columns, rows, { dense = false } = {}) {
  return h("div", { class: "table-scroll", tabIndex: 0, role: "region", "aria-label": caption },
    h("table", { class: dense ? "table dense" : "table" },
      h("caption", { class: "visually-hidden" }, caption),
      h("thead", {}, h("tr", {}, columns.map(([heading, , kind]) =>
        h("th", { scope: "col", class: kind }, heading ||
          h("span", { class: "visually-hidden" }, t("page.actions")))))),
      h("tbody", {}, rows.map((row) => h("tr", {}, columns.map(([, cell, kind], index) =>
        h(index ? "td" : "th", { class: kind, scope: index ? null : "row" }, cell(row))))))));
}

export async function toClipboard(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  // Pages served without TLS have no clipboard interface; the old way still works there.
  const area = h("textarea", { class: "visually-hidden", value: text });
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
  return undefined;
}

export function copyButton(text, label = t("action.copy")) {
  const words = h("span", {}, label);
  const node = button([icon("copy"), words], async () => {
    await toClipboard(typeof text === "function" ? text() : text);
    words.textContent = t("action.copied");
    announce(t("action.copied"));
    setTimeout(() => { words.textContent = label; }, 2000);
  }, { class: "copy" });
  return node;
}

export function copyLine(label, text, { secret = false } = {}) {
  const box = h("output", { class: "copy-text", "aria-label": label }, text);
  return h("div", { class: secret ? "copy-line secret" : "copy-line" },
    h("div", {}, h("p", { class: "copy-label" }, label), box), copyButton(text));
}

export function codeBlock(label, text) {
  const code = h("code", {}, text);
  return h("div", { class: "code-block" }, h("div", { class: "code-head" }, h("span", {}, label),
    copyButton(() => code.textContent)), h("pre", { tabIndex: 0 }, code));
}

export const loading = () => h("p", { class: "loading", role: "status" }, t("page.loading"));

// A list that grows by a button, for things the server gives page by page.
export function pagedList({ getPage, render, empty, tag = "ul", label }) {
  const list = h(tag, { class: "list", "aria-label": label });
  const more = button(t("action.more"), () => load(), { class: "quiet more-button", hidden: true });
  const node = h("div", {}, list, more);
  let after;
  async function load() {
    more.disabled = true;
    try {
      const page = await getPage(after);
      after = page.next;
      list.append(...page.items.map(render));
      more.hidden = !after;
      if (!list.childElementCount) node.replaceChildren(empty());
    } finally {
      more.disabled = false;
    }
  }
  return { node, list, load };
}
