// Shows rendered Markdown: safe nodes first, then formulas and code colours once they can be had.

import { h } from "./dom.js";
import { highlighter, katex } from "./lazy.js";
import { safeFragment } from "./safehtml.js";

// The server marks formulas (<span class="math">) before Markdown can touch them.
const FORMULA = /^(\$\$|\\\[|\\\(|\$)([^]+?)(?:\$\$|\\\]|\\\)|\$)$/;
const CODE_LIMIT = 40000;

function renderFormula(library, node) {
  const whole = node.textContent;
  const [, open, source] = FORMULA.exec(whole) ?? [];
  if (!source) return;
  const display = open === "$$" || open === "\\[";
  try {
    library.render(source, node, { displayMode: display, throwOnError: true, trust: false,
      strict: "ignore", maxSize: 20, maxExpand: 500 });
    node.classList.toggle("math-block", display);
  } catch {
    // Not a formula after all, or one KaTeX does not know: the words stay as they were.
    node.textContent = whole;
  }
}

function colourCode(library, code) {
  const name = [...code.classList].find((one) => one.startsWith("language-"))?.slice(9);
  if (!name || !library.getLanguage(name) || code.textContent.length > CODE_LIMIT) return;
  const { value } = library.highlight(name, code.textContent, true);
  code.replaceChildren(safeFragment(value));
}

async function enhance(root) {
  const formulas = [...root.querySelectorAll("span.math")];
  const codes = [...root.querySelectorAll("pre > code[class*=language-]")];
  const jobs = [];
  if (formulas.length) {
    jobs.push(katex().then((library) => {
      for (const node of formulas) renderFormula(library, node);
    }));
  }
  if (codes.length) {
    jobs.push(highlighter().then((library) => {
      for (const code of codes) colourCode(library, code);
    }));
  }
  // Without the libraries the text is still readable, so a failed download is no error.
  await Promise.allSettled(jobs);
}

// Regions that scroll sideways must be reachable from the keyboard; known only once laid out.
export function makeScrollersReachable(root) {
  for (const node of root.querySelectorAll(".prose pre, .prose .table-scroll, .math-block")) {
    if (node.scrollWidth > node.clientWidth + 1) node.tabIndex = 0;
  }
}

// More of an answer that is still coming, after what stands there.
export function appendProse(node, markup) {
  const part = safeFragment(markup);
  const nodes = [...part.childNodes];
  node.append(part);
  for (const one of nodes) if (one instanceof Element) enhance(one);
}

export function prose(markup, properties = {}) {
  const node = h("div", { ...properties, class: `prose ${properties.class ?? ""}`.trim() });
  node.append(safeFragment(markup));
  node.ready = enhance(node);
  return node;
}
