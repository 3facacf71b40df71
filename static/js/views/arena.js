// The arena: two unnamed models answer every message; the person votes and goes on from the better.

import * as api from "../api.js";
import { ArenaSession } from "../arena-session.js";
import { ChatScreen } from "../chat-screen.js";
import { button, h, icon, link, replace } from "../dom.js";
import { t } from "../i18n.js";
import * as keys from "../keys.js";
import { Reports } from "../reports.js";
import { pathOf } from "../routes.js";
import * as session from "../session.js";
import { askWhich } from "../widgets/annotate-dialogs.js";
import { CHOICES, roundView } from "../widgets/arena-round.js";
import { questionView } from "../widgets/chat-question.js";
import { confirmDialog } from "../widgets/dialog.js";
import { announce, note } from "../widgets/notice.js";
import { emptyState, pageHeader } from "../widgets/page.js";
import { problemText } from "../widgets/problem.js";

const VOTE_KEYS = { A: "pick1", tie: "pick2", B: "pick3", both_bad: "bothBad" };

class Arena extends ChatScreen {
  constructor(root, slug) {
    super(root, slug, new ArenaSession(slug), []);
    this.reports = new Reports(session.account().id, slug);
    const { chat } = this;
    this.stops.push(() => this.reports.stop(), () => chat.close());
    this.desk = {
      reports: this.reports, tree: () => chat.tree, busy: () => chat.busy,
      draftOf: (name) => this.draftOf(name), ended: () => chat.ended,
      isLast: (round) => chat.lastRound() === round, onShow: (one) => this.showRound(one),
      onVote: (round, choice) => chat.vote(round, choice), onAgain: (turn) => this.again(turn),
    };
  }

  extras() {
    this.againButton = button([icon("again"), h("span", {}, t("arena.again"))],
      () => this.act("regenerate"), { class: "tool" });
    return this.againButton;
  }

  tools() {
    this.endButton = button([h("span", { class: "wide-words" }, t("arena.end")),
      h("span", { class: "short-words", "aria-hidden": "true" }, t("arena.end_short"))],
    () => this.end(), { class: "quiet end", "aria-label": t("arena.end") });
    return this.endButton;
  }

  viewsOf(step) {
    const { turn } = step;
    const round = this.chat.roundOf(step);
    return [this.view(turn, () => questionView(turn, this.desk)),
      round && this.view(round, () => roundView(round, this.desk))];
  }

  stopsOf() {
    return this.shownViews.filter((one) => one.of.answers && !one.of.rounds);
  }

  choices() {
    const pick = (choice) => button([h("span", { class: "words" }, t(`arena.choice_${choice}`)),
      h("kbd", { "aria-hidden": "true" }, keys.label(VOTE_KEYS[choice]))],
    () => this.vote(choice), { class: "choice", "data-choice": choice });
    this.choiceButtons = CHOICES.map(pick);
    this.saving = h("p", { class: "still", role: "status" });
    return h("div", { class: "arena-vote" }, h("p", { class: "question" }, t("arena.question")),
      h("div", { class: "scale", role: "group", "aria-label": t("arena.question") },
        this.choiceButtons), this.saving);
  }

  renderDock(steps) {
    const { chat } = this;
    const round = chat.roundOf(steps.at(-1));
    this.voting ??= this.choices();
    this.over ??= h("div", { class: "arena-over" }, h("p", {}, t("arena.over")), this.newLink());
    this.composer.node.hidden = chat.ended;
    this.againButton.disabled = !round?.id || chat.busy;
    this.endButton.hidden = chat.ended || !round?.id;
    this.endButton.disabled = chat.busy;
    const wanted = chat.ended ? this.over : round && !round.problem ? this.voting : null;
    if (this.above.firstChild !== wanted) replace(this.above, wanted);
    for (const one of this.choiceButtons) {
      one.setAttribute("aria-pressed", String(one.dataset.choice === round?.vote));
    }
    const waiting = { saving: "", waiting: t("arena.vote_waiting") };
    const words = round?.saving ? waiting[round.saving] ?? round.saving : "";
    if (this.saving.textContent !== words) replace(this.saving, words);
  }

  vote(choice) {
    const round = this.chat.lastRound();
    if (!round || round.problem || this.chat.ended) return;
    this.chat.vote(round, choice);
    announce(t(`arena.voted_${choice}`));
    this.composer.focus();
  }

  // Without a winner the person says which answer to go on from: it is a signal, not ours to make.
  send(text) {
    const { chat } = this;
    const round = chat.lastRound();
    if (chat.busy) return false;
    const from = round?.answers[round.vote];
    if (!round || from) return this.ask(from ?? null, text);
    if (!round.id || round.problem) return this.ask(round.turn.parent, text);
    const alive = Object.values(round.answers).filter((one) => one.id && !one.problem &&
      (one.content || one.finish === "stopped"));
    if (!alive.length) return this.ask(round.turn.parent, text);
    askWhich(t("arena.which"), alive.map((one) => one.slot), (slot) => {
      this.composer.take(text);
      this.ask(round.answers[slot], text);
    });
    return false;
  }

  ask(parent, text) {
    this.pinned = true;
    this.chat.ask(parent, text);
    // Now keys vote; the text field comes back with the vote.
    this.thread.focus({ preventScroll: true });
    return true;
  }

  again(turn) {
    if (!this.chat.busy && !this.chat.ended) this.chat.answer(turn);
    this.thread.focus({ preventScroll: true });
  }

  showRound(one) {
    if (one.rounds) this.chat.tree.showTurn(one);
    else this.chat.tree.show(Object.values(one.answers)[0]);
    this.pinned = false;
    this.render();
  }

  async end() {
    const sure = await confirmDialog({ title: t("arena.end_title"), text: t("arena.end_text"),
      action: t("arena.end") });
    if (!sure) return;
    try {
      await this.chat.end();
      announce(t("arena.names_note"));
    } catch (error) {
      note(problemText(error));
    }
  }

  actions() {
    const votes = { pick1: "A", pick2: "tie", pick3: "B", left: "A", right: "B", tie: "tie",
      bothBad: "both_bad" };
    const { turn } = this.chat.lastRound() ?? {};
    return { ...Object.fromEntries(Object.entries(votes).map(([action, choice]) =>
      [action, () => this.vote(choice)])), regenerate: () => turn && this.again(turn) };
  }
}

export async function mount(root, { slug, query }) {
  const { arena } = await api.get(`/projects/${slug}/chat/models`);
  if (!arena && !query.c) {
    replace(root, pageHeader(t("arena.title")), emptyState(t("arena.no_models_title"),
      t("arena.no_models_text"), link(pathOf("chat", slug), t("nav.chat"),
        { class: "button primary" })));
    return null;
  }
  const screen = new Arena(root, slug);
  await screen.start(query.c);
  return () => screen.stop();
}
