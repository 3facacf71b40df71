// Maps keys to actions: defaults, each person's own choices, and the label shown for each.

import { t } from "./i18n.js";

const JUDGE = {
  pick1: ["1"], pick2: ["2"], pick3: ["3"], pick4: ["4"], pick5: ["5"], pick6: ["6"],
  pick7: ["7"], pick8: ["8"], pick9: ["9"],
  left: ["ArrowLeft"], right: ["ArrowRight"], tie: ["t", "0"], bothBad: ["b"],
  cannotJudge: ["n"], skip: ["s"], undo: ["u"], submit: ["Enter"], rationale: ["r"],
  edit: ["e"], flags: ["f"], nextRow: ["j"], previousRow: ["k"],
  conversation: ["c"], history: ["h"],
  instructions: ["i"], help: ["?"],
};

const CHAT = {
  write: ["w", "/"], regenerate: ["r"], question: ["q"], better: ["e"], copy: ["c"],
  thumbUp: ["u", "+"], thumbDown: ["d", "-"], star1: ["1"], star2: ["2"], star3: ["3"],
  star4: ["4"], star5: ["5"], previous: ["ArrowLeft"], next: ["ArrowRight"], later: ["j"],
  earlier: ["k"], fresh: ["n"], list: ["l"], model: ["m"],
};

export const DEFAULTS = { ...JUDGE, ...CHAT };
// As people see them: the keys of judging, and those of chat and arena.
export const GROUPS = { judge: Object.keys(JUDGE), chat: Object.keys(CHAT) };
// The actions that each screen knows; on one screen a key means one thing.
export const SCREENS = {
  judge: GROUPS.judge,
  chat: [...GROUPS.chat, "help"],
  arena: ["pick1", "pick2", "pick3", "left", "right", "tie", "bothBad", "write", "regenerate",
    "later", "earlier", "fresh", "list", "help"],
};
// Whether one key for both could not tell them apart.
export const collide = (one, other) => Object.values(SCREENS).some((actions) =>
  actions.includes(one) && actions.includes(other));

// These reach the page even while someone types.
const RESERVED = new Set(["Escape", "Tab", "Shift", "Control", "Alt", "Meta"]);
const STORAGE = "aileron.keys";

let chosen = {};

export function useKeys(map) {
  chosen = map && typeof map === "object" ? map : {};
  localStorage.setItem(STORAGE, JSON.stringify(chosen));
}

export function restoreKeys() {
  try {
    chosen = JSON.parse(localStorage.getItem(STORAGE)) ?? {};
  } catch {
    chosen = {};
  }
}

export const own = () => chosen;
export const keysOf = (action) => chosen[action] ?? DEFAULTS[action];

const NAMES = {
  ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓", Enter: "↵", " ": "␣",
  Backspace: "⌫", Delete: "⌦",
};

export const keyName = (key) => NAMES[key] ?? (key.length === 1 ? key.toUpperCase() : key);
export const label = (action) => (keysOf(action).length ? keyName(keysOf(action)[0]) : "");
export const labels = (action) => keysOf(action).map(keyName);
export const isBindable = (key) => !RESERVED.has(key) && key !== "Process" && key !== "Dead";

// What a key press can be called: by its character and, for keyboards that write Hangul or put
// digits behind Shift, by its place.
export function namesOf(event) {
  const names = [];
  if (event.key && event.key !== "Process" && event.key !== "Unidentified") {
    names.push(event.key.length === 1 ? event.key.toLowerCase() : event.key);
  }
  const place = /^(?:Key|Digit|Numpad)([A-Z0-9])$/.exec(event.code ?? "");
  if (place) names.push(place[1].toLowerCase());
  return names;
}

export function actionFor(event, actions = SCREENS.judge) {
  if (event.ctrlKey || event.altKey || event.metaKey) return null;
  for (const name of namesOf(event)) {
    const action = actions.find((candidate) => keysOf(candidate).includes(name));
    if (action) return action;
  }
  return null;
}

export function isTyping(target) {
  return target instanceof Element &&
    target.closest("textarea, select, [contenteditable], input:not([type=checkbox])") !== null;
}

// Enter and Space press the focused control; the page must not press something else as well.
export function pressesControl(event) {
  return (event.key === "Enter" || event.key === " ") && event.target instanceof Element &&
    event.target.closest("button, a[href], summary, input, label") !== null;
}

export function actionName(action) {
  const [, kind, place] = /^(pick|star)(\d)$/.exec(action) ?? [];
  if (kind === "pick") return t("keys.pick", { position: place });
  return kind ? t("keys.star", { n: Number(place) }) : t(`keys.${action}`);
}
