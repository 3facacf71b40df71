// Keeps half-made judgments by lease id, so that a reload loses no word of them.

const PREFIX = "aileron.draft.";
const KEEP_DAYS = 30;

export function load(lease) {
  try {
    return JSON.parse(localStorage.getItem(PREFIX + lease))?.draft ?? null;
  } catch {
    return null;
  }
}

export function save(lease, draft) {
  try {
    localStorage.setItem(PREFIX + lease, JSON.stringify({ at: Date.now(), draft }));
  } catch {
    // The device is full: make room by forgetting the oldest drafts' time limit early.
    sweep(1);
  }
}

export function drop(lease) {
  localStorage.removeItem(PREFIX + lease);
}

export function sweep(days = KEEP_DAYS) {
  const limit = Date.now() - days * 86400000;
  for (const key of Object.keys(localStorage)) {
    if (!key.startsWith(PREFIX)) continue;
    try {
      if (JSON.parse(localStorage.getItem(key)).at >= limit) continue;
    } catch {
      // Unreadable drafts go as well.
    }
    localStorage.removeItem(key);
  }
}
