// The text of an answer while it comes: finished pieces stay, the open end is replaced.

import { h, replace } from "../dom.js";
import { t } from "../i18n.js";
import { appendProse, makeScrollersReachable, prose } from "../richtext.js";
import { safeFragment } from "../safehtml.js";
import { announce } from "./notice.js";

// options: spoken (finished pieces are read aloud as they come), finished (said at the end)
export function answerText(answer, { spoken, finished }) {
  const pieces = h("div", { class: "prose" });
  const tail = h("div", { class: "prose tail" });
  const waiting = h("p", { class: "waiting" }, h("span", { class: "visually-hidden" },
    t("chat.waiting")), h("i", {}), h("i", {}), h("i", {}));
  const node = h("div", { class: "answer-text" }, pieces, tail, waiting);
  if (spoken && answer.state !== "done") pieces.setAttribute("aria-live", "polite");
  let whole = null;

  const showWhole = () => {
    if (answer.html === null || whole === answer.html) return;
    whole = answer.html;
    // The words were read while they came: they are not to be read again.
    const final = prose(whole);
    pieces.removeAttribute("aria-live");
    replace(node, final, waiting);
    setTimeout(() => makeScrollersReachable(node), 60);
  };

  const hear = (event) => {
    if (event.event === "block") {
      appendProse(pieces, event.html);
      replace(tail);
    } else if (event.event === "tail") {
      tail.replaceChildren(safeFragment(event.html));
    } else if (event.event === "end") {
      announce([spoken && tail.textContent, finished].filter(Boolean).join(" "));
    }
    waiting.hidden = answer.state === "done" || pieces.hasChildNodes() || tail.hasChildNodes();
    node.classList.toggle("coming", answer.state !== "done");
    if (answer.state === "done") showWhole();
  };
  answer.heard.on(hear);
  hear({});
  // What can be copied before the server has told the whole text.
  const plain = () => answer.content || node.innerText;
  return { node, plain };
}
