// The annotate screen's small dialogs: instructions, key help, skip reasons, which answer to edit.

import { button, h, link } from "../dom.js";
import { t } from "../i18n.js";
import * as keys from "../keys.js";
import { prose } from "../richtext.js";
import { openDialog } from "./dialog.js";

const SKIP_REASONS = ["too_hard", "not_my_language", "broken", "offensive", "other"];

// A short fingerprint is enough to notice that instructions changed since they were read.
function fingerprint(text) {
  let sum = 0;
  for (const character of text) sum = (Math.imul(sum, 31) + character.codePointAt(0)) | 0;
  return `${text.length}:${sum}`;
}

export function showInstructions(project, { onlyNew = false } = {}) {
  const { instructions, instructions_html: markup } = project.settings;
  const storage = `aileron.instructions.${project.slug}`;
  const print = fingerprint(instructions);
  if (onlyNew && localStorage.getItem(storage) === print) return;
  const start = button(t("annotate.start"), () => {
    dialog.close();
  }, { class: "primary", autofocus: true });
  const dialog = openDialog({ title: t("annotate.instructions_of", { title: project.title }),
    body: [markup ? prose(markup) : h("p", { class: "preserve" }, instructions),
      h("p", { class: "hint" }, t("annotate.instructions_again", { key: keys.label("instructions"),
        help: keys.label("help") }))],
    actions: [start], wide: true,
    onClose: () => localStorage.setItem(storage, print) });
}

function helpGroups({ strength_levels: levels = 3 }) {
  const picks = Array.from({ length: 2 * levels + 1 }, (_, index) => `pick${index + 1}`);
  return [
    [t("help.choose"), [...picks, "left", "right", "tie", "bothBad", "cannotJudge", "submit"]],
    [t("help.more"), ["rationale", "edit", "flags", "nextRow", "previousRow", "conversation"]],
    [t("help.move"), ["skip", "undo", "history", "instructions", "help"]],
  ];
}

function pickMeaning(action, levels) {
  const number = Number(/^pick(\d)$/.exec(action)?.[1]);
  if (!number) return keys.actionName(action);
  if (number === levels + 1) return t("choice.tie");
  const slot = number <= levels ? "A" : "B";
  const strength = slot === "A" ? levels + 1 - number : number - levels - 1;
  const word = levels === 1 ? "plain" : levels === 2 ? ["slight", "much"][strength - 1]
    : ["slight", "clear", "much"][strength - 1];
  return t(`choice.${word}`, { slot });
}

export function showHelp(settings) {
  const levels = settings.strength_levels ?? 3;
  const groups = helpGroups(settings).map(([title, actions]) => h("section", {},
    h("h3", {}, title), h("dl", { class: "key-list" }, actions.map((action) => h("div", {},
      h("dt", {}, keys.labels(action).map((label) => h("kbd", {}, label))),
      h("dd", {}, pickMeaning(action, levels)))))));
  openDialog({ title: t("help.title"), wide: true,
    body: [h("div", { class: "key-groups" }, groups), h("p", { class: "hint" }, t("help.typing")),
      h("p", {}, t("help.ranking"))],
    actions: [link("/account#keys", t("help.remap"), { class: "button" })] });
}

// A dialog whose choices also answer to their number or letter.
function pickDialog({ title, choices, extra, onPick }) {
  let picked;
  const buttons = choices.map(({ value, label, key }, index) => button(
    [h("span", {}, label), h("kbd", { "aria-hidden": "true" }, key)], () => {
      picked = value;
      dialog.close();
    }, { class: "choice wide", autofocus: index === 0 }));
  const dialog = openDialog({ title, body: [h("div", { class: "pick-list" }, buttons), extra],
    onClose: () => { if (picked !== undefined) onPick(picked); } });
  dialog.node.addEventListener("keydown", (event) => {
    if (keys.isTyping(event.target) || event.ctrlKey || event.metaKey || event.altKey) return;
    const names = keys.namesOf(event);
    const index = choices.findIndex(({ key }) => names.includes(key.toLowerCase()));
    if (index < 0) return;
    event.preventDefault();
    // The key has done its work; the task behind must not take it as an answer.
    event.stopPropagation();
    buttons[index].click();
  });
  return { ...dialog, finish: (value) => { picked = value; dialog.close(); } };
}

export function askSkip(onPick) {
  const words = h("input", { type: "text", maxlength: 500, "aria-label": t("skip.own_reason"),
    placeholder: t("skip.own_reason") });
  const own = h("form", { class: "inline-form", on: { submit: (event) => {
    event.preventDefault();
    if (words.value.trim()) dialog.finish(words.value.trim());
  } } }, words, h("button", { type: "submit", class: "quiet" }, t("skip.with_reason")));
  const dialog = pickDialog({ title: t("skip.title"), extra: own, onPick,
    choices: SKIP_REASONS.map((reason, index) =>
      ({ value: reason, label: t(`skip.${reason}`), key: String(index + 1) })) });
}

export function askWhich(title, slots, onPick) {
  const choices = slots.map((slot) =>
    ({ value: slot, label: t("answer.titled", { slot }), key: slot }));
  pickDialog({ title, onPick, choices });
}

export const askEdit = (slots, onPick) => askWhich(t("task.edit_which"), slots, onPick);
