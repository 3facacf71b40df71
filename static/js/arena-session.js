// A conversation with two unnamed models at a time: rounds, votes that are never lost, the end.

import * as api from "./api.js";
import { ChatSession } from "./chat-session.js";
import { makeRound } from "./chat-tree.js";
import { problemText } from "./widgets/problem.js";

const SLOTS = ["A", "B"];
const RETRY_MS = [1000, 2000, 5000, 15000];

export class ArenaSession extends ChatSession {
  constructor(slug) {
    super(slug, "arena");
  }

  // The round in sight for a turn: the one its shown answer belongs to.
  roundOf(step) {
    return step?.answer?.round ?? step?.turn.rounds.at(-1) ?? null;
  }

  lastRound() {
    return this.roundOf(this.tree.path().at(-1));
  }

  // The other model gets a turn too: both answer anew.
  answer(turn) {
    turn.rounds = turn.rounds.filter((one) => one.id);
    turn.answers = turn.answers.filter((one) => one.round?.id);
    const round = makeRound(turn);
    turn.rounds.push(round);
    for (const slot of SLOTS) {
      round.answers[slot] = this.tree.addAnswer(turn, { slot, round, state: "waiting" });
    }
    return this.play(round);
  }

  async play(round) {
    const { turn, answers } = round;
    const { tree } = this;
    const both = Object.values(answers);
    for (const answer of both) this.running.add(answer);
    this.changed.emit();
    try {
      const { id, turn_id: turnId } = await api.post(`${this.base}/rounds`,
        { conversation_id: this.id, ...this.naming(turn) });
      round.id = id;
      if (turnId) turn.id = turnId;
      this.isNew = false;
      this.begun.emit(turn);
    } catch (error) {
      if (!(error instanceof api.ApiError)) throw error;
      round.problem = problemText(error);
      for (const answer of both) {
        answer.state = "done";
        this.running.delete(answer);
        this.heard(answer, { event: "over" });
      }
      if (tree === this.tree) this.changed.emit();
      return;
    }
    if (round.vote) this.save(round, round.vote);
    await Promise.all(SLOTS.map((slot) => this.run(answers[slot],
      { conversation_id: this.id, round_id: round.id, slot })));
  }

  vote(round, choice) {
    round.vote = choice;
    if (round.id) this.save(round, choice);
    this.changed.emit();
  }

  // Tries until the vote is in or another one has taken its place.
  async save(round, choice) {
    const turn = (round.saves ?? 0) + 1;
    round.saves = turn;
    round.saving = "saving";
    for (let tries = 0; ; tries += 1) {
      try {
        await api.post(`${this.base}/rounds/${round.id}/vote`, { choice }, { keepalive: true });
        round.saving = null;
      } catch (error) {
        if (!(error instanceof api.ApiError)) throw error;
        round.saving = error.temporary ? "waiting" : problemText(error);
      }
      if (turn !== round.saves) return;
      this.changed.emit();
      if (round.saving !== "waiting") return;
      const wait = RETRY_MS[Math.min(tries, RETRY_MS.length - 1)];
      await new Promise((resolve) => { setTimeout(resolve, wait); });
      if (turn !== round.saves) return;
    }
  }

  async end() {
    const { answers } = await api.post(`${this.base}/conversations/${this.id}/end`);
    const names = new Map(answers.map((one) => [one.id, one.model]));
    for (const turn of this.tree.turns) {
      for (const answer of turn.answers) answer.model = names.get(answer.id) ?? answer.model;
    }
    this.ended = true;
    this.changed.emit();
  }
}
