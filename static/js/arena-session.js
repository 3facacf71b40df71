// A conversation with two unnamed models at a time: rounds, votes that are never lost, the end.

import * as api from "./api.js";
import { ChatSession } from "./chat-session.js";
import { makeRound } from "./chat-tree.js";
import * as outbox from "./outbox.js";
import { problemText } from "./widgets/problem.js";

const SLOTS = ["A", "B"];

export class ArenaSession extends ChatSession {
  constructor(slug) {
    super(slug, "arena");
    this.slug = slug;
    this.stops = [
      outbox.recorded.on(({ record }) => this.saved(record, null)),
      outbox.declined.on(({ record, error }) => this.saved(record, problemText(error))),
      outbox.changed.on(({ waiting }) => this.waits(waiting)),
    ];
  }

  close() {
    for (const stop of this.stops) stop();
  }

  // Votes that an earlier page left on this device show as they were given.
  async open(id) {
    const surface = await super.open(id);
    for (const [round, choice] of await outbox.pendingVotes()) {
      const found = this.rounds().find((one) => one.id === round);
      if (found) Object.assign(found, { vote: choice, saving: "waiting" });
    }
    this.changed.emit();
    return surface;
  }

  rounds() {
    return this.tree.turns.flatMap((turn) => turn.rounds);
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

  // The outbox keeps it on this device until it is in, or another one has taken its place.
  save(round, choice) {
    round.saving = "saving";
    outbox.keepVote({ round: round.id, project: this.slug, choice, excerpt: round.turn.content });
  }

  saved(record, trouble) {
    const round = record.kind === "vote" && this.rounds().find((one) => one.id === record.round);
    if (!round || round.vote !== record.body.choice) return;
    round.saving = trouble;
    this.changed.emit();
  }

  waits(why) {
    const late = this.rounds().filter((one) => one.saving === (why ? "saving" : "waiting"));
    for (const round of late) round.saving = why ? "waiting" : "saving";
    if (late.length) this.changed.emit();
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
