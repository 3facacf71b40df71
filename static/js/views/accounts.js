// For administrators: every account, one-time sign-in links, disabling and granting administration.

import * as api from "../api.js";
import { button, h, replace } from "../dom.js";
import { date, t } from "../i18n.js";
import * as session from "../session.js";
import { checkField, form, textField } from "../widgets/form.js";
import { note } from "../widgets/notice.js";
import { copyLine, pageHeader, section, table } from "../widgets/page.js";
import { problemText } from "../widgets/problem.js";

class AccountsScreen {
  constructor() {
    this.list = h("div");
    this.result = h("div", { class: "list", role: "status" });
  }

  showLink(login, { link }) {
    replace(this.result, copyLine(t("accounts.link", { login }),
      new URL(link, location.origin).href, { secret: true }));
    this.result.scrollIntoView({ block: "nearest" });
  }

  async act(work) {
    try {
      await work();
    } catch (error) {
      note(problemText(error));
    }
    await this.load();
  }

  actions(row) {
    const path = `/accounts/${row.id}`;
    const self = row.id === session.account().id;
    return h("div", { class: "form-actions" },
      button(t("accounts.new_link"), () => this.act(async () =>
        this.showLink(row.login, await api.post(`${path}/link`))), { class: "quiet" }),
      !self && button(t(row.admin ? "accounts.no_admin" : "accounts.make_admin"), () =>
        this.act(() => api.patch(path, { admin: !row.admin })), { class: "quiet" }),
      !self && button(t(row.disabled ? "accounts.enable" : "accounts.disable"), () =>
        this.act(() => api.patch(path, { disabled: !row.disabled })), { class: "quiet" }));
  }

  async load() {
    const rows = await api.everything("/accounts");
    replace(this.list, table(t("accounts.title"), [
      [t("account.name"), (row) => row.name || row.login],
      [t("account.login"), (row) => row.login],
      [t("accounts.state"), (row) => [
        row.admin && h("span", { class: "badge" }, t("accounts.admin")), " ",
        row.disabled && h("span", { class: "badge warn" }, t("accounts.disabled"))]],
      [t("accounts.created"), (row) => date(row.created_at, { dateStyle: "medium" })],
      ["", (row) => this.actions(row), "actions"],
    ], rows));
  }

  addForm() {
    const login = textField({ label: t("account.login"), help: t("join.login_help"),
      pointer: "/login", input: { autocapitalize: "none", spellcheck: "false" } });
    const name = textField({ label: t("account.name"), pointer: "/name",
      input: { maxlength: 100 } });
    const admin = checkField({ label: t("accounts.as_admin"), help: t("accounts.as_admin_help"),
      pointer: "/admin" });
    return form({ fields: [login, name, admin], submit: t("accounts.add"), onSubmit: async () => {
      const body = { login: login.get().trim(), admin: admin.get() };
      if (name.get().trim()) body.name = name.get().trim();
      const reply = await api.post("/accounts", body);
      this.showLink(reply.account.login, reply);
      login.control.value = "";
      name.control.value = "";
      await this.load();
    }, body: [h("div", { class: "field-row" }, login.node, name.node), admin.node] }).node;
  }
}

export async function mount(root) {
  const screen = new AccountsScreen();
  await screen.load();
  replace(root, pageHeader(t("accounts.title"), { lead: t("accounts.lead") }), screen.result,
    h("div", { class: "panel" }, screen.list),
    section(t("accounts.add_title"), h("p", { class: "hint" }, t("accounts.add_help")),
      screen.addForm()));
  return null;
}
