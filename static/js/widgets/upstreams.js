// The project's model servers: what the gateway and the chat ask for answers. Keys only go in.

import * as api from "../api.js";
import { button, h, replace } from "../dom.js";
import { number, t } from "../i18n.js";
import { confirmDialog } from "./dialog.js";
import { form, numberField, textField } from "./form.js";
import { note } from "./notice.js";
import { section, table } from "./page.js";
import { problemText } from "./problem.js";

const plain = { autocapitalize: "none", spellcheck: "false" };

const namesOf = (text) => text.split(/[\n,]/).map((name) => name.trim()).filter(Boolean);

function fields() {
  const words = (name) => ({ label: t(`upstreams.${name}`), help: t(`upstreams.${name}_help`),
    pointer: `/${name}` });
  return {
    name: textField({ ...words("name"), input: { ...plain, maxlength: 63, placeholder: "local" } }),
    url: textField({ ...words("url"), input: { ...plain, maxlength: 500,
      placeholder: "http://127.0.0.1:8000/v1" } }),
    key: textField({ ...words("key"), input: { ...plain, type: "password", maxlength: 4096,
      autocomplete: "new-password" } }),
    models: textField({ ...words("models"), input: { ...plain, maxlength: 4000 } }),
    priority: numberField({ ...words("priority"), input: { value: "0", min: 0, max: 1000 } }),
    timeout_ms: numberField({ ...words("timeout_ms"), input: { value: "600", min: 1, max: 3600 } }),
    concurrency: numberField({ ...words("concurrency"),
      input: { value: "1024", min: 1, max: 100000 } }),
  };
}

export function upstreamsBox(slug) {
  const path = `/projects/${slug}/upstreams`;
  const list = h("div", { class: "list" });
  const all = fields();

  const drop = async (row) => {
    const sure = await confirmDialog({ title: t("upstreams.remove_title", { name: row.name }),
      text: t("upstreams.remove_text"), action: t("action.remove") });
    if (!sure) return;
    try {
      await api.remove(`${path}/${row.id}`);
    } catch (error) {
      note(problemText(error));
    }
    await load();
  };
  const change = (row) => {
    all.name.control.value = row.name;
    all.url.control.value = row.url;
    all.key.control.value = "";
    all.models.control.value = row.models.join(", ");
    all.priority.control.value = row.priority;
    all.timeout_ms.control.value = row.timeout_ms / 1000;
    all.concurrency.control.value = row.concurrency;
    details.open = true;
    all.url.control.focus();
  };
  async function load() {
    const rows = await api.everything(path);
    replace(list, rows.length ? table(t("upstreams.title"), [
      [t("upstreams.name"), (row) => row.name],
      [t("upstreams.url"), (row) => h("code", {}, row.url)],
      [t("upstreams.models"), (row) => row.models.join(", ") || t("upstreams.models_any")],
      [t("upstreams.key"), (row) => t(row.has_key ? "upstreams.has_key" : "upstreams.no_key")],
      [t("upstreams.priority"), (row) => number(row.priority), "number"],
      ["", (row) => [button(t("upstreams.change"), () => change(row), { class: "quiet",
        "aria-label": t("upstreams.change_of", { name: row.name }) }),
      button(t("action.remove"), () => drop(row), { class: "quiet",
        "aria-label": t("upstreams.remove_of", { name: row.name }) })], "actions"],
    ], rows) : h("p", { class: "hint" }, t("upstreams.empty")));
  }
  const save = form({ fields: Object.values(all), submit: t("upstreams.save"),
    body: [h("div", { class: "field-row" }, all.name.node, all.url.node),
      h("div", { class: "field-row" }, all.key.node, all.models.node),
      h("div", { class: "field-row" }, all.priority.node, all.timeout_ms.node,
        all.concurrency.node)],
    onSubmit: async () => {
      const body = { name: all.name.get().trim(), url: all.url.get().trim(),
        models: namesOf(all.models.get()), priority: all.priority.get() ?? 0,
        timeout_ms: Math.round((all.timeout_ms.get() ?? 600) * 1000),
        concurrency: all.concurrency.get() ?? 1024 };
      const key = all.key.get().trim();
      if (key) body.key = key;
      await api.post(path, body);
      all.key.control.value = "";
      note(t("upstreams.saved", { name: body.name }));
      await load();
    } });
  const details = h("details", {}, h("summary", {}, t("upstreams.add")),
    h("div", { class: "details-body" }, save.node));
  const node = section(t("upstreams.title"), h("p", { class: "hint" }, t("upstreams.lead")), list,
    details);
  node.id = "servers";
  return { node, load };
}
