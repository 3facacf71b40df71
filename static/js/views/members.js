// Who takes part: members and roles, invitation links, and keys for programs.

import * as api from "../api.js";
import { button, h, replace } from "../dom.js";
import { ago, date, number, t } from "../i18n.js";
import { confirmDialog } from "../widgets/dialog.js";
import { form, numberField, selectField, textField } from "../widgets/form.js";
import { note } from "../widgets/notice.js";
import { copyLine, pageHeader, section, table } from "../widgets/page.js";
import { problemText } from "../widgets/problem.js";

const ROLES = ["annotator", "researcher", "owner"];
// A key in a public page may report what people did there, and nothing else.
const KEY_ROLES = ["reporter", ...ROLES];
const DAYS = [1, 7, 30, 90];

const roleChoices = (roles = ROLES) => roles.map((role) => [role, t(`role_name.${role}`)]);

// Runs an action of a table row; what goes wrong is said, and the list shown as it really is.
async function act(work, reload) {
  try {
    await work();
  } catch (error) {
    note(problemText(error));
  }
  await reload();
}

class MembersScreen {
  constructor(slug) {
    this.slug = slug;
    this.path = `/projects/${slug}`;
    this.boxes = { members: h("div", { class: "list" }), invites: h("div", { class: "list" }),
      keys: h("div", { class: "list" }) };
  }

  async show(root) {
    await Promise.all([this.members(), this.invites(), this.keys()]);
    replace(root, pageHeader(t("members.title"), { lead: t("members.lead") }),
      section(t("members.invites"), h("p", { class: "hint" }, t("members.invites_help")),
        this.inviteForm(), this.boxes.invites),
      section(t("members.members"), this.boxes.members, this.memberForm()),
      section(t("members.keys"), h("p", { class: "hint" }, t("members.keys_help")),
        this.keyForm(), this.boxes.keys));
  }

  async members() {
    const rows = await api.everything(`${this.path}/members`);
    const reload = () => this.members();
    const roleOf = (row) => {
      const select = h("select", { "aria-label": t("members.role_of", { name: row.login }),
        on: { change: () => act(() => api.patch(`${this.path}/members/${row.id}`,
          { role: select.value }), reload) } }, roleChoices().map(([value, text]) =>
        h("option", { value, selected: value === row.role }, text)));
      return select;
    };
    replace(this.boxes.members, table(t("members.members"), [
      [t("account.name"), (row) => row.name || row.login],
      [t("account.login"), (row) => row.login],
      [t("members.role"), roleOf],
      [t("overview.judgments"), (row) => number(row.judgments), "number"],
      [t("members.joined"), (row) => date(row.joined_at, { dateStyle: "medium" })],
      ["", (row) => button(t("action.remove"), () => this.removeMember(row, reload),
        { class: "quiet", "aria-label": t("members.remove_of", { name: row.login }) }), "actions"],
    ], rows));
  }

  async removeMember(row, reload) {
    const sure = await confirmDialog({ title: t("members.remove_title", { name: row.login }),
      text: t("members.remove_text"), action: t("action.remove") });
    if (sure) await act(() => api.remove(`${this.path}/members/${row.id}`), reload);
  }

  memberForm() {
    const login = textField({ label: t("members.add_login"), help: t("members.add_help"),
      pointer: "/login", input: { autocapitalize: "none", spellcheck: "false" } });
    const role = selectField({ label: t("members.role"), choices: roleChoices(),
      pointer: "/role" });
    const add = form({ fields: [login, role], submit: t("members.add"), onSubmit: async () => {
      await api.post(`${this.path}/members`, { login: login.get().trim(), role: role.get() });
      login.control.value = "";
      await this.members();
    }, body: h("div", { class: "field-row" }, login.node, role.node) });
    return h("details", {}, h("summary", {}, t("members.add_title")), add.node);
  }

  async invites() {
    const rows = await api.everything(`${this.path}/invites`);
    if (!rows.length) {
      replace(this.boxes.invites);
      return;
    }
    replace(this.boxes.invites, table(t("members.invites"), [
      [t("members.invite_name"), (row) => row.name || "–"],
      [t("members.role"), (row) => t(`role_name.${row.role}`)],
      [t("members.used"), (row) => t("members.used_of", { used: row.used,
        total: row.used + row.uses_left })],
      [t("members.expires"), (row) => date(row.expires_at)],
      ["", (row) => button(t("members.revoke"), () => act(() =>
        api.remove(`${this.path}/invites/${row.id}`), () => this.invites()), { class: "quiet" }),
      "actions"],
    ], rows));
  }

  inviteForm() {
    const role = selectField({ label: t("members.role"), pointer: "/role",
      choices: roleChoices() });
    const days = selectField({ label: t("members.valid"), pointer: "/expires_hours", value: 7,
      choices: DAYS.map((count) => [count, t("members.days", { n: count })]) });
    const uses = numberField({ label: t("members.uses"), pointer: "/uses",
      input: { value: "1", min: 1, max: 1000 } });
    const name = textField({ label: t("members.invite_name"), pointer: "/name",
      input: { maxlength: 100, placeholder: t("members.invite_name_sample") } });
    const result = h("div", { class: "list", role: "status" });
    const create = form({ fields: [role, days, uses, name], submit: t("members.invite"),
      onSubmit: async () => {
        const body = { role: role.get(), expires_hours: Number(days.get()) * 24,
          uses: uses.get() ?? 1 };
        if (name.get().trim()) body.name = name.get().trim();
        const invite = await api.post(`${this.path}/invites`, body);
        replace(result, copyLine(t("members.invite_link"),
          new URL(invite.link, location.origin).href, { secret: true }));
        await this.invites();
      }, body: h("div", { class: "field-row" }, role.node, days.node, uses.node, name.node) });
    return h("div", { class: "list" }, create.node, result);
  }

  async keys() {
    const rows = await api.everything(`${this.path}/keys`);
    if (!rows.length) {
      replace(this.boxes.keys);
      return;
    }
    replace(this.boxes.keys, table(t("members.keys"), [
      [t("members.key_name"), (row) => row.name || "–"],
      [t("members.key_prefix"), (row) => h("code", {}, `${row.prefix}…`)],
      [t("members.role"), (row) => t(`role_name.${row.role}`)],
      [t("members.last_used"), (row) => ago(row.last_used_at)],
      ["", (row) => button(t("members.revoke"), () => this.revokeKey(row), { class: "quiet" }),
        "actions"],
    ], rows));
  }

  async revokeKey(row) {
    const sure = await confirmDialog({ title: t("members.key_revoke_title"),
      text: t("members.key_revoke_text"), action: t("members.revoke") });
    if (sure) await act(() => api.remove(`${this.path}/keys/${row.id}`), () => this.keys());
  }

  keyForm() {
    const name = textField({ label: t("members.key_name"), pointer: "/name",
      input: { maxlength: 100, placeholder: t("members.key_name_sample") } });
    const role = selectField({ label: t("members.role"), pointer: "/role", value: "researcher",
      choices: roleChoices(KEY_ROLES) });
    const result = h("div", { class: "list", role: "status" });
    const create = form({ fields: [name, role], submit: t("members.key_create"),
      onSubmit: async () => {
        const body = { role: role.get() };
        if (name.get().trim()) body.name = name.get().trim();
        const { key } = await api.post(`${this.path}/keys`, body);
        replace(result, copyLine(t("members.key_once"), key, { secret: true }));
        await this.keys();
      }, body: h("div", { class: "field-row" }, name.node, role.node) });
    return h("div", { class: "list" }, create.node, result);
  }
}

export async function mount(root, { slug }) {
  await new MembersScreen(slug).show(root);
  return null;
}
