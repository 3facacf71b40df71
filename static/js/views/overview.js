// A project at a glance: how far it is, how fast it goes, who does how much. Updates by itself.

import * as api from "../api.js";
import { h, link, replace } from "../dom.js";
import { ago, date, duration, number, percent, t } from "../i18n.js";
import { questionOf } from "../judgment.js";
import { pathOf } from "../routes.js";
import * as session from "../session.js";
import { plot } from "../widgets/chart.js";
import { emptyState, figure, figures, pageHeader, section, table } from "../widgets/page.js";

const REFRESH = 5000;
const PLACES_LIMIT = 200;
const DAY = { month: "short", day: "numeric", timeZone: "UTC" }; // as the server counts days

function timeLeft(progress) {
  if (progress.comparisons.open === 0) return t("overview.finished");
  return progress.seconds_left === null ? t("overview.unknown") : duration(progress.seconds_left);
}

function numbers(progress) {
  const { comparisons, judgments } = progress;
  const share = comparisons.total ? comparisons.complete / comparisons.total : 0;
  return [
    figure(t("overview.complete"), percent(share), t("overview.complete_detail",
      { complete: comparisons.complete, total: comparisons.total })),
    figure(t("overview.judgments"), number(judgments.total), t("overview.wanted",
      { n: judgments.wanted })),
    figure(t("overview.today"), number(judgments.today), t("overview.mine",
      { n: judgments.mine_today })),
    figure(t("overview.pace"), t("overview.per_hour", { n: Math.round(progress.rate_per_hour) }),
      t("overview.pace_detail")),
    figure(t("overview.left"), timeLeft(progress), t("overview.left_detail")),
    progress.median_duration_ms && figure(t("overview.median"),
      duration(progress.median_duration_ms / 1000), t("overview.median_detail")),
  ];
}

// Hours or days in which nothing was judged belong into the picture too.
function withPauses(series, bucket) {
  const step = bucket === "hour" ? 3600000 : 86400000;
  const counts = new Map(series.map((point) => [Date.parse(point.at), point.judgments]));
  const times = [...counts.keys()];
  const first = Math.min(...times);
  const places = Math.floor((Date.now() - first) / step) + 1;
  if (!series.length || places > PLACES_LIMIT || times.some((at) => (at - first) % step)) {
    return series;
  }
  return Array.from({ length: Math.max(1, places) }, (_, index) => {
    const at = first + index * step;
    return { at: new Date(at).toISOString(), judgments: counts.get(at) ?? 0 };
  });
}

function seriesPlot(state) {
  return plot(() => {
    const { bucket } = state.progress;
    const series = withPauses(state.progress.series, bucket);
    const style = bucket === "hour" ? { hour: "numeric" } : DAY;
    const values = series.map((point) => point.judgments);
    return { type: "bar", labels: series.map((point) => date(point.at, style)), values,
      colours: ["--plot-1"], summary: values.map((value) => number(value)).join(", ") };
  }, { label: t("overview.series") });
}

function completionPlot(state) {
  return plot(() => {
    const { complete, in_progress: busy, total } = state.progress.comparisons;
    const parts = [[t("overview.part_complete"), complete], [t("overview.part_busy"), busy],
      [t("overview.part_open"), Math.max(0, total - complete - busy)]];
    return { type: "doughnut", labels: parts.map(([name]) => name),
      values: parts.map(([, value]) => value), colours: ["--plot-1", "--plot-2", "--plot-rest"],
      summary: parts.map(([name, value]) => `${name} ${number(value)}`).join(", ") };
  }, { label: t("overview.completion") });
}

function choicesPlot(state) {
  const names = ["A", "tie", "B", "both_bad", "cannot_judge"];
  return plot(() => {
    const values = names.map((name) => state.progress.choices[name] ?? 0);
    const labels = names.map((name) => t(`choice.short_${name}`));
    return { type: "bar", labels, values,
      colours: ["--plot-1", "--plot-5", "--plot-1", "--plot-4", "--plot-5"],
      flat: true, summary: labels.map((label, index) =>
        `${label} ${number(values[index])}`).join(", ") };
  }, { label: t("overview.choices"), low: true });
}

function annotators(progress) {
  return table(t("overview.annotators"), [
    [t("overview.annotator"), (row) => row.name],
    [t("overview.judgments"), (row) => number(row.judgments), "number"],
    [t("overview.today"), (row) => number(row.today), "number"],
    [t("overview.median"), (row) => (row.median_duration_ms
      ? duration(row.median_duration_ms / 1000) : "–"), "number"],
    [t("overview.last"), (row) => ago(row.last_at)],
  ], progress.annotators);
}

function emptyProject(slug) {
  if (!session.can(slug, "researcher")) {
    return emptyState(t("annotate.nothing_title"), t("annotate.nothing_text"));
  }
  return emptyState(t("overview.empty_title"), t("overview.empty_text"),
    link(pathOf("import", slug), t("annotate.import_first"), { class: "button primary" }));
}

function dashboard(state) {
  const { progress } = state;
  const top = figures(numbers(progress));
  const none = h("p", { class: "hint" }, t("overview.none"));
  const plots = [seriesPlot(state), completionPlot(state)];
  const nodes = [top, h("div", { class: "columns" },
    section(t(`overview.series_${progress.bucket ?? "hour"}`), none, plots[0].node),
    section(t("overview.completion"), plots[1].node))];
  const people = h("div");
  if (progress.annotators) {
    plots.push(choicesPlot(state));
    nodes.push(h("div", { class: "columns" }, section(t("overview.annotators"), people),
      section(t("overview.choices"), plots[2].node)));
  }
  const showNone = () => {
    none.hidden = state.progress.judgments.total > 0;
    plots[0].node.hidden = !none.hidden;
  };
  const update = () => {
    showNone();
    replace(top, numbers(state.progress));
    if (state.progress.annotators) replace(people, annotators(state.progress));
    for (const one of plots) one.redraw();
  };
  if (progress.annotators) replace(people, annotators(progress));
  showNone();
  return { nodes, update, stop: () => plots.forEach((one) => one.stop()) };
}

export async function mount(root, { slug }) {
  const fetchProgress = () => api.get(`/projects/${slug}/progress`);
  const [project, progress] = await Promise.all([api.get(`/projects/${slug}`), fetchProgress()]);
  const state = { progress };
  const judge = progress.comparisons.total > 0 &&
    link(pathOf("annotate", slug), t("projects.judge"), { class: "button primary" });
  const head = pageHeader(project.title || slug,
    { lead: questionOf(project.settings), actions: judge });
  if (!progress.comparisons.total) {
    replace(root, head, emptyProject(slug));
    return null;
  }
  const board = dashboard(state);
  replace(root, head, board.nodes);
  const timer = setInterval(async () => {
    if (document.hidden) return;
    try {
      const next = await fetchProgress();
      if (JSON.stringify(next) === JSON.stringify(state.progress)) return;
      state.progress = next;
      board.update();
    } catch {
      // The numbers stay as they were until the server answers again.
    }
  }, REFRESH);
  return () => {
    clearInterval(timer);
    board.stop();
  };
}
