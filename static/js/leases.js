// Keeps tasks ready ahead of the annotator: fetched early, renewed, and resumed after a reload.

import * as api from "./api.js";
import { channel } from "./events.js";
import * as outbox from "./outbox.js";
import * as store from "./store.js";

const AHEAD = 3;
const BATCH = 5;
const TICK = 5000;
const LOOK_AGAIN = 15000;
const IDLE_LIMIT = 10 * 60000;

export class LeaseQueue {
  constructor(project, account, leaseSeconds) {
    this.project = project;
    this.account = account;
    this.lifetime = leaseSeconds * 1000;
    this.waiting = [];
    this.held = new Map(); // every lease in this tab, the shown one included
    this.answered = new Set();
    this.state = "loading"; // loading | ready | empty | offline | denied
    this.changed = channel();
    this.lost = channel();
    this.released = new Map();
    this.filling = null;
    this.lastUse = Date.now();
    this.closed = false;
  }

  async start() {
    await this.resume();
    if (this.waiting.length) this.state = "ready";
    this.timer = setInterval(() => this.tick(), TICK);
    this.online = () => this.fill();
    window.addEventListener("online", this.online);
    const filled = this.fill();
    // With a task at hand nothing waits for the network.
    if (!this.waiting.length) await filled;
  }

  stop() {
    this.closed = true;
    clearInterval(this.timer);
    clearTimeout(this.again);
    window.removeEventListener("online", this.online);
    for (const release of this.released.values()) release();
  }

  use() {
    this.lastUse = Date.now();
  }

  // A lock per lease tells other tabs that this one shows it; it ends with the tab.
  claim(id) {
    if (!navigator.locks) return Promise.resolve(true);
    return new Promise((resolve) => {
      navigator.locks.request(`aileron-lease-${id}`, { ifAvailable: true }, (lock) => {
        resolve(lock !== null);
        return lock && new Promise((release) => this.released.set(id, release));
      });
    });
  }

  async resume() {
    const [records, pending] = await Promise.all([store.all("leases"), outbox.pendingLeases()]);
    const usable = records.filter((record) =>
      record.account === this.account && record.project === this.project)
      .sort((a, b) => a.order - b.order);
    for (const record of usable) {
      const stale = record.until < Date.now() && navigator.onLine;
      if (stale || pending.has(record.key)) await store.remove("leases", record.key);
      else if (await this.claim(record.key)) this.add(record);
    }
  }

  add(record) {
    this.held.set(record.key, record);
    this.waiting.push(record);
  }

  async accept(lease) {
    if (this.held.has(lease.id) || this.answered.has(lease.id)) return;
    if (!(await this.claim(lease.id))) return;
    const record = {
      key: lease.id, account: this.account, project: this.project, task: lease.task,
      order: Date.now() + this.held.size / 1000, until: Date.now() + this.lifetime,
    };
    this.add(record);
    store.put("leases", record).catch(() => {});
  }

  next() {
    this.use();
    const record = this.waiting.shift() ?? null;
    if (this.waiting.length < AHEAD) setTimeout(() => this.fill(), 0);
    return record;
  }

  putBack(record) {
    this.waiting.unshift(record);
  }

  finish(id) {
    this.use();
    this.answered.add(id);
    this.forget(id);
  }

  forget(id) {
    this.held.delete(id);
    this.waiting = this.waiting.filter((record) => record.key !== id);
    this.released.get(id)?.();
    this.released.delete(id);
    store.remove("leases", id).catch(() => {});
  }

  fill() {
    if (this.closed) return null;
    this.filling ??= this.ask().finally(() => { this.filling = null; });
    return this.filling;
  }

  async ask() {
    clearTimeout(this.again);
    if (this.waiting.length >= AHEAD) return;
    try {
      const before = this.held.size;
      const count = BATCH - this.waiting.length;
      const { leases } = await api.post(`/projects/${this.project}/leases`, { count });
      const pending = await outbox.pendingLeases();
      for (const lease of leases) {
        if (!pending.has(lease.id)) await this.accept(lease);
      }
      this.state = this.waiting.length || this.held.size > before ? "ready" : "empty";
    } catch (error) {
      this.failed(error);
    }
    if (this.state !== "ready" && this.state !== "denied") this.lookAgain();
    this.changed.emit(this.state);
  }

  failed(error) {
    if (!(error instanceof api.ApiError)) throw error;
    this.error = error;
    this.state = error.temporary ? "offline" : "denied";
  }

  lookAgain() {
    if (this.closed) return;
    const look = () => (document.hidden ? this.lookAgain() : this.fill());
    this.again = setTimeout(look, LOOK_AGAIN);
  }

  // Renew in the last third of a lease's life, but not for someone who has walked away.
  tick() {
    if (document.hidden || Date.now() - this.lastUse > IDLE_LIMIT || !navigator.onLine) return;
    for (const record of this.held.values()) {
      if (record.until - Date.now() < this.lifetime / 3 && !record.renewing) this.renew(record);
    }
  }

  async renew(record) {
    record.renewing = true;
    try {
      await api.post(`/leases/${record.key}/renew`);
      record.until = Date.now() + this.lifetime;
      const { renewing, ...kept } = record;
      if (this.held.has(record.key)) await store.put("leases", kept);
    } catch (error) {
      const gone = error instanceof api.ApiError && [404, 409, 410].includes(error.status);
      if (gone && this.held.has(record.key)) this.lose(record);
    } finally {
      record.renewing = false;
    }
  }

  lose(record) {
    this.forget(record.key);
    this.lost.emit(record);
    this.fill();
  }
}
