// THE table of pages: path, screen, who may see it; desk: its words are those of the desk, too.

export const ROUTES = [
  { path: "/", view: "projects" },
  { path: "/signin", view: "signin", open: true },
  { path: "/join", view: "join", open: true },
  { path: "/account", view: "account" },
  { path: "/accounts", view: "accounts", desk: true, admin: true },
  { path: "/p/:slug", view: "overview", desk: true, role: "annotator" },
  { path: "/p/:slug/annotate", view: "annotate", role: "annotator" },
  { path: "/p/:slug/chat", view: "chat", desk: true, role: "annotator" },
  { path: "/p/:slug/arena", view: "arena", desk: true, role: "annotator", tab: "chat" },
  { path: "/p/:slug/history", view: "history", desk: true, role: "annotator" },
  { path: "/p/:slug/conversations", view: "conversations", desk: true, role: "researcher" },
  { path: "/p/:slug/import", view: "import", desk: true, role: "researcher" },
  { path: "/p/:slug/export", view: "export", desk: true, role: "researcher" },
  { path: "/p/:slug/settings", view: "settings", desk: true, role: "owner" },
  { path: "/p/:slug/members", view: "members", desk: true, role: "owner" },
  { path: "/p/:slug/audit", view: "audit", desk: true, role: "owner" },
];

// The tabs of a project, in order. A page that is no tab itself names the one it belongs to.
export const TABS = ["overview", "annotate", "chat", "history", "conversations", "import", "export",
  "settings", "members", "audit"];

export function match(path) {
  const parts = path.replace(/\/+$/, "").split("/");
  for (const route of ROUTES) {
    const wanted = route.path.replace(/\/+$/, "").split("/");
    if (wanted.length !== parts.length) continue;
    const params = {};
    const fits = wanted.every((part, index) => {
      if (!part.startsWith(":")) return part === parts[index];
      params[part.slice(1)] = parts[index];
      return /^[a-z0-9][a-z0-9-]*$/.test(parts[index]);
    });
    if (fits) return { route, params };
  }
  return null;
}

export function pathOf(view, slug) {
  const route = ROUTES.find((one) => one.view === view);
  return route.path.replace(":slug", slug ?? "");
}
