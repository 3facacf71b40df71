// Keeps every judgment, skip, retraction and vote on this device until the server has committed it.

import * as api from "./api.js";
import { channel } from "./events.js";
import * as store from "./store.js";

const FIRST_DELAY = 1000;
const LONGEST_DELAY = 60000;
const SIGNED_OUT = 401;

export const changed = channel();
export const recorded = channel();
export const declined = channel();

// sending: how many answers still wait; waiting: why ("offline", "signin", "server") or null.
// writing: how many are not on the device yet; only what is there may be called kept.
const state = { pending: 0, writing: 0, failed: 0, waiting: null, lasting: true };
const tabs = "BroadcastChannel" in window ? new BroadcastChannel("aileron") : null;
let account = null;
let delay = FIRST_DELAY;
let timer = null;
let draining = false;
let counter = 0;
// Answers given in this tab whose write to the device has not finished yet.
let writing = 0;

export const current = () => state;

async function mine(name) {
  const records = await store.all(name);
  return records.filter((record) => record.account === account).sort((a, b) => a.order - b.order);
}

async function count() {
  const [pending, failed] = await Promise.all([mine("outbox"), mine("failed")]);
  state.pending = Math.max(pending.length, writing);
  state.writing = writing;
  state.failed = failed.length;
  state.lasting = store.isLasting();
  changed.emit(state);
}

function announce() {
  tabs?.postMessage("outbox");
  return count();
}

export async function start(accountId) {
  account = accountId;
  state.waiting = null;
  delay = FIRST_DELAY;
  await count();
  if (account) flush();
}

// version tells a newer answer from the one being sent; order keeps the sequence of acts.
async function keep(record) {
  counter += 1;
  writing += 1;
  state.pending += 1;
  state.writing = writing;
  changed.emit(state);
  const order = Date.now() + counter / 1000;
  const version = `${order}-${Math.random().toString(36).slice(2)}`;
  try {
    await store.put("outbox", { ...record, account, order, version, at: new Date().toISOString() });
  } finally {
    writing -= 1;
  }
  announce();
  flush();
}

// A judgment and a skip of the same lease share a key: the later act replaces the earlier.
export function keepJudgment({ lease, project, body, excerpt }) {
  return keep({ key: `lease:${lease}`, kind: "judgment", lease, project, body, excerpt });
}

export function keepSkip({ lease, project, reason, excerpt }) {
  const body = { reason };
  return keep({ key: `lease:${lease}`, kind: "skip", lease, project, body, excerpt });
}

export async function keepRetraction({ judgment, lease, project, excerpt }) {
  // A change that was never sent is withdrawn on this device.
  await store.remove("outbox", `lease:${lease}`);
  const key = `judgment:${judgment}`;
  return keep({ key, kind: "retraction", judgment, lease, project, excerpt });
}

// The later vote on a round of the arena replaces the earlier.
export function keepVote({ round, project, choice, excerpt }) {
  return keep({ key: `vote:${round}`, kind: "vote", round, project, body: { choice }, excerpt });
}

export async function pendingVotes() {
  const votes = (await mine("outbox")).filter((record) => record.kind === "vote");
  return new Map(votes.map((record) => [record.round, record.body.choice]));
}

export async function pendingLeases() {
  const records = await mine("outbox");
  return new Map(records.map((record) => [record.lease, record]));
}

// Takes back what has not been sent yet; false when it is on its way or already there.
export async function recall(lease) {
  if (draining) return false;
  const record = await store.get("outbox", `lease:${lease}`);
  if (!record) return false;
  await store.remove("outbox", record.key);
  await announce();
  return true;
}

// Waits, but not for long, until what was kept in the last moments has been sent.
export function settled(patience = 1500) {
  if (!state.pending || state.waiting) return Promise.resolve();
  return new Promise((resolve) => {
    const finish = () => {
      clearTimeout(limit);
      stop();
      resolve();
    };
    const limit = setTimeout(finish, patience);
    const stop = changed.on(({ pending, waiting }) => {
      if (!pending || waiting) finish();
    });
  });
}

export const failures = () => mine("failed");

export async function dismiss(key) {
  await store.remove("failed", key);
  return announce();
}

function transmit(record) {
  if (record.kind === "judgment") return api.put(`/leases/${record.lease}/judgment`, record.body);
  if (record.kind === "skip") return api.post(`/leases/${record.lease}/skip`, record.body);
  if (record.kind === "vote") {
    return api.post(`/projects/${record.project}/chat/rounds/${record.round}/vote`, record.body);
  }
  return api.remove(`/judgments/${record.judgment}`);
}

async function refused(record, error) {
  const problem = { status: error.status, code: error.code, detail: error.message };
  await store.put("failed", { ...record, key: `${record.key}:${record.version}`, problem });
  await store.removeVersion("outbox", record.key, record.version);
  declined.emit({ record, error });
}

function retryLater(waiting, seconds = 0) {
  state.waiting = waiting;
  clearTimeout(timer);
  if (waiting === "signin") return;
  const jitter = delay * (0.75 + Math.random() / 2);
  timer = setTimeout(flush, Math.max(seconds * 1000, jitter));
  delay = Math.min(delay * 2, LONGEST_DELAY);
}

// Sends one record; true when the next one may follow.
async function deliver(record) {
  try {
    const reply = await transmit(record);
    await store.removeVersion("outbox", record.key, record.version);
    recorded.emit({ record, reply });
  } catch (error) {
    if (!(error instanceof api.ApiError)) throw error;
    if (error.status === SIGNED_OUT) {
      retryLater("signin");
      return false;
    }
    if (error.temporary) {
      retryLater(error.network ? "offline" : "server", error.retryAfter);
      return false;
    }
    await refused(record, error);
  }
  state.waiting = null;
  delay = FIRST_DELAY;
  return true;
}

async function drain() {
  const owner = account;
  for (;;) {
    const [record] = await mine("outbox");
    if (!record || owner !== account) return;
    const goOn = await deliver(record);
    await announce();
    if (!goOn) return;
  }
}

// One tab sends at a time. Where the browser has no locks, a double send does no harm: PUT by
// lease id says the same thing twice.
function exclusively(work) {
  if (!navigator.locks) return work();
  return navigator.locks.request("aileron-outbox", work);
}

export async function flush() {
  if (!account || draining || state.waiting === "signin") return;
  clearTimeout(timer);
  draining = true;
  let clean = false;
  try {
    await exclusively(drain);
    clean = true;
  } catch (error) {
    console.error(error);
    retryLater("server");
  } finally {
    draining = false;
  }
  // Something may have been kept between the last look and now.
  if (clean && !state.waiting && (await mine("outbox")).length) flush();
}

function networkBack() {
  delay = FIRST_DELAY;
  flush();
}

window.addEventListener("online", networkBack);
window.addEventListener("offline", () => {
  if (state.pending) state.waiting = "offline";
  changed.emit(state);
});
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) flush();
});
// The device is still writing an answer: the browser asks before it closes the page.
window.addEventListener("beforeunload", (event) => {
  if (writing) event.preventDefault();
});
tabs?.addEventListener("message", () => count());
