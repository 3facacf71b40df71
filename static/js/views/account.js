// One's own account: name, password, language, theme, pace of judging, keys, signing out.

import * as api from "../api.js";
import { button, h, replace } from "../dom.js";
import { currentLanguage, LANGUAGES, t } from "../i18n.js";
import * as keys from "../keys.js";
import * as router from "../router.js";
import * as session from "../session.js";
import { currentTheme, THEMES, useTheme } from "../theme.js";
import { confirmDialog } from "../widgets/dialog.js";
import { checkField, form, selectField, textField } from "../widgets/form.js";
import { switchLanguage } from "../widgets/language.js";
import { announce, note } from "../widgets/notice.js";
import { pageHeader, section, table } from "../widgets/page.js";
import { problemText } from "../widgets/problem.js";

function nameForm() {
  const account = session.account();
  const name = textField({ label: t("account.name"), help: t("account.name_help"),
    pointer: "/name", input: { value: account.name ?? "", maxlength: 100, autocomplete: "name" } });
  return form({ fields: [name], submit: t("action.save"), onSubmit: async () => {
    session.set(await api.patch("/account", { name: name.get().trim() }));
    note(t("account.saved"));
  } }).node;
}

function passwordForm() {
  const account = session.account();
  const current = textField({ label: t("account.current_password"), pointer: "/current_password",
    input: { type: "password", autocomplete: "current-password" } });
  const next = textField({ label: t("account.new_password"), help: t("account.password_help"),
    pointer: "/password", input: { type: "password", autocomplete: "new-password" } });
  const fields = account.has_password ? [current, next] : [next];
  const username = h("input", { type: "text", class: "visually-hidden", tabIndex: -1,
    autocomplete: "username", value: account.login, readOnly: true,
    "aria-label": t("account.login") });
  return form({ fields, body: [username, fields.map((one) => one.node)],
    submit: t("account.change_password"), onSubmit: async () => {
      const body = { password: next.get() };
      if (account.has_password) body.current_password = current.get();
      session.set(await api.patch("/account", body));
      for (const one of fields) one.control.value = "";
      note(t("account.password_changed"));
    } }).node;
}

function look() {
  const language = selectField({ label: t("account.language"), value: currentLanguage(),
    choices: Object.entries(LANGUAGES) });
  language.control.addEventListener("change", () => switchLanguage(language.get()));
  const theme = selectField({ label: t("account.theme"), value: currentTheme(),
    choices: THEMES.map((name) => [name, t(`account.theme_${name}`)]) });
  theme.control.addEventListener("change", () => {
    useTheme(theme.get());
    session.savePreferences({ theme: theme.get() });
  });
  const confirm = checkField({ label: t("account.confirm"), help: t("account.confirm_help"),
    input: { checked: Boolean(session.preferences().confirm) } });
  confirm.control.addEventListener("change", () =>
    session.savePreferences({ confirm: confirm.get() }));
  return h("div", { class: "form" }, h("div", { class: "field-row" }, language.node, theme.node),
    confirm.node);
}

class KeyEditor {
  constructor() {
    this.node = h("div", { class: "list", id: "keys" });
    this.listening = null;
    this.onKey = (event) => this.pressed(event);
    document.addEventListener("keydown", this.onKey, true);
    this.show();
  }

  show() {
    replace(this.node, h("p", { class: "hint" }, t("account.keys_help")),
      Object.entries(keys.GROUPS).map(([name, actions]) => this.list(name, actions)),
      h("div", { class: "form-actions" }, button(t("account.keys_reset"), () => this.save({}))));
  }

  list(name, actions) {
    const title = t(`account.keys_${name}`);
    return h("section", {}, h("h3", {}, title),
      table(title, [
        [t("account.key_action"), ({ action }) => keys.actionName(action)],
        [t("account.key_key"), ({ action }) => (this.listening === action
          ? h("strong", {}, t("account.key_press"))
          : keys.labels(action).map((label) => [h("kbd", {}, label), " "]))],
        ["", ({ action }) => button(t("account.key_change"), () => this.listen(action),
          { class: "quiet", "data-key-action": action,
            "aria-label": t("account.key_change_of", { action: keys.actionName(action) }) }),
        "actions"],
      ], actions.map((action) => ({ action })), { dense: true }));
  }

  listen(action) {
    this.listening = action;
    this.show();
    announce(t("account.key_press"));
    this.node.querySelector(`[data-key-action="${action}"]`).focus();
  }

  pressed(event) {
    if (!this.listening || ["Shift", "Control", "Alt", "Meta"].includes(event.key)) return;
    event.preventDefault();
    event.stopPropagation();
    const action = this.listening;
    this.listening = null;
    const [name] = keys.namesOf(event);
    if (name && keys.isBindable(name)) this.bind(action, name);
    else this.show();
    this.node.querySelector(`[data-key-action="${action}"]`).focus();
  }

  // A key means one thing: taking it for one action takes it from the other.
  bind(action, name) {
    const map = { ...keys.own() };
    for (const other of Object.keys(keys.DEFAULTS)) {
      if (other !== action && keys.collide(action, other) && keys.keysOf(other).includes(name)) {
        map[other] = keys.keysOf(other).filter((key) => key !== name);
        note(t("account.key_taken", { key: keys.keyName(name), action: keys.actionName(other) }));
      }
    }
    map[action] = [name];
    this.save(map);
  }

  save(map) {
    keys.useKeys(map);
    session.savePreferences({ keys: map });
    this.show();
  }

  stop() {
    document.removeEventListener("keydown", this.onKey, true);
  }
}

async function everywhere() {
  const sure = await confirmDialog({ title: t("account.everywhere"),
    text: t("account.everywhere_text"), action: t("session.sign_out") });
  if (!sure) return;
  try {
    await session.signOut(true);
    router.go("/signin");
  } catch (error) {
    note(problemText(error));
  }
}

export async function mount(root, { hash }) {
  const editor = new KeyEditor();
  const { login } = session.account();
  replace(root, pageHeader(t("account.title"), { lead: t("account.lead", { login }) }),
    h("div", { class: "columns" }, section(t("account.look"), look()),
      section(t("account.who"), nameForm())),
    section(t("account.keys"), editor.node),
    h("div", { class: "columns" }, section(t("account.password"), passwordForm()),
      section(t("account.everywhere"), h("p", {}, t("account.everywhere_text")),
        h("div", { class: "form-actions" }, button(t("account.everywhere"), everywhere,
          { class: "danger" })))));
  if (hash === "keys") requestAnimationFrame(() => editor.node.parentElement.scrollIntoView());
  return () => editor.stop();
}
