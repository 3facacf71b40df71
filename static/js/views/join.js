// The invitation page: shows the project and lets a newcomer, or someone signed in, join it.

import * as api from "../api.js";
import { button, h, link, replace } from "../dom.js";
import { date, t } from "../i18n.js";
import * as router from "../router.js";
import { pathOf } from "../routes.js";
import * as session from "../session.js";
import { form, textField } from "../widgets/form.js";
import { languageSwitch } from "../widgets/language.js";
import { note } from "../widgets/notice.js";
import { pageHeader } from "../widgets/page.js";
import { problemText } from "../widgets/problem.js";

const LOGIN = /^[a-z0-9._@-]{3,64}$/;

function spent(root) {
  replace(root, languageSwitch(), pageHeader(t("join.spent_title"), { lead: t("join.spent_text") }),
    link("/", t("nav.home"), { class: "button" }));
}

async function accept(root, invite, body) {
  const { slug } = invite.project;
  try {
    session.set(await api.post("/invites/accept", body));
  } catch (error) {
    if (error.status !== 410) throw error;
    spent(root);
    return;
  }
  sessionStorage.removeItem("aileron.invite");
  router.go(pathOf(invite.role === "annotator" ? "annotate" : "overview", slug), { replace: true });
}

function newcomer(root, invite, token) {
  const login = textField({ label: t("join.login"), help: t("join.login_help"), pointer: "/login",
    input: { autocomplete: "username", autocapitalize: "none", spellcheck: "false" } });
  const name = textField({ label: t("account.name"), help: t("account.name_help"), pointer: "/name",
    input: { autocomplete: "name", maxlength: 100 } });
  const password = textField({ label: t("account.password"), help: t("account.password_help"),
    pointer: "/password", input: { type: "password", autocomplete: "new-password" } });
  const onSubmit = async () => {
    const wanted = login.get().trim().toLowerCase();
    if (!LOGIN.test(wanted)) {
      login.complain(t("join.login_help"));
      login.control.focus();
      return;
    }
    const body = { token, login: wanted, password: password.get() };
    if (name.get().trim()) body.name = name.get().trim();
    await accept(root, invite, body);
  };
  const next = encodeURIComponent("/join");
  return [form({ fields: [login, name, password], submit: t("join.submit"), onSubmit }).node,
    h("p", {}, t("join.have_account"), " ", link(`/signin?next=${next}`, t("session.sign_in")))];
}

function member(root, invite, token) {
  const { account } = session.current();
  const go = button(t("join.as", { name: account.name || account.login }), async () => {
    go.disabled = true;
    try {
      await accept(root, invite, { token });
    } catch (error) {
      note(problemText(error));
    } finally {
      go.disabled = false;
    }
  }, { class: "primary" });
  return h("div", { class: "form-actions" }, go);
}

export async function mount(root, { hash }) {
  root.classList.add("narrow");
  // Kept for this tab only, so that signing in first and coming back works.
  const token = hash || sessionStorage.getItem("aileron.invite");
  if (!token) {
    spent(root);
    return null;
  }
  sessionStorage.setItem("aileron.invite", token);
  let invite;
  try {
    invite = await api.post("/invites/lookup", { token });
  } catch (error) {
    if (![400, 404, 410, 422].includes(error.status)) throw error;
    sessionStorage.removeItem("aileron.invite");
    spent(root);
    return null;
  }
  const { project, role } = invite;
  replace(root, languageSwitch(), pageHeader(t("join.title", { title: project.title }),
    { lead: t("join.lead", { role: t(`role_name.${role}`), date: date(invite.expires_at) }) }),
  session.current() ? member(root, invite, token) : newcomer(root, invite, token));
  return null;
}
