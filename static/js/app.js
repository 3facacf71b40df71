// Starts the page: language, session, outbox; then shows the screen that the address names.

import * as api from "./api.js";
import { button, h, link, replace } from "./dom.js";
import * as i18n from "./i18n.js";
import * as keys from "./keys.js";
import * as outbox from "./outbox.js";
import * as router from "./router.js";
import { match } from "./routes.js";
import * as session from "./session.js";
import { frame, main, mountShell } from "./shell.js";
import { useTheme } from "./theme.js";
import { announce, note } from "./widgets/notice.js";
import { emptyState, loading, pageHeader } from "./widgets/page.js";

const { t } = i18n;
let unmount = null;
let showing = 0;
const applied = { account: undefined };
let toldEnded = 0;

function message(title, text, ...actions) {
  document.title = `${title} · Aileron`;
  replace(main, h("div", { class: "page narrow" }, pageHeader(title, { lead: text }),
    h("div", { class: "page-actions" }, actions)));
}

function problem(error) {
  const again = button(t("action.again"), () => router.refresh(), { class: "primary" });
  const home = link("/", t("nav.home"), { class: "button" });
  if (!(error instanceof api.ApiError)) {
    console.error(error);
    message(t("error.title"), t("error.page"), again, home);
  } else if (error.network) message(t("error.title"), t("error.network"), again);
  else if (error.status === 403) message(t("error.forbidden"), t("error.forbidden_text"), home);
  else if (error.status === 404) message(t("error.not_found"), t("error.not_found_text"), home);
  else message(t("error.title"), `${error.message} ${error.requestId}`, again, home);
}

// Where the visitor may not go (yet), says what to show instead.
function guard(found, address) {
  if (!found) return { status: 404 };
  const { route, params } = found;
  if (route.open) return null;
  if (!session.current()) return { signIn: `/signin?next=${encodeURIComponent(address)}` };
  if (route.admin && !session.isAdmin()) return { status: 403 };
  if (route.role && !session.role(params.slug)) return { status: 404 };
  if (route.role && !session.can(params.slug, route.role)) return { status: 403 };
  return null;
}

async function show() {
  showing += 1;
  const turn = showing;
  const found = match(location.pathname);
  const obstacle = guard(found, location.pathname + location.search);
  if (obstacle?.signIn) return router.go(obstacle.signIn, { replace: true });
  await unmount?.();
  unmount = null;
  if (turn !== showing) return undefined;
  frame({ view: obstacle ? "" : found.route.view, slug: found?.params.slug });
  if (obstacle) return problem(new api.ApiError(obstacle.status));
  const root = h("div", { class: "page" });
  const waiting = setTimeout(() => replace(main, loading()), 150);
  try {
    const [view] = await Promise.all([import(`./views/${found.route.view}.js`),
      found.route.desk && i18n.useDeskWords()]);
    const query = Object.fromEntries(new URLSearchParams(location.search));
    const leave = await view.mount(root, { ...found.params, query, hash: location.hash.slice(1) });
    if (turn !== showing) return leave?.();
    unmount = leave;
    replace(main, root);
  } catch (error) {
    if (turn === showing) problem(error);
  } finally {
    clearTimeout(waiting);
  }
  return turn === showing ? arrived(root) : undefined;
}

let fresh = true;

function arrived(root) {
  const title = main.querySelector("h1")?.textContent ?? "";
  document.title = title ? `${title} · Aileron` : "Aileron";
  // A page that was just loaded is read from its beginning, the skip link first.
  if (!fresh && !root.contains(document.activeElement)) {
    window.scrollTo(0, 0);
    main.focus({ preventScroll: true });
  }
  fresh = false;
  announce(document.title);
}

// A new person on this page brings their own language, theme, keys and unsent answers.
async function applySession() {
  const account = session.account();
  const { language, theme, keys: map } = session.preferences();
  if (account && account.id !== applied.account) {
    if (theme) useTheme(theme);
    if (map) keys.useKeys(map);
  }
  if (language && language in i18n.LANGUAGES && language !== i18n.currentLanguage()) {
    i18n.rememberLanguage(language);
    await i18n.useLanguage(language);
  }
  const signedInAgain = account && outbox.current().waiting === "signin";
  if ((account?.id ?? null) !== applied.account || signedInAgain) {
    applied.account = account?.id ?? null;
    await outbox.start(applied.account);
  }
}

function tellEnded() {
  if (Date.now() - toldEnded < 30000 || match(location.pathname)?.route.open) return;
  toldEnded = Date.now();
  note(t("session.ended"), link(`/signin?next=${encodeURIComponent(location.pathname)}`,
    t("session.sign_in")));
}

async function boot() {
  keys.restoreKeys();
  mountShell(document.querySelector("#app"));
  // The screen's own modules travel while the session is asked for.
  const found = match(location.pathname);
  if (found) import(`./views/${found.route.view}.js`).catch(() => {});
  try {
    await Promise.all([i18n.useLanguage(i18n.guessLanguage()), session.load()]);
    await applySession();
  } catch (error) {
    if (!i18n.has("error.title")) {
      // Without even a locale file there is only English.
      replace(main, emptyState("The server cannot be reached", "Nothing you did is lost.",
        button("Try again", () => location.reload(), { class: "primary" })));
      return;
    }
    frame({ view: "" });
    problem(error);
    router.navigated.on(() => location.reload());
    window.addEventListener("online", () => location.reload());
    return;
  }
  session.changed.on(() => applySession().catch(console.error));
  router.navigated.on(() => show().catch(console.error));
  api.unauthenticated.on(tellEnded);
  router.start();
  await show();
}

boot();
