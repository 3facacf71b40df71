// Turns server-rendered Markdown into inert nodes: the one place where HTML text is parsed.

import { h } from "./dom.js";
import { t } from "./i18n.js";
import { policy } from "./trusted.js";

const PLAIN = new Set([
  "p", "br", "hr", "blockquote", "ul", "ol", "li", "pre", "code", "em", "strong", "del", "s", "b",
  "i", "u", "sub", "sup", "table", "thead", "tbody", "tr", "th", "td", "span", "div", "kbd", "dl",
  "dt", "dd",
]);
const HEADING = /^h[1-6]$/;
// These vanish with all they hold; any other unknown element leaves its text behind.
const VANISH = new Set([
  "script", "style", "iframe", "object", "embed", "noscript", "template", "svg", "math", "frame",
  "frameset", "title", "head", "link", "meta", "base", "audio", "video", "canvas", "textarea",
  "select", "button", "portal", "fencedframe", "noembed", "noframes", "plaintext", "xmp", "applet",
]);
const CLASSES = /^(math|plain|language-[\w+#.-]{1,40}|hljs-[\w-]{1,40})$/;
const DEPTH_LIMIT = 200;

const SANITIZER = {
  elements: [...PLAIN, "h1", "h2", "h3", "h4", "h5", "h6", "a", "img", "input"],
  attributes: ["class", "href", "src", "alt", "align", "start", "checked", "type"],
};

// A document without a window: nothing in it loads, runs or is shown.
function parseInert(markup) {
  const inert = document.implementation.createHTMLDocument("");
  if (typeof inert.body.setHTML === "function") {
    inert.body.setHTML(markup, { sanitizer: SANITIZER });
    return inert.body;
  }
  return new DOMParser().parseFromString(policy.createHTML(markup), "text/html").body;
}

function externalAddress(text) {
  try {
    const address = new URL(text);
    return ["http:", "https:", "mailto:"].includes(address.protocol) ? address.href : null;
  } catch {
    // Relative addresses mean nothing in a model's answer.
    return null;
  }
}

function externalLink(address, children) {
  const href = externalAddress(address);
  if (!href) return h("span", {}, children);
  return h("a", { href, target: "_blank", rel: "noopener noreferrer nofollow" }, children);
}

function imageLink(image) {
  const label = t("answer.image", { alt: image.getAttribute("alt") || t("answer.image_unnamed") });
  return h("span", { class: "image-link" }, externalLink(image.getAttribute("src") ?? "", label));
}

// Headings keep their look but are fitted into the page's outline below "Answer A" (level 2).
function heading(source, state, children) {
  const own = Number(source.localName[1]);
  const level = Math.min(6, Math.max(3, Math.min(own + 2, state.level + 1)));
  state.level = level;
  return h(`h${level}`, { class: `md-h${own}` }, children);
}

function element(source, state, depth) {
  const name = source.localName;
  if (VANISH.has(name) || depth > DEPTH_LIMIT) return [];
  if (name === "img") return imageLink(source);
  if (name === "input") {
    return source.getAttribute("type") === "checkbox" ? (source.checked ? "☑ " : "☐ ") : [];
  }
  const children = [...source.childNodes].map((child) => convert(child, state, depth + 1));
  if (name === "a") return externalLink(source.getAttribute("href") ?? "", children);
  if (HEADING.test(name)) return heading(source, state, children);
  if (!PLAIN.has(name)) return children;
  const kept = (source.getAttribute("class") ?? "").split(/\s+/).filter((one) => CLASSES.test(one));
  const align = source.getAttribute("align");
  if (["left", "right", "center"].includes(align)) kept.push(`align-${align}`);
  const start = name === "ol" ? /^\d{1,9}$/.exec(source.getAttribute("start") ?? "")?.[0] : null;
  const node = h(name, { class: kept.join(" ") || null, start }, children);
  return name === "table" ? h("div", { class: "table-scroll" }, node) : node;
}

function convert(source, state, depth) {
  if (source.nodeType === Node.TEXT_NODE) return source.data;
  if (source.nodeType !== Node.ELEMENT_NODE) return [];
  return element(source, state, depth);
}

export function safeFragment(markup) {
  const state = { level: 2 };
  const fragment = document.createDocumentFragment();
  const nodes = [...parseInert(String(markup)).childNodes].map((node) => convert(node, state, 0));
  fragment.append(...nodes.flat(Infinity));
  return fragment;
}
