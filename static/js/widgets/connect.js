// How an application's own client comes through here: the address, a key, a line to try it.

import * as api from "../api.js";
import { button, h, replace } from "../dom.js";
import { t } from "../i18n.js";
import { note } from "./notice.js";
import { codeBlock, copyLine, section } from "./page.js";
import { problemText } from "./problem.js";

const base = () => `${location.origin}/openai/v1`;

function curlLine(key) {
  return `curl ${base()}/chat/completions \\\n  -H "Authorization: Bearer ${key}" \\\n`
    + `  -H "Content-Type: application/json" \\\n`
    + `  -d '{"model":"demo","messages":[{"role":"user","content":"Hello"}]}'`;
}

function embedLines(key) {
  return `<script src="${location.origin}/static/embed/aileron-embed.js"></script>\n`
    + `<script>\n  Aileron.init({ endpoint: "${location.origin}", key: "${key}",`
    + ` consent: true });\n</script>\n`
    + `<div data-aileron-completion="COMPLETION_ID">…</div>`;
}

// One kind of key, made on request and shown once, in the lines that need it.
function keyPart(slug, { role, name, make, placeholder, lines }) {
  const result = h("div", { class: "list", role: "status" });
  const code = h("div", { class: "list" }, lines(placeholder));
  const go = button(make, async () => {
    go.disabled = true;
    try {
      const { key } = await api.post(`/projects/${slug}/keys`, { role, name });
      replace(result, copyLine(t("members.key_once"), key, { secret: true }));
      replace(code, lines(key));
    } catch (error) {
      note(problemText(error));
    } finally {
      go.disabled = false;
    }
  });
  return [h("div", { class: "form-actions" }, go), result, code];
}

export function connectBox(slug) {
  return section(t("connect.title"), h("p", { class: "hint" }, t("connect.lead")),
    h("div", { class: "columns" },
      h("div", { class: "list" }, h("h3", {}, t("connect.client")),
        copyLine("base_url", base()),
        keyPart(slug, { role: "annotator", name: t("connect.key_name"), make: t("connect.key_make"),
          placeholder: "$AILERON_KEY", lines: (key) => codeBlock("curl", curlLine(key)) })),
      h("div", { class: "list" }, h("h3", {}, t("connect.page")),
        h("p", { class: "hint" }, t("connect.page_text")),
        keyPart(slug, { role: "reporter", name: t("connect.reporter_name"),
          make: t("connect.reporter_make"), placeholder: "REPORTER_KEY",
          lines: (key) => codeBlock("HTML", embedLines(key)) }))));
}
