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
  again: "M20 11a8 8 0 1 0-2.3 6.3M20 5v6h-6",
  close: "M6 6l12 12M18 6 6 18",
  down: "M12 5v14M6 13l6 6 6-6",
  list: "M4 6h16M4 12h10M4 18h16",
  next: "M9 5l7 7-7 7",
  pencil: "M4 20l1-4.5L16.5 4 20 7.5 8.5 19zM14 6.5 17.5 10",
  plus: "M12 5v14M5 12h14",
  previous: "M15 5l-7 7 7 7",
  send: "M12 19V5M6 11l6-6 6 6",
  star: "M12 3.5l2.6 5.4 5.9.8-4.3 4.1 1 5.9-5.2-2.8-5.2 2.8 1-5.9-4.3-4.1 5.9-.8z",
  stop: "M7 7h10v10H7z",
  thumb_down: "M17 13V4H7.5a2 2 0 0 0-2 1.6L4 12a2 2 0 0 0 2 2.4h4L9.5 19a1.8 1.8 0 0 0 3.3 1z"
    + "M17 4h3.5v9H17",
  thumb_up: "M7 11v9h9.5a2 2 0 0 0 2-1.6L20 12a2 2 0 0 0-2-2.4h-4L14.5 5a1.8 1.8 0 0 0-3.3-1z"
    + "M7 20H3.5v-9H7",
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
