// Builds DOM nodes from plain calls, so that no text ever passes through an HTML parser.

const PROPERTIES = new Set([
  "value", "checked", "disabled", "hidden", "selected", "open", "readOnly", "required", "multiple",
  "max", "htmlFor", "className", "tabIndex",
]);
const REFUSED = /^(on.+|style|srcdoc|innerHTML|outerHTML)$/i;

function setProperty(node, name, value) {
  if (value === null || value === undefined || value === false) return;
  if (name === "on") {
    for (const [type, listener] of Object.entries(value)) node.addEventListener(type, listener);
  } else if (name === "data") {
    Object.assign(node.dataset, value);
  } else if (REFUSED.test(name)) {
    throw new TypeError(`attribute not allowed: ${name}`);
  } else if (name === "class") {
    node.className = value;
  } else if (PROPERTIES.has(name)) {
    node[name] = value;
  } else {
    node.setAttribute(name, value === true ? "" : String(value));
  }
}

export function append(node, ...children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    node.append(child instanceof Node ? child : String(child));
  }
  return node;
}

export function h(tag, properties, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties ?? {})) setProperty(node, name, value);
  return append(node, children);
}

export function replace(node, ...children) {
  node.replaceChildren();
  return append(node, children);
}

export function button(label, onClick, properties = {}) {
  return h("button", { type: "button", ...properties, on: { click: onClick } }, label);
}

export function link(path, label, properties = {}) {
  return h("a", { href: path, ...properties }, label);
}

const SVG = "http://www.w3.org/2000/svg";

const ICONS = {
  brand: "M2 15.5 22 5l-7.2 8.2L9 14l-1.2 5-1.9-4z",
  check: "M5 12.5 10 17.5 19.5 7",
  copy: "M9 9h10v11H9zM5 15V4h10",
  menu: "M4 7h16M4 12h16M4 17h16",
  more: "M5 12h.01M12 12h.01M19 12h.01",
  undo: "M8 5 4 9l4 4M4 9h9a6 6 0 0 1 0 12h-3",
  upload: "M12 16V4m-5 5 5-5 5 5M4 20h16",
  offline: "M3 3l18 18M8.5 8.6A6 6 0 0 0 7 19h10M19.5 16A4.5 4.5 0 0 0 17 9a6 6 0 0 0-6.5-3.9",
};

export function icon(name) {
  const picture = document.createElementNS(SVG, "svg");
  picture.setAttribute("viewBox", "0 0 24 24");
  picture.setAttribute("class", `icon icon-${name}`);
  picture.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", ICONS[name]);
  picture.append(path);
  return picture;
}

let identifiers = 0;
export function uniqueId(prefix) {
  identifiers += 1;
  return `${prefix}-${identifiers}`;
}
