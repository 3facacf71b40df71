// The calm line that says where one's answers are: saved, on their way, or kept on this device.

import { button, h, link, replace } from "../dom.js";
import { date, t } from "../i18n.js";
import * as outbox from "../outbox.js";
import { openDialog } from "./dialog.js";
import { announce } from "./notice.js";

function sentenceOf({ pending, writing, waiting }) {
  if (!pending) return t("status.saved");
  if (writing) return t("status.saving", { n: pending });
  if (waiting === "offline") return t("status.offline", { n: pending });
  if (waiting === "signin") return t("status.signin", { n: pending });
  if (waiting === "server") return t("status.server", { n: pending });
  return t("status.saving", { n: pending });
}

const REASONS = { 403: "forbidden", 404: "gone", 409: "conflict", 410: "gone", 422: "invalid" };

function failure(record, refresh) {
  const reason = t(`failed.${REASONS[record.problem.status] ?? "other"}`,
    { detail: record.problem.detail });
  const dismiss = async () => {
    await outbox.dismiss(record.key);
    refresh();
  };
  const details = [date(record.at), record.project, t(`failed.kind_${record.kind}`),
    record.body?.choice ? t(`choice.short_${record.body.choice}`) : null].filter(Boolean);
  return h("li", {}, h("p", {}, h("strong", {}, reason)),
    h("p", { class: "hint" }, details.join(" · ")),
    record.excerpt && h("blockquote", {}, record.excerpt),
    record.body?.rationale && h("p", {}, record.body.rationale),
    button(t("failed.dismiss"), dismiss, { class: "quiet" }));
}

async function showFailures() {
  const list = h("ul", { class: "failures" });
  const refresh = async () => {
    const records = await outbox.failures();
    replace(list, records.map((record) => failure(record, refresh)));
    if (!records.length) dialog.close();
  };
  const dialog = openDialog({ title: t("failed.title"),
    body: [h("p", {}, t("failed.explanation")), list] });
  await refresh();
}

export function saveStatus() {
  const text = h("span", { class: "status-text" });
  let spoken = outbox.current().waiting;
  const failed = button("", showFailures, { class: "quiet failed-count", hidden: true });
  const signIn = link("/signin", t("session.sign_in"), { hidden: true });
  const dot = h("i", { class: "status-dot", "aria-hidden": "true" });
  const node = h("div", { class: "save-status" }, dot, text, signIn, failed);
  const show = (state) => {
    const busy = state.writing ? "saving" : state.waiting ?? "saving";
    node.dataset.state = state.pending ? busy : "saved";
    const words = sentenceOf(state);
    if (text.textContent !== words) text.textContent = words;
    // Trouble and its end are read aloud; every single saving would only disturb.
    if (state.waiting !== spoken) announce(words);
    spoken = state.waiting;
    if (!state.lasting) text.textContent = t("status.not_lasting");
    signIn.hidden = state.waiting !== "signin" || !state.pending;
    failed.hidden = !state.failed;
    failed.textContent = t("status.failed", { n: state.failed });
  };
  show(outbox.current());
  const stop = outbox.changed.on(show);
  return { node, stop };
}
