// Moves between pages without reloading: history, links, and one mounted screen at a time.

import { channel } from "./events.js";

export const navigated = channel();

export function go(path, { replace = false } = {}) {
  if (replace) history.replaceState(null, "", path);
  else history.pushState(null, "", path);
  arrive();
}

let here = location.pathname + location.search;

function arrive() {
  here = location.pathname + location.search;
  navigated.emit({ path: location.pathname });
}

// The page stays; only its address now says more.
export function rename(path) {
  history.replaceState(null, "", path);
  here = path;
}

export function refresh() {
  arrive();
}

// Only paths of this page may be a way back after signing in.
export function safeNext(text) {
  return text && /^\/(?![/\\])/.test(text) ? text : null;
}

function isPlainClick(event, anchor) {
  return event.button === 0 && !event.defaultPrevented && !event.metaKey && !event.ctrlKey &&
    !event.shiftKey && !event.altKey && !anchor.target && !anchor.hasAttribute("download");
}

export function start() {
  window.addEventListener("popstate", () => {
    // A jump within the page (the skip link) is no new page; a pasted link with a token is.
    const jump = here === location.pathname + location.search;
    if (!jump || (location.hash && /^\/(join|signin)$/.test(location.pathname))) arrive();
  });
  document.addEventListener("click", (event) => {
    const anchor = event.target instanceof Element ? event.target.closest("a[href]") : null;
    if (!anchor || !isPlainClick(event, anchor)) return;
    const address = new URL(anchor.href);
    if (address.origin !== location.origin || /^\/(api|static)\//.test(address.pathname)) return;
    if (address.hash && address.pathname === location.pathname) return;
    event.preventDefault();
    go(address.pathname + address.search + address.hash);
  });
}
