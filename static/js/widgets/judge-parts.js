// The parts of a task below its answers: criteria, reason, and the bar with the choices.

import { button, h, uniqueId } from "../dom.js";
import { t } from "../i18n.js";
import { questionOf } from "../judgment.js";
import * as keys from "../keys.js";
import { createScale } from "./scale.js";

const keyHint = (action) => h("kbd", { "aria-hidden": "true" }, keys.label(action));

function criterionRow(judge, row) {
  const label = row.label || row.name;
  const scale = createScale({ levels: judge.task.strength_levels, ties: true, label,
    compact: true, onPick: (position) => judge.pickCriterion(row.name, position) });
  const name = h("div", { class: "row-name" }, h("strong", {}, label),
    row.description && h("span", { class: "hint" }, row.description));
  const node = h("div", { class: "row criterion" }, name, scale.node);
  judge.criteria.set(row.name, { scale, node });
  return node;
}

function rationale(judge) {
  const id = uniqueId("rationale");
  const required = judge.task.rationale === "required";
  const area = h("textarea", { id, rows: 3, value: judge.draft.rationale, required,
    placeholder: t("task.rationale_hint"), on: { input: () => {
      judge.draft.rationale = area.value;
      judge.refresh();
    } } });
  const label = t(required ? "task.rationale_required" : "task.rationale");
  judge.rationale = h("div", { class: "rationale", hidden: !required && !judge.draft.rationale },
    h("label", { htmlFor: id }, label), area);
  return judge.rationale;
}

// What a row of the task is called, for a person.
export function rowName(row) {
  if (row.kind === "criterion") return row.label || row.name;
  if (row.kind === "rating") return t("task.rating_of", { name: row.name, slot: row.slot });
  return t(`task.row_${row.kind}`);
}

export function buildMore(judge) {
  judge.criteria = new Map();
  const rows = judge.rows.filter((row) => row.kind === "criterion")
    .map((row) => criterionRow(judge, row));
  return h("div", { class: "more" }, rows.length > 0 &&
    h("section", { class: "criteria", "aria-label": t("task.criteria") }, rows),
  judge.task.rationale !== "off" && rationale(judge));
}

function abstentions(judge) {
  const { task } = judge;
  const wanted = [["both_bad", "bothBad", task.both_bad],
    ["cannot_judge", "cannotJudge", task.cannot_judge]].filter(([, , on]) => on);
  return wanted.map(([choice, action]) => button([t(`choice.${choice}`), keyHint(action)],
    () => judge.pick({ choice, strength: null }),
    { class: "choice other", "aria-pressed": "false", "data-choice": choice }));
}

export function buildBar(judge) {
  const { task, options } = judge;
  judge.hint = h("p", { class: "still", role: "status" });
  judge.order = h("p", { class: "order", "aria-live": "polite" });
  judge.scale = judge.ranks ? null : createScale({ levels: task.strength_levels,
    ties: task.ties, label: questionOf(task), onPick: (position) => judge.pick(position) });
  judge.others = abstentions(judge);
  judge.submitButton = judge.instant ? null : button([t("task.record"), keyHint("submit")],
    () => judge.submit(), { class: "primary submit" });
  return h("section", { class: "bar", "aria-label": t("task.choices") },
    options.note, h("p", { class: "question" }, questionOf(task)),
    judge.scale?.node ?? judge.order, judge.hint,
    h("div", { class: "bar-tools" }, judge.others, options.tools, judge.submitButton));
}
