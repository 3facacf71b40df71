// Plots with Chart.js in the page's own colours, redrawn when the theme changes.

import { h } from "../dom.js";
import { percent } from "../i18n.js";
import { charts } from "../lazy.js";
import { colour, themeChanged } from "../theme.js";

const FONT = { family: "Inter, system-ui, 'Noto Sans CJK KR', sans-serif", size: 12 };

function datasets({ values, colours, series }) {
  if (series) {
    return series.map(({ label, values: points, colour: name }) => ({ label, data: points,
      borderColor: colour(name), backgroundColor: colour(name), borderWidth: 2, tension: 0,
      pointRadius: points.length > 40 ? 0 : 2.5, spanGaps: true }));
  }
  const fills = colours.map(colour);
  return [{ data: values, borderWidth: 0, borderRadius: 3, maxBarThickness: 38,
    backgroundColor: fills.length > 1 ? fills : fills[0] }];
}

function common({ type, flat = false, series, share = false }) {
  const grid = { color: colour("--line"), borderColor: colour("--line") };
  const ticks = { color: colour("--muted"), font: FONT, precision: 0, maxRotation: 0,
    autoSkipPadding: 14 };
  const values = share ? { ...ticks, precision: 2, callback: (value) => percent(value) } : ticks;
  const labels = { color: colour("--ink"), font: FONT, boxWidth: 12 };
  const legend = { position: "bottom", labels };
  const round = type === "doughnut";
  return {
    responsive: true, maintainAspectRatio: false, animation: false,
    plugins: { legend: round || series ? legend : { display: false } },
    indexAxis: flat ? "y" : "x",
    ...(round ? { cutout: "68%" } : { scales: {
      [flat ? "y" : "x"]: { grid: { ...grid, display: false },
        ticks: flat ? { ...ticks, autoSkip: false } : ticks },
      [flat ? "x" : "y"]: { grid, ticks: values, beginAtZero: true } } }),
  };
}

// describe() returns {type, labels, values, colours, flat (bars lie), summary} for every redraw; in
// place of values and colours series: [{label, values, colour}], of shares when share is set.
export function plot(describe, { label, low = false }) {
  const canvas = h("canvas", { role: "img", "aria-label": label });
  const node = h("div", { class: low ? "plot low" : "plot" }, canvas);
  let chart = null;
  let stopped = false;
  const draw = async () => {
    const Chart = await charts();
    if (stopped) return;
    const given = describe();
    const { type, labels, summary } = given;
    canvas.setAttribute("aria-label", `${label}: ${summary}`);
    const data = { labels, datasets: datasets(given) };
    if (chart) {
      chart.data = data;
      chart.options = common(given);
      chart.update("none");
    } else {
      chart = new Chart(canvas, { type, data, options: common(given) });
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
