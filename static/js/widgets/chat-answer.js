// An answer in a chat: its text as it comes, its siblings, and what a person can do with it.

import { button, h, replace } from "../dom.js";
import { t } from "../i18n.js";
import { answerText } from "./answer-text.js";
import { iconButton, inlineEditor, siblings } from "./chat-parts.js";
import { feedback } from "./feedback.js";
import { announce } from "./notice.js";
import { toClipboard } from "./page.js";

const FINISHES = ["stopped", "length", "content_filter"];

export function answerProblem({ problem, finish }, onAgain) {
  if (!problem && finish !== "broken") return null;
  const text = problem?.text ?? t(problem ? "chat.cut" : "chat.finish_broken");
  return h("div", { class: "answer-problem", role: "alert" }, h("p", {}, text),
    onAgain && button(t("action.again"), onAgain, { class: "again" }));
}

export function finishNote(answer) {
  const { problem, finish, content, state } = answer;
  if (problem || state !== "done") return null;
  const empty = !content && !["stopped", "broken"].includes(finish) && "chat.finish_empty";
  const key = FINISHES.includes(finish) ? `chat.finish_${finish}` : empty;
  return key ? h("p", { class: "hint finish" }, t(key)) : null;
}

// desk: busy(), reports, onShow(answer), onAgain(turn), onBetter(answer, text), draftOf(name)
export function answerView(answer, desk) {
  const text = answerText(answer, { spoken: true, finished: t("chat.finished") });
  const state = h("div", { class: "answer-state" });
  const place = h("div", { class: "answer-place" }, text.node);
  const tools = h("div", { class: "message-tools" });
  const head = h("p", { class: "role" });
  const said = answer.edit_of ? null : feedback(answer, desk.reports);
  const node = h("article", { class: "message from-assistant", tabIndex: -1,
    "aria-label": t("chat.answer") }, head, place, state, tools, said?.panel);

  const copy = async () => {
    await toClipboard(text.plain());
    if (answer.id && !answer.edit_of) desk.reports.tell(answer.id, "copy");
    announce(t("action.copied"));
    copier.classList.add("done");
    setTimeout(() => copier.classList.remove("done"), 1500);
  };
  const copier = iconButton("copy", t("action.copy"), copy, { class: "icon-button copier" });
  const again = iconButton("again", t("chat.regenerate"), () => desk.onAgain(answer.turn));

  const close = () => {
    replace(place, text.node);
    node.classList.remove("editing");
    pencil.focus();
  };
  const edit = () => {
    if (desk.busy() || !answer.id || !answer.content) return;
    const editor = inlineEditor({ label: t("chat.better"), value: answer.content,
      draft: desk.draftOf(`answer.${answer.id}`), submit: t("chat.better_save"),
      hint: t("chat.better_hint"), onClose: close,
      onSubmit: async (words) => {
        if (words !== answer.content.trim()) await desk.onBetter(answer, words);
        close();
      } });
    replace(place, editor.node);
    node.classList.add("editing");
    editor.focus();
  };
  const pencil = iconButton("pencil", t("chat.better"), edit);

  const update = () => {
    const busy = desk.busy();
    const done = answer.state === "done";
    const origin = answer.edit_of ? t("chat.edited_by_you") : answer.model || t("role.assistant");
    replace(head, origin);
    replace(state, answerProblem(answer, busy ? null : () => desk.onAgain(answer.turn)),
      finishNote(answer));
    again.disabled = busy;
    pencil.disabled = busy || !answer.content;
    const list = siblings(answer.turn.answers, answer, t("chat.answers"), desk.onShow);
    replace(tools, !busy && list, done && answer.id && [copier, !answer.edit_of && again, pencil,
      said?.node]);
    said?.show();
  };
  answer.heard.on((event) => { if (event.event === "over") update(); });
  return { node, update, edit, copy, said, of: answer };
}
