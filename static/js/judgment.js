// Knows what a judgment is made of: scale positions, drafts, what is missing, the body to send.

import { t } from "./i18n.js";

export const LEVEL_WORDS = { 1: ["plain"], 2: ["slight", "much"], 3: ["slight", "clear", "much"] };

// Left to right: A strongest to weakest, tie, B weakest to strongest. Position 4 of 7 is the tie
// even where ties are off, so that a key means the same side in every project.
export function positions(levels) {
  const strengths = Array.from({ length: levels }, (_, index) => index + 1);
  const strength = (value) => (levels > 1 ? value : null);
  return [
    ...strengths.slice().reverse().map((value) => ({ choice: "A", strength: strength(value) })),
    { choice: "tie", strength: null },
    ...strengths.map((value) => ({ choice: "B", strength: strength(value) })),
  ];
}

export const usualStrength = (levels) => (levels > 1 ? Math.ceil(levels / 2) : null);

export function levelWord(levels, strength) {
  return LEVEL_WORDS[levels][(strength ?? 1) - 1];
}

export function emptyDraft() {
  return {
    choice: null, strength: null, criteria: {}, ratings: {}, flags: {}, rationale: "",
    edits: {}, ranks: {},
  };
}

export function draftFromBody(body) {
  const draft = emptyDraft();
  if (!body) return draft;
  const { choice, strength, criteria, ratings, flags, rationale, edits, ranking } = body;
  Object.assign(draft, {
    choice: choice ?? null, strength: strength ?? null, rationale: rationale ?? "",
    criteria: { ...criteria }, ratings: structuredClone(ratings ?? {}),
    flags: structuredClone(flags ?? {}), edits: { ...edits },
  });
  (ranking ?? []).forEach((slots, index) => {
    for (const slot of slots) draft.ranks[slot] = index + 1;
  });
  return draft;
}

const USUAL_QUESTION = "Which answer is better?";

// A project that never set its own question asks the usual one in the reader's language.
export const questionOf = ({ question }) =>
  (question === USUAL_QUESTION ? t("task.question") : question);

export const isRanking = (task) => task.kind === "ranking";

// Rows are what the number keys fill in, one after the other.
export function rows(task) {
  const slots = task.candidates.map((candidate) => candidate.slot);
  const list = isRanking(task) ? [{ kind: "ranking" }] : [{ kind: "overall" }];
  if (!isRanking(task)) {
    for (const criterion of task.criteria ?? []) list.push({ kind: "criterion", ...criterion });
  }
  for (const name of task.ratings?.names ?? []) {
    for (const slot of slots) list.push({ kind: "rating", name, slot });
  }
  return list;
}

// Whether one key can be the whole judgment.
export function isInstant(task) {
  return !isRanking(task) && !(task.criteria ?? []).length && !task.ratings &&
    task.rationale !== "required";
}

export function isFilled(row, draft, task) {
  if (row.kind === "overall") return draft.choice !== null;
  if (row.kind === "criterion") return Boolean(draft.criteria[row.name]?.choice);
  if (row.kind === "rating") return draft.ratings[row.slot]?.[row.name] !== undefined;
  return task.candidates.every((candidate) => draft.ranks[candidate.slot]);
}

export function missing(task, draft) {
  if (draft.choice === "cannot_judge") return [];
  // When both answers are bad, which one wins a criterion is no longer asked for.
  const asked = rows(task).filter((row) =>
    !(draft.choice === "both_bad" && ["criterion", "ranking"].includes(row.kind)));
  const open = asked.filter((row) => !isFilled(row, draft, task));
  if (task.rationale === "required" && !draft.rationale.trim()) open.push({ kind: "rationale" });
  return open;
}

export function ranking(task, draft) {
  const groups = new Map();
  for (const { slot } of task.candidates) {
    const rank = draft.ranks[slot];
    if (rank) groups.set(rank, [...(groups.get(rank) ?? []), slot]);
  }
  return [...groups.keys()].sort((a, b) => a - b).map((rank) => groups.get(rank));
}

function kept(entries, keep) {
  const list = Object.entries(entries).filter(([, value]) => keep(value));
  return list.length ? Object.fromEntries(list) : undefined;
}

export function changedEdits(task, draft) {
  const original = new Map(task.candidates.map(({ slot, content }) => [slot, content]));
  const changed = Object.entries(draft.edits)
    .filter(([slot, text]) => text.trim() && text !== original.get(slot));
  return changed.length ? Object.fromEntries(changed) : undefined;
}

export function bodyFromDraft(task, draft, duration) {
  const body = {};
  if (draft.choice) body.choice = draft.choice;
  if (draft.strength && ["A", "B"].includes(draft.choice)) body.strength = draft.strength;
  const abstained = draft.choice === "cannot_judge" || draft.choice === "both_bad";
  if (isRanking(task) && !abstained) body.ranking = ranking(task, draft);
  const criteria = kept(draft.criteria, (value) => value?.choice);
  if (criteria) body.criteria = criteria;
  const ratings = kept(draft.ratings, (value) => Object.keys(value).length);
  if (ratings) body.ratings = ratings;
  const flags = kept(draft.flags, (value) => value.length);
  if (flags) body.flags = flags;
  if (draft.rationale.trim()) body.rationale = draft.rationale.trim();
  const edits = changedEdits(task, draft);
  if (edits) body.edits = edits;
  if (duration !== undefined) body.duration_ms = Math.round(duration);
  return body;
}

export function isEmpty(draft) {
  return JSON.stringify(draft) === JSON.stringify(emptyDraft());
}
