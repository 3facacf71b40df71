// Knows who is signed in, what they may do and what they prefer.

import * as api from "./api.js";
import { channel } from "./events.js";

const RANK = { annotator: 1, researcher: 2, owner: 3 };

export const changed = channel();
let session = null;
let ended = false;

export const current = () => session;
export const account = () => session?.account ?? null;
export const isAdmin = () => Boolean(session?.account.admin);

// The server no longer knows this session, though the page still remembers whose it was.
export const isEnded = () => ended;
api.unauthenticated.on(() => { ended = true; });

export function set(next) {
  session = next;
  ended = false;
  changed.emit(session);
}

export async function load() {
  try {
    set(await api.get("/session"));
  } catch (error) {
    if (error.status !== 401) throw error;
    set(null);
  }
  return session;
}

export const refresh = load;

export function membership(slug) {
  return session?.projects.find((project) => project.slug === slug) ?? null;
}

export function role(slug) {
  if (isAdmin()) return "owner";
  return membership(slug)?.role ?? null;
}

export function can(slug, wanted) {
  return (RANK[role(slug)] ?? 0) >= RANK[wanted];
}

export const preferences = () => session?.account.preferences ?? {};

let unsaved = false;
let saving = false;

// One request at a time; what changes meanwhile goes with the next one.
async function savePending() {
  if (saving || !session) return;
  saving = true;
  let wait = 0;
  try {
    while (unsaved) {
      unsaved = false;
      const change = { preferences: preferences() };
      // keepalive: leaving the page right after a change must not undo it.
      const reply = await api.patch("/account", change, { keepalive: true });
      if (!unsaved) set(reply);
    }
  } catch (error) {
    if (error.temporary) wait = Math.max(5, error.retryAfter) * 1000;
    unsaved = Boolean(wait);
  } finally {
    saving = false;
  }
  if (wait) setTimeout(savePending, wait);
}

// Preferences are small; the whole object is replaced so that two devices never mix halves. They
// hold on this page at once and reach the server when they can.
export function savePreferences(change) {
  if (!session) return;
  session.account.preferences = { ...preferences(), ...change };
  unsaved = true;
  savePending();
}

export async function signOut(everywhere = false) {
  await api.remove("/session", everywhere ? { everywhere: true } : {});
  set(null);
}
