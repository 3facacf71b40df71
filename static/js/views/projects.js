// The list of projects with how far each one is, and the form that starts a new one.

import * as api from "../api.js";
import { button, h, link, replace } from "../dom.js";
import { number, percent, t } from "../i18n.js";
import * as router from "../router.js";
import { pathOf } from "../routes.js";
import * as session from "../session.js";
import { openDialog } from "../widgets/dialog.js";
import { form, textField } from "../widgets/form.js";
import { emptyState, pageHeader } from "../widgets/page.js";

function card(project) {
  const { slug, title, role, comparisons, answered_comparisons: answered, judgments } = project;
  const share = comparisons ? answered / comparisons : 0;
  const actions = [link(pathOf("annotate", slug), t("projects.judge"), { class: "button primary" }),
    link(pathOf("overview", slug), t("projects.open"), { class: "button" })];
  return h("li", { class: "card project" },
    h("div", {}, h("h2", {}, link(pathOf("overview", slug), title || slug)),
      h("p", { class: "hint" }, `${slug} · ${t(`role_name.${role}`)}`)),
    comparisons
      ? h("div", { class: "project-progress" },
        h("progress", { max: 1, value: share, "aria-label": t("projects.progress") }),
        h("p", { class: "hint" }, t("projects.counts", { n: comparisons, answered, judgments,
          share: percent(share) })))
      : h("p", { class: "hint" }, t("projects.no_data")),
    h("div", { class: "card-actions" }, actions));
}

export const slugOf = (title) => title.toLowerCase().normalize("NFKD")
  .replace(/[^a-z0-9]+/g, "-").replace(/^-+|-+$/g, "").slice(0, 63);

function createDialog() {
  const title = textField({ label: t("projects.title_label"), pointer: "/title",
    input: { required: true, maxlength: 200, autofocus: true } });
  const slug = textField({ label: t("projects.slug_label"), help: t("projects.slug_help"),
    pointer: "/slug", input: { pattern: "[a-z0-9][a-z0-9-]*", maxlength: 63,
      autocapitalize: "none", spellcheck: "false" } });
  let own = false;
  title.control.addEventListener("input", () => {
    if (!own) slug.control.value = slugOf(title.control.value);
  });
  slug.control.addEventListener("input", () => { own = slug.control.value !== ""; });
  const create = form({ fields: [title, slug], submit: t("projects.create"), onSubmit: async () => {
    const wanted = slug.get().trim();
    if (!/^[a-z0-9][a-z0-9-]{0,62}$/.test(wanted)) {
      slug.complain(t("projects.slug_help"));
      slug.control.focus();
      return;
    }
    const project = await api.post("/projects", { slug: wanted, title: title.get().trim() });
    await session.refresh();
    dialog.close();
    router.go(pathOf("import", project.slug));
  } });
  const dialog = openDialog({ title: t("projects.new"), body: create.node });
}

export async function mount(root) {
  const projects = await api.everything("/projects");
  const start = button(t("projects.new"), createDialog, { class: "primary" });
  const total = projects.reduce((sum, one) => sum + one.judgments, 0);
  const list = projects.length
    ? h("ul", { class: "cards" }, projects.map(card))
    : emptyState(t("projects.empty_title"), t("projects.empty_text"),
      button(t("projects.new"), createDialog, { class: "primary" }));
  const lead = projects.length
    ? t("projects.lead", { n: projects.length, judgments: number(total) }) : undefined;
  replace(root, pageHeader(t("projects.heading"), { lead, actions: start }), list);
  return null;
}
