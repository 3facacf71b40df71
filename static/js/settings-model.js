// The members of a project's settings: how each is shown, read back, limited and explained.

import { button, h, replace } from "./dom.js";
import { t } from "./i18n.js";
import * as forms from "./widgets/form.js";

const NAME = /^[a-z][a-z0-9_-]{0,39}$/;
const LIMITS = { criteria: 8, flags: 16 };

const pointer = (name) => `/settings/${name}`;
const words = (name) => ({ label: t(`settings.${name}`), help: t(`settings.${name}_help`),
  pointer: pointer(name) });

function text(name, value, input = {}) {
  return forms.textField({ ...words(name), input: { value, ...input } });
}

function area(name, value, input = {}) {
  return forms.areaField({ ...words(name), input: { value, ...input } });
}

function check(name, value) {
  return forms.checkField({ ...words(name), input: { checked: value } });
}

function number(name, value, input) {
  return forms.numberField({ ...words(name), input: { value: String(value), ...input } });
}

function select(name, value, values) {
  const one = forms.selectField({ ...words(name), value,
    choices: values.map((each) => [each, t(`settings.${name}_${each}`)]) });
  return typeof values[0] === "number" ? { ...one, get: () => Number(one.control.value) } : one;
}

// "Helpfulness" is what people read; "helpfulness" is what files say.
export function nameOf(label) {
  const name = label.toLowerCase().replace(/[^a-z0-9_-]+/g, "_").replace(/^[^a-z]+|_+$/g, "");
  return name.slice(0, 40);
}

function criterionRow(list, criterion, changed) {
  const item = { name: criterion.name };
  const label = forms.textField({ label: t("settings.criterion_label"),
    input: { value: criterion.label ?? criterion.name ?? "", maxlength: 100 } });
  const name = forms.textField({ label: t("settings.criterion_name"),
    input: { value: criterion.name ?? "", maxlength: 40, spellcheck: "false",
      placeholder: "helpfulness" } });
  const description = forms.textField({ label: t("settings.criterion_description"),
    input: { value: criterion.description ?? "", maxlength: 500 } });
  description.node.classList.add("wide-field");
  let own = Boolean(criterion.name);
  label.control.addEventListener("input", () => {
    if (!own) name.control.value = nameOf(label.get());
  });
  name.control.addEventListener("input", () => { own = true; });
  item.read = () => ({ name: name.get().trim(), label: label.get().trim() || name.get().trim(),
    description: description.get().trim() });
  item.check = () => {
    const bad = !NAME.test(name.get().trim());
    name.complain(bad ? t("settings.criterion_name_bad") : null);
    return !bad;
  };
  const drop = button(t("action.remove"), () => {
    list.splice(list.indexOf(item), 1);
    item.node.remove();
    changed();
  }, { class: "quiet" });
  item.node = h("div", { class: "editable-item" }, label.node, name.node, drop, description.node);
  return item;
}

function criteria(value) {
  const list = [];
  const rows = h("div", { class: "editable-list" });
  const box = h("div", { class: "list", role: "group", "aria-label": t("settings.criteria") });
  const changed = () => {
    add.disabled = list.length >= LIMITS.criteria;
    box.dispatchEvent(new Event("input", { bubbles: true }));
  };
  const insert = (criterion, focus) => {
    const item = criterionRow(list, criterion, changed);
    list.push(item);
    rows.append(item.node);
    if (focus) item.node.querySelector("input").focus();
    changed();
  };
  const add = button(t("settings.criteria_add"), () => insert({}, true));
  for (const criterion of value) insert(criterion, false);
  replace(box, rows, h("div", { class: "form-actions" }, add));
  box.tabIndex = -1;
  const one = forms.field(box, words("criteria"));
  one.node.querySelector("label").removeAttribute("for");
  return { ...one, get: () => list.map((item) => item.read()),
    check: () => list.map((item) => item.check()).every(Boolean) };
}

function flags(value) {
  const one = area("flags", value.join("\n"), { rows: 3, placeholder: t("settings.flags_sample") });
  const read = () => one.control.value.split("\n").map((line) => line.trim()).filter(Boolean);
  return { ...one, get: read, check() {
    const list = read();
    const bad = list.length > LIMITS.flags || list.some((flag) => flag.length > 60);
    one.complain(bad ? t("settings.flags_bad") : null);
    return !bad;
  } };
}

function ratings(value) {
  const names = text("ratings", value?.names.join(", ") ?? "", { placeholder: "overall" });
  const low = forms.numberField({ label: t("settings.ratings_min"),
    pointer: "/settings/ratings/min", input: { value: String(value?.min ?? 1), min: 0, max: 10 } });
  const high = forms.numberField({ label: t("settings.ratings_max"),
    pointer: "/settings/ratings/max", input: { value: String(value?.max ?? 7), min: 1, max: 10 } });
  const node = h("div", { class: "list" }, names.node,
    h("div", { class: "field-row" }, low.node, high.node));
  return { ...names, node, others: [low, high], get: () => {
    const list = names.get().split(",").map((name) => name.trim()).filter(Boolean);
    return list.length ? { min: low.get() ?? 1, max: high.get() ?? 7, names: list } : null;
  } };
}

// Every field by the settings member it stands for. Members this version cannot act on (policy and
// the shares of gold, repeats and mirrored items) are left as they are.
export function settingsFields(settings) {
  return {
    question: text("question", settings.question, { maxlength: 500 }),
    instructions: area("instructions", settings.instructions ?? "", { rows: 8, maxlength: 65536 }),
    kind: select("kind", settings.kind, ["auto", "pair", "ranking"]),
    strength_levels: select("strength_levels", settings.strength_levels, [1, 2, 3]),
    ties: check("ties", settings.ties),
    both_bad: check("both_bad", settings.both_bad),
    cannot_judge: check("cannot_judge", settings.cannot_judge),
    rationale: select("rationale", settings.rationale, ["off", "optional", "required"]),
    edits: check("edits", settings.edits),
    criteria: criteria(settings.criteria ?? []),
    ratings: ratings(settings.ratings),
    flags: flags(settings.flags ?? []),
    overlap: number("overlap", settings.overlap, { min: 1, max: 100, step: 1 }),
    lease_seconds: number("lease_seconds", settings.lease_seconds,
      { min: 30, max: 86400, step: 1 }),
    show_own_progress: check("show_own_progress", settings.show_own_progress ?? true),
    session_seconds: number("session_seconds", settings.session_seconds ?? 1800,
      { min: 1, max: 604800, step: 1 }),
    pair_share: number("pair_share", settings.pair_share ?? 0, { min: 0, max: 1, step: "any" }),
    pair_model: text("pair_model", settings.pair_model ?? "", { maxlength: 200,
      spellcheck: "false", autocapitalize: "none" }),
    retention_days: number("retention_days", settings.retention_days ?? 0,
      { min: 0, max: 36500, step: 1 }),
  };
}

export const GROUPS = {
  ask: ["question", "instructions", "kind"],
  answers: ["strength_levels", "ties", "both_bad", "cannot_judge"],
  extras: ["criteria", "ratings", "flags", "rationale", "edits"],
  work: ["overlap", "lease_seconds", "show_own_progress"],
  traffic: ["session_seconds", "pair_share", "pair_model", "retention_days"],
};

export function readSettings(fields) {
  return Object.fromEntries(Object.entries(fields).map(([name, one]) => [name, one.get()]));
}

export function sampleTask(settings) {
  const ranking = settings.kind === "ranking";
  const texts = ["a", "b", "c"].slice(0, ranking ? 3 : 2);
  return {
    kind: ranking ? "ranking" : "pair", question: settings.question,
    prompt: [{ role: "user", content: t("settings.sample_prompt") }],
    candidates: texts.map((name, index) =>
      ({ slot: "ABC"[index], content: t(`settings.sample_${name}`) })),
    strength_levels: settings.strength_levels, ties: settings.ties, both_bad: settings.both_bad,
    cannot_judge: settings.cannot_judge, rationale: settings.rationale, edits: settings.edits,
    criteria: settings.criteria.filter((one) => one.name), ratings: settings.ratings,
    flags: settings.flags,
  };
}
