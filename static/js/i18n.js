// Speaks the reader's language: messages, plurals, numbers, dates and durations.

import { asset } from "./api.js";
import { append } from "./dom.js";

export const LANGUAGES = { en: "English", ko: "한국어" };

let language = "en";
let messages = {};
let atDesk = false;
let plural = new Intl.PluralRules("en");

export const currentLanguage = () => language;

export function guessLanguage() {
  const stored = localStorage.getItem("aileron.language");
  if (stored in LANGUAGES) return stored;
  const wanted = (navigator.languages ?? [navigator.language]).map((name) => name.slice(0, 2));
  return wanted.find((name) => name in LANGUAGES) ?? "en";
}

// The words of judging come first; those of the desk with the first page that needs them.
export async function useLanguage(name) {
  const parts = await Promise.all([asset(`/static/locales/${name}.json`),
    atDesk ? asset(`/static/locales/${name}.desk.json`) : {}]);
  messages = { ...parts[0], ...parts[1] };
  language = name;
  plural = new Intl.PluralRules(name);
  document.documentElement.lang = name;
}

export async function useDeskWords() {
  if (atDesk) return;
  const more = await asset(`/static/locales/${language}.desk.json`);
  atDesk = true;
  messages = { ...messages, ...more };
}

export function rememberLanguage(name) {
  localStorage.setItem("aileron.language", name);
}

function template(key, values) {
  if (typeof values.n === "number") {
    const found = messages[`${key}.${plural.select(values.n)}`] ?? messages[`${key}.other`];
    if (found !== undefined) return found;
  }
  return messages[key] ?? key;
}

const shown = (value) => (typeof value === "number" ? number(value) : String(value ?? ""));

export function t(key, values = {}) {
  return template(key, values).replace(/\{(\w+)\}/g, (whole, name) =>
    name in values ? shown(values[name]) : whole);
}

export const has = (key) => key in messages;

// Like t(), for sentences with nodes inside them: a list of strings and nodes.
export function sentence(key, values = {}) {
  const parts = template(key, values).split(/\{(\w+)\}/g);
  const pieces = parts.map((part, index) => {
    if (index % 2 === 0) return part;
    return values[part] instanceof Node ? values[part] : shown(values[part]);
  });
  return append(document.createDocumentFragment(), pieces);
}

export function number(value, options) {
  return new Intl.NumberFormat(language, options).format(value);
}

export function percent(share) {
  return number(share, { style: "percent", maximumFractionDigits: 0 });
}

export function bytes(size) {
  const units = ["byte", "kilobyte", "megabyte", "gigabyte"];
  const power = Math.min(3, Math.floor(Math.log(Math.max(size, 1)) / Math.log(1024)));
  return number(size / 1024 ** power, {
    style: "unit", unit: units[power], unitDisplay: "short", maximumFractionDigits: power ? 1 : 0,
  });
}

export function date(text, options = { dateStyle: "medium", timeStyle: "short" }) {
  return text ? new Intl.DateTimeFormat(language, options).format(new Date(text)) : "";
}

const STEPS = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];

export function ago(text) {
  if (!text) return t("time.never");
  const seconds = (Date.parse(text) - Date.now()) / 1000;
  const [unit, size] = STEPS.find(([, step]) => Math.abs(seconds) >= step) ?? STEPS[3];
  const format = new Intl.RelativeTimeFormat(language, { numeric: "auto" });
  return format.format(Math.trunc(seconds / size), unit);
}

function inUnit(value, unit, digits = 0) {
  return number(value, {
    style: "unit", unit, unitDisplay: "short", maximumFractionDigits: digits,
  });
}

// A length of time as a person would say it: no finer than it matters.
export function duration(seconds) {
  if (seconds < 60) return inUnit(seconds, "second", 1);
  if (seconds < 3600) return inUnit(Math.round(seconds / 60), "minute");
  const [unit, size] = seconds < 86400 ? STEPS[1] : STEPS[0];
  const [smaller, step] = seconds < 86400 ? STEPS[2] : STEPS[1];
  const whole = Math.floor(seconds / size);
  const rest = Math.floor((seconds - whole * size) / step);
  return rest ? `${inUnit(whole, unit)} ${inUnit(rest, smaller)}` : inUnit(whole, unit);
}
