// Plots with Chart.js in the page's own colours, redrawn when the theme changes.

import { h } from "../dom.js";
import { charts } from "../lazy.js";
import { colour, themeChanged } from "../theme.js";

const FONT = { family: "Inter, system-ui, 'Noto Sans CJK KR', sans-serif", size: 12 };

function common(type, flat) {
  const grid = { color: colour("--line"), borderColor: colour("--line") };
  const ticks = { color: colour("--muted"), font: FONT, precision: 0, maxRotation: 0,
    autoSkipPadding: 14 };
  const labels = { color: colour("--ink"), font: FONT, boxWidth: 12 };
  const legend = { position: "bottom", labels };
  const round = type === "doughnut";
  return {
    responsive: true, maintainAspectRatio: false, animation: false,
    plugins: { legend: round ? legend : { display: false } },
    indexAxis: flat ? "y" : "x",
    ...(round ? { cutout: "68%" } : { scales: {
      [flat ? "y" : "x"]: { grid: { ...grid, display: false },
        ticks: flat ? { ...ticks, autoSkip: false } : ticks },
      [flat ? "x" : "y"]: { grid, ticks, beginAtZero: true } } }),
  };
}

// describe() returns {type, labels, values, colours, flat (bars lie), summary} for every redraw.
export function plot(describe, { label, low = false }) {
  const canvas = h("canvas", { role: "img", "aria-label": label });
  const node = h("div", { class: low ? "plot low" : "plot" }, canvas);
  let chart = null;
  let stopped = false;
  const draw = async () => {
    const Chart = await charts();
    if (stopped) return;
    const { type, labels, values, colours, flat = false, summary } = describe();
    canvas.setAttribute("aria-label", `${label}: ${summary}`);
    const fills = colours.map(colour);
    const data = { labels, datasets: [{ data: values, borderWidth: 0, borderRadius: 3,
      maxBarThickness: 38, backgroundColor: fills.length > 1 ? fills : fills[0] }] };
    if (chart) {
      chart.data = data;
      chart.options = common(type, flat);
      chart.update("none");
    } else {
      chart = new Chart(canvas, { type, data, options: common(type, flat) });
    }
  };
  const redraw = () => draw().catch(console.error);
  const stopListening = themeChanged.on(redraw);
  redraw();
  return {
    node, redraw,
    stop() {
      stopped = true;
      stopListening();
      chart?.destroy();
    },
  };
}
