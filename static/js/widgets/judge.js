// One task on the screen: conversation, answers and choices, and the draft judgment behind them.

import { h, replace } from "../dom.js";
import { t } from "../i18n.js";
import * as judgment from "../judgment.js";
import { makeScrollersReachable } from "../richtext.js";
import { createAnswer } from "./answer.js";
import { conversation } from "./conversation.js";
import { buildBar, buildMore, rowName } from "./judge-parts.js";

// options: draft, confirm (always wait for Enter), onSubmit(body, draft), onDraft(draft),
// tools (nodes for the bar), note (a line above the choices)
export class Judge {
  constructor(task, options) {
    this.task = task;
    this.options = options;
    this.draft = options.draft ?? judgment.emptyDraft();
    this.rows = judgment.rows(task);
    this.instant = judgment.isInstant(task) && !options.confirm;
    this.ranks = judgment.isRanking(task);
    this.active = 0;
    this.current = 0; // the candidate that number keys rank
    this.seen = 0;
    this.since = null;
    this.build();
    this.refresh();
  }

  build() {
    const { task } = this;
    this.conversation = conversation(task.prompt);
    this.cards = task.candidates.map((candidate) => createAnswer(candidate, {
      flags: task.flags ?? [], edits: task.edits, ratings: task.ratings, draft: this.draft,
      ranks: this.ranks ? task.candidates.length : 0,
      onFlags: (slot, names) => { this.draft.flags[slot] = names; this.refresh(); },
      onEdit: () => this.refresh(),
      onRate: (slot, name, value) => this.rate(slot, name, value),
      onRank: (slot, rank) => this.rank(slot, rank),
    }));
    const answers = h("div", { class: `answers count-${this.cards.length}` },
      this.cards.map((card) => card.node));
    this.node = h("div", { class: `task ${this.instant ? "instant" : "held"}` },
      this.conversation.node, answers, buildMore(this), buildBar(this));
  }

  // Called when the task comes on the screen; time counts only while the page can be seen.
  shown() {
    this.since = performance.now();
    this.conversation.showEnd();
    this.visibility = () => {
      if (document.hidden) this.pause();
      else this.since ??= performance.now();
    };
    document.addEventListener("visibilitychange", this.visibility);
    setTimeout(() => makeScrollersReachable(this.node), 60);
  }

  pause() {
    if (this.since !== null) this.seen += performance.now() - this.since;
    this.since = null;
  }

  removed() {
    this.pause();
    document.removeEventListener("visibilitychange", this.visibility);
    this.node.remove();
  }

  duration() {
    return this.seen + (this.since === null ? 0 : performance.now() - this.since);
  }

  pick(position) {
    this.draft.choice = position.choice;
    this.draft.strength = position.strength;
    if (this.instant && !judgment.missing(this.task, this.draft).length) this.submit();
    else this.advance();
  }

  pickCriterion(name, { choice, strength }) {
    this.draft.criteria[name] = strength ? { choice, strength } : { choice };
    this.advance();
  }

  rate(slot, name, value) {
    (this.draft.ratings[slot] ??= {})[name] = value;
    this.advance();
  }

  rank(slot, rank) {
    if (["both_bad", "cannot_judge"].includes(this.draft.choice)) this.draft.choice = null;
    if (!this.task.ties) {
      for (const [other, taken] of Object.entries(this.draft.ranks)) {
        if (taken === rank) delete this.draft.ranks[other];
      }
    }
    this.draft.ranks[slot] = rank;
    this.current = this.cards.findIndex((card) => card.slot === slot);
    const open = this.cards.findIndex((card) => !this.draft.ranks[card.slot]);
    if (open >= 0) this.current = open;
    else this.advance();
    this.refresh();
    this.reveal(this.cards[this.current].node);
  }

  // To the next row that still wants something, in sight.
  advance() {
    const open = this.rows.findIndex((row) => !judgment.isFilled(row, this.draft, this.task));
    if (open >= 0) this.active = open;
    this.refresh();
    this.reveal(this.rowNode(this.rows[this.active]));
  }

  reveal(node) {
    if (node?.isConnected) node.scrollIntoView({ block: "nearest" });
  }

  rowNode(row) {
    if (row.kind === "criterion") return this.criteria.get(row.name).node;
    if (row.kind === "overall") return this.scale.node;
    if (row.kind !== "rating") return null;
    return this.cards.find((card) => card.slot === row.slot).ratings.get(row.name).row;
  }

  refresh() {
    const { draft, task } = this;
    this.scale?.show(draft);
    for (const other of this.others) {
      other.setAttribute("aria-pressed", String(other.dataset.choice === draft.choice));
    }
    for (const [name, { scale }] of this.criteria) scale.show(draft.criteria[name]);
    this.cards.forEach((card, index) => {
      card.rank?.show(draft.ranks[card.slot]);
      card.node.classList.toggle("current", this.ranks && index === this.current);
      card.node.classList.toggle("preferred", draft.choice === card.slot);
      for (const [name, numbers] of card.ratings) numbers.show(draft.ratings[card.slot]?.[name]);
    });
    const row = this.rowNode(this.rows[this.active]);
    for (const node of this.node.querySelectorAll(".active")) node.classList.remove("active");
    if (!this.instant) row?.classList.add("active");
    if (this.ranks) {
      const order = judgment.ranking(task, draft).map((slots) => slots.join(" = ")).join("  ›  ");
      replace(this.order, order || t("task.rank_hint"));
    }
    this.refreshHint();
    this.options.onDraft?.(draft);
  }

  refreshHint() {
    if (this.instant) return;
    const open = judgment.missing(this.task, this.draft);
    const names = open.map(rowName);
    this.hint.classList.remove("urgent");
    const more = names.length > 3 ? t("task.and_more", { n: names.length - 3 }) : "";
    replace(this.hint, names.length
      ? t("task.still", { names: names.slice(0, 3).join("; ") + more }) : t("task.complete"));
    this.submitButton.classList.toggle("ready", open.length === 0);
    this.submitButton.setAttribute("aria-disabled", String(open.length > 0));
  }

  submit() {
    const open = judgment.missing(this.task, this.draft);
    if (open.length) {
      this.goTo(open[0]);
      return false;
    }
    const body = judgment.bodyFromDraft(this.task, this.draft, this.duration());
    this.options.onSubmit(body, this.draft);
    return true;
  }

  goTo(row) {
    if (row.kind === "rationale") return this.openRationale();
    this.active = this.rows.findIndex((one) => one.kind === row.kind && one.name === row.name &&
      one.slot === row.slot);
    this.refresh();
    this.hint.classList.add("urgent");
    return this.reveal(this.rowNode(row));
  }

  openRationale() {
    if (!this.rationale) return;
    this.rationale.hidden = false;
    this.rationale.querySelector("textarea").focus();
  }

  // The preferred answer is the one to make better still; before a choice, the reader says which.
  openEditor(slot = this.draft.choice) {
    if (!this.task.edits) return;
    const card = this.cards.find((one) => one.slot === slot);
    if (card) card.openEditor();
    else this.options.onAskEdit?.(this.cards.map((one) => one.slot));
  }

  // Returns whether the action meant something here.
  act(action) {
    const pick = /^pick(\d)$/.exec(action);
    if (pick) return this.number(Number(pick[1]));
    const simple = {
      left: () => this.side(-1), right: () => this.side(1),
      tie: () => this.task.ties && !this.ranks && this.pick({ choice: "tie", strength: null }),
      bothBad: () => this.task.both_bad && this.pick({ choice: "both_bad", strength: null }),
      cannotJudge: () => this.task.cannot_judge &&
        this.pick({ choice: "cannot_judge", strength: null }),
      submit: () => !this.instant && this.submit(),
      rationale: () => this.openRationale(), edit: () => this.openEditor(),
      flags: () => this.node.querySelector(".flags input")?.focus(),
      nextRow: () => this.step(1), previousRow: () => this.step(-1),
      conversation: () => this.conversation.toggle(),
    };
    if (!(action in simple)) return false;
    simple[action]();
    return true;
  }

  side(direction) {
    if (this.ranks) {
      const count = this.cards.length;
      this.current = (this.current + direction + count) % count;
      this.refresh();
      return this.reveal(this.cards[this.current].node);
    }
    const strength = judgment.usualStrength(this.task.strength_levels);
    return this.pick({ choice: direction < 0 ? "A" : "B", strength });
  }

  step(direction) {
    if (this.instant) return;
    this.active = Math.max(0, Math.min(this.rows.length - 1, this.active + direction));
    this.refresh();
    this.reveal(this.rowNode(this.rows[this.active]));
  }

  number(value) {
    const row = this.rows[this.active];
    if (row.kind === "ranking") {
      if (value <= this.cards.length) this.rank(this.cards[this.current].slot, value);
    } else if (row.kind === "rating") {
      const { min, max } = this.task.ratings;
      if (value >= min && value <= max) this.rate(row.slot, row.name, value);
    } else {
      const scale = row.kind === "overall" ? this.scale : this.criteria.get(row.name).scale;
      const position = scale.at(value);
      if (position && row.kind === "overall") this.pick(position);
      else if (position) this.pickCriterion(row.name, position);
    }
    return true;
  }
}
