// One candidate's card: the rendered answer and what can be said about it alone.

import { button, h, uniqueId } from "../dom.js";
import { t } from "../i18n.js";
import { prose } from "../richtext.js";
import { createNumbers } from "./scale.js";

function flagBoxes(card, names, selected, onChange) {
  const boxes = names.map((name) => h("input", { type: "checkbox", value: name,
    checked: selected.includes(name), on: { change: () => report() } }));
  const report = () => onChange(boxes.filter((box) => box.checked).map((box) => box.value));
  const title = t("task.flags_of", { slot: card.slot });
  return h("fieldset", { class: "flags" }, h("legend", { class: "visually-hidden" }, title),
    boxes.map((box) => h("label", { class: "chip" }, box, h("span", {}, box.value))));
}

// options: flags, edits, ratings, ranks (how many), draft, onFlags, onEdit, onRate, onRank
export function createAnswer(candidate, options) {
  const { slot } = candidate;
  const heading = uniqueId("answer");
  const body = candidate.html === undefined
    ? h("div", { class: "prose" }, h("p", {}, candidate.content)) : prose(candidate.html);
  const tools = h("div", { class: "answer-tools" });
  const node = h("section", { class: "answer", "aria-labelledby": heading, "data-slot": slot },
    h("h2", { id: heading, class: "slot" }, h("span", { class: "visually-hidden" },
      t("answer.name"), " "), slot), body, tools);
  const card = { slot, node, ratings: new Map(), rank: null, editor: null };

  if (options.ranks) {
    card.rank = createNumbers({ min: 1, max: options.ranks, label: t("task.rank_of", { slot }),
      onPick: (rank) => options.onRank(slot, rank) });
    tools.append(h("div", { class: "row" }, h("span", { class: "row-name" }, t("task.rank")),
      card.rank.node));
  }
  for (const name of options.ratings?.names ?? []) {
    const numbers = createNumbers({ min: options.ratings.min, max: options.ratings.max,
      label: t("task.rating_of", { name, slot }),
      onPick: (value) => options.onRate(slot, name, value) });
    card.ratings.set(name, { ...numbers, row: h("div", { class: "row" },
      h("span", { class: "row-name" }, name), numbers.node) });
    tools.append(card.ratings.get(name).row);
  }
  if (options.flags.length) {
    tools.append(flagBoxes(card, options.flags, options.draft.flags[slot] ?? [],
      (names) => options.onFlags(slot, names)));
  }
  if (options.edits) addEditor(card, candidate, options, tools);
  return card;
}

function addEditor(card, candidate, options, tools) {
  const { slot } = card;
  const id = uniqueId("edit");
  const close = () => {
    delete options.draft.edits[slot];
    card.editor.replaceChildren();
    card.editor.hidden = true;
    options.onEdit();
  };
  card.editor = h("div", { class: "editor", hidden: true });
  card.openEditor = (focus = true) => {
    if (card.editor.hidden) {
      const text = options.draft.edits[slot] ?? candidate.content;
      const area = h("textarea", { id, rows: 10, spellcheck: "true", value: text,
        on: { input: () => { options.draft.edits[slot] = area.value; options.onEdit(); } } });
      card.editor.hidden = false;
      card.editor.append(h("label", { htmlFor: id }, t("task.edit_label", { slot })), area,
        h("div", { class: "row" }, h("span", { class: "hint" }, t("task.edit_hint")),
          button(t("task.edit_discard"), close, { class: "quiet" })));
    }
    if (focus) card.editor.querySelector("textarea").focus();
  };
  tools.append(card.editor);
  if (options.draft.edits[slot] !== undefined) card.openEditor(false);
}
