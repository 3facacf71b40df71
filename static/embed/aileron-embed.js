// aileron-embed.js - reports what people do with a model's answers on any page: copies, thumbs,
// how long an answer was read, and leaving. A plain script, no cookies, nothing before consent:
//
//   Aileron.init({ endpoint: "https://aileron.example", key: "ak_…", consent: true });
//   <div data-aileron-completion="COMPLETION_ID">the answer</div>
//   <button data-aileron-thumb="up">…</button>   inside it; elsewhere with data-aileron-for="ID"
//   Aileron.track(completionId, "star", 4)       Aileron.consent(false)
//
// The key is a reporter's: it can report, and nothing else. Every event gets its id here (UUIDv7),
// so sending one twice records it once; what is not known to have arrived is sent again.
(function (window, document) {
  "use strict";

  const SEND_MS = 400; // events of a moment travel together
  const RETRY_MS = [2000, 5000, 15000, 60000];
  const BATCH = 100; // stays under the 64 KiB that a page may send while it closes
  const KEPT = 2000;
  const DWELL_S = 1; // shorter looks are not worth a row
  const DWELL_TICK_MS = 10000; // and longer ones are told in parts, which add up
  const STORE = "aileron.embed.";

  let settings = null;
  let allowed = false;
  let queue = []; // not known to have arrived
  let busy = null; // the batch that is on its way
  let tries = 0;
  let timer = 0;
  let last = null; // the answer that came last: the one that is left
  let left = null;
  const answers = new Map(); // element -> { id, since, seconds }
  let observer = null;
  let flown = new WeakSet(); // went out with a page that was closing

  function uuid7() {
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    const now = Date.now();
    for (let i = 0; i < 6; i++) bytes[i] = Math.floor(now / 256 ** (5 - i)) % 256;
    bytes[6] = 0x70 | (bytes[6] & 15);
    bytes[8] = 0x80 | (bytes[8] & 63);
    return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("")
      .replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
  }

  const own = STORE + uuid7();

  // With consent, what a crash would lose waits in the page's own storage for its next visit.
  function keep() {
    try {
      if (queue.length) localStorage.setItem(own, JSON.stringify(queue));
      else localStorage.removeItem(own);
    } catch {
      // Without storage it lives as long as the page.
    }
  }

  // Takes what other pages left; one that is still open sends the same ids, which does no harm.
  function restore() {
    const found = [];
    try {
      for (const name of Object.keys(localStorage)) {
        if (!name.startsWith(STORE)) continue;
        found.push(...JSON.parse(localStorage.getItem(name)));
        localStorage.removeItem(name);
      }
    } catch {
      // Unreadable, or no storage: nothing was waiting.
    }
    return found;
  }

  const address = () => settings.endpoint.replace(/\/+$/, "") + "/api/v1/events?key=" +
    encodeURIComponent(settings.key);
  const body = (events) => JSON.stringify({ events });

  function later(ms) {
    clearTimeout(timer);
    timer = setTimeout(send, ms);
  }

  function done(events) {
    const gone = new Set(events.map((event) => event.id));
    queue = queue.filter((event) => !gone.has(event.id));
    keep();
  }

  function failed(events, status) {
    // A batch that the server will never take must not stand in the way of the next.
    if (status >= 400 && status < 500 && status !== 408 && status !== 429) {
      done(events);
      return queue.length && later(SEND_MS);
    }
    return later(RETRY_MS[Math.min(tries++, RETRY_MS.length - 1)]);
  }

  // text/plain asks for no preflight; keepalive lets the request outlive the page.
  function send() {
    if (!allowed || busy || !queue.length) return;
    const events = busy = queue.slice(0, BATCH);
    fetch(address(), { method: "POST", body: body(events), keepalive: true, mode: "cors",
      credentials: "omit" }).then((reply) => {
      busy = null;
      if (!reply.ok) return failed(events, reply.status);
      tries = 0;
      done(events);
      return queue.length && later(0);
    }, () => {
      busy = null;
      failed(events, 0);
    });
  }

  // The page may be gone in a moment: all at once, without waiting for what comes back.
  function sendAll() {
    const rest = queue.filter((event) => !flown.has(event) && !busy?.includes(event));
    while (allowed && rest.length) {
      const events = rest.splice(0, BATCH);
      if (!navigator.sendBeacon(address(), body(events))) break;
      events.forEach((event) => flown.add(event));
    }
    if (queue.length) later(RETRY_MS[0]);
  }

  function track(id, kind, value, comment) {
    if (!allowed || !id) return null;
    const event = { id: uuid7(), completion_id: String(id), kind, at: new Date().toISOString() };
    if (value !== undefined && value !== null) event.value = value;
    if (comment) event.comment = String(comment);
    queue = queue.concat(event).slice(-KEPT);
    keep();
    if (!busy && !tries) later(SEND_MS);
    return event.id;
  }

  // ---- answers on the page ----

  function look(answer, on) {
    const now = performance.now();
    if (answer.since !== null) answer.seconds += (now - answer.since) / 1000;
    answer.since = on ? now : null;
  }

  function tell(answer, least) {
    look(answer, answer.since !== null);
    if (answer.seconds < least) return;
    track(answer.id, "dwell", Math.round(answer.seconds * 10) / 10);
    answer.seconds = 0;
  }

  function seen(entries) {
    for (const entry of entries) {
      const answer = answers.get(entry.target);
      if (!answer) continue;
      answer.visible = entry.isIntersecting;
      look(answer, answer.visible && !document.hidden);
      if (!answer.visible) tell(answer, DWELL_S);
    }
  }

  function attach() {
    if (!allowed) return;
    for (const node of document.querySelectorAll("[data-aileron-completion]")) {
      const id = node.getAttribute("data-aileron-completion");
      if (!id || answers.get(node)?.id === id) continue;
      answers.set(node, { id, since: null, seconds: 0, visible: false });
      last = id;
      track(id, "view");
      observer.unobserve(node);
      observer.observe(node);
    }
    for (const node of answers.keys()) if (!node.isConnected) answers.delete(node);
  }

  const idAround = (node) => (node?.nodeType === 1 ? node : node?.parentElement)
    ?.closest("[data-aileron-completion]")?.getAttribute("data-aileron-completion");

  function copied() {
    const selection = document.getSelection();
    if (selection?.isCollapsed === false) track(idAround(selection.anchorNode), "copy");
  }

  function clicked(event) {
    const thumb = event.target.closest?.("[data-aileron-thumb]");
    const way = thumb?.getAttribute("data-aileron-thumb");
    if (way !== "up" && way !== "down") return;
    track(thumb.getAttribute("data-aileron-for") || idAround(thumb), "thumb_" + way);
  }

  function hidden() {
    for (const answer of answers.values()) {
      tell(answer, DWELL_S);
      look(answer, false);
    }
    if (last && left !== last) track(last, "leave");
    left = last;
    sendAll();
  }

  function shown() {
    for (const answer of answers.values()) look(answer, answer.visible);
    left = null; // leaving again is another fact
    flown = new WeakSet();
    later(SEND_MS);
  }

  function start() {
    observer = new IntersectionObserver(seen, { threshold: [0, 0.1] });
    document.addEventListener("copy", copied);
    document.addEventListener("click", clicked, true);
    document.addEventListener("visibilitychange", () => (document.hidden ? hidden() : shown()));
    window.addEventListener("pagehide", hidden);
    window.addEventListener("online", () => later(0));
    new MutationObserver(attach).observe(document.documentElement, { childList: true,
      subtree: true, attributes: true, attributeFilter: ["data-aileron-completion"] });
    setInterval(() => answers.forEach((answer) => tell(answer, DWELL_TICK_MS / 1000)),
      DWELL_TICK_MS / 5);
  }

  // Consent that is taken back: nothing is sent any more, and nothing is kept.
  function consent(given) {
    if (!settings || (given && allowed)) return;
    allowed = Boolean(given);
    if (allowed) {
      queue = restore().concat(queue);
      if (!observer) start();
      attach();
      later(0);
    } else {
      clearTimeout(timer);
      queue = [];
      answers.clear();
      observer?.disconnect();
      last = left = null;
      restore();
    }
  }

  window.Aileron = {
    init(given) {
      settings = { endpoint: String(given.endpoint), key: String(given.key) };
      consent(Boolean(given.consent));
    },
    consent, track,
  };
})(window, document);
