// Keeps things on this device: an IndexedDB database, or memory where the browser forbids one.

const NAME = "aileron";
const VERSION = 1;
// outbox: what the server has not committed yet; failed: what it refused for good;
// leases: tasks handed to this browser, so that a reload goes on with the same one.
const STORES = ["outbox", "failed", "leases"];

const memory = new Map(STORES.map((name) => [name, new Map()]));
let opened = null;
let lasting = true;

export const isLasting = () => lasting;

function promised(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

function open() {
  opened ??= new Promise((resolve) => {
    const give = (database) => {
      lasting = database !== null;
      resolve(database);
    };
    try {
      const request = indexedDB.open(NAME, VERSION);
      request.onupgradeneeded = () => {
        for (const name of STORES) request.result.createObjectStore(name, { keyPath: "key" });
      };
      request.onsuccess = () => {
        const database = request.result;
        // Another tab with a newer page may need to upgrade; reopen on the next call.
        database.onversionchange = () => {
          database.close();
          opened = null;
        };
        database.onclose = () => { opened = null; };
        give(database);
      };
      request.onerror = () => give(null);
    } catch {
      give(null);
    }
  });
  return opened;
}

async function transaction(name, mode, work) {
  const database = await open();
  if (!database) return null;
  const running = database.transaction(name, mode, { durability: "strict" });
  const finished = new Promise((resolve, reject) => {
    running.oncomplete = () => resolve();
    running.onabort = () => reject(running.error ?? new Error("storage aborted"));
  });
  const [value] = await Promise.all([work(running.objectStore(name)), finished]);
  return value;
}

// A full or broken device must not lose an answer either: then it is kept as long as the page.
export async function put(name, record) {
  try {
    if (await open()) {
      await transaction(name, "readwrite", (store) => promised(store.put(record)));
      memory.get(name).delete(record.key);
      return;
    }
  } catch (error) {
    console.error(error);
    lasting = false;
  }
  memory.get(name).set(record.key, record);
}

export async function get(name, key) {
  const kept = memory.get(name).get(key);
  return kept ?? transaction(name, "readonly", (store) => promised(store.get(key)));
}

export async function all(name) {
  const kept = memory.get(name);
  const found = await transaction(name, "readonly", (store) => promised(store.getAll())) ?? [];
  return [...found.filter((record) => !kept.has(record.key)), ...kept.values()];
}

export async function remove(name, key) {
  memory.get(name).delete(key);
  await transaction(name, "readwrite", (store) => promised(store.delete(key)));
}

// Removes a record only if nothing newer has taken its place meanwhile.
export async function removeVersion(name, key, version) {
  if (memory.get(name).get(key)?.version === version) memory.get(name).delete(key);
  await transaction(name, "readwrite", async (store) => {
    const current = await promised(store.get(key));
    if (current?.version === version) await promised(store.delete(key));
  });
}
