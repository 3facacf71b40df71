// Shows the conversation that led to the answers, folded when long, its end in view.

import { button, h } from "../dom.js";
import { t } from "../i18n.js";
import { prose } from "../richtext.js";

const LONG_TEXT = 1400;
const LONG_TURNS = 4;

function message({ role, html, content }) {
  const known = ["user", "assistant", "system", "tool"].includes(role) ? role : "user";
  return h("article", { class: `message from-${known}`, "aria-label": t(`role.${known}`) },
    h("p", { class: "role" }, t(`role.${known}`)),
    html === undefined ? h("div", { class: "prose" }, h("p", {}, content)) : prose(html));
}

export function conversation(messages) {
  const size = messages.reduce((sum, one) => sum + one.content.length, 0);
  const long = size > LONG_TEXT || messages.length > LONG_TURNS;
  const body = h("div", { class: "messages" }, messages.map(message));
  const node = h("section", { class: "conversation", "aria-label": t("task.conversation") }, body);
  const showEnd = () => { body.scrollTop = body.scrollHeight; };
  if (!long) return { node, toggle() {}, showEnd() {} };

  node.classList.add("foldable", "folded");
  body.tabIndex = 0;
  body.setAttribute("role", "region");
  body.setAttribute("aria-label", t("task.conversation"));
  const toggle = () => {
    const folded = node.classList.toggle("folded");
    switcher.textContent = t(folded ? "task.unfold" : "task.fold");
    switcher.setAttribute("aria-expanded", String(!folded));
    if (folded) showEnd();
  };
  const switcher = button(t("task.unfold"), toggle,
    { class: "quiet fold", "aria-expanded": "false" });
  node.append(switcher);
  return { node, toggle, showEnd };
}
