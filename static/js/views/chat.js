// The chat screen: streamed answers, every one kept; ask again, differently, or write it better.

import * as api from "../api.js";
import { ChatScreen } from "../chat-screen.js";
import { ChatSession } from "../chat-session.js";
import { h, link, replace } from "../dom.js";
import { t } from "../i18n.js";
import { Reports } from "../reports.js";
import { pathOf } from "../routes.js";
import * as session from "../session.js";
import { answerView } from "../widgets/chat-answer.js";
import { questionView } from "../widgets/chat-question.js";
import { emptyState, pageHeader } from "../widgets/page.js";

class Chat extends ChatScreen {
  constructor(root, slug, models) {
    super(root, slug, new ChatSession(slug, "chat"), models);
    this.reports = new Reports(session.account().id, slug);
    this.stops.push(() => this.reports.stop());
    const { chat } = this;
    this.desk = {
      reports: this.reports, tree: () => chat.tree, busy: () => chat.busy,
      draftOf: (name) => this.draftOf(name),
      onShow: (one) => this.showSibling(one),
      onAgain: (turn) => this.again(turn),
      onReword: (turn, text) => this.ask(turn.parent, text),
      onBetter: async (answer, text) => {
        await chat.better(answer, text);
        this.composer.focus();
      },
    };
  }

  extras() {
    const wanted = session.preferences().chat_model;
    this.model = h("select", { "aria-label": t("chat.model"), class: "model-picker",
      on: { change: () => session.savePreferences({ chat_model: this.model.value }) } },
    this.models.map((name) => h("option", { value: name, selected: name === wanted }, name)));
    return this.model;
  }

  tools() {
    return null;
  }

  renderDock() {}

  viewsOf({ turn, answer }) {
    return [this.view(turn, () => questionView(turn, this.desk)),
      answer && this.view(answer, () => answerView(answer, this.desk))];
  }

  stopsOf() {
    return this.shownViews.filter((one) => one.of.turn);
  }

  send(text) {
    if (this.chat.busy) return false;
    return this.ask(this.chat.last(), text);
  }

  ask(parent, text) {
    this.pinned = true;
    this.chat.ask(parent, text, this.model.value);
    return true;
  }

  again(turn) {
    if (!this.chat.busy) this.chat.answer(turn, this.model.value);
  }

  // one: an answer, or a turn among its other wordings
  showSibling(one) {
    if (one.turn) this.chat.tree.show(one);
    else this.chat.tree.showTurn(one);
    this.pinned = false;
    this.render();
    this.views.get(one)?.node.querySelector(".siblings button:not(:disabled)")?.focus();
  }

  sibling(by) {
    const view = this.current();
    const list = view?.of.turn.answers ?? [];
    const next = list[list.indexOf(view?.of) + by];
    if (next && !this.chat.busy) {
      this.showSibling(next);
      this.views.get(next).node.focus();
    }
  }

  actions() {
    const view = this.current();
    const ready = view?.of.id && view.of.state === "done" ? view : null;
    const said = ready?.said;
    const stars = Object.fromEntries([1, 2, 3, 4, 5].map((n) => [`star${n}`, () => said?.star(n)]));
    return {
      ...stars, regenerate: () => view && this.again(view.of.turn),
      question: () => view && this.views.get(view.of.turn)?.edit(),
      better: () => ready?.edit(), copy: () => ready?.copy(),
      thumbUp: () => said?.thumb("up"), thumbDown: () => said?.thumb("down"),
      previous: () => this.sibling(-1), next: () => this.sibling(1),
      model: () => this.model.focus(),
    };
  }
}

function noModels(root, slug) {
  replace(root, pageHeader(t("chat.title")), session.can(slug, "owner")
    ? emptyState(t("chat.no_models_title"), t("chat.no_models_owner"),
      link(`${pathOf("settings", slug)}#servers`, t("upstreams.title"),
        { class: "button primary" }))
    : emptyState(t("chat.no_models_title"), t("chat.no_models_text")));
}

export async function mount(root, { slug, query }) {
  const { models } = await api.get(`/projects/${slug}/chat/models`);
  if (!models.length) {
    noModels(root, slug);
    return null;
  }
  const screen = new Chat(root, slug, models);
  await screen.start(query.c);
  return () => screen.stop();
}
