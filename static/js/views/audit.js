// The append-only record of who changed what in a project.

import * as api from "../api.js";
import { button, h, replace } from "../dom.js";
import { date, has, t } from "../i18n.js";
import { emptyState, pageHeader, table } from "../widgets/page.js";

const PAGE = 50;

function detailText(detail) {
  if (detail === null || detail === undefined || detail === "") return "–";
  if (typeof detail !== "object") return String(detail);
  return Object.entries(detail).map(([name, value]) =>
    `${name}: ${typeof value === "object" ? JSON.stringify(value) : value}`).join(", ");
}

const actionText = (action) => (has(`audit.${action}`) ? t(`audit.${action}`) : action);

export async function mount(root, { slug }) {
  const rows = [];
  let next;
  const box = h("div", { class: "panel" });
  const more = button(t("action.more"), () => load(), { class: "quiet" });
  const show = () => replace(box, rows.length ? table(t("audit.title"), [
    [t("audit.at"), (row) => date(row.at)],
    [t("audit.actor"), (row) => row.actor ?? "–"],
    [t("audit.action"), (row) => actionText(row.action)],
    [t("audit.subject"), (row) => row.subject ?? "–"],
    [t("audit.detail"), (row) => h("span", { class: "hint" }, detailText(row.detail))],
  ], rows) : emptyState(t("audit.empty_title"), t("audit.empty_text")), next && more);
  async function load() {
    more.disabled = true;
    const page = await api.get(`/projects/${slug}/audit`, { limit: PAGE, after: next });
    rows.push(...page.items);
    next = page.next;
    more.disabled = false;
    show();
  }
  await load();
  replace(root, pageHeader(t("audit.title"), { lead: t("audit.lead") }), box);
  return null;
}
