// Shows rendered Markdown: safe nodes first, then formulas and code colours once they can be had.

import { h } from "./dom.js";
import { highlighter, katex } from "./lazy.js";
import { safeFragment } from "./safehtml.js";

const FORMULA = new RegExp([
  "\\$\\$([^]+?)\\$\\$", // $$ displayed $$
  "\\\\\\[([^]+?)\\\\\\]", // \[ displayed \]
  "\\\\\\(([^]+?)\\\\\\)", // \( inline \)
  "\\$(?![\\s$])((?:\\\\.|[^$\\\\\\n])+?)(?<!\\s)\\$(?!\\d)", // $inline$, but not "$5 and $6"
].join("|"), "g");
const CODE_LIMIT = 40000;
const FORMULA_LIMIT = 2000;

function isInCode(node) {
  return node.parentElement?.closest("code, pre, a, .katex") !== null;
}

function textNodesWithFormulas(root) {
  const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  const found = [];
  while (walker.nextNode()) {
    const node = walker.currentNode;
    FORMULA.lastIndex = 0;
    if (/[$\\]/.test(node.data) && FORMULA.test(node.data) && !isInCode(node)) found.push(node);
  }
  return found;
}

function formulaNode(library, source, display, original) {
  const node = h("span", { class: display ? "formula formula-block" : "formula" });
  try {
    library.render(source, node, { displayMode: display, throwOnError: true, trust: false,
      strict: "ignore", maxSize: 20, maxExpand: 500 });
  } catch {
    // Not a formula after all, or one KaTeX does not know: the words stay as they were.
    node.textContent = original;
  }
  return node;
}

function renderFormulas(library, node) {
  const pieces = [];
  let end = 0;
  for (const match of node.data.matchAll(FORMULA)) {
    const [whole, dollars, brackets, parentheses, dollar] = match;
    const source = dollars ?? brackets ?? parentheses ?? dollar;
    if (source.length > FORMULA_LIMIT) continue;
    pieces.push(node.data.slice(end, match.index));
    const display = dollars !== undefined || brackets !== undefined;
    pieces.push(formulaNode(library, source, display, whole));
    end = match.index + whole.length;
  }
  pieces.push(node.data.slice(end));
  node.replaceWith(...pieces);
}

function colourCode(library, code) {
  const name = [...code.classList].find((one) => one.startsWith("language-"))?.slice(9);
  if (!name || !library.getLanguage(name) || code.textContent.length > CODE_LIMIT) return;
  const { value } = library.highlight(name, code.textContent, true);
  code.replaceChildren(safeFragment(value));
}

async function enhance(root) {
  const formulas = textNodesWithFormulas(root);
  const codes = [...root.querySelectorAll("pre > code[class*=language-]")];
  const jobs = [];
  if (formulas.length) {
    jobs.push(katex().then((library) => {
      for (const node of formulas) renderFormulas(library, node);
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
  for (const node of root.querySelectorAll(".prose pre, .prose .table-scroll, .formula-block")) {
    if (node.scrollWidth > node.clientWidth + 1) node.tabIndex = 0;
  }
}

export function prose(markup, properties = {}) {
  const node = h("div", { ...properties, class: `prose ${properties.class ?? ""}`.trim() });
  node.append(safeFragment(markup));
  node.ready = enhance(node);
  return node;
}
