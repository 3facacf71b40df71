// One conversation with the server: asks, listens while answers come, stops, and keeps the tree.

import * as api from "./api.js";
import { Tree } from "./chat-tree.js";
import { channel } from "./events.js";
import { t } from "./i18n.js";
import { uuid7 } from "./uuid.js";
import { problemText } from "./widgets/problem.js";

// A stopped answer is recorded a moment after the request ended.
const SETTLE_MS = [200, 700, 2000];

const pause = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

export class ChatSession {
  constructor(slug, surface) {
    this.base = `/projects/${slug}/chat`;
    this.surface = surface;
    this.changed = channel(); // what is shown is another list of turns and answers
    this.begun = channel(); // a turn that reached the server
    this.fresh();
  }

  fresh() {
    this.stop();
    this.id = uuid7();
    this.isNew = true;
    this.ended = false;
    this.tree = new Tree();
    this.running = new Set();
    this.changed.emit();
  }

  async open(id) {
    const given = await api.get(`${this.base}/conversations/${id}`);
    if (given.surface !== this.surface) return given.surface;
    this.fresh();
    this.id = id;
    this.isNew = false;
    this.take(given);
    this.tree.showNewest();
    this.changed.emit();
    return given.surface;
  }

  take(given) {
    this.ended = Boolean(given.ended) && this.surface === "arena";
    this.tree.load(given.turns);
  }

  get busy() {
    return this.running.size > 0;
  }

  last() {
    return this.tree.path().at(-1)?.answer ?? null;
  }

  ask(parent, content, model) {
    const turn = this.tree.addTurn(parent, content);
    return this.answer(turn, model);
  }

  // A turn that never reached the server is sent whole again; the same words make the same turn.
  answer(turn, model) {
    const answer = this.tree.addAnswer(turn, { state: "waiting", model });
    for (const failed of turn.answers.filter((one) => one !== answer && !one.id)) {
      turn.answers.splice(turn.answers.indexOf(failed), 1);
    }
    const body = { conversation_id: this.id, model, ...this.naming(turn) };
    return this.run(answer, body);
  }

  naming(turn) {
    return turn.id && turn.kept ? { turn_id: turn.id }
      : { parent_id: turn.parent?.id ?? null, content: turn.content };
  }

  async run(answer, body) {
    const control = new AbortController();
    const { tree } = this;
    answer.control = control;
    if (answer.stopping) control.abort();
    this.running.add(answer);
    this.changed.emit();
    try {
      for await (const event of api.stream(`${this.base}/messages`, body,
        { signal: control.signal })) this.hear(answer, event);
      if (answer.state !== "done" && !answer.problem) answer.problem = {};
    } catch (error) {
      if (error.name === "AbortError") answer.finish = "stopped";
      else if (!(error instanceof api.ApiError)) throw error;
      else this.failed(answer, error);
    } finally {
      const whole = answer.state === "done";
      answer.state = "done";
      answer.control = null;
      this.running.delete(answer);
      this.heard(answer, { event: "over" });
      if (tree === this.tree) {
        this.changed.emit();
        if (!whole && (answer.id || answer.finish === "stopped")) this.settle(answer, tree);
      }
    }
  }

  failed(answer, error) {
    const told = [502, 504].includes(error.status) && error.detail;
    answer.problem = error.network && answer.id ? {}
      : { text: told ? t("chat.model_failed", { text: told }) : problemText(error) };
  }

  heard(answer, event) {
    answer.heard.emit(event);
  }

  hear(answer, event) {
    const { turn } = answer;
    if (event.event === "begin") {
      turn.id = event.turn_id;
      answer.id = event.answer_id;
      answer.state = "streaming";
      this.isNew = false;
      this.begun.emit(turn);
    } else if (event.event === "end") {
      answer.id = event.answer_id ?? answer.id;
      Object.assign(answer, { finish: event.finish, content: event.content, html: event.html,
        state: "done" });
      turn.kept = true;
    } else if (event.event === "error") {
      answer.problem = { text: t("chat.model_failed", { text: event.message }) };
    }
    this.heard(answer, event);
  }

  // What the server kept of an answer that was stopped or cut off.
  async settle(answer, tree) {
    const { problem } = answer;
    for (const wait of SETTLE_MS) {
      await pause(wait);
      if (tree !== this.tree || this.busy) return;
      try {
        const given = await api.get(`${this.base}/conversations/${this.id}`);
        if (tree !== this.tree || this.busy) return;
        this.take(given);
      } catch {
        // The server may know nothing of it; then what came is what there is.
      }
      if (answer.html !== null) break;
    }
    answer.problem = problem;
    this.heard(answer, { event: "over" });
    this.changed.emit();
  }

  stop() {
    for (const answer of this.running ?? []) {
      answer.stopping = true; // one that is not asked for yet never will be
      answer.control?.abort();
    }
  }

  // The person's own better text, beside the answer it comes from.
  async better(answer, content) {
    const { id, html } = await api.post(`${this.base}/edits`, { answer_id: answer.id, content });
    const edit = this.tree.addAnswer(answer.turn, { id, html, content, edit_of: answer.id,
      finish: "stop" });
    this.changed.emit();
    return edit;
  }
}
