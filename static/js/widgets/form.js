// Forms whose every field has a label, a help text and a place for the server's complaint.

import { h, replace, uniqueId } from "../dom.js";
import { t } from "../i18n.js";
import { problemText } from "./problem.js";

// Wraps a control into a labelled field. pointer: the JSON pointer the server names it by.
export function field(control, { label, help, pointer, get, inline = false }) {
  control.id ||= uniqueId("field");
  const error = h("p", { class: "field-error", id: `${control.id}-error`, hidden: true });
  const hint = help && h("p", { class: "hint", id: `${control.id}-help` }, help);
  const described = [error.id, hint?.id].filter(Boolean).join(" ");
  control.setAttribute("aria-describedby", described);
  const title = h("label", { htmlFor: control.id }, label);
  const node = h("div", { class: inline ? "field inline" : "field" },
    inline ? [control, title] : [title, control], hint, error);
  return {
    node, control, pointer,
    get: get ?? (() => (control.type === "checkbox" ? control.checked : control.value)),
    complain(text) {
      error.hidden = !text;
      error.textContent = text ?? "";
      if (text) control.setAttribute("aria-invalid", "true");
      else control.removeAttribute("aria-invalid");
    },
  };
}

export const textField = (options) => field(h("input", { type: "text", autocomplete: "off",
  ...options.input }), options);
export const areaField = (options) => field(h("textarea", { rows: 4, ...options.input }), options);
export const checkField = (options) => field(h("input", { type: "checkbox", ...options.input }),
  { ...options, inline: true });

export function numberField(options) {
  const control = h("input", { type: "number", ...options.input });
  return field(control, { ...options,
    get: () => (control.value === "" ? null : Number(control.value)) });
}

export function selectField(options) {
  const control = h("select", {}, options.choices.map(([value, text]) =>
    h("option", { value, selected: String(value) === String(options.value) }, text)));
  return field(control, options);
}

export function group(title, help, ...children) {
  return h("fieldset", { class: "group" }, h("legend", {}, title),
    help && h("p", { class: "hint" }, help), children);
}

function fieldFor(fields, pointer) {
  if (!pointer) return null;
  const exact = fields.find((one) => one.pointer === pointer);
  // "/settings/criteria/0/name" belongs to the field of "/settings/criteria".
  return exact ?? fields.find((one) => one.pointer && pointer.startsWith(`${one.pointer}/`));
}

// options: fields, submit (label), onSubmit(), extra (nodes beside the button)
export function form({ fields, body, submit, onSubmit, extra }) {
  const summary = h("p", { class: "form-error", role: "alert" });
  const go = h("button", { type: "submit", class: "primary" }, submit);
  const complain = (error) => {
    const text = problemText(error);
    const culprit = fieldFor(fields, error.pointer);
    if (culprit) {
      culprit.complain(text);
      culprit.control.focus();
    } else {
      replace(summary, text);
    }
  };
  const onSubmitted = async (event) => {
    event.preventDefault();
    replace(summary);
    for (const one of fields) one.complain(null);
    go.disabled = true;
    try {
      await onSubmit();
    } catch (error) {
      complain(error);
    } finally {
      go.disabled = false;
    }
  };
  const node = h("form", { class: "form", novalidate: true, on: { submit: onSubmitted } },
    body ?? fields.map((one) => one.node), summary,
    h("div", { class: "form-actions" }, go, extra));
  return { node, complain, summary, button: go };
}
