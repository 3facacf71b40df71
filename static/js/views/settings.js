// How a project is judged: every setting explained, beside a live preview of what annotators see.

import * as api from "../api.js";
import { button, h, replace } from "../dom.js";
import { t } from "../i18n.js";
import * as session from "../session.js";
import { GROUPS, readSettings, sampleTask, settingsFields } from "../settings-model.js";
import { textField, group } from "../widgets/form.js";
import { Judge } from "../widgets/judge.js";
import { note } from "../widgets/notice.js";
import { connectBox } from "../widgets/connect.js";
import { pageHeader } from "../widgets/page.js";
import { problemText } from "../widgets/problem.js";
import { upstreamsBox } from "../widgets/upstreams.js";

const PREVIEW_DELAY = 200;

class SettingsScreen {
  constructor(root, project) {
    this.root = root;
    this.project = project;
    this.fields = settingsFields(project.settings);
    this.title = textField({ label: t("projects.title_label"), pointer: "/title",
      input: { value: project.title ?? "", maxlength: 200 } });
    this.saved = JSON.stringify(this.values());
  }

  values() {
    return { title: this.title.get().trim(), settings: readSettings(this.fields) };
  }

  show() {
    const { fields } = this;
    this.preview = h("div");
    this.summary = h("span", { class: "form-error", role: "alert" });
    this.state = h("span", { class: "hint" }, t("settings.unchanged"));
    this.saveButton = h("button", { type: "submit", class: "primary" }, t("action.save"));
    const groups = Object.entries(GROUPS).map(([name, members]) =>
      h("div", { class: "panel" }, group(t(`settings.group_${name}`),
        t(`settings.group_${name}_help`), name === "ask" && this.title.node,
        members.map((member) => fields[member].node))));
    const node = h("form", { class: "list", novalidate: true, on: {
      submit: (event) => this.save(event), input: () => this.touched(),
      change: () => this.touched() } }, groups,
    h("div", { class: "save-bar" }, this.saveButton, this.state, this.summary));
    replace(this.root, pageHeader(t("settings.title"), { lead: t("settings.lead") }),
      h("div", { class: "settings-layout" }, node,
        h("section", { class: "panel preview", "aria-label": t("settings.preview") },
          h("h2", {}, t("settings.preview")), h("p", { class: "hint" }, t("settings.preview_help")),
          this.preview)));
    this.servers = upstreamsBox(this.project.slug);
    this.root.append(this.servers.node, connectBox(this.project.slug));
    this.showPreview();
  }

  touched() {
    const changed = JSON.stringify(this.values()) !== this.saved;
    this.state.textContent = t(changed ? "settings.changed" : "settings.unchanged");
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.showPreview(), PREVIEW_DELAY);
  }

  showPreview() {
    const again = () => this.showPreview();
    const judge = new Judge(sampleTask(readSettings(this.fields)), {
      onSubmit: (body) => replace(this.preview, h("p", { class: "hint" },
        t("settings.preview_recorded")), h("pre", { class: "copy-text preserve" },
        JSON.stringify({ ...body, duration_ms: undefined }, null, 2)),
      button(t("settings.preview_again"), again)),
    });
    replace(this.preview, judge.node);
  }

  all() {
    return [this.title, ...Object.values(this.fields),
      ...Object.values(this.fields).flatMap((one) => one.others ?? [])];
  }

  complain(error) {
    const text = problemText(error);
    const at = error.pointer;
    const fields = this.all().filter((one) => one.pointer)
      .sort((a, b) => b.pointer.length - a.pointer.length);
    const culprit = at && fields.find((one) => at === one.pointer ||
      at.startsWith(`${one.pointer}/`));
    if (!culprit) {
      replace(this.summary, text);
      return;
    }
    culprit.complain(text);
    culprit.control.focus();
  }

  async save(event) {
    event.preventDefault();
    replace(this.summary);
    for (const one of this.all()) one.complain(null);
    const checks = Object.values(this.fields).map((one) => one.check?.() ?? true);
    if (!checks.every(Boolean)) {
      this.root.querySelector("[aria-invalid]")?.focus();
      return;
    }
    this.saveButton.disabled = true;
    try {
      const values = this.values();
      await api.patch(`/projects/${this.project.slug}`, values);
      this.saved = JSON.stringify(values);
      this.touched();
      note(t("settings.saved"));
      session.refresh().catch(() => {});
    } catch (error) {
      this.complain(error);
    } finally {
      this.saveButton.disabled = false;
    }
  }
}

export async function mount(root, { slug, hash }) {
  const screen = new SettingsScreen(root, await api.get(`/projects/${slug}`));
  screen.show();
  await screen.servers.load();
  if (hash === "servers") requestAnimationFrame(() => screen.servers.node.scrollIntoView());
  return () => clearTimeout(screen.timer);
}
