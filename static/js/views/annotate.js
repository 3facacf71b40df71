// The annotate screen: one task at a time, one key a judgment, nothing waits for the network.

import { Desk } from "../annotator.js";
import * as api from "../api.js";
import * as drafts from "../drafts.js";
import { button, h, icon, link, replace } from "../dom.js";
import { number, t } from "../i18n.js";
import * as keys from "../keys.js";
import { LeaseQueue } from "../leases.js";
import * as outbox from "../outbox.js";
import * as router from "../router.js";
import { pathOf } from "../routes.js";
import * as session from "../session.js";
import * as dialog from "../widgets/dialog.js";
import { askEdit, askSkip, showHelp, showInstructions } from "../widgets/annotate-dialogs.js";
import { announce, note } from "../widgets/notice.js";
import { emptyState } from "../widgets/page.js";

// Someone who reads and scrolls still holds their tasks.
const SIGNS_OF_LIFE = ["scroll", "pointermove", "keydown", "touchstart"];

function toolButton(action, label, onClick, properties = {}) {
  return button([h("span", {}, label), h("kbd", { "aria-hidden": "true" }, keys.label(action))],
    onClick, { class: "tool", "data-action": action, ...properties });
}

class Screen {
  constructor(root, project) {
    this.root = root;
    this.project = project;
    this.today = null;
    const account = session.account().id;
    this.queue = new LeaseQueue(project.slug, account, project.settings.lease_seconds ?? 900);
    this.stage = h("div", { class: "stage", tabIndex: -1 });
    this.counts = h("p", { class: "counts" });
    this.desk = new Desk({
      project: project.slug, queue: this.queue, stage: this.stage,
      confirm: () => Boolean(session.preferences().confirm),
      tools: (entry) => this.tools(entry), note: (entry) => this.revisionNote(entry),
      onAskEdit: (slots) => askEdit(slots, (slot) => this.desk.current?.judge.openEditor(slot)),
      onLost: () => note(t("annotate.lost")),
    });
  }

  async start() {
    const { project } = this;
    this.stops = [this.desk.moved.on((entry) => this.moved(entry)),
      outbox.changed.on(() => this.showCounts())];
    this.root.classList.add("annotate");
    replace(this.root, h("div", { class: "task-head" },
      h("h1", { class: "task-title", tabIndex: -1 }, t("annotate.title", { title: project.title })),
      this.counts, project.settings.instructions && toolButton("instructions",
        t("annotate.instructions"), () => this.instructions())), this.stage);
    this.keydown = (event) => this.pressed(event);
    this.hide = () => this.desk.flushDraft();
    this.busy = () => this.queue.use();
    document.addEventListener("keydown", this.keydown);
    window.addEventListener("pagehide", this.hide);
    for (const sign of SIGNS_OF_LIFE) window.addEventListener(sign, this.busy, { passive: true });
    drafts.sweep();
    await this.queue.start();
    if (!this.desk.current) this.desk.showNext();
    if (this.queue.state === "denied" && !this.desk.current) throw this.queue.error;
    this.loadProgress();
    if (project.settings.instructions) showInstructions(project, { onlyNew: true });
  }

  stop() {
    document.removeEventListener("keydown", this.keydown);
    window.removeEventListener("pagehide", this.hide);
    for (const sign of SIGNS_OF_LIFE) window.removeEventListener(sign, this.busy);
    this.desk.stop();
    this.queue.stop();
    for (const stop of this.stops) stop();
  }

  async loadProgress() {
    if (this.project.settings.show_own_progress === false) return;
    try {
      const { judgments } = await api.get(`/projects/${this.project.slug}/progress`);
      this.today = judgments.mine_today - this.desk.session.size;
      this.showCounts();
    } catch {
      // A count is a nicety; without it the work goes on.
    }
  }

  showCounts() {
    if (this.project.settings.show_own_progress === false) return;
    const done = this.desk.session.size;
    const parts = [t("annotate.session", { n: done })];
    if (this.today !== null) parts.push(t("annotate.today", { n: Math.max(0, this.today) + done }));
    this.counts.textContent = parts.join(" · ");
  }

  tools(entry) {
    const has = entry.record.task;
    const actions = [
      ["rationale", t("task.add_rationale"), has.rationale !== "off"],
      ["edit", t("task.edit"), has.edits], ["history", t("nav.history"), true],
      ["help", t("annotate.help"), true],
    ].filter(([, , on]) => on);
    const more = h("details", { class: "menu up" },
      h("summary", { class: "tool", "aria-label": t("annotate.more") }, icon("more")),
      h("ul", { class: "menu-items" }, actions.map(([action, label]) =>
        h("li", {}, toolButton(action, label, () => {
          more.open = false;
          this.act(action);
        })))));
    return [
      !entry.body && toolButton("skip", t("annotate.skip"), () => this.act("skip")),
      toolButton("undo", t("annotate.undo"), () => this.act("undo")),
      h("div", { class: "wide-tools" }, actions.map(([action, label]) =>
        toolButton(action, label, () => this.act(action)))), more,
    ];
  }

  revisionNote() {
    return h("p", { class: "revision-note" }, t("annotate.revising"), " ",
      button(t("annotate.keep"), () => this.desk.keepAsItWas(), { class: "quiet" }));
  }

  moved(entry) {
    this.showCounts();
    document.body.classList.toggle("has-task", Boolean(entry));
    if (entry) {
      const { prompt } = entry.record.task;
      this.stage.setAttribute("aria-label", t("annotate.task_label"));
      this.stage.setAttribute("role", "group");
      announce(entry.body ? t("annotate.revising") : t("annotate.next", { n: prompt.length }));
    } else {
      this.showEnd();
    }
  }

  showEnd() {
    const { state } = this.queue;
    const { pending } = outbox.current();
    const { slug } = this.project;
    if (state === "loading") return;
    const history = link(pathOf("history", slug), t("nav.history"), { class: "button" });
    const overview = link(pathOf("overview", slug), t("nav.overview"), { class: "button" });
    const undo = this.desk.past.length > 0 &&
      button(t("annotate.undo_last"), () => this.act("undo"), { class: "button" });
    if (state === "offline") {
      replace(this.stage, emptyState(t("annotate.offline_title"),
        t("annotate.offline_text", { n: pending }),
        button(t("action.again"), () => this.queue.fill(), { class: "primary" })));
    } else {
      const done = this.desk.session.size;
      const words = done ? t("annotate.done_text", { n: done, count: number(done) })
        : t("annotate.nothing_text");
      const more = session.can(slug, "researcher") && !done &&
        link(pathOf("import", slug), t("annotate.import_first"), { class: "button primary" });
      replace(this.stage, emptyState(done ? t("annotate.done_title") : t("annotate.nothing_title"),
        words, more, history, overview, undo));
    }
  }

  instructions() {
    showInstructions(this.project);
  }

  pressed(event) {
    const typing = keys.isTyping(event.target);
    if (typing && event.key === "Escape") return this.stage.focus({ preventScroll: true });
    if (typing && event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      return this.finishTyping(event);
    }
    if (event.defaultPrevented || event.isComposing || typing) return null;
    if (dialog.isOpen() || keys.pressesControl(event)) return null;
    const { current } = this.desk;
    if (event.key === "Escape" && current?.body) return this.desk.keepAsItWas();
    const action = keys.actionFor(event);
    if (!action) return null;
    event.preventDefault();
    // A key held down is one answer, not thirty.
    if (event.repeat) return null;
    this.desk.pressed = event.timeStamp;
    return this.act(action);
  }

  finishTyping(event) {
    const { current } = this.desk;
    this.stage.focus({ preventScroll: true });
    this.desk.pressed = event.timeStamp;
    if (current?.judge.draft.choice || current?.judge.ranks) current.judge.submit();
  }

  act(action) {
    const own = {
      skip: () => this.desk.current && askSkip((reason) => this.desk.skip(reason)),
      undo: () => this.undo(),
      history: () => router.go(pathOf("history", this.project.slug)),
      instructions: () => this.project.settings.instructions && this.instructions(),
      help: () => showHelp(this.project.settings),
    };
    if (action in own) return own[action]();
    this.queue.use();
    return this.desk.current?.judge.act(action);
  }

  async undo() {
    try {
      if (!(await this.desk.undo())) note(t("annotate.nothing_to_undo"));
    } catch (error) {
      if (!(error instanceof api.ApiError)) throw error;
      note(t("annotate.undo_needs_network"));
    }
  }
}

export async function mount(root, { slug }) {
  const screen = new Screen(root, await api.get(`/projects/${slug}`));
  await screen.start();
  return () => {
    document.body.classList.remove("has-task");
    screen.stop();
  };
}
