// What people do with answers: rates by model, lengths, days, and the rules that make labels of it.

import * as api from "../api.js";
import { h, link, replace } from "../dom.js";
import { currentLanguage, date, has, number, percent, t } from "../i18n.js";
import { pathOf } from "../routes.js";
import * as session from "../session.js";
import { plot } from "../widgets/chart.js";
import { emptyState, figure, figures, pageHeader, section, table } from "../widgets/page.js";

const RATES = ["retry", "continue", "edit", "stop", "thumb_up"];
const LINES = [["retry", "retried", "--plot-4"], ["continue", "continued", "--plot-1"],
  ["edit", "edited", "--plot-3"], ["stop", "stopped", "--plot-2"]];
const FORMATS = { label: "trl-unpaired", pair: "trl-preference" };
const DAY = { month: "short", day: "numeric", timeZone: "UTC" };

// The server's sentence is the definition; other languages translate it, by the rule's version.
function inWords(key, given) {
  return currentLanguage() !== "en" && has(key) ? t(key) : given;
}

const share = (value) => number(value, { style: "percent", maximumFractionDigits: 1 });

const short = (value) => number(value, { maximumFractionDigits: 2 });

function interval(rate) {
  return t("stats.interval_short", { lower: share(rate.lower), upper: share(rate.upper) });
}

function rateCell(rate) {
  if (!rate?.of) return "–";
  return h("span", { class: "rate" }, h("b", {}, share(rate.rate)),
    h("span", { class: "hint" }, interval(rate)),
    h("span", { class: "hint" }, t("stats.count_of", { count: rate.count, of: rate.of })));
}

function numbers({ all, length }) {
  const rates = RATES.map((name) => {
    const rate = all.rates[name];
    return figure(t(`stats.${name}`), rate?.of ? percent(rate.rate) : "–",
      rate?.of ? interval(rate) : null);
  });
  return figures(figure(t("stats.answers"), number(all.answers), t("stats.conversations_count",
    { n: length.conversations })), rates,
  figure(t("stats.length"), short(length.mean), length.conversations > 1 &&
    t("stats.interval_short", { lower: short(Math.max(0, length.lower)),
      upper: short(length.upper) })));
}

function definitions(given, names) {
  return h("dl", { class: "definitions" }, names.map((name) => h("div", {},
    h("dt", {}, t(`stats.${name}`)),
    h("dd", {}, inWords(`stats.define_${name}`, given[name])))));
}

function byModel(stats) {
  return section(t("stats.by_model"), table(t("stats.by_model"), [
    [t("chat.model"), (row) => row.model],
    [t("stats.answers"), (row) => number(row.answers), "number"],
    ...RATES.map((name) => [t(`stats.${name}`), (row) => rateCell(row.rates[name]), "number"]),
  ], stats.models), definitions(stats.definitions, [...RATES, "interval"]));
}

function funnel(stats) {
  const steps = stats.funnel.filter((one) => one.conversations > 0);
  const one = plot(() => ({ type: "bar", flat: true, colours: ["--plot-1"],
    labels: steps.map(({ messages }) => t("stats.at_least", { n: messages })),
    values: steps.map(({ conversations }) => conversations),
    summary: steps.map(({ messages, conversations }) =>
      `${t("stats.at_least", { n: messages })} ${number(conversations)}`).join(", ") }),
  { label: t("stats.funnel") });
  return { plot: one, node: section(t("stats.funnel"), one.node,
    definitions(stats.definitions, ["funnel", "length"])) };
}

function dayTable(days) {
  return h("details", {}, h("summary", {}, t("stats.as_table")), table(t("stats.days"), [
    [t("stats.day"), (row) => date(row.day, DAY)],
    [t("stats.answers"), (row) => number(row.answers), "number"],
    [t("nav.conversations"), (row) => number(row.conversations), "number"],
    ...LINES.map(([name, count]) => [t(`stats.${name}`), (row) => number(row[count]), "number"]),
  ], [...days].reverse(), { dense: true }));
}

function days(stats) {
  const labels = stats.days.map((one) => date(one.day, DAY));
  const counts = stats.days.map((one) => one.answers);
  const volume = plot(() => ({ type: "bar", labels, values: counts, colours: ["--plot-1"],
    summary: counts.map((value) => number(value)).join(", ") }),
  { label: t("stats.answers_day"), low: true });
  const rates = plot(() => ({ type: "line", labels, share: true,
    series: LINES.map(([name, count, colour]) => ({ label: t(`stats.${name}`), colour,
      values: stats.days.map((one) => (one.answers ? one[count] / one.answers : null)) })),
    summary: t("stats.as_table_below") }), { label: t("stats.rates_day") });
  return { plots: [volume, rates], nodes: [section(t("stats.rates_day"), rates.node,
    h("p", { class: "hint" }, t("stats.rates_day_help")), dayTable(stats.days)),
  section(t("stats.answers_day"), volume.node)] };
}

function exportLink(slug, rule) {
  const query = { format: FORMATS[rule.kind], source: "implicit", rule: rule.name };
  return h("a", { href: api.url(`/projects/${slug}/export`, query), class: "button quiet",
    download: "",
    "aria-label": t("stats.export_of", { name: rule.name }) }, t("nav.export"));
}

function rulesTable(slug, rules, kind) {
  const rows = rules.filter((rule) => rule.kind === kind);
  const counts = kind === "pair" ? [[t("stats.pairs"), (row) => number(row.positive), "number"]]
    : [[t("stats.positive"), (row) => number(row.positive), "number"],
      [t("stats.negative"), (row) => number(row.negative), "number"]];
  return table(t(`stats.rules_${kind}`), [
    [t("stats.rule"), (row) => h("code", {}, `${row.name}`)],
    [t("stats.version"), (row) => number(row.version), "number"],
    [t("stats.definition"), (row) => h("span", { class: "definition" },
      inWords(`rule.${row.name}_v${row.version}`, row.definition))],
    ...counts, ["", (row) => exportLink(slug, row), "actions"]], rows);
}

function rulesSection(slug, rules) {
  return section(t("stats.rules"), h("p", { class: "hint" }, t("stats.rules_help")),
    h("h3", {}, t("stats.rules_label")), rulesTable(slug, rules, "label"),
    h("h3", {}, t("stats.rules_pair")), rulesTable(slug, rules, "pair"));
}

function nothing(slug) {
  const connect = session.can(slug, "owner") &&
    link(pathOf("settings", slug), t("connect.title"), { class: "button" });
  return emptyState(t("stats.empty_title"), t("stats.empty_text"),
    link(pathOf("chat", slug), t("stats.try_chat"), { class: "button primary" }), connect || []);
}

export async function mount(root, { slug }) {
  const [stats, rules] = await Promise.all([
    api.get(`/projects/${slug}/stats/conversations`), api.get(`/projects/${slug}/labels`)]);
  const head = pageHeader(t("nav.conversations"), { lead: t("stats.lead") });
  if (!stats.all?.answers) {
    replace(root, head, nothing(slug), rulesSection(slug, rules.items));
    return null;
  }
  const way = funnel(stats);
  const time = days(stats);
  replace(root, head, numbers(stats), byModel(stats),
    h("div", { class: "columns" }, h("div", { class: "list" }, way.node), h("div",
      { class: "list" }, time.nodes)), rulesSection(slug, rules.items));
  const plots = [way.plot, ...time.plots];
  return () => plots.forEach((one) => one.stop());
}
