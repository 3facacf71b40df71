// Taking data out: format and filters, a look at the first rows, commands to copy, snapshots.

import * as api from "../api.js";
import { button, h, replace } from "../dom.js";
import { date, number, t } from "../i18n.js";
import * as session from "../session.js";
import { checkField, form, numberField, selectField, textField } from "../widgets/form.js";
import { codeBlock, emptyState, pageHeader, section, table } from "../widgets/page.js";
import { problemText } from "../widgets/problem.js";

const FORMATS = ["aileron", "trl-preference", "trl-implicit", "trl-unpaired", "hh"];
const DEFAULTS = { ties: "keep", aggregate: "each", source: "explicit", text: "messages" };

const choices = (name, values) =>
  values.map((value) => [value, t(`export.${name}_${value || "any"}`)]);

function shellQuote(text) {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

class ExportScreen {
  constructor(root, slug, snapshots) {
    this.root = root;
    this.slug = slug;
    this.snapshots = snapshots;
    this.buildFields();
  }

  buildFields() {
    const select = (name, values) => selectField({ label: t(`export.${name}`),
      help: t(`export.${name}_help`), choices: choices(name, values), pointer: `?${name}` });
    this.fields = {
      format: selectField({ label: t("export.format"), help: t("export.format_help"),
        choices: FORMATS.map((name) => [name, t(`export.format_${name}`)]), pointer: "?format" }),
      text: select("text", ["messages", "plain"]),
      split: select("split", ["", "train", "validation", "test"]),
      snapshot: selectField({ label: t("export.snapshot"), help: t("export.snapshot_help"),
        choices: [["", t("export.snapshot_all")], ...this.snapshots.map((one) =>
          [one.name, one.name])], pointer: "?snapshot" }),
      ties: select("ties", ["keep", "drop"]),
      aggregate: select("aggregate", ["each", "majority", "model"]),
      source: select("source", ["explicit", "implicit", "all"]),
      min_judgments: numberField({ label: t("export.min_judgments"), pointer: "?min_judgments",
        help: t("export.min_judgments_help"), input: { min: 1, max: 100, step: 1 } }),
      since: textField({ label: t("export.since"), help: t("export.since_help"),
        pointer: "?since", input: { type: "date" } }),
      tag: textField({ label: t("export.tag"), help: t("export.tag_help"), pointer: "?tag" }),
    };
    if (session.can(this.slug, "owner")) {
      this.fields.identify = checkField({ label: t("export.identify"), pointer: "?identify",
        help: t("export.identify_help") });
    }
    for (const one of Object.values(this.fields)) {
      one.control.addEventListener("change", () => this.refresh());
    }
  }

  query() {
    const query = {};
    for (const [name, one] of Object.entries(this.fields)) {
      const value = one.get();
      if (value && value !== DEFAULTS[name]) query[name] = value;
    }
    if (query.since) query.since = `${query.since}T00:00:00Z`;
    query.format ??= "aileron";
    if (!query.format.startsWith("trl-")) delete query.text;
    return query;
  }

  show() {
    this.preview = h("div", { class: "list", "aria-live": "polite" });
    this.commands = h("div", { class: "list" });
    this.download = h("a", { class: "button primary", download: "" }, t("export.download"));
    this.snapshotBox = h("div", { class: "list" });
    const { format, text, snapshot, ...rest } = this.fields;
    replace(this.root, pageHeader(t("export.title"), { lead: t("export.lead"),
      actions: this.download }),
    h("div", { class: "columns" },
      section(t("export.what"), format.node, text.node, snapshot.node,
        h("div", { class: "field-row" }, Object.values(rest).map((one) => one.node))),
      h("div", { class: "list" }, section(t("export.preview"), this.preview),
        section(t("export.commands"), this.commands))),
    section(t("export.snapshots"), this.snapshotBox));
    this.showSnapshots();
    this.refresh();
  }

  refresh() {
    const query = this.query();
    this.fields.text.node.hidden = !query.format.startsWith("trl-");
    const path = `/projects/${this.slug}/export`;
    const address = api.url(path, query);
    this.download.href = address;
    const file = `${this.slug}.jsonl`;
    const flags = Object.entries(query).map(([name, value]) =>
      (value === true ? `--${name.replaceAll("_", "-")}`
        : `--${name.replaceAll("_", "-")} ${shellQuote(String(value))}`));
    replace(this.commands,
      codeBlock("curl", `curl -f --compressed -H "Authorization: Bearer $AILERON_KEY" \\\n  `
        + `'${location.origin}${address}' -o ${file}`),
      codeBlock("aileron",
        `aileron export --project ${this.slug} ${flags.join(" ")} --out ${file}`),
      codeBlock("Python", "from datasets import load_dataset\n\n"
        + `rows = load_dataset("json", data_files="${file}", split="train")`));
    this.loadPreview(path, query);
  }

  async loadPreview(path, query) {
    const turn = (this.turn ?? 0) + 1;
    this.turn = turn;
    for (const one of Object.values(this.fields)) one.complain(null);
    try {
      const text = await api.get(path, { ...query, limit: 5 }, { text: true });
      if (turn !== this.turn) return;
      const rows = text.trim() ? text.trim().split("\n") : [];
      replace(this.preview, rows.length
        ? rows.map((row, index) => this.previewRow(row, index))
        : emptyState(t("export.nothing_title"), t("export.nothing_text")));
    } catch (error) {
      if (turn !== this.turn) return;
      const culprit = Object.values(this.fields).find((one) => one.pointer === error.pointer);
      if (culprit) culprit.complain(problemText(error));
      replace(this.preview, h("p", { class: "form-error" }, problemText(error)));
    }
  }

  previewRow(row, index) {
    let shown = row;
    try {
      shown = JSON.stringify(JSON.parse(row), null, 2);
    } catch {
      // Shown as it came.
    }
    const limit = 4000;
    const cut = shown.length > limit ? `${shown.slice(0, limit)}…` : shown;
    return h("details", { class: "code-block", open: index === 0 },
      h("summary", { class: "code-head" }, t("export.row", { n: index + 1 })),
      h("pre", { tabIndex: 0 }, h("code", {}, cut)));
  }

  showSnapshots() {
    const list = this.snapshots.length
      ? table(t("export.snapshots"), [
        [t("export.snapshot_name"), (one) => one.name],
        [t("export.snapshot_at"), (one) => date(one.created_at)],
        [t("overview.judgments"), (one) => number(one.judgments), "number"],
        [t("export.snapshot_hash"), (one) => h("code", {}, one.hash.slice(0, 16))],
        ["", (one) => this.verifyButton(one), "actions"],
      ], this.snapshots)
      : h("p", { class: "hint" }, t("export.snapshots_empty"));
    const name = textField({ label: t("export.snapshot_new"), help: t("export.snapshot_new_help"),
      pointer: "/name", input: { maxlength: 63, required: true } });
    const create = form({ fields: [name], submit: t("export.snapshot_create"),
      onSubmit: async () => {
        const { format, text, snapshot, limit, ...filters } = this.query();
        await api.post(`/projects/${this.slug}/snapshots`, { name: name.get().trim(), filters });
        this.snapshots = await api.everything(`/projects/${this.slug}/snapshots`);
        this.buildFields();
        this.show();
      } });
    replace(this.snapshotBox, list, create.node);
  }

  verifyButton(snapshot) {
    const path = `/projects/${this.slug}/snapshots/${encodeURIComponent(snapshot.name)}/verify`;
    const node = button(t("export.verify"), async () => {
      node.disabled = true;
      try {
        const { ok } = await api.post(path);
        node.replaceWith(h("span", { class: ok ? "badge" : "badge warn", role: "status" },
          t(ok ? "export.verified" : "export.changed")));
      } catch (error) {
        node.disabled = false;
        node.after(h("p", { class: "form-error" }, problemText(error)));
      }
    });
    return node;
  }
}

export async function mount(root, { slug }) {
  const screen = new ExportScreen(root, slug,
    await api.everything(`/projects/${slug}/snapshots`));
  screen.show();
  return null;
}
