// Runs the annotator's desk: shows task after task, records answers, goes back, measures itself.

import * as api from "./api.js";
import { channel } from "./events.js";
import * as drafts from "./drafts.js";
import { draftFromBody, isEmpty } from "./judgment.js";
import * as outbox from "./outbox.js";
import { Judge } from "./widgets/judge.js";

const EXCERPT = 140;
const MARKS_KEPT = 1000;
const PAST_KEPT = 50;

export function excerptOf(task) {
  const text = task.prompt[task.prompt.length - 1]?.content ?? "";
  return text.length > EXCERPT ? `${text.slice(0, EXCERPT)}…` : text;
}

// options: project (slug), queue, stage (node), makeJudge(task, options) extras: tools(), note(),
// confirm(), onAskEdit(slots)
export class Desk {
  constructor(options) {
    this.options = options;
    this.queue = options.queue;
    this.stage = options.stage;
    this.current = null; // { record, judge, body: the answer being changed, if any }
    this.prepared = null;
    this.past = [];
    this.session = new Set();
    this.moved = channel();
    this.pressed = null;
    this.unwatch = [this.queue.changed.on(() => this.tasksArrived()),
      this.queue.lost.on((record) => this.taskLost(record))];
  }

  stop() {
    this.flushDraft();
    for (const stop of this.unwatch) stop();
    this.current?.judge.removed();
    this.current = null;
  }

  build(record) {
    const body = record.body ?? null;
    const draft = drafts.load(record.key) ?? draftFromBody(body);
    const entry = { record, body };
    entry.judge = new Judge(record.task, {
      draft, confirm: this.options.confirm(), tools: this.options.tools(entry),
      note: body ? this.options.note(entry) : null, onAskEdit: this.options.onAskEdit,
      onSubmit: (answer) => this.record(answer),
      onDraft: () => { if (this.current === entry) this.keepDraft(); },
    });
    return entry;
  }

  keepDraft() {
    clearTimeout(this.draftTimer);
    this.draftTimer = setTimeout(() => this.flushDraft(), 250);
  }

  flushDraft() {
    clearTimeout(this.draftTimer);
    if (!this.current) return;
    const { draft } = this.current.judge;
    if (isEmpty(draft)) drafts.drop(this.current.record.key);
    else drafts.save(this.current.record.key, draft);
  }

  clear() {
    clearTimeout(this.draftTimer);
    this.current?.judge.removed();
    this.current = null;
  }

  showNext() {
    this.clear();
    const record = this.queue.next();
    if (record) {
      const ready = this.prepared?.record === record;
      this.place(ready ? this.prepared : this.build(record));
    }
    this.moved.emit(this.current);
    setTimeout(() => this.prepare(), 40);
  }

  place(entry) {
    this.prepared = null;
    this.current = entry;
    this.stage.replaceChildren(entry.judge.node);
    window.scrollTo(0, 0);
    this.stage.focus({ preventScroll: true });
    entry.judge.shown();
  }

  // Builds the next task off the page, so that a key only has to swap two nodes.
  prepare() {
    const next = this.queue.waiting[0];
    if (next && this.prepared?.record !== next) this.prepared = this.build(next);
  }

  tasksArrived() {
    if (!this.current && this.queue.waiting.length) this.showNext();
    else if (!this.current) this.moved.emit(null);
    else this.prepare();
  }

  taskLost(record) {
    if (this.prepared?.record === record) this.prepared = null;
    // A half-made answer stays: the server may still take it, and if not, the words are kept.
    if (this.current?.record !== record || !isEmpty(this.current.judge.draft)) return;
    this.options.onLost();
    this.showNext();
  }

  // Everything up to the swap happens before the browser paints; the network comes later.
  record(body) {
    const { record } = this.current;
    this.mark("aileron:key", this.pressed ?? performance.now());
    const { key: lease, task } = record;
    outbox.keepJudgment({ lease, project: this.options.project, body, excerpt: excerptOf(task) })
      .catch(console.error);
    this.leave(record, body);
  }

  skip(reason) {
    const { record, body } = this.current;
    if (body) return this.keepAsItWas();
    const excerpt = excerptOf(record.task);
    outbox.keepSkip({ lease: record.key, project: this.options.project, reason, excerpt })
      .catch(console.error);
    return this.leave(record, null);
  }

  leave(record, body) {
    drafts.drop(record.key);
    this.past.push({ ...record, body });
    if (this.past.length > PAST_KEPT) this.past.shift();
    this.session.add(record.key);
    this.queue.finish(record.key);
    this.showNext();
    this.painted();
  }

  keepAsItWas() {
    const { record } = this.current;
    drafts.drop(record.key);
    this.past.push(record);
    this.showNext();
  }

  // Back to the answer given last, in this sitting or an earlier one; false if there is none.
  async undo() {
    const last = this.past.pop() ?? (await this.lastOnServer());
    if (!last) return false;
    if (last.body === null) await outbox.recall(last.key);
    const interrupted = this.current;
    this.flushDraft();
    this.clear();
    if (interrupted) this.queue.putBack(interrupted.record);
    this.place(this.build(last));
    this.moved.emit(this.current);
    return true;
  }

  async lastOnServer() {
    const path = `/projects/${this.options.project}/judgments`;
    const { items } = await api.get(path, { mine: true, limit: 10 });
    const shown = new Set([this.current?.record.key, ...this.queue.waiting.map((one) => one.key)]);
    const last = items.find((item) => item.kind === "judgment" && !item.retracted &&
      !shown.has(item.lease_id));
    if (!last) return null;
    const { task, body } = await api.get(`/judgments/${last.id}`);
    return { key: last.lease_id, task, body };
  }

  mark(name, startTime) {
    if (performance.getEntriesByName(name).length > MARKS_KEPT) performance.clearMarks(name);
    performance.mark(name, { startTime });
  }

  painted() {
    requestAnimationFrame(() => requestAnimationFrame(() => {
      this.mark("aileron:painted", performance.now());
      this.pressed = null;
    }));
  }
}
