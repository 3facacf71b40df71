// One's own conversations, newest first, as links.

import * as api from "../api.js";
import { h, link, replace } from "../dom.js";
import { ago, t } from "../i18n.js";
import { pathOf } from "../routes.js";
import { pagedList } from "./page.js";
import { problemText } from "./problem.js";

export function conversationList(slug, currentId) {
  const node = h("nav", { class: "conversation-list", "aria-label": t("chat.conversations") });
  const item = (one) => h("li", {}, link(`${pathOf(one.surface, slug)}?c=${one.id}`, [
    h("span", { class: "conversation-title" }, one.title || t("chat.untitled")),
    h("span", { class: "hint" }, ago(one.at),
      one.surface === "arena" && h("span", { class: "badge" }, t("arena.short")))],
  { "aria-current": one.id === currentId() ? "true" : null }));
  const load = async () => {
    const pages = pagedList({ label: t("chat.conversations"), render: item,
      getPage: (after) => api.get(`/projects/${slug}/chat/conversations`, { limit: 30, after }),
      empty: () => h("p", { class: "hint" }, t("chat.no_conversations")) });
    try {
      await pages.load();
      replace(node, pages.node);
    } catch (error) {
      if (!node.hasChildNodes()) replace(node, h("p", { class: "hint" }, problemText(error)));
    }
  };
  return { node, load };
}
