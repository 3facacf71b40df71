// Bringing data in: drop, choose or paste; rows are counted live and refused ones named.

import { button, h, icon, link, replace } from "../dom.js";
import { bytes, number, percent, t } from "../i18n.js";
import { Importer } from "../importer.js";
import { pathOf } from "../routes.js";
import { areaField, selectField } from "../widgets/form.js";
import { codeBlock, figure, figures, pageHeader, section, table } from "../widgets/page.js";
import { problemText } from "../widgets/problem.js";

const FORMATS = ["auto", "aileron", "trl-preference", "trl-implicit", "hh", "votes"];
const REFUSED_SHOWN = 100;

const EXAMPLE = '{"prompt":"What is lift?","completions":[{"model":"small","content":"A force."},'
  + '{"model":"large","content":"The force that holds a wing up."}]}';

function download(blob, name) {
  const address = URL.createObjectURL(blob);
  const anchor = h("a", { href: address, download: name });
  document.body.append(anchor);
  anchor.click();
  anchor.remove();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
}

function refusedTable(importer) {
  const rows = importer.refused.slice(0, REFUSED_SHOWN);
  return [h("p", {}, t("import.refused_text", { n: importer.counts.refused })),
    table(t("import.refused"), [
      [t("import.line"), (row) => number(row.line), "number"],
      [t("import.pointer"), (row) => h("code", {}, row.pointer || "–")],
      [t("import.reason"), (row) => row.error],
    ], rows),
    importer.counts.refused > rows.length && h("p", { class: "hint" },
      t("import.refused_more", { n: importer.counts.refused - rows.length })),
    h("div", { class: "form-actions" }, button(t("import.download_rejects"), () =>
      download(importer.rejects(), `${importer.name}.rejects.jsonl`)))];
}

class ImportScreen {
  constructor(root, slug) {
    this.root = root;
    this.slug = slug;
    this.importer = null;
    this.live = h("div", { class: "import-live" });
  }

  show() {
    this.format = selectField({ label: t("import.format"), help: t("import.format_help"),
      value: "auto", choices: FORMATS.map((name) => [name, t(`import.format_${name}`)]) });
    this.input = h("input", { type: "file", class: "visually-hidden", tabIndex: -1,
      "aria-hidden": "true", accept: ".jsonl,.ndjson,.json,.csv,.gz,.txt",
      on: { change: () => this.input.files[0] && this.begin(this.input.files[0]) } });
    this.drop = h("div", { class: "drop" }, icon("upload"), h("p", {}, t("import.drop")),
      button(t("import.choose"), () => this.input.click(), { class: "primary" }), this.input,
      h("p", { class: "hint" }, t("import.drop_hint")));
    for (const type of ["dragenter", "dragover"]) {
      this.drop.addEventListener(type, (event) => this.over(event, true));
    }
    this.drop.addEventListener("dragleave", (event) => this.over(event, false));
    this.drop.addEventListener("drop", (event) => {
      this.over(event, false);
      const [file] = event.dataTransfer.files;
      if (file) this.begin(file);
    });
    this.start = h("div", { class: "columns" },
      h("div", { class: "list" }, this.drop, this.format.node),
      section(t("import.paste_title"), this.paste()));
    replace(this.root, pageHeader(t("import.title"), { lead: t("import.lead") }), this.start,
      this.live, section(t("import.shape_title"), h("p", {}, t("import.shape_text")),
        codeBlock(t("import.shape_one"), EXAMPLE),
        codeBlock(t("import.shape_cli"), `aileron import --project ${this.slug} data.jsonl`)));
  }

  over(event, inside) {
    event.preventDefault();
    this.drop.classList.toggle("over", inside);
  }

  paste() {
    const text = areaField({ label: t("import.paste_label"), input: { rows: 7, spellcheck: "false",
      placeholder: EXAMPLE } });
    const go = button(t("import.paste_go"), () => {
      if (text.get().trim()) this.begin(new File([text.get()], "pasted.jsonl"));
      else text.complain(t("import.paste_empty"));
    });
    return [text.node, h("div", { class: "form-actions" }, go)];
  }

  async begin(file) {
    if (["running", "paused", "waiting"].includes(this.importer?.state)) return;
    const format = this.format.get();
    this.importer = new Importer({ project: this.slug, file, name: file.name,
      format: format === "auto" ? undefined : format });
    this.startedAt = performance.now();
    this.build(file);
    this.start.hidden = true;
    this.importer.changed.on(() => this.refresh());
    await this.importer.run();
  }

  build(file) {
    const { importer } = this;
    this.bar = h("progress", { max: 1, value: 0, "aria-label": t("import.progress") });
    this.line = h("p", { role: "status" });
    this.numbers = h("div");
    this.pauseButton = button("", () => (importer.state === "paused" ? importer.resume()
      : importer.pause()));
    this.cancelButton = button(t("action.cancel"), () => importer.cancel(), { class: "quiet" });
    this.after = h("div", { class: "form-actions" });
    this.rejects = h("div", { class: "import-live" });
    replace(this.live, section(`${file.name} · ${bytes(file.size)}`, this.bar, this.line,
      this.numbers, h("div", { class: "form-actions" }, this.pauseButton, this.cancelButton),
      this.after), this.rejects);
    this.refresh();
  }

  statusText() {
    const { importer } = this;
    const { state } = importer;
    if (state === "failed") return problemText(importer.error);
    const share = importer.file.size ? importer.sent / importer.file.size : 1;
    const seconds = Math.max(importer.activeMs / 1000, 0.001);
    return t(`import.state_${state}`, { share: percent(Math.min(1, share)), lines: importer.lines,
      rate: number(Math.round(importer.lines / seconds)) });
  }

  refresh() {
    const { importer } = this;
    const { counts, state } = importer;
    this.bar.value = state === "done" ? 1 : importer.sent / Math.max(1, importer.file.size);
    this.line.textContent = this.statusText();
    this.line.classList.toggle("form-error", state === "failed");
    replace(this.numbers, figures(["prompts", "completions", "comparisons", "judgments", "present",
      "refused"].map((name) => figure(t(`import.count_${name}`), number(counts[name])))));
    const over = ["done", "cancelled", "failed"].includes(state);
    this.pauseButton.hidden = over;
    this.cancelButton.hidden = over;
    this.pauseButton.textContent = t(state === "paused" ? "import.resume" : "import.pause");
    if (over) {
      replace(this.after,
        link(pathOf("annotate", this.slug), t("projects.judge"), { class: "button primary" }),
        link(pathOf("settings", this.slug), t("import.to_settings"), { class: "button" }),
        button(t("import.another"), () => {
          replace(this.live);
          this.show();
        }, { class: "quiet" }));
    }
    const shown = this.rejects.dataset.count;
    if (counts.refused && shown !== String(counts.refused)) {
      this.rejects.dataset.count = counts.refused;
      replace(this.rejects, section(t("import.refused"), refusedTable(importer)));
    }
  }
}

export async function mount(root, { slug }) {
  const screen = new ImportScreen(root, slug);
  screen.show();
  const warn = (event) => {
    if (["running", "waiting"].includes(screen.importer?.state)) event.preventDefault();
  };
  window.addEventListener("beforeunload", warn);
  return () => {
    window.removeEventListener("beforeunload", warn);
    screen.importer?.cancel();
  };
}
