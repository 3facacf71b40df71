// Loads the distribution's libraries (KaTeX, highlight.js, Chart.js) once, when first needed.

import { policy } from "./trusted.js";

const loading = new Map();

function script(path) {
  return new Promise((resolve, reject) => {
    const node = document.createElement("script");
    node.src = policy.createScriptURL(path);
    node.onload = () => resolve();
    node.onerror = () => reject(new Error(`cannot load ${path}`));
    document.head.append(node);
  });
}

function stylesheet(path) {
  return new Promise((resolve) => {
    const node = document.createElement("link");
    node.rel = "stylesheet";
    node.href = path;
    node.onload = node.onerror = () => resolve();
    document.head.append(node);
  });
}

function once(name, start) {
  if (!loading.has(name)) {
    const promise = start();
    // A failed download may succeed later, when the network is back.
    promise.catch(() => loading.delete(name));
    loading.set(name, promise);
  }
  return loading.get(name);
}

export function katex() {
  return once("katex", async () => {
    await Promise.all([
      stylesheet("/static/vendor/katex/katex.min.css"),
      script("/static/vendor/katex/katex.min.js"),
    ]);
    return window.katex;
  });
}

export function highlighter() {
  return once("highlight", async () => {
    await script("/static/vendor/highlight/highlight.min.js");
    return window.hljs;
  });
}

export function charts() {
  return once("chart", async () => {
    await script("/static/vendor/chart/chart.min.js");
    return window.Chart;
  });
}
