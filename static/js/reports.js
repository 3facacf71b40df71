// Tells the server what a person did with answers: kept on this device until it is recorded.

import * as api from "./api.js";
import { uuid7 } from "./uuid.js";

const PREFIX = "aileron.events.";
const BATCH = 100;
const KEPT = 1000;
const RETRY_MS = 10000;

// Ids are made once, so sending the same event again records nothing new.
export class Reports {
  constructor(account, slug) {
    this.storage = `${PREFIX}${account}.${slug}`;
    this.path = `/projects/${slug}/events`;
    this.sending = false;
    this.queue = this.restore();
    this.online = () => this.flush();
    window.addEventListener("online", this.online);
    this.flush();
  }

  restore() {
    try {
      return JSON.parse(localStorage.getItem(this.storage)) ?? [];
    } catch {
      return [];
    }
  }

  keep() {
    try {
      if (this.queue.length) localStorage.setItem(this.storage, JSON.stringify(this.queue));
      else localStorage.removeItem(this.storage);
    } catch {
      // Without room on the device they are kept as long as the page.
    }
  }

  tell(completion, kind, { value, comment } = {}) {
    this.queue.push({ id: uuid7(), completion_id: completion, kind, value, comment });
    this.queue = this.queue.slice(-KEPT);
    this.keep();
    return this.flush();
  }

  async flush() {
    if (this.sending || !this.queue.length) return;
    this.sending = true;
    clearTimeout(this.timer);
    try {
      while (this.queue.length) {
        const events = this.queue.slice(0, BATCH);
        await api.post(this.path, { events }, { keepalive: true });
        this.queue = this.queue.slice(events.length);
        this.keep();
      }
    } catch (error) {
      if (!(error instanceof api.ApiError)) throw error;
      // What the server will never take must not stand in the way of the rest.
      if (!error.temporary && error.status !== 401) this.queue = this.queue.slice(BATCH);
      this.keep();
      this.timer = setTimeout(() => this.flush(), Math.max(RETRY_MS, error.retryAfter * 1000));
    } finally {
      this.sending = false;
    }
  }

  stop() {
    clearTimeout(this.timer);
    window.removeEventListener("online", this.online);
  }
}
