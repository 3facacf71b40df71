// A round of the arena: two answers side by side, each by a model that has no name yet.

import { button, h, replace, uniqueId } from "../dom.js";
import { t } from "../i18n.js";
import { answerText } from "./answer-text.js";
import { answerProblem, finishNote } from "./chat-answer.js";
import { iconButton, siblings } from "./chat-parts.js";
import { announce } from "./notice.js";
import { toClipboard } from "./page.js";

export const CHOICES = ["A", "tie", "B", "both_bad"];

function card(answer, desk) {
  const { slot } = answer;
  const id = uniqueId("arena");
  const text = answerText(answer, { spoken: false, finished: t("arena.finished", { slot }) });
  const state = h("div", { class: "answer-state" });
  const name = h("span", { class: "model-name" });
  const copy = iconButton("copy", t("action.copy"), async () => {
    await toClipboard(text.plain());
    if (answer.id) desk.reports.tell(answer.id, "copy");
    announce(t("action.copied"));
  });
  const node = h("div",
    { class: "answer", role: "group", "aria-labelledby": id, "data-slot": slot },
    h("div", { class: "answer-head" }, h("h2", { id, class: "slot" },
      h("span", { class: "visually-hidden" }, t("answer.name"), " "), slot), name, copy),
    text.node, state);
  const update = () => {
    replace(name, answer.model);
    copy.hidden = answer.state !== "done" || !answer.id;
    replace(state, answerProblem(answer), finishNote(answer));
    node.classList.toggle("preferred", answer.round.vote === slot);
  };
  answer.heard.on((event) => { if (event.event === "over") update(); });
  return { node, update };
}

// desk: busy(), reports, ended(), isLast(round), onVote(round, choice), onAgain(turn),
// onShow(round)
export function roundView(round, desk) {
  const cards = Object.values(round.answers).map((answer) => card(answer, desk));
  const problem = h("div");
  const foot = h("div", { class: "round-foot" });
  const node = h("article", { class: "round", tabIndex: -1, "aria-label": t("arena.round") },
    h("div", { class: "answers count-2" }, cards.map((one) => one.node)), problem, foot);
  let changing = false;

  const choices = () => h("div", { class: "round-choices", role: "group",
    "aria-label": t("task.choices") }, CHOICES.map((choice) => button(
    t(`arena.choice_${choice}`), () => {
      changing = false;
      desk.onVote(round, choice);
    }, { "aria-pressed": String(round.vote === choice) })));

  const verdict = () => [
    h("span", {}, t(round.vote ? `arena.voted_${round.vote}` : "arena.no_vote")),
    round.id && !desk.ended() && button(t(round.vote ? "arena.change" : "arena.vote"), () => {
      changing = true;
      update();
      foot.querySelector("button")?.focus();
    }, { class: "quiet" })];

  const update = () => {
    for (const one of cards) one.update();
    const text = round.problem ?? (cards.length ? null : t("arena.nothing"));
    replace(problem, answerProblem({ problem: text && { text } },
      () => desk.onAgain(round.turn)));
    // The vote on the last round is in the dock, always in reach.
    const open = desk.isLast(round) && !desk.ended();
    const others = !desk.busy() &&
      siblings(round.turn.rounds, round, t("arena.rounds"), desk.onShow);
    replace(foot, others, !open && (changing ? choices() : verdict()));
    node.classList.toggle("failed", Boolean(text));
  };
  return { node, update, of: round };
}
