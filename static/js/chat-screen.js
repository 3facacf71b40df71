// What chat and arena share: the frame, the thread of messages, the list, keys and scrolling.

import * as drafts from "./drafts.js";
import { button, h, icon, link, replace } from "./dom.js";
import { t } from "./i18n.js";
import * as keys from "./keys.js";
import * as router from "./router.js";
import { pathOf } from "./routes.js";
import * as session from "./session.js";
import { showChatHelp } from "./widgets/chat-dialogs.js";
import { iconButton } from "./widgets/chat-parts.js";
import { Composer } from "./widgets/composer.js";
import { conversationList } from "./widgets/conversation-list.js";
import { isOpen, openDialog } from "./widgets/dialog.js";
import { emptyState } from "./widgets/page.js";

const NEAR_END = 40;
const WIDE = matchMedia("(min-width: 62rem)");

// Only what changed moves, so that an open text field keeps its cursor.
function reconcile(parent, nodes) {
  const wanted = new Set(nodes);
  for (const child of [...parent.children]) if (!wanted.has(child)) child.remove();
  nodes.forEach((node, index) => {
    if (parent.children[index] !== node) parent.insertBefore(node, parent.children[index] ?? null);
  });
}

export class ChatScreen {
  constructor(root, slug, chat, models) {
    this.root = root;
    this.slug = slug;
    this.chat = chat;
    this.surface = chat.surface;
    this.models = models;
    this.views = new Map();
    this.prefix = `chat.${session.account().id}.${slug}`;
    this.stops = [];
  }

  draftOf(name) {
    return `${this.prefix}.${name}`;
  }

  listen(target, type, listener, options) {
    target.addEventListener(type, listener, options);
    this.stops.push(() => target.removeEventListener(type, listener, options));
  }

  async start(id) {
    drafts.sweep();
    if (id) {
      const surface = await this.chat.open(id);
      if (surface !== this.surface) {
        router.go(`${pathOf(surface, this.slug)}?c=${id}`, { replace: true });
        return;
      }
    }
    this.build();
    this.composer.restore(this.draftOf(id ?? `new.${this.surface}`));
    this.stops.push(this.chat.changed.on(() => this.render()),
      this.chat.begun.on(() => this.begun()));
    this.listen(document, "keydown", (event) => this.pressed(event));
    this.listen(window, "pagehide", () => this.composer.keep());
    this.pinned = true;
    this.listen(window, "scroll", () => this.scrolled(), { passive: true });
    const watcher = new ResizeObserver(() => this.follow());
    watcher.observe(this.thread);
    this.stops.push(() => watcher.disconnect());
    this.render();
    this.list.load();
    requestAnimationFrame(() => {
      this.follow();
      if (WIDE.matches && !isOpen()) this.composer.focus();
    });
  }

  stop() {
    for (const stop of this.stops) stop();
    this.chat.stop();
  }

  build() {
    this.list = conversationList(this.slug, () => (this.chat.isNew ? null : this.chat.id));
    this.thread = h("div", { class: "thread", tabIndex: -1, role: "group",
      "aria-label": t("chat.thread") });
    this.composer = new Composer({ label: t("chat.write"), extras: this.extras(),
      onSend: (text) => this.send(text), onStop: () => this.chat.stop(),
      onLeave: () => this.thread.focus({ preventScroll: true }) });
    this.jump = iconButton("down", t("chat.to_end"), () => this.toEnd(),
      { class: "icon-button jump", hidden: true });
    this.above = h("div", { class: "dock-above" });
    this.dock = h("section", { class: "chat-dock", "aria-label": t("chat.dock") }, this.jump,
      this.above, this.composer.node);
    this.side = h("aside", { class: "chat-side" }, this.newLink(), this.list.node);
    this.root.classList.add("chat", `surface-${this.surface}`);
    replace(this.root, this.side, h("div", { class: "chat-main" }, this.head(), this.thread,
      this.dock));
  }

  newLink() {
    return link(pathOf(this.surface, this.slug), [icon("plus"), t("chat.new"),
      h("kbd", { "aria-hidden": "true" }, keys.label("fresh"))], { class: "button new-chat" });
  }

  head() {
    const places = ["chat", "arena"].map((name) => link(pathOf(name, this.slug), t(`nav.${name}`),
      { "aria-current": name === this.surface ? "page" : null }));
    return h("div", { class: "chat-head" },
      iconButton("list", t("chat.conversations"), () => this.showList(),
        { class: "icon-button only-narrow" }),
      h("h1", { class: "task-title", tabIndex: -1 }, t(`${this.surface}.title`)),
      h("nav", { class: "segments", "aria-label": t("chat.surfaces") }, places),
      h("div", { class: "head-side" }, this.tools(), button([h("span", {}, t("annotate.help")),
        h("kbd", { "aria-hidden": "true" }, keys.label("help"))], () => this.help(),
      { class: "tool all-keys" })));
  }

  help() {
    showChatHelp(this.surface);
  }

  showList() {
    if (WIDE.matches) {
      (this.list.node.querySelector("a") ?? this.side.querySelector("a")).focus();
      return;
    }
    const back = this.side;
    const list = this.list.node;
    const dialog = openDialog({ title: t("chat.conversations"), body: [this.newLink(), list],
      onClose: () => back.append(list) });
    // Going to another conversation leaves this one, and the dialog with it.
    dialog.node.addEventListener("click", (event) => {
      if (event.target.closest("a")) dialog.close();
    }, true);
  }

  // One view for each turn, answer or round, made once.
  view(of, make) {
    if (!this.views.has(of)) this.views.set(of, make());
    return this.views.get(of);
  }

  render() {
    const steps = this.chat.tree.path();
    const views = steps.flatMap((step) => this.viewsOf(step)).filter(Boolean);
    this.shownViews = views;
    for (const one of views) one.update();
    const nodes = views.map((one) => one.node);
    this.empty ??= emptyState(t(`${this.surface}.empty_title`), t(`${this.surface}.empty_text`));
    reconcile(this.thread, nodes.length ? nodes : [this.empty]);
    this.composer.setBusy(this.chat.busy);
    if (this.unlisted && !this.chat.busy) {
      this.unlisted = false;
      this.list.load();
    }
    this.renderDock(steps);
  }

  // The first message made the conversation: from now on it has an address, and when its answer
  // is recorded, a place in the list.
  begun() {
    this.composer.useDraft(this.draftOf(this.chat.id));
    this.composer.delivered();
    const address = `${pathOf(this.surface, this.slug)}?c=${this.chat.id}`;
    if (location.pathname + location.search === address) return;
    router.rename(address);
    this.unlisted = true;
  }

  scrolled() {
    const height = document.documentElement.scrollHeight;
    const rest = height - innerHeight - scrollY;
    // On a page that stays as high as it was, only a person moves up.
    if (rest < NEAR_END) this.pinned = true;
    else if (scrollY < this.place && height === this.height) this.pinned = false;
    this.place = scrollY;
    this.height = height;
    this.jump.hidden = rest < NEAR_END;
  }

  follow() {
    if (this.pinned) window.scrollTo(0, document.documentElement.scrollHeight);
    this.scrolled();
  }

  toEnd() {
    this.pinned = true;
    this.follow();
    this.composer.focus();
  }

  pressed(event) {
    if (event.defaultPrevented || event.isComposing || isOpen()) return;
    if (event.key === "Escape" && this.chat.busy) {
      this.chat.stop();
      return;
    }
    if (keys.isTyping(event.target) || keys.pressesControl(event)) return;
    const action = keys.actionFor(event, keys.SCREENS[this.surface]);
    if (!action) return;
    event.preventDefault();
    if (!event.repeat) this.act(action);
  }

  act(action) {
    const common = {
      write: () => this.composer.focus(), help: () => this.help(), list: () => this.showList(),
      fresh: () => router.go(pathOf(this.surface, this.slug)),
      later: () => this.step(1), earlier: () => this.step(-1),
    };
    const own = this.actions();
    if (action in common) common[action]();
    else own[action]?.();
  }

  // The message that keys are meant for: the one in focus, or the last.
  current() {
    const stops = this.stopsOf();
    return stops.find((one) => one.node.contains(document.activeElement)) ?? stops.at(-1);
  }

  step(by) {
    const stops = this.stopsOf();
    const at = stops.findIndex((one) => one.node.contains(document.activeElement));
    const to = at < 0 ? stops.at(-1) : stops[Math.max(0, Math.min(stops.length - 1, at + by))];
    to?.node.focus();
  }
}
