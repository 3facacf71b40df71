// A row of choices from "A much better" over "tie" to "B much better", with its keys shown.

import { h } from "../dom.js";
import { t } from "../i18n.js";
import * as judgment from "../judgment.js";
import * as keys from "../keys.js";

function strengthBars(strength, levels) {
  const bars = Array.from({ length: levels }, (_, index) =>
    h("i", { class: index < strength ? "on" : "" }));
  return h("span", { class: "bars", "aria-hidden": "true" }, bars);
}

function words(position, levels) {
  if (position.choice === "tie") return t("choice.tie");
  return t(`choice.${judgment.levelWord(levels, position.strength)}`, { slot: position.choice });
}

function face(position, levels) {
  if (position.choice === "tie") {
    return [h("span", { class: "glyph", "aria-hidden": "true" }, "="),
      h("span", { class: "words" }, t("choice.tie"))];
  }
  const glyph = h("span", { class: "glyph", "aria-hidden": "true" }, position.choice,
    levels > 1 && strengthBars(position.strength, levels));
  return [glyph, h("span", { class: "words" }, words(position, levels))];
}

// options: levels, ties, label, compact, onPick(position)
export function createScale(options) {
  const places = judgment.positions(options.levels);
  const buttons = places.map((position, index) => {
    if (position.choice === "tie" && !options.ties) return null;
    const side = position.choice === "tie" ? "middle" : position.choice.toLowerCase();
    return h("button", {
      type: "button", class: `choice side-${side}`, "aria-pressed": "false",
      "aria-label": words(position, options.levels), title: words(position, options.levels),
      "data-choice": position.choice, "data-strength": position.strength,
      on: { click: () => options.onPick(position) },
    }, face(position, options.levels),
    !options.compact && h("kbd", { "aria-hidden": "true" }, keys.label(`pick${index + 1}`)));
  });
  const node = h("div", {
    class: `scale levels-${options.levels}${options.compact ? " compact" : ""}`,
    role: "group", "aria-label": options.label,
  }, buttons);
  return {
    node,
    at: (number) => {
      const position = places[number - 1];
      return position && (position.choice !== "tie" || options.ties) ? position : null;
    },
    show(value) {
      buttons.forEach((button, index) => {
        const pressed = Boolean(value) && places[index].choice === value.choice &&
          (places[index].strength ?? null) === (value.strength ?? null);
        button?.setAttribute("aria-pressed", String(pressed));
      });
    },
  };
}

// A row of numbers, for ratings and ranks. options: min, max, label, onPick(number)
export function createNumbers(options) {
  const count = options.max - options.min + 1;
  const buttons = Array.from({ length: count }, (_, index) => {
    const value = options.min + index;
    return h("button", {
      type: "button", class: "choice", "aria-pressed": "false", "data-value": value,
      on: { click: () => options.onPick(value) },
    }, String(value));
  });
  return {
    node: h("div", { class: "numbers", role: "group", "aria-label": options.label }, buttons),
    show(value) {
      buttons.forEach((button, index) =>
        button.setAttribute("aria-pressed", String(options.min + index === value)));
    },
  };
}
