// A person's message in a chat: its words, its other wordings, and the way to ask it differently.

import { h, replace } from "../dom.js";
import { t } from "../i18n.js";
import { iconButton, inlineEditor, siblings } from "./chat-parts.js";

// desk: tree, busy(), onShow(turn), draftOf(name), and onReword(turn, text) where that is possible
export function questionView(turn, desk) {
  const words = h("p", { class: "preserve question-text" }, turn.content);
  const place = h("div", { class: "question-place" }, words);
  const tools = h("div", { class: "message-tools" });
  const node = h("article", { class: "message from-user", "aria-label": t("chat.you") }, place,
    tools);
  const close = () => {
    replace(place, words);
    node.classList.remove("editing");
    tools.querySelector(".edit")?.focus();
  };
  const edit = () => {
    if (desk.busy()) return;
    const editor = inlineEditor({ label: t("chat.edit_question"), value: turn.content,
      draft: desk.draftOf(`question.${turn.id}`), submit: t("chat.ask_again"),
      hint: t("chat.edit_question_hint"), enterSends: true, onClose: close,
      onSubmit: async (text) => {
        close();
        desk.onReword(turn, text);
      } });
    replace(place, editor.node);
    node.classList.add("editing");
    editor.focus();
  };
  const update = () => {
    replace(tools, siblings(desk.tree().after(turn.parent), turn, t("chat.wordings"), desk.onShow),
      desk.onReword && turn.id && iconButton("pencil", t("chat.edit_question"), edit,
        { class: "icon-button edit", disabled: desk.busy() }));
  };
  return { node, update, edit, of: turn };
}
