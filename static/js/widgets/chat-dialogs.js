// The dialogs of chat and arena: all keys, and which answer to go on from.

import { h, link } from "../dom.js";
import { t } from "../i18n.js";
import * as keys from "../keys.js";
import { openDialog } from "./dialog.js";

const GROUPS = {
  chat: [["chat.help_answer", ["regenerate", "better", "question", "copy", "thumbUp", "thumbDown",
    "star1", "star5", "previous", "next"]],
  ["help.move", ["write", "later", "earlier", "fresh", "list", "model", "help"]]],
  arena: [["help.choose", ["pick1", "pick2", "pick3", "left", "right", "tie", "bothBad"]],
    ["help.move", ["regenerate", "write", "later", "earlier", "fresh", "list", "help"]]],
};
const ARENA_NAMES = { pick1: "arena.key_a", pick2: "choice.tie", pick3: "arena.key_b",
  left: "arena.key_a", right: "arena.key_b", regenerate: "arena.again" };

function line(labels, meaning) {
  return h("div", {}, h("dt", {}, labels.map((label) => h("kbd", {}, label))),
    h("dd", {}, meaning));
}

export function showChatHelp(surface) {
  const name = (action) => (surface === "arena" && ARENA_NAMES[action]
    ? t(ARENA_NAMES[action]) : keys.actionName(action));
  const typing = h("section", {}, h("h3", {}, t("chat.help_write")), h("dl", { class: "key-list" },
    line(["Enter"], t("chat.key_send")), line(["Shift", "Enter"], t("chat.key_newline")),
    line(["Esc"], t("chat.key_escape"))));
  const groups = GROUPS[surface].map(([title, actions]) => h("section", {}, h("h3", {}, t(title)),
    h("dl", { class: "key-list" }, actions.map((action) =>
      line(keys.labels(action), name(action))))));
  openDialog({ title: t("help.title"), wide: true,
    body: [h("div", { class: "key-groups" }, typing, groups),
      h("p", { class: "hint" }, t("chat.help_typing"))],
    actions: [link("/account#keys", t("help.remap"), { class: "button" })] });
}
