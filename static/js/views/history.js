// Everything one has answered, newest first; any answer can be changed or withdrawn.

import * as api from "../api.js";
import { button, h, link, replace } from "../dom.js";
import { date, t } from "../i18n.js";
import { draftFromBody, levelWord } from "../judgment.js";
import * as keys from "../keys.js";
import * as outbox from "../outbox.js";
import * as router from "../router.js";
import { pathOf } from "../routes.js";
import { excerptOf } from "../annotator.js";
import { confirmDialog, isOpen } from "../widgets/dialog.js";
import { Judge } from "../widgets/judge.js";
import { note } from "../widgets/notice.js";
import { emptyState, pagedList, pageHeader } from "../widgets/page.js";
import { askEdit } from "../widgets/annotate-dialogs.js";

function choiceWords(item, levels) {
  const { choice, strength } = item;
  if (item.kind === "skip") return t("history.skipped");
  if (item.body?.ranking) {
    return item.body.ranking.map((slots) => slots.join(" = ")).join(" › ");
  }
  if (!choice) return t("history.answered");
  if (choice !== "A" && choice !== "B") return t(`choice.${choice}`);
  return t(`choice.${levelWord(levels, Math.min(strength ?? 1, levels))}`, { slot: choice });
}

class History {
  constructor(root, project) {
    this.root = root;
    this.project = project;
    this.path = `/projects/${project.slug}/judgments`;
    this.waiting = new Map();
  }

  async list() {
    // What was answered a moment ago belongs on the list too.
    await outbox.settled();
    this.waiting = await outbox.pendingLeases();
    const pages = pagedList({ label: t("history.title"), tag: "ol",
      getPage: (after) => api.get(this.path, { mine: true, limit: 30, after }),
      render: (item) => this.item(item),
      empty: () => emptyState(t("history.empty_title"), t("history.empty_text"),
        link(pathOf("annotate", this.project.slug), t("projects.judge"),
          { class: "button primary" })) });
    await pages.load();
    replace(this.root, pageHeader(t("history.title"), { lead: t("history.lead") }), pages.node);
  }

  item(item) {
    const levels = this.project.settings.strength_levels;
    const withdrawn = item.retracted;
    const pending = this.waiting.has(item.lease_id);
    const badges = [withdrawn && h("span", { class: "badge warn" }, t("history.withdrawn")),
      item.revisions > 0 && h("span", { class: "badge quiet-badge" },
        t("history.revised", { n: item.revisions })),
      pending && h("span", { class: "badge" }, t("history.pending"))];
    const node = h("li", { class: withdrawn ? "history-item withdrawn" : "history-item" },
      h("div", { class: "history-head" },
        h("strong", {}, choiceWords(item, levels)), badges,
        h("time", { class: "hint when", datetime: item.at }, date(item.at))),
      h("p", { class: "excerpt" }, item.excerpt?.prompt),
      h("div", { class: "excerpts" }, ["A", "B"].filter((slot) => item.excerpt?.[slot])
        .map((slot) => h("p", { class: item.choice === slot ? "won" : "" },
          h("b", {}, slot, " "), item.excerpt[slot]))),
      item.body?.rationale && h("p", { class: "hint" }, `“${item.body.rationale}”`));
    if (item.kind !== "skip") {
      node.append(h("div", { class: "card-actions" },
        link(`?judgment=${item.id}`, withdrawn ? t("history.restore") : t("history.change"),
          { class: "button" }),
        !withdrawn && button(t("history.withdraw"), () => this.withdraw(item, node),
          { class: "quiet" })));
    }
    return node;
  }

  async withdraw(item, node) {
    const sure = await confirmDialog({ title: t("history.withdraw_title"),
      text: t("history.withdraw_text"), action: t("history.withdraw") });
    if (!sure) return;
    await outbox.keepRetraction({ judgment: item.id, lease: item.lease_id,
      project: this.project.slug, excerpt: item.excerpt?.prompt });
    node.replaceWith(this.item({ ...item, retracted: true }));
    note(t("history.withdrawn_note"));
  }

  async change(id) {
    const back = pathOf("history", this.project.slug);
    const given = await api.get(`/judgments/${id}`);
    const stage = h("div", { class: "stage", tabIndex: -1 });
    const onSubmit = async (body) => {
      await outbox.keepJudgment({ lease: given.lease_id, project: this.project.slug, body,
        excerpt: excerptOf(given.task) });
      note(t("history.changed_note"));
      router.go(back);
    };
    const judge = new Judge(given.task, { draft: draftFromBody(given.body), onSubmit,
      confirm: true, onAskEdit: (slots) => askEdit(slots, (slot) => judge.openEditor(slot)),
      note: h("p", { class: "revision-note" }, t("history.changing", { date: date(given.at) })),
      tools: [link(back, t("action.cancel"), { class: "button" })] });
    stage.append(judge.node);
    this.root.classList.add("annotate");
    replace(this.root, h("div", { class: "task-head" },
      h("h1", { class: "task-title", tabIndex: -1 }, t("history.change_title"))), stage);
    requestAnimationFrame(() => judge.shown());
    const pressed = (event) => {
      if (keys.isTyping(event.target) || isOpen() || keys.pressesControl(event)) return;
      if (event.key === "Escape") router.go(back);
      const action = keys.actionFor(event);
      if (!action || event.repeat) return;
      if (judge.act(action)) event.preventDefault();
    };
    document.addEventListener("keydown", pressed);
    return () => {
      document.removeEventListener("keydown", pressed);
      judge.removed();
    };
  }
}

export async function mount(root, { slug, query }) {
  const history = new History(root, await api.get(`/projects/${slug}`));
  if (query.judgment) return history.change(query.judgment);
  await history.list();
  return null;
}
