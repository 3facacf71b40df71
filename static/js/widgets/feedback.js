// What a person thinks of an answer: thumbs with reasons, and one to five stars.

import { button, h, replace } from "../dom.js";
import { t } from "../i18n.js";
import { iconButton } from "./chat-parts.js";
import { announce, note } from "./notice.js";

// These names go into the records; what people read is in the locales.
export const REASONS = {
  up: ["correct", "helpful", "clear", "well_written"],
  down: ["incorrect", "not_helpful", "instructions", "too_long", "unsafe"],
};
const STARS = [1, 2, 3, 4, 5];

function reasonsPanel(direction, words, onSend, onClose) {
  const boxes = REASONS[direction].map((name) => h("input", { type: "checkbox", value: name,
    checked: words.reasons.includes(name), on: { change: () => {
      words.reasons = boxes.filter((box) => box.checked).map((box) => box.value);
    } } }));
  const own = h("input", { type: "text", maxlength: 2000, value: words.text,
    "aria-label": t("chat.reason_own"), placeholder: t("chat.reason_own"),
    on: { input: () => { words.text = own.value; } } });
  const send = (event) => {
    event.preventDefault();
    onSend([words.reasons.join(", "), own.value.trim()].filter(Boolean).join("\n"));
  };
  const pressed = (event) => {
    if (event.key !== "Escape") return;
    event.stopPropagation();
    onClose();
  };
  return h("form", { class: `reasons reasons-${direction}`,
    on: { submit: send, keydown: pressed } },
    h("fieldset", { class: "flags" }, h("legend", {}, t(`chat.reasons_${direction}`)),
      boxes.map((box) => h("label", { class: "chip" }, box,
        h("span", {}, t(`chat.reason_${box.value}`))))),
    h("div", { class: "inline-form" }, own, h("button", { type: "submit" }, t("chat.reason_send")),
      button(t("action.close"), onClose, { class: "quiet" })));
}

// answer.thumb and answer.star hold what was said; reports carry it to the server.
export function feedback(answer, reports) {
  const words = { up: { reasons: [], text: "" }, down: { reasons: [], text: "" } };
  const panel = h("div", { class: "reasons-place" });
  const thumbs = Object.fromEntries(["up", "down"].map((direction) => [direction,
    iconButton(`thumb_${direction}`, t(`chat.thumb_${direction}`), () => thumb(direction))]));
  const stars = STARS.map((n) => iconButton("star", t("chat.star", { n }), () => star(n),
    { class: "icon-button star" }));

  const show = () => {
    for (const [direction, node] of Object.entries(thumbs)) {
      node.setAttribute("aria-pressed", String(answer.thumb === direction));
    }
    stars.forEach((node, index) => {
      node.setAttribute("aria-pressed", String(answer.star === index + 1));
      node.classList.toggle("lit", index < (answer.star ?? 0));
    });
  };
  const close = () => {
    replace(panel);
    thumbs[answer.thumb]?.focus();
  };
  const thumb = (direction) => {
    if (answer.thumb !== direction) reports.tell(answer.id, `thumb_${direction}`);
    answer.thumb = direction;
    show();
    replace(panel, reasonsPanel(direction, words[direction], (comment) => {
      if (comment) reports.tell(answer.id, `thumb_${direction}`, { comment });
      close();
      note(t("chat.thanks"));
    }, close));
    panel.querySelector("input").focus();
  };
  const star = (n) => {
    answer.star = n;
    reports.tell(answer.id, "star", { value: n });
    show();
    announce(t("chat.star", { n }));
  };
  show();
  return { thumb, star, show, panel,
    node: h("div", { class: "feedback" }, thumbs.up, thumbs.down,
      h("div", { class: "stars", role: "group", "aria-label": t("chat.stars") }, stars)) };
}
