// A conversation as a tree: turns follow answers, and the answers to one turn are siblings.

import { channel } from "./events.js";

const newest = (list) => list.reduce((best, one) =>
  (!best || (one.id ?? "~") > (best.id ?? "~") ? one : best), null);

// state: waiting (for the first word) | streaming | done. problem: {} when it was cut off, {text}
// when it failed.
function makeAnswer(turn, given = {}) {
  return { id: null, turn, slot: null, round: null, content: "", html: null, finish: null,
    edit_of: null, model: null, thumb: null, star: null, state: "done", problem: null,
    stopping: false, heard: channel(), ...given };
}

// Two answers side by side. vote: A | B | tie | both_bad; saving: how the vote is on its way.
export const makeRound = (turn, given = {}) => ({ id: null, turn, answers: {}, vote: null,
  saving: null, problem: null, ...given });

export class Tree {
  constructor() {
    this.turns = [];
    this.next = new Map(); // answer (null: the beginning) -> the turn shown after it
    this.shown = new Map(); // turn -> the answer shown for it
  }

  // Turns that follow the same answer: one question, asked in other words.
  after(answer) {
    return this.turns.filter((turn) => turn.parent === answer);
  }

  addTurn(parent, content) {
    const turn = { id: null, parent, content, answers: [], rounds: [] };
    this.turns.push(turn);
    this.next.set(parent, turn);
    return turn;
  }

  addAnswer(turn, given) {
    const answer = makeAnswer(turn, given);
    turn.answers.push(answer);
    this.shown.set(turn, answer);
    return answer;
  }

  // Makes the way to an answer the one that is shown.
  show(answer) {
    for (let one = answer; one; one = one.turn.parent) {
      this.shown.set(one.turn, one);
      this.next.set(one.turn.parent, one.turn);
    }
  }

  showTurn(turn) {
    this.next.set(turn.parent, turn);
  }

  path() {
    const steps = [];
    let turn = this.next.get(null);
    while (turn) {
      const answer = this.shown.get(turn) ?? null;
      steps.push({ turn, answer });
      turn = this.following(turn, answer);
    }
    return steps;
  }

  // In the arena a conversation goes on from either answer of the round that is shown.
  following(turn, answer) {
    const round = turn.rounds.find((one) => one === answer?.round);
    const beside = round ? Object.values(round.answers) : [answer];
    return beside.map((one) => one && this.next.get(one)).find(Boolean);
  }

  // Takes over what the server has; what only this page knows (a failed answer) stays.
  load(turns) {
    for (const given of turns) this.loadTurn(given);
    const all = this.turns.flatMap((turn) => turn.answers);
    for (const turn of this.turns) {
      if (turn.parentId !== undefined) {
        turn.parent = all.find((one) => one.id && one.id === turn.parentId) ?? null;
      }
      if (!this.shown.has(turn) && turn.answers.length) {
        this.shown.set(turn, newest(turn.answers));
      }
    }
    for (const parent of new Set(this.turns.map((turn) => turn.parent))) {
      const turns = this.after(parent);
      if (!turns.includes(this.next.get(parent))) this.next.set(parent, turns.at(-1));
    }
  }

  loadTurn({ id, parent_id: parentId, content, at, answers, round_id: round, choice }) {
    let turn = this.turns.find((one) => one.id === id) ?? this.turns.find((one) =>
      !one.id && one.content === content && (one.parent?.id ?? null) === parentId);
    if (!turn) {
      turn = { answers: [], rounds: [], parent: null };
      this.turns.push(turn);
    }
    Object.assign(turn, { id, parentId, content, at, kept: true });
    for (const said of answers) {
      let answer = turn.answers.find((one) => one.id === said.id);
      if (!answer) {
        // One that was stopped before the page heard its id.
        answer = turn.answers.find((one) => !one.id && one.state === "done" && !one.problem &&
          one.slot === (said.slot ?? null));
      }
      if (!answer) turn.answers.push(answer = makeAnswer(turn));
      if (answer.state === "done") Object.assign(answer, said, { problem: null });
    }
    if (round) this.loadRounds(turn, round, choice);
  }

  // latest: the turn's last round, with its choice; of earlier ones the winners are known.
  loadRounds(turn, latest, choice) {
    const find = (id) => {
      let round = turn.rounds.find((one) => one.id === id);
      if (!round) turn.rounds.push(round = makeRound(turn, { id }));
      return round;
    };
    for (const answer of turn.answers.filter((one) => one.slot && one.round_id)) {
      answer.round = find(answer.round_id);
      answer.round.answers[answer.slot] = answer;
      if (answer.vote) answer.round.vote ??= answer.slot;
    }
    find(latest).vote ??= choice;
    turn.rounds.sort((one, other) => ((one.id ?? "~") < (other.id ?? "~") ? -1 : 1));
  }

  showNewest() {
    this.show(newest(this.turns.flatMap((turn) => turn.answers)));
  }
}
