// The frame around every screen: skip link, header with places to go, main part, notices.

import { button, h, icon, link, replace } from "./dom.js";
import { t } from "./i18n.js";
import * as router from "./router.js";
import { pathOf, ROUTES, TABS } from "./routes.js";
import * as session from "./session.js";
import { problemText } from "./widgets/problem.js";
import { mountNotices, note } from "./widgets/notice.js";
import { saveStatus } from "./widgets/status.js";

const header = h("header", { class: "top" });
export const main = h("main", { id: "main", tabIndex: -1 });
const skip = link("#main", "", { class: "skip" });
let status = null;

export function mountShell(root) {
  root.replaceChildren(skip, header, main);
  mountNotices(root);
}

function tabs(slug, view) {
  const allowed = TABS.filter((name) =>
    session.can(slug, ROUTES.find((route) => route.view === name).role));
  const here = ROUTES.find((route) => route.view === view)?.tab ?? view;
  return h("nav", { class: "tabs", "aria-label": t("nav.project") }, h("ul", {},
    allowed.map((name) => h("li", {}, link(pathOf(name, slug), t(`nav.${name}`),
      { "aria-current": name === here ? "page" : null })))));
}

async function signOut() {
  try {
    await session.signOut();
    router.go("/signin");
  } catch (error) {
    note(problemText(error));
  }
}

function accountMenu(view) {
  const account = session.account();
  const items = [
    link("/account", t("nav.account"), { "aria-current": view === "account" ? "page" : null }),
    account.admin && link("/accounts", t("nav.accounts"),
      { "aria-current": view === "accounts" ? "page" : null }),
    button(t("session.sign_out"), signOut),
  ].filter(Boolean);
  const menu = h("details", { class: "menu" },
    h("summary", { "aria-label": t("nav.account_menu", { name: account.name || account.login }) },
      h("span", { class: "avatar", "aria-hidden": "true" },
        [...(account.name || account.login)][0].toUpperCase())),
    h("ul", { class: "menu-items" }, h("li", { class: "menu-name" }, account.name || account.login),
      items.map((item) => h("li", {}, item))));
  menu.addEventListener("focusout", (event) => {
    if (!menu.contains(event.relatedTarget)) menu.open = false;
  });
  return menu;
}

export function frame({ view, slug }) {
  skip.textContent = t("nav.skip");
  status?.stop();
  const signedIn = session.account() !== null;
  status = signedIn ? saveStatus() : null;
  const title = slug && (session.membership(slug)?.title || slug);
  const brand = link("/", [icon("brand"), h("span", { class: "brand-name" }, "Aileron")],
    { class: "brand", "aria-label": t("nav.home") });
  document.body.dataset.view = view;
  replace(header,
    h("div", { class: "top-row" }, brand,
      title && link(pathOf("overview", slug), title, { class: "top-project" }),
      h("div", { class: "top-side" }, status?.node, signedIn && accountMenu(view))),
    slug && session.role(slug) && tabs(slug, view));
  header.querySelector(".tabs [aria-current]")?.scrollIntoView?.({ block: "nearest",
    inline: "center" });
}
