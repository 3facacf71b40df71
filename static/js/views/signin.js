// Signing in: by password, by a one-time link, and the administrator's first run after one.

import * as api from "../api.js";
import { button, h, link, replace } from "../dom.js";
import { t } from "../i18n.js";
import * as router from "../router.js";
import { pathOf } from "../routes.js";
import * as session from "../session.js";
import { form, textField } from "../widgets/form.js";
import { languageSwitch } from "../widgets/language.js";
import { pageHeader } from "../widgets/page.js";

function home() {
  const { projects } = session.current();
  return projects.length === 1 ? pathOf("overview", projects[0].slug) : "/";
}

function passwordForm(next) {
  const login = textField({ label: t("account.login"), pointer: "/login",
    input: { name: "username", autocomplete: "username", autocapitalize: "none" } });
  const password = textField({ label: t("account.password"), pointer: "/password",
    input: { type: "password", name: "password", autocomplete: "current-password" } });
  return form({ fields: [login, password], submit: t("session.sign_in"), onSubmit: async () => {
    try {
      session.set(await api.post("/session", { login: login.get().trim(),
        password: password.get() }));
    } catch (error) {
      if (error.status === 401) error.message = t("session.wrong");
      throw error;
    }
    router.go(next ?? home(), { replace: true });
  } });
}

function firstRun(root) {
  const { account } = session.current();
  const name = textField({ label: t("account.name"), help: t("account.name_help"), pointer: "/name",
    input: { value: account.name ?? "", autocomplete: "name" } });
  const password = textField({ label: t("account.new_password"), help: t("account.password_help"),
    pointer: "/password", input: { type: "password", autocomplete: "new-password" } });
  const username = h("input", { type: "text", name: "username", autocomplete: "username",
    value: account.login, readOnly: true, class: "visually-hidden", tabIndex: -1,
    "aria-label": t("account.login") });
  const onSubmit = async () => {
    const change = { password: password.get() };
    if (name.get().trim()) change.name = name.get().trim();
    session.set(await api.patch("/account", change));
    router.go(home(), { replace: true });
  };
  const setup = form({ fields: [name, password], submit: t("signin.first_submit"), onSubmit,
    body: [username, name.node, password.node],
    extra: button(t("signin.later"), () => router.go(home(), { replace: true }),
      { class: "quiet" }) });
  replace(root, languageSwitch(), pageHeader(t("signin.first_title"),
    { lead: t("signin.first_lead", { login: account.login }) }), setup.node);
}

async function useLink(root, token) {
  // The token works once; it must not stay in the address bar or the history.
  history.replaceState(null, "", "/signin");
  try {
    session.set(await api.post("/session/link", { token }));
  } catch (error) {
    if (![400, 401, 404, 410, 422].includes(error.status)) throw error;
    replace(root, languageSwitch(), pageHeader(t("signin.spent_title"),
      { lead: t("signin.spent_text") }), link("/signin", t("session.sign_in"),
      { class: "button primary" }));
    return;
  }
  if (session.account().has_password) router.go(home(), { replace: true });
  else firstRun(root);
}

export async function mount(root, { query, hash }) {
  root.classList.add("narrow");
  const token = /^link=(.+)$/.exec(hash)?.[1];
  if (token) {
    await useLink(root, token);
    return null;
  }
  if (session.current() && !session.account().has_password) {
    firstRun(root);
    return null;
  }
  const next = router.safeNext(query.next);
  if (session.current() && !session.isEnded()) {
    router.go(next ?? home(), { replace: true });
    return null;
  }
  replace(root, languageSwitch(), pageHeader(t("signin.title"), { lead: t("signin.lead") }),
    passwordForm(next).node, h("p", { class: "hint" }, t("signin.no_account")));
  return null;
}
